//! Lengths in an Arrow IPC file, held against its size before the format's library allocates by them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use arrow::error::ArrowError;
use arrow::ipc::reader::read_footer_length;
use arrow::ipc::{Block, CompressionType, MessageHeader, RecordBatch, root_as_footer, root_as_message};

/// Bytes after the footer: its length and the magic letters.
const TRAILER_BYTES: usize = 10;
/// Bytes before an uncompressed length of a compressed buffer's content.
const LENGTH_BYTES: usize = 8;

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
    let batch = match message.header_type() {
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => message.header_as_record_batch(),
    };
    batch.map_or(Ok(()), |batch| check_buffers(file, &batch, (body_start, body)))
}

/// A codec makes at most so many bytes of one, so that a length beyond them is none.
fn most_bytes(codec: CompressionType, compressed: u64) -> u64 {
    // An LZ4 sequence repeats 255 bytes per byte of its length, a Zstandard block 128 KiB in four bytes.
    let (per_byte, spare) =
        if codec == CompressionType::LZ4_FRAME { (256, 1 << 16) } else { (1 << 15, 1 << 17) };
    compressed.saturating_mul(per_byte).saturating_add(spare)
}

fn check_buffers(file: &File, batch: &RecordBatch<'_>, (start, body): (u64, u64)) -> Result<(), ArrowError> {
    let outside = || beyond("a buffer outside of its block");
    for buffer in batch.buffers().into_iter().flatten() {
        let offset = u64::try_from(buffer.offset()).map_err(|_| outside())?;
        let length = u64::try_from(buffer.length()).map_err(|_| outside())?;
        if offset.checked_add(length).is_none_or(|last| last > body) {
            return Err(outside());
        }
        let Some(compression) = batch.compression() else { continue };
        if length < LENGTH_BYTES as u64 {
            continue;
        }
        let mut claimed = [0; LENGTH_BYTES];
        file.read_exact_at(&mut claimed, start + offset)?;
        // A length of -1 marks a buffer that is not compressed.
        let claimed = i64::from_le_bytes(claimed);
        let most = most_bytes(compression.codec(), length);
        if claimed < -1 || u64::try_from(claimed).is_ok_and(|claimed| claimed > most) {
            return Err(beyond("a buffer that would be longer uncompressed than its codec can make it"));
        }
    }
    Ok(())
}
