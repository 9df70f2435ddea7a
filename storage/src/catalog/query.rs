//! Queries: which rows of a table are read, in which order, and what of them.

use super::table::Table;
use super::value::Value;

/// Rows of a table: those with given values in some columns and with numbers of a span in another.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a> {
    pub(crate) table: &'static Table,
    pub(crate) fields: Vec<Field>,
    pub(crate) filter: Filter<'a>,
    pub(crate) order: Option<(&'static str, Direction)>,
    pub(crate) limit: Option<u64>,
}

/// A part of a row that a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Column(&'static str),
    /// The number of bytes that a column has, which are not read.
    Length(&'static str),
}

/// The rows that a query reads, or that are changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) equal: Vec<(&'static str, Value<'a>)>,
    /// A column, and the first and last number that it may have.
    pub(crate) span: Option<(&'static str, i64, i64)>,
    /// A column, and the largest number that it may have; besides the span, for indexes that have only such rows.
    pub(crate) at_most: Option<(&'static str, i64)>,
}

/// Order of the rows of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl<'a> Filter<'a> {
    pub(crate) fn all() -> Self {
        Self::default()
    }

    /// Rows with a value in a column.
    pub(crate) fn of(column: &'static str, value: impl Into<Value<'a>>) -> Self {
        Self::all().and(column, value)
    }

    /// Of these, the rows with a value in another column.
    pub(crate) fn and(mut self, column: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.equal.push((column, value.into()));
        self
    }

    /// Of these, the rows whose number in a column is one of a span, both ends included.
    pub(crate) fn between(mut self, column: &'static str, first: i64, last: i64) -> Self {
        self.span = Some((column, first, last));
        self
    }
}

impl<'a> Query<'a> {
    /// Columns of all rows.
    pub(crate) fn of(table: &'static Table, columns: &[&'static str]) -> Self {
        let fields = columns.iter().map(|column| Field::Column(column)).collect();
        Self { table, fields, filter: Filter::all(), order: None, limit: None }
    }

    /// Adds the lengths of columns.
    pub(crate) fn lengths(mut self, columns: &[&'static str]) -> Self {
        self.fields.extend(columns.iter().map(|column| Field::Length(column)));
        self
    }

    /// Only rows with a value in a column.
    pub(crate) fn equal(mut self, column: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.filter.equal.push((column, value.into()));
        self
    }

    /// Only rows whose number in a column is larger.
    pub(crate) fn after(self, column: &'static str, number: i64) -> Self {
        match number.checked_add(1) {
            Some(first) => self.between(column, first, i64::MAX),
            None => self.between(column, i64::MAX, i64::MIN),
        }
    }

    /// Only rows whose number in a column is not larger.
    pub(crate) fn up_to(self, column: &'static str, number: i64) -> Self {
        self.between(column, i64::MIN, number)
    }

    /// Only rows whose number in a column is one of a span, both ends included.
    pub(crate) fn between(mut self, column: &'static str, first: i64, last: i64) -> Self {
        self.filter.span = Some((column, first, last));
        self
    }

    /// Only rows whose number in another column is not larger, as the rows of an [index](super::table::Index::small).
    pub(crate) fn small(mut self, column: &'static str, number: i64) -> Self {
        self.filter.at_most = Some((column, number));
        self
    }

    pub(crate) fn ascending(mut self, column: &'static str) -> Self {
        self.order = Some((column, Direction::Ascending));
        self
    }

    pub(crate) fn descending(mut self, column: &'static str) -> Self {
        self.order = Some((column, Direction::Descending));
        self
    }

    /// At most so many rows, the first in order.
    pub(crate) fn first(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }
}
