//! Messages between the engine and the Python worker: a line with two lengths, a header in JSON, a body.

use std::io::{BufRead, Read};

use anabranch_engine::bytes::reserve;
use serde_json::Value;

/// Bytes of a line with lengths.
const LINE_BYTES: u64 = 64;
/// Bytes of a header at most.
const HEADER_BYTES: u64 = 256 << 20;
/// Bytes of a body at most.
const BODY_BYTES: u64 = 2 << 30;

/// Why no message came.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The pipe ended.
    Ended,
    /// Something else than a message came.
    Bad(&'static str),
}

/// A message as bytes.
pub(super) fn encode(header: &Value, body: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut frame = format!("{} {}\n", header.len(), body.len()).into_bytes();
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Reads a message. What is announced is reserved, and memory is taken as it comes.
pub(super) fn read(pipe: &mut impl BufRead) -> Result<(Value, Vec<u8>), FrameError> {
    let mut line = Vec::new();
    pipe.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).map_err(|_| FrameError::Ended)?;
    if line.is_empty() {
        return Err(FrameError::Ended);
    }
    let lengths = line.strip_suffix(b"\n").and_then(lengths);
    let (header, body) = lengths.ok_or(FrameError::Bad("something that is no message"))?;
    if header > HEADER_BYTES || body > BODY_BYTES {
        return Err(FrameError::Bad("a message beyond 2 GiB"));
    }
    let header = exactly(pipe, header)?;
    let header =
        serde_json::from_slice(&header).map_err(|_| FrameError::Bad("a message without a header"))?;
    Ok((header, exactly(pipe, body)?))
}

fn lengths(line: &[u8]) -> Option<(u64, u64)> {
    let (header, body) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((header.parse().ok()?, body.parse().ok()?))
}

fn exactly(pipe: &mut impl BufRead, count: u64) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    if !reserve(&mut bytes, count) {
        return Err(FrameError::Bad("a message for which there is no memory"));
    }
    pipe.by_ref().take(count).read_to_end(&mut bytes).map_err(|_| FrameError::Ended)?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(FrameError::Ended) }
}
