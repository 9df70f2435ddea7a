//! Queries and changes as statements of SQL.

use std::fmt::Write as _;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::catalog::query::{Direction, Field, Filter, Query};
use crate::catalog::table::Table;
use crate::catalog::value::Value;

/// A statement and the values of its parameters.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: String,
    pub(super) values: Vec<Value<'a>>,
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::String(string) => ValueRef::Text(string.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl<'a> Statement<'a> {
    fn new(sql: String) -> Self {
        Self { sql, values: Vec::new() }
    }

    fn push(&mut self, part: &str) {
        self.sql.push_str(part);
    }

    /// A place for a value.
    fn parameter(&mut self, value: Value<'a>) {
        self.values.push(value);
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "?{}", self.values.len());
    }

    /// Parts with commas between them.
    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut part: impl FnMut(&mut Self, T)) {
        for (at, item) in items.into_iter().enumerate() {
            self.push(if at > 0 { ", " } else { "" });
            part(self, item);
        }
    }

    pub(super) fn select(query: &Query<'a>) -> Self {
        let mut select = Self::new("SELECT ".to_owned());
        select.list(&query.fields, |select, field| match field {
            Field::Column(column) => select.push(column),
            Field::Length(column) => {
                select.push("octet_length(");
                select.push(column);
                select.push(")");
            }
        });
        if query.fields.is_empty() {
            select.push("1");
        }
        select.push(" FROM ");
        select.push(query.table.name);
        select.filter(&query.filter);
        if let Some((column, direction)) = query.order {
            let direction = if direction == Direction::Ascending { "" } else { " DESC" };
            // Writing to a string cannot fail.
            let _ = write!(select.sql, " ORDER BY {column}{direction}");
        }
        if let Some(limit) = query.limit {
            select.push(" LIMIT ");
            select.parameter(limit.into());
        }
        select
    }

    fn filter(&mut self, filter: &Filter<'a>) {
        let mut word = " WHERE ";
        for (column, value) in &filter.equal {
            self.condition(&mut word, column, " = ", *value);
        }
        if let Some((column, first, last)) = filter.span {
            if (first, last) == (i64::MIN, i64::MAX) {
                // A null is no number of the span, however wide it is.
                let _ = write!(self.sql, "{word}{column} IS NOT NULL");
                word = " AND ";
            }
            if first > i64::MIN {
                self.condition(&mut word, column, " >= ", first.into());
            }
            if last < i64::MAX {
                self.condition(&mut word, column, " <= ", last.into());
            }
        }
        if let Some((column, most)) = filter.at_most {
            // Part of the statement, since an index that has only such rows is used where its own condition is found.
            let _ = write!(self.sql, "{word}{column} <= {most}");
        }
    }

    fn condition(&mut self, word: &mut &str, column: &str, operator: &str, value: Value<'a>) {
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "{word}{column}{operator}");
        self.parameter(value);
        *word = " AND ";
    }

    pub(super) fn insert(table: &'static Table, values: &[(&'static str, Value<'a>)]) -> Self {
        let mut insert = Self::new(format!("INSERT INTO {} (", table.name));
        insert.list(values, |insert, (column, _)| insert.push(column));
        insert.push(") VALUES (");
        insert.list(values, |insert, (_, value)| insert.parameter(*value));
        insert.push(")");
        insert
    }

    /// Adds a row, or changes the one with its key to it: what is not given becomes null.
    pub(super) fn put(table: &'static Table, values: &[(&'static str, Value<'a>)]) -> Self {
        let mut put = Self::insert(table, values);
        put.push(" ON CONFLICT (");
        put.push(&table.key_columns().join(", "));
        put.push(") DO UPDATE SET ");
        put.list(table.columns, |put, column| {
            // Writing to a string cannot fail.
            let _ = write!(put.sql, "{column} = excluded.{column}");
        });
        put
    }

    pub(super) fn update(
        table: &'static Table,
        of: &Filter<'a>,
        values: &[(&'static str, Value<'a>)],
    ) -> Self {
        let mut update = Self::new(format!("UPDATE {} SET ", table.name));
        update.list(values, |update, (column, value)| {
            update.push(column);
            update.push(" = ");
            update.parameter(*value);
        });
        update.filter(of);
        update
    }

    pub(super) fn delete(table: &'static Table, of: &Filter<'a>) -> Self {
        let mut delete = Self::new(format!("DELETE FROM {}", table.name));
        delete.filter(of);
        delete
    }
}
