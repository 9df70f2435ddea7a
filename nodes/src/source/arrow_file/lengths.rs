//! Lengths in an Arrow IPC file, held against its size before the format's library allocates by them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anabranch_engine::ipc_lengths::{LENGTH_BYTES, check_message};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_footer_length;
use arrow::ipc::{Block, root_as_footer, root_as_message};

/// Bytes after the footer: its length and the magic letters.
const TRAILER_BYTES: usize = 10;

/// Checks the blocks that the footer lists, and the uncompressed lengths of compressed buffers.
pub(super) fn check_lengths(file: &File) -> Result<(), ArrowError> {
    let size = file.metadata()?.len();
    let mut trailer = [0; TRAILER_BYTES];
    let at = size.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| beyond("a file shorter than a trailer"))?;
    file.read_exact_at(&mut trailer, at)?;
    let length = read_footer_length(trailer)?;
    let start = at.checked_sub(length as u64).ok_or_else(|| beyond("a footer longer than the file"))?;
    let mut footer = vec![0; length];
    file.read_exact_at(&mut footer, start)?;
    let footer = root_as_footer(&footer).map_err(|cause| ArrowError::ParseError(cause.to_string()))?;
    let blocks = footer.dictionaries().into_iter().chain(footer.recordBatches()).flatten();
    blocks.into_iter().try_for_each(|block| check_block(file, block, start))
}

fn beyond(what: &str) -> ArrowError {
    ArrowError::ParseError(format!("found {what}"))
}

fn check_block(file: &File, block: &Block, end: u64) -> Result<(), ArrowError> {
    let outside = || beyond("a block outside of the file");
    let offset = u64::try_from(block.offset()).map_err(|_| outside())?;
    let head = usize::try_from(block.metaDataLength()).map_err(|_| outside())?;
    let body = u64::try_from(block.bodyLength()).map_err(|_| outside())?;
    let body_start = offset.checked_add(head as u64).ok_or_else(outside)?;
    if body_start.checked_add(body).is_none_or(|last| last > end) {
        return Err(outside());
    }
    let mut message = vec![0; head];
    file.read_exact_at(&mut message, offset)?;
    // Files before version 0.15 have no mark before the length.
    let prefix = if message.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let message = message.get(prefix..).ok_or_else(|| beyond("a message without a head"))?;
    let message = root_as_message(message).map_err(|cause| ArrowError::ParseError(cause.to_string()))?;
    check_message(&message, body, |at| {
        let mut claimed = [0; LENGTH_BYTES];
        file.read_exact_at(&mut claimed, body_start + at)?;
        Ok(claimed)
    })
}
