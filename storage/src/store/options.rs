//! Options of a store.

use std::path::PathBuf;

use crate::results::maintenance::Limits;
use crate::sqlite::busy::{BusyHandler, wait_quietly};

/// Options with which a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Allows a folder on a network file system.
    pub allow_network: bool,
    /// Opens a store that cannot be written for reading; every write fails then.
    pub allow_read_only: bool,
    /// A folder for files without names: by default the store's, and that of the system where the store has no folder or one that
    /// cannot be written.
    pub scratch: Option<PathBuf>,
    /// Called while another process keeps the database busy; by default a wait of up to a minute.
    pub busy: BusyHandler,
    /// Memory for finding results by key. What does not fit is read from disk at each look-up.
    pub index_memory_bytes: usize,
    /// Memory for result blocks that were read lately.
    pub cache_memory_bytes: usize,
    /// Keys of a function that are put into a sorted run on disk when a store is opened, at least;
    /// fewer are read into memory by the first look-up.
    pub run_keys: usize,
    /// Keys of a function that a process adds before commits wait until they are in a run.
    pub most_keys: usize,
    /// Small blocks of a function that are put together, at least.
    pub small_blocks: usize,
    /// Largest size of the database; none for the room on its disk.
    pub size_limit_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            allow_network: false,
            allow_read_only: false,
            scratch: None,
            busy: wait_quietly,
            index_memory_bytes: 256 << 20,
            cache_memory_bytes: 128 << 20,
            run_keys: 1 << 17,
            most_keys: 1 << 20,
            small_blocks: 256,
            size_limit_bytes: None,
        }
    }
}

impl StoreOptions {
    pub(super) fn limits(&self) -> Limits {
        let run_keys = self.run_keys.max(1);
        Limits { run_keys, most_keys: self.most_keys.max(run_keys), small_blocks: self.small_blocks.max(2) }
    }
}
