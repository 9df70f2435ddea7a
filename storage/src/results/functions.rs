//! Functions and the components of their fingerprints.

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::{Digest, Fingerprint, FingerprintBuilder};
use anabranch_engine::store::{StoreError, StoredFunction};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::{corrupt, sql};
use crate::sqlite::sql_number;

/// A function with a row in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) id: i64,
    /// True if a key may have several versions.
    pub(crate) several_versions: bool,
}

/// Returns the store's row of a function.
pub(crate) fn known(connection: &Connection, fingerprint: &Fingerprint) -> Result<Option<Known>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| Ok(Known { id: row.get(0)?, several_versions: row.get(1)? });
    connection
        .prepare_cached(
            "SELECT id, EXISTS (SELECT 1 FROM several_versions WHERE function = functions.id)
             FROM functions WHERE fingerprint = ?1",
        )
        .and_then(|mut statement| statement.query_row([fingerprint.digest().0], read).optional())
        .map_err(|e| sql("look up function", e))
}

/// The number of a function, which is written down with its components where it is new.
pub(crate) fn ensure(connection: &Connection, function: &StoredFunction) -> Result<Known, StoreError> {
    if let Some(known) = known(connection, &function.fingerprint)? {
        return Ok(known);
    }
    let id = insert(connection, function).map_err(|e| sql("store function", e))?;
    Ok(Known { id, several_versions: false })
}

/// Writes down that keys of a function may have several versions from now on.
pub(crate) fn note_several_versions(connection: &Connection, known: &Known) -> Result<(), StoreError> {
    if known.several_versions {
        return Ok(());
    }
    connection
        .execute("INSERT INTO several_versions (function) VALUES (?1)", [known.id])
        .map(drop)
        .map_err(|e| sql("store function", e))
}

fn insert(connection: &Connection, function: &StoredFunction) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO functions (fingerprint, name, created_ms) VALUES (?1, ?2, ?3)",
        (function.fingerprint.digest().0, &function.name, now_unix_millis()),
    )?;
    let id = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO components VALUES (?1, ?2, ?3, ?4)")?;
    for (position, component) in function.fingerprint.components().iter().enumerate() {
        insert.execute((id, sql_number(position), &component.name, &component.value))?;
    }
    Ok(id)
}

/// A function in the store, with the parts of its identity.
#[derive(Debug, Clone)]
pub struct FunctionInfo {
    /// The name under which it was first seen.
    pub name: String,
    /// Its fingerprint and the components that make it.
    pub fingerprint: Fingerprint,
    /// Time of its first use, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Functions by name, the newest first.
pub(crate) fn named(connection: &Connection, name: &str) -> Result<Vec<FunctionInfo>, StoreError> {
    let failed = |e| sql("list functions", e);
    let mut statement = connection
        .prepare_cached("SELECT id, created_ms FROM functions WHERE name = ?1 ORDER BY id DESC")
        .map_err(failed)?;
    let found = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    let found: Vec<(i64, i64)> = found.collect::<rusqlite::Result<_>>().map_err(failed)?;
    let info = |(id, created_ms)| {
        let fingerprint = fingerprint(connection, id)?;
        Ok(FunctionInfo { name: name.to_owned(), fingerprint, created_ms })
    };
    found.into_iter().map(info).collect()
}

/// The fingerprint of a stored function, made again from its components.
pub(crate) fn fingerprint(connection: &Connection, id: i64) -> Result<Fingerprint, StoreError> {
    const OPERATION: &str = "read function";
    let failed = |e| sql(OPERATION, e);
    let digest: [u8; 32] = connection
        .query_row("SELECT fingerprint FROM functions WHERE id = ?1", [id], |row| row.get(0))
        .map_err(failed)?;
    let mut statement = connection
        .prepare_cached("SELECT name, value FROM components WHERE function = ?1 ORDER BY position")
        .map_err(failed)?;
    let mut builder = FingerprintBuilder::default();
    let mut rows = statement.query([id]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (name, value): (String, String) =
            row.get(0).and_then(|name| Ok((name, row.get(1)?))).map_err(failed)?;
        builder = builder.with(&name, value);
    }
    let fingerprint = builder.build();
    if *fingerprint.digest() == Digest(digest) {
        return Ok(fingerprint);
    }
    Err(corrupt(OPERATION, &format!("function {id}"), "its components do not give its fingerprint"))
}
