//! Lengths in Arrow IPC messages, held against what is there before the format's library allocates by them.

use arrow::error::ArrowError;
use arrow::ipc::{CompressionType, Message, MessageHeader, RecordBatch, root_as_message};

/// Bytes of the uncompressed length in front of a compressed buffer's content.
pub const LENGTH_BYTES: usize = 8;
/// The mark before a message's length, in files since version 0.15.
const CONTINUES: [u8; 4] = [0xff; 4];

fn beyond(what: &str) -> ArrowError {
    ArrowError::ParseError(format!("found {what}"))
}

/// Where the head of the first message of a stream begins, and how long the message is with its body; nothing
/// at the end of the stream.
///
/// Errors: a message that is longer than the stream, or none.
pub fn extent(stream: &[u8]) -> Result<Option<(usize, usize)>, ArrowError> {
    let outside = || beyond("a message that is cut off");
    let (prefix, rest) = match stream.strip_prefix(&CONTINUES) {
        Some(rest) => (CONTINUES.len(), rest),
        None if stream.is_empty() => return Ok(None),
        None => (0, stream),
    };
    let (word, rest) = rest.split_first_chunk::<4>().ok_or_else(outside)?;
    let head = u32::from_le_bytes(*word) as usize;
    if head == 0 {
        return Ok(None);
    }
    let message = root_as_message(rest.get(..head).ok_or_else(outside)?);
    let body = message.map_err(|cause| ArrowError::ParseError(cause.to_string()))?.bodyLength();
    let start = prefix + word.len();
    let length = usize::try_from(body).ok().and_then(|body| body.checked_add(start + head));
    let length = length.filter(|length| *length <= stream.len()).ok_or_else(outside)?;
    Ok(Some((start, length)))
}

/// Checks a message that is there whole, and whose head begins at `head`.
pub fn check_whole(message: &[u8], head: usize) -> Result<(), ArrowError> {
    let outside = || beyond("a buffer outside of its message");
    let parsed = root_as_message(message.get(head..).unwrap_or_default());
    let parsed = parsed.map_err(|cause| ArrowError::ParseError(cause.to_string()))?;
    let body = usize::try_from(parsed.bodyLength()).ok().and_then(|body| message.len().checked_sub(body));
    let body = body.and_then(|start| message.get(start..)).ok_or_else(outside)?;
    check_message(&parsed, body.len() as u64, |at| {
        let bytes = usize::try_from(at).ok().and_then(|at| body.get(at..)?.first_chunk());
        bytes.copied().ok_or_else(outside)
    })
}

/// Checks a stream that is there whole.
pub fn check_stream(mut stream: &[u8]) -> Result<(), ArrowError> {
    while let Some((head, length)) = extent(stream)? {
        let (message, rest) = stream.split_at_checked(length).unwrap_or((stream, &[]));
        check_whole(message, head)?;
        stream = rest;
    }
    Ok(())
}

/// Checks the buffers of a message with a body of so many bytes, of which `read` gives eight.
pub fn check_message(
    message: &Message<'_>,
    body: u64,
    read: impl Fn(u64) -> Result<[u8; LENGTH_BYTES], ArrowError>,
) -> Result<(), ArrowError> {
    let batch = match message.header_type() {
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => message.header_as_record_batch(),
    };
    batch.map_or(Ok(()), |batch| check_buffers(&batch, body, read))
}

/// A codec makes at most so many bytes of one, so that a length beyond them is none.
fn most_bytes(codec: CompressionType, compressed: u64) -> u64 {
    // An LZ4 sequence repeats 255 bytes per byte of its length, a Zstandard block 128 KiB in four bytes.
    let (per_byte, spare) =
        if codec == CompressionType::LZ4_FRAME { (256, 1 << 16) } else { (1 << 15, 1 << 17) };
    compressed.saturating_mul(per_byte).saturating_add(spare)
}

fn check_buffers(
    batch: &RecordBatch<'_>,
    body: u64,
    read: impl Fn(u64) -> Result<[u8; LENGTH_BYTES], ArrowError>,
) -> Result<(), ArrowError> {
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
        // A length of -1 marks a buffer that is not compressed.
        let claimed = i64::from_le_bytes(read(offset)?);
        let most = most_bytes(compression.codec(), length);
        if claimed < -1 || u64::try_from(claimed).is_ok_and(|claimed| claimed > most) {
            return Err(beyond("a buffer that would be longer uncompressed than its codec can make it"));
        }
    }
    Ok(())
}
