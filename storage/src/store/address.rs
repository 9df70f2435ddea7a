//! Addresses of stores, by which one store refers to another.

use std::fmt;
use std::path::Path;

use anabranch_engine::store::OpenError;

use super::{Store, StoreOptions};

/// Address of a store: the full path of its folder, or a name that a store in memory has in its process.
///
/// Equal addresses are those of one store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreAddress(String);

impl StoreAddress {
    /// The address that a store has written down.
    #[must_use]
    pub fn parse(address: &str) -> Self {
        Self(address.to_owned())
    }

    /// The address of the store in a folder.
    #[must_use]
    pub fn of_folder(dir: &Path) -> Self {
        let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        Self(full.to_string_lossy().into_owned())
    }

    /// The address as it is written down.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Beginning of the addresses of stores in memory. No full path of a folder does.
const MEMORY: &str = "memory:";

impl Store {
    /// The address of the store. That of a store in memory leads nowhere once the store is gone.
    #[must_use]
    pub fn address(&self) -> StoreAddress {
        match self.dir() {
            Some(dir) => StoreAddress::of_folder(dir),
            None => StoreAddress(format!("{MEMORY}{:p}", std::sync::Arc::as_ptr(&self.inner))),
        }
    }

    /// Opens the store of an address; none if there is no store. A store in memory is not found by its address.
    pub fn at(address: &StoreAddress, options: &StoreOptions) -> Result<Option<Self>, OpenError> {
        if address.0.starts_with(MEMORY) || !Self::exists(&address.0) {
            return Ok(None);
        }
        Self::open_with(&address.0, options).map(Some)
    }
}
