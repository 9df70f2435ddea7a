//! Tables of a catalog.

use super::value::Value;

/// A table: rows of numbers, strings and bytes.
///
/// Rows are found by the columns of their key, of which no two rows have equal values, and by those of indexes.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// The kind of each column.
    pub(crate) kinds: &'static [Kind],
    pub(crate) key: Key,
    pub(crate) indexes: &'static [Index],
}

/// The kind of the values of a column, each of which may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    String,
    /// Few bytes, as a hash has.
    Bytes,
    /// Bytes of a block, which may be many. They are never changed once they are written.
    Large,
}

impl Kind {
    /// Returns true if a column of the kind may have a value.
    pub(crate) fn takes(self, value: &Value<'_>) -> bool {
        match value {
            Value::Null => true,
            Value::Number(_) => self == Self::Number,
            Value::String(_) => self == Self::String,
            Value::Bytes(_) => matches!(self, Self::Bytes | Self::Large),
        }
    }
}

/// The columns by which a row is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The first column, a number that the caller gives.
    Given,
    /// The first column, a number that the catalog gives: larger than those of all rows that are there.
    Numbered,
    /// The first column, a number that the catalog gives: larger than all that it ever gave.
    NeverAgain,
    /// These columns.
    Columns(&'static [&'static str]),
}

/// Rows in the order of some columns, and then of their key.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) columns: &'static [&'static str],
    /// True if no two rows have equal values.
    pub(crate) unique: bool,
    /// Only rows whose value of a column is at most a number are in the index.
    pub(crate) at_most: Option<(&'static str, i64)>,
}

impl Index {
    pub(crate) const fn of(columns: &'static [&'static str]) -> Self {
        Self { columns, unique: false, at_most: None }
    }

    pub(crate) const fn unique(columns: &'static [&'static str]) -> Self {
        Self { columns, unique: true, at_most: None }
    }

    pub(crate) const fn small(columns: &'static [&'static str], at_most: (&'static str, i64)) -> Self {
        Self { columns, unique: false, at_most: Some(at_most) }
    }
}

impl Table {
    /// The columns of the key.
    pub(crate) fn key_columns(&self) -> &'static [&'static str] {
        match self.key {
            Key::Columns(columns) => columns,
            Key::Given | Key::Numbered | Key::NeverAgain => self.columns.split_at(1).0,
        }
    }

    /// Returns true if a column is one of the table, and may have a value.
    pub(crate) fn takes(&self, column: &str, value: &Value<'_>) -> bool {
        self.columns.iter().zip(self.kinds).any(|(name, kind)| *name == column && kind.takes(value))
    }
}
