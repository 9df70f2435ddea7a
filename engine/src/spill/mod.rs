//! Where operators' state goes when it leaves memory.
//!
//! An operator has no I/O of its own: it names parts of its state, and its driver moves them to
//! and from a [`SpillArea`]. In a run that is a [`FileArea`], one for each machine, which all
//! share a [`SpillBudget`].

mod budget;
mod encode;
mod file;
mod records;
mod space;

pub use budget::SpillBudget;
pub use file::FileArea;
pub use records::{Pair, PairsInOrder, Records, SortedPairs};

use std::path::PathBuf;

use crate::chunk::Chunk;
use crate::operator::PartId;

/// Why state could not leave memory or come back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillError {
    /// There is nowhere to go.
    #[error("state beyond memory_limit has nowhere to go; raise memory_limit")]
    Nowhere,
    /// A part that was never put away.
    #[error("part {0} of an operator's state was never put away")]
    Missing(u64),
    /// More than may lie on disk.
    #[error(
        "moving state to disk: found {bytes} bytes of all operators, expected at most spill_limit of {limit} bytes; raise spill_limit or memory_limit"
    )]
    Limit {
        /// Bytes that all operators together wanted.
        bytes: u64,
        /// Bytes that they may have.
        limit: u64,
    },
    /// The disk refused.
    #[error("{operation} in \"{}\" failed; make room there or raise memory_limit", directory.display())]
    Disk {
        /// The operation.
        operation: &'static str,
        /// The folder of the file.
        directory: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Keeps parts of one operator's state outside its memory, for one run.
pub trait SpillArea: Send + std::fmt::Debug {
    /// Adds rows to a part.
    fn put(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), SpillError>;

    /// Gives the rows of a part, in the order in which they were put.
    fn read(&mut self, part: PartId) -> Result<Vec<Chunk>, SpillError>;

    /// Gives the room of a part back.
    fn forget(&mut self, part: PartId) -> Result<(), SpillError>;
}

/// An area that takes nothing: state stays within `memory_limit` or fails the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSpill;

impl SpillArea for NoSpill {
    fn put(&mut self, _: PartId, _: Vec<Chunk>) -> Result<(), SpillError> {
        Err(SpillError::Nowhere)
    }

    fn read(&mut self, part: PartId) -> Result<Vec<Chunk>, SpillError> {
        Err(SpillError::Missing(part.0))
    }

    fn forget(&mut self, part: PartId) -> Result<(), SpillError> {
        Err(SpillError::Missing(part.0))
    }
}
