//! Maintenance of a store: its inventory, its size, and the removal of data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{CollectError, CopyError, DropError, ReadError};
use anabranch_nodes::leftovers::call_leftovers;
use anabranch_nodes::sink::{Format, WriteSpec};
use anabranch_storage::{
    DropReport, DropTarget, GarbageOptions, GarbageReport, Inventory, RunState, ScrubReport, StoreOptions,
    StoreSize,
};

use super::Store;
use super::run_files::noted_outputs;

impl Store {
    /// Lists functions with their results, and recordings. Blocks.
    pub fn inventory(&self) -> Result<Inventory, ReadError> {
        self.inner().inventory()
    }

    /// Returns the store's size on disk, by kind. Blocks.
    pub fn size(&self) -> Result<StoreSize, ReadError> {
        self.inner().size()
    }

    /// Removes unreferenced data and frees its space on disk, beside runs and readers of any process. Blocks until it is
    /// done.
    pub fn collect_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, CollectError> {
        self.inner().collect_garbage(options)
    }

    /// Reports the data that [`Store::collect_garbage`] would remove; removes nothing.
    pub fn find_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, CollectError> {
        self.inner().find_garbage(options)
    }

    /// Lists hidden files and folders beside outputs of killed runs, and folders of killed calls of programs, of any store.
    /// [`remove`](anabranch_nodes::leftovers::remove) removes each. Blocks.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, ReadError> {
        let killed = self.runs(None)?.into_iter().filter(|run| run.state == RunState::Interrupted);
        let outputs: BTreeSet<PathBuf> = killed.flat_map(|run| noted_outputs(&run.start.summary)).collect();
        // Hidden names do not contain the format of an output.
        let beside = outputs.into_iter().flat_map(|path| WriteSpec::new(Format::Csv, path).leftovers());
        Ok(beside.chain(call_leftovers()).collect())
    }

    /// Copies the store, as it is at one moment, into a folder without a store; runs go on meanwhile. Returns the bytes of the
    /// copy, which is a store itself. Blocks until it is on the disk.
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<u64, CopyError> {
        self.inner().backup(dir)
    }

    /// Copies a backup into a folder without a store, and returns the bytes. Blocks until it is on the disk.
    pub fn restore(
        backup: impl AsRef<Path>,
        dir: impl AsRef<Path>,
        options: &StoreOptions,
    ) -> Result<u64, CopyError> {
        anabranch_storage::Store::restore(backup, dir, options)
    }

    /// Removes results or recordings; those that others depend on only with `force`, together with these. Blocks.
    pub fn drop_from(&self, target: &DropTarget, force: bool) -> Result<DropReport, DropError> {
        self.inner().drop_from(target, force)
    }

    /// Reads everything and compares it with checksums, counts and references. Blocks.
    pub fn verify(&self) -> Result<ScrubReport, ReadError> {
        self.inner().verify()
    }
}
