//! Functions and the components of their fingerprints.

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::{Digest, Fingerprint, FingerprintBuilder};
use anabranch_engine::store::{StoreFault, StoredFunction};

use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{COMPONENTS, FUNCTIONS, SEVERAL_VERSIONS};
use crate::catalog::{Rows, Transaction};

/// A function with a row in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) id: i64,
    /// True if a key may have several versions.
    pub(crate) several_versions: bool,
}

/// Returns the store's row of a function.
pub(crate) fn known(rows: &dyn Rows, fingerprint: &Fingerprint) -> Result<Option<Known>, StoreFault> {
    let by_fingerprint = Query::of(&FUNCTIONS, &["id"]).equal("fingerprint", &fingerprint.digest().0);
    let Some(id) = rows.one(&by_fingerprint, |row| row.number(0))? else { return Ok(None) };
    let several_versions = rows.exists(&Query::of(&SEVERAL_VERSIONS, &[]).equal("function", id))?;
    Ok(Some(Known { id, several_versions }))
}

/// The number of a function, which is written down with its components where it is new.
pub(crate) fn ensure(transaction: &dyn Transaction, function: &StoredFunction) -> Result<Known, StoreFault> {
    if let Some(known) = known(transaction, &function.fingerprint)? {
        return Ok(known);
    }
    Ok(Known { id: insert(transaction, function)?, several_versions: false })
}

/// Writes down that keys of a function may have several versions from now on.
pub(crate) fn note_several_versions(transaction: &dyn Transaction, known: &Known) -> Result<(), StoreFault> {
    if known.several_versions {
        return Ok(());
    }
    transaction.put(&SEVERAL_VERSIONS, &[("function", known.id.into())])
}

fn insert(transaction: &dyn Transaction, function: &StoredFunction) -> Result<i64, StoreFault> {
    let row = [
        ("fingerprint", (&function.fingerprint.digest().0).into()),
        ("name", (&function.name).into()),
        ("created_ms", now_unix_millis().into()),
    ];
    let id = transaction.insert(&FUNCTIONS, &row)?;
    for (position, component) in function.fingerprint.components().iter().enumerate() {
        let row = [
            ("function", id.into()),
            ("position", position.into()),
            ("name", (&*component.name).into()),
            ("value", (&*component.value).into()),
        ];
        transaction.insert(&COMPONENTS, &row)?;
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
pub(crate) fn named(rows: &dyn Rows, name: &str) -> Result<Vec<FunctionInfo>, StoreFault> {
    let by_name = Query::of(&FUNCTIONS, &["id", "created_ms"]).equal("name", name).descending("id");
    let found = rows.all(&by_name, |row| Ok((row.number(0)?, row.number(1)?)))?;
    let info = |(id, created_ms)| {
        Ok(FunctionInfo { name: name.to_owned(), fingerprint: fingerprint(rows, id)?, created_ms })
    };
    found.into_iter().map(info).collect()
}

/// The fingerprint of a stored function, made again from its components.
pub(crate) fn fingerprint(rows: &dyn Rows, id: i64) -> Result<Fingerprint, StoreFault> {
    let damaged = |found: &str| StoreFault::damaged(format!("function {id}"), found);
    let digest = rows.one(&Query::of(&FUNCTIONS, &["fingerprint"]).equal("id", id), |row| row.hash(0))?;
    let digest = digest.ok_or_else(|| damaged("it is not in the store"))?;
    let components = Query::of(&COMPONENTS, &["name", "value"]).equal("function", id).ascending("position");
    let components = rows.all(&components, |row| Ok((row.string(0)?, row.string(1)?)))?;
    let builder = FingerprintBuilder::default();
    let builder = components.into_iter().fold(builder, |built, (name, value)| built.with(&name, value));
    let fingerprint = builder.build();
    if *fingerprint.digest() == Digest(digest) {
        return Ok(fingerprint);
    }
    Err(damaged("its components do not give its fingerprint"))
}
