//! Values of rows, and rows as queries read them.

use anabranch_engine::index::{At as _, fitting};
use anabranch_engine::store::StoreFault;

use super::table::Table;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value<'a> {
    Null,
    Number(i64),
    String(&'a str),
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// Numbers of blocks and counts of rows and bytes fit; a larger number is a fault of this program.
impl From<u64> for Value<'_> {
    #[track_caller]
    fn from(number: u64) -> Self {
        Self::Number(fitting(number, "number of the store"))
    }
}

impl From<usize> for Value<'_> {
    #[track_caller]
    fn from(number: usize) -> Self {
        Self::Number(fitting(number, "number of the store"))
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(string: &'a str) -> Self {
        Self::String(string)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(string: &'a String) -> Self {
        Self::String(string)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that a query reads: the values of its columns, in the order in which the query names them.
///
/// Errors: a value of another kind than the table has, which is damage.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    table: &'static Table,
    values: &'a [Value<'a>],
}

impl<'a> Row<'a> {
    pub(crate) fn new(table: &'static Table, values: &'a [Value<'a>]) -> Self {
        Self { table, values }
    }

    pub(crate) fn value(&self, at: usize) -> Value<'a> {
        *self.values.at(at, "a query names the columns that are read")
    }

    pub(crate) fn number(&self, at: usize) -> Result<i64, StoreFault> {
        if let Value::Number(number) = self.value(at) { Ok(number) } else { Err(self.damaged(at)) }
    }

    /// A number that is not below zero.
    pub(crate) fn unsigned(&self, at: usize) -> Result<u64, StoreFault> {
        self.number(at).map(i64::unsigned_abs)
    }

    /// A number of 32 bits.
    pub(crate) fn small(&self, at: usize) -> Result<u32, StoreFault> {
        u32::try_from(self.number(at)?).map_err(|_| self.damaged(at))
    }

    pub(crate) fn flag(&self, at: usize) -> Result<bool, StoreFault> {
        self.number(at).map(|number| number != 0)
    }

    pub(crate) fn string(&self, at: usize) -> Result<String, StoreFault> {
        if let Value::String(string) = self.value(at) { Ok(string.to_owned()) } else { Err(self.damaged(at)) }
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<&'a [u8], StoreFault> {
        if let Value::Bytes(bytes) = self.value(at) { Ok(bytes) } else { Err(self.damaged(at)) }
    }

    /// A hash of 32 bytes.
    pub(crate) fn hash(&self, at: usize) -> Result<[u8; 32], StoreFault> {
        self.bytes(at)?.try_into().map_err(|_| self.damaged(at))
    }

    /// A value that may be null.
    pub(crate) fn optional<T>(
        &self,
        at: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, StoreFault>,
    ) -> Result<Option<T>, StoreFault> {
        if self.value(at) == Value::Null { Ok(None) } else { read(self, at).map(Some) }
    }

    fn damaged(&self, at: usize) -> StoreFault {
        let kind = match self.value(at) {
            Value::Null => "nothing",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Bytes(_) => "bytes",
        };
        StoreFault::damaged(
            format!("table \"{}\" of the store", self.table.name),
            format!("found {kind} that column {} of a query cannot have", at + 1),
        )
    }
}
