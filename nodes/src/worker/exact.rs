//! Bytes whose number a peer has announced.

use std::io::{self, Read};

use anabranch_engine::bytes::reserve;

/// Reason why announced bytes were not read.
#[derive(Debug)]
pub(super) enum ExactError {
    /// There is no memory for so many bytes.
    Memory(u64),
    /// The pipe ended before, or could not be read.
    Ended,
}

impl From<io::Error> for ExactError {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

/// Appends exactly so many bytes. They are reserved at once, and memory is taken as they come.
pub(super) fn append_exactly(
    pipe: &mut impl Read,
    count: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), ExactError> {
    if !reserve(bytes, count) {
        return Err(ExactError::Memory(count));
    }
    let read = pipe.by_ref().take(count).read_to_end(bytes)?;
    if read as u64 == count { Ok(()) } else { Err(ExactError::Ended) }
}
