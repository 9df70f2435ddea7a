//! The text of files, pipes and standard input as UTF-8: decompressed, then decoded.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::encoding::{Decoded, TextEncoding};
use super::error::{Place, SourceError, reading};
use super::paths::{SourceFile, expand};

/// Bytes of text, in UTF-8 where they are well formed.
pub(super) type Text = Box<dyn Read + Send>;

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// Bytes that are read from the system at once.
const READ_BYTES: usize = 256 * 1024;

/// A text file, or a stream that can be read once.
#[derive(Debug, Clone)]
pub(super) enum TextInput {
    File(SourceFile),
    Stream(Arc<Stream>),
}

impl TextInput {
    /// The inputs that a path or pattern names; `-` is standard input.
    pub(super) fn expand(path: &Path) -> Result<Vec<Self>, SourceError> {
        if path == Path::new(STANDARD_INPUT) {
            return Ok(vec![Self::Stream(Arc::new(Stream::new("standard input".into(), None)))]);
        }
        let input = |file: SourceFile| {
            if file.is_stream() {
                Self::Stream(Arc::new(Stream::new(file.name.clone(), Some(file))))
            } else {
                Self::File(file)
            }
        };
        Ok(expand(path)?.into_iter().map(input).collect())
    }

    /// The name for messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File(file) => &file.name,
            Self::Stream(stream) => &stream.name,
        }
    }

    /// The paths of files.
    pub(super) fn paths(inputs: &[Self]) -> Vec<PathBuf> {
        let files: Vec<SourceFile> = inputs
            .iter()
            .filter_map(|input| match input {
                Self::File(file) => Some(file.clone()),
                Self::Stream(_) => None,
            })
            .collect();
        SourceFile::paths(&files)
    }

    /// Opens the text from its beginning for planning, which may be done any number of times.
    ///
    /// Memory: of a stream, all that was read for planning.
    pub(super) fn peek(&self, encoding: TextEncoding) -> Result<Text, SourceError> {
        let bytes: Text = match self {
            Self::File(file) => Box::new(file.open()?),
            Self::Stream(stream) => {
                stream.begin()?;
                Box::new(Peek { stream: Arc::clone(stream), at: 0 })
            }
        };
        text(bytes, encoding, self.name())
    }

    /// Opens the text from its beginning.
    ///
    /// Errors: a stream that was opened before.
    pub(super) fn open(&self, encoding: TextEncoding) -> Result<Text, SourceError> {
        let bytes: Text = match self {
            Self::File(file) => Box::new(file.open()?),
            Self::Stream(stream) => stream.take()?,
        };
        text(bytes, encoding, self.name())
    }
}

fn text(bytes: Text, encoding: TextEncoding, name: &str) -> Result<Text, SourceError> {
    let plain = decompressed(bytes).map_err(|cause| reading(name, cause))?;
    Decoded::of(plain, encoding).map_err(|cause| reading(name, cause))
}

/// Standard input, a pipe or a device: its bytes come once.
#[derive(Debug)]
pub(super) struct Stream {
    name: String,
    /// None for standard input.
    file: Option<SourceFile>,
    // A lock, since a planned source is shared by the threads that may open it; it is held while
    // one piece is read.
    state: Mutex<State>,
}

enum State {
    Unopened,
    /// The bytes that planning has read, and the rest.
    Begun(Vec<u8>, Text),
    Taken,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unopened => "unopened",
            Self::Begun(..) => "begun",
            Self::Taken => "taken",
        })
    }
}

impl Stream {
    fn new(name: String, file: Option<SourceFile>) -> Self {
        Self { name, file, state: Mutex::new(State::Unopened) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A reader that panicked leaves bytes that are still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the stream, unless that was done.
    fn begin(&self) -> Result<(), SourceError> {
        let mut state = self.state();
        if matches!(*state, State::Unopened) {
            let rest: Text = match &self.file {
                Some(file) => Box::new(file.open_stream()?),
                None => Box::new(io::stdin()),
            };
            *state = State::Begun(Vec::new(), rest);
        }
        Ok(())
    }

    /// The bytes read so far and the rest, once.
    fn take(&self) -> Result<Text, SourceError> {
        self.begin()?;
        match std::mem::replace(&mut *self.state(), State::Taken) {
            State::Begun(read, rest) => Ok(Box::new(Cursor::new(read).chain(rest))),
            State::Unopened | State::Taken => Err(SourceError::Format {
                place: Place::Whole(self.name.clone()),
                found: "a stream that was read before".into(),
                expected: "to read it once".into(),
                remedy: "write it to a file, and read that".into(),
                cause: None,
            }),
        }
    }
}

/// Reads a stream and keeps what it reads.
struct Peek {
    stream: Arc<Stream>,
    at: usize,
}

impl Read for Peek {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.stream.state();
        let State::Begun(read, rest) = &mut *state else { return Ok(0) };
        if self.at == read.len() {
            let count = rest.read(buffer)?;
            read.extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.at += count;
            return Ok(count);
        }
        let kept = read.get(self.at..).unwrap_or_default();
        let count = kept.len().min(buffer.len());
        if let (Some(buffer), Some(kept)) = (buffer.get_mut(..count), kept.get(..count)) {
            buffer.copy_from_slice(kept);
        }
        self.at += count;
        Ok(count)
    }
}

/// The bytes without compression, which is known by its first bytes.
fn decompressed(mut bytes: Text) -> io::Result<Text> {
    let mut head = Vec::with_capacity(4);
    bytes.by_ref().take(4).read_to_end(&mut head)?;
    let kind = match head.as_slice() {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        // A frame, or one that readers skip and that a frame follows.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some("zstd"),
        _ => None,
    };
    let bytes = Cursor::new(head).chain(bytes);
    let Some(kind) = kind else { return Ok(Box::new(bytes)) };
    let bytes = BufReader::with_capacity(READ_BYTES, bytes);
    let input: Text = if kind == "gzip" {
        Box::new(flate2::bufread::MultiGzDecoder::new(bytes))
    } else {
        Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?)
    };
    Ok(Box::new(Decompressed { input, kind }))
}

/// Bytes of a decompressor, whose errors are the file's.
struct Decompressed {
    input: Text,
    kind: &'static str,
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).map_err(|cause| {
            let of_system = cause.raw_os_error().is_some() || cause.kind() == io::ErrorKind::Interrupted;
            if of_system { cause } else { io::Error::other(Damaged { kind: self.kind, cause }) }
        })
    }
}

/// Compressed data that cannot be decompressed.
#[derive(Debug, thiserror::Error)]
#[error("{kind} data that are cut off or damaged")]
pub(super) struct Damaged {
    pub(super) kind: &'static str,
    #[source]
    cause: io::Error,
}

impl SourceFile {
    /// Opens what can be read once, front to back.
    fn open_stream(&self) -> Result<File, SourceError> {
        File::open(self.path()).map_err(|cause| reading(&self.name, cause))
    }
}
