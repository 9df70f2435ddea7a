//! What a store holds, and what may go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anabranch_engine::store::StoreError;
use anabranch_nodes::leftovers::call_leftovers;
use anabranch_nodes::sink::{Format, WriteSpec};
use anabranch_storage::{
    DropReport, DropTarget, GarbageOptions, GarbageReport, Inventory, RunState, ScrubReport, StoreSize,
};

use super::Store;
use super::run_files::noted_outputs;

impl Store {
    /// Lists functions with their results, and recordings. Blocks.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        self.inner().inventory()
    }

    /// What the store takes, by kind. Blocks.
    pub fn size(&self) -> Result<StoreSize, StoreError> {
        self.inner().size()
    }

    /// Removes what nothing leads to and gives its place back to the disk, beside runs and readers of
    /// whatever process. Blocks until it is done.
    pub fn collect_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, StoreError> {
        self.inner().collect_garbage(options)
    }

    /// What [`Store::collect_garbage`] would remove; removes nothing.
    pub fn find_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, StoreError> {
        self.inner().find_garbage(options)
    }

    /// Hidden files and folders beside outputs of killed runs, and folders of killed calls of programs, of
    /// whatever store. [`remove`](anabranch_nodes::leftovers::remove) removes each. Blocks.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let killed = self.runs(None)?.into_iter().filter(|run| run.state == RunState::Interrupted);
        let outputs: BTreeSet<PathBuf> = killed.flat_map(|run| noted_outputs(&run.start.summary)).collect();
        // The form of an output is in no hidden name.
        let beside = outputs.into_iter().flat_map(|path| WriteSpec::new(Format::Csv, path).leftovers());
        Ok(beside.chain(call_leftovers()).collect())
    }

    /// Removes results or recordings; what depends on them goes only if it is forced. Blocks.
    pub fn drop_from(&self, target: &DropTarget, force: bool) -> Result<DropReport, StoreError> {
        self.inner().drop_from(target, force)
    }

    /// Reads everything and compares it with checksums, counts and references. Blocks.
    pub fn verify(&self) -> Result<ScrubReport, StoreError> {
        self.inner().verify()
    }
}
