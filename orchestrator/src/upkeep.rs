//! What a store holds, and what may go.

use anabranch_engine::store::StoreError;
use anabranch_storage::{
    DropReport, DropTarget, GarbageOptions, GarbageReport, Inventory, ScrubReport, StoreSize,
};

use crate::store::Store;

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

    /// Removes results or recordings; what depends on them goes only if it is forced. Blocks.
    pub fn drop_from(&self, target: &DropTarget, force: bool) -> Result<DropReport, StoreError> {
        self.inner().drop_from(target, force)
    }

    /// Reads everything and compares it with checksums, counts and references. Blocks.
    pub fn verify(&self) -> Result<ScrubReport, StoreError> {
        self.inner().verify()
    }
}
