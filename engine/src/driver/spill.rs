//! Where operators' state goes when it leaves memory.

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
    /// The disk refused.
    #[error("state could not be moved to or from disk")]
    Disk(#[from] std::io::Error),
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
pub struct Unspilled;

impl SpillArea for Unspilled {
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
