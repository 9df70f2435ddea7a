//! Messages between the engine and the Python worker: a line with two lengths, a header in JSON, a body.

use std::io::{BufRead, Read};

use serde_json::Value;

use super::exact::{ExactError, append_exactly};

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

impl From<ExactError> for FrameError {
    fn from(error: ExactError) -> Self {
        match error {
            ExactError::Memory(_) => Self::Bad("a message for which there is no memory"),
            ExactError::Ended => Self::Ended,
        }
    }
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
    let mut bytes = Vec::new();
    append_exactly(pipe, header, &mut bytes)?;
    let header = serde_json::from_slice(&bytes).map_err(|_| FrameError::Bad("a message without a header"))?;
    let mut bytes = Vec::new();
    append_exactly(pipe, body, &mut bytes)?;
    Ok((header, bytes))
}

fn lengths(line: &[u8]) -> Option<(u64, u64)> {
    let (header, body) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((header.parse().ok()?, body.parse().ok()?))
}
