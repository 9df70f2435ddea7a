//! Rows read from `SQLite`.

use std::ops::ControlFlow;

use anabranch_engine::store::{StoreFault, StoreProblem};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection};

use super::fault::fault;
use super::statement::Statement;
use crate::catalog::query::{Field, Query};
use crate::catalog::value::{Row, Value};

/// Hands out the rows of a query until one ends it.
pub(super) fn scan(
    connection: &Connection,
    query: &Query<'_>,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> Result<(), StoreFault> {
    let Some(Prepared { mut select, values, columns }) = prepare(connection, query)? else { return Ok(()) };
    let mut rows = select.query(rusqlite::params_from_iter(values)).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let mut values = Vec::with_capacity(columns.len());
        let mut next = 0;
        for is_there in &columns {
            values.push(if *is_there { value(row.get_ref(next).map_err(fault)?)? } else { Value::Null });
            next += usize::from(*is_there);
        }
        if each(&Row::new(query.table, &values)).is_break() {
            break;
        }
    }
    Ok(())
}

/// A query as `SQLite` has planned it.
struct Prepared<'a, 'b> {
    select: CachedStatement<'a>,
    values: Vec<Value<'b>>,
    /// For each field of the query, false if the table lacks the column.
    columns: Vec<bool>,
}

/// Prepares a query; none if there is no such table.
fn prepare<'a, 'b>(
    connection: &'a Connection,
    query: &Query<'b>,
) -> Result<Option<Prepared<'a, 'b>>, StoreFault> {
    let statement = Statement::select(query);
    let columns = vec![true; query.fields.len()];
    let refused = match connection.prepare_cached(&statement.sql) {
        Ok(select) => return Ok(Some(Prepared { select, values: statement.values, columns })),
        Err(cause) => cause,
    };
    // A store of an earlier format that cannot be written is read as it is.
    let there = columns_of(connection, query.table.name).map_err(fault)?;
    if there.is_empty() {
        return Ok(None);
    }
    let is_there = |field: &Field| match field {
        Field::Column(column) | Field::Length(column) => there.iter().any(|there| there == column),
    };
    let columns: Vec<bool> = query.fields.iter().map(is_there).collect();
    if columns.iter().all(|there| *there) {
        return Err(fault(refused));
    }
    let mut rest = query.clone();
    rest.fields.retain(is_there);
    let statement = Statement::select(&rest);
    let select = connection.prepare_cached(&statement.sql).map_err(fault)?;
    Ok(Some(Prepared { select, values: statement.values, columns }))
}

fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    select.query_map([table], |row| row.get(0))?.collect()
}

fn value(value: ValueRef<'_>) -> Result<Value<'_>, StoreFault> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(string) => Value::String(
            std::str::from_utf8(string)
                .map_err(|cause| StoreFault::because(StoreProblem::DamagedDatabase, cause))?,
        ),
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
        ValueRef::Real(_) => return Err(StoreProblem::DamagedDatabase.into()),
    })
}
