//! The place of a version in the store.

use anabranch_engine::store::ResultId;

/// A version by its block and its row there; a block is a commit unit of [`ResultId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResultRef {
    pub(crate) block: u64,
    pub(crate) row: u32,
}

// As large as an id: a vector of one becomes a vector of the other in place.
const _: () = assert!(size_of::<ResultRef>() == size_of::<ResultId>());

impl From<ResultId> for ResultRef {
    fn from(id: ResultId) -> Self {
        Self { block: id.commit(), row: id.row() }
    }
}

impl From<ResultRef> for ResultId {
    fn from(version: ResultRef) -> Self {
        Self::new(version.block, version.row)
    }
}

impl ResultRef {
    /// The ids of versions.
    pub(crate) fn ids(versions: Vec<Self>) -> Vec<ResultId> {
        versions.into_iter().map(ResultId::from).collect()
    }
}
