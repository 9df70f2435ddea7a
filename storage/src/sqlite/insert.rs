//! Rows inserted into `SQLite`.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, MAIN_DB, ToSql};

use super::statement::Statement;
use crate::catalog::table::Table;
use crate::catalog::value::Value;

/// Bytes of a value above which it is written in place.
///
/// A value is copied twice on its way into the pages of `SQLite`. A large one is written in place instead.
const IN_PLACE_BYTES: usize = 16 << 20;

/// A value that is bound to a statement, or room for it.
struct Bound<'a>(Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match large(&self.0) {
            Some(bytes) => Ok(ToSqlOutput::ZeroBlob(bytes.len() as u64)),
            None => self.0.to_sql(),
        }
    }
}

fn large<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    match value {
        Value::Bytes(bytes) if bytes.len() > IN_PLACE_BYTES => Some(bytes),
        _ => None,
    }
}

/// Inserts a row and returns its number.
pub(super) fn insert(
    connection: &Connection,
    table: &'static Table,
    values: &[(&'static str, Value<'_>)],
) -> rusqlite::Result<i64> {
    let statement = Statement::insert(table, values);
    let bound = statement.values.into_iter().map(Bound);
    connection.prepare_cached(&statement.sql)?.execute(rusqlite::params_from_iter(bound))?;
    let row = connection.last_insert_rowid();
    for (column, value) in values {
        if let Some(bytes) = large(value) {
            let mut blob = connection.blob_open(MAIN_DB, table.name, *column, row, false)?;
            blob.write_at(bytes, 0)?;
            blob.close()?;
        }
    }
    Ok(row)
}
