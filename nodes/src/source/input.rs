//! The text of files, pipes and standard input as UTF-8: decompressed, then decoded.

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encoding::{Decoded, TextEncoding};
use super::error::{SourceError, reading};
use super::paths::{SourceFile, expand};
use super::stream::{Peek, STANDARD_INPUT, Stream, StreamId};

/// Bytes of text, in UTF-8 where they are well formed.
pub(super) type Text = Box<dyn Read + Send>;

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

    /// The streams among what a path or pattern names.
    pub(super) fn streams(path: &Path) -> Vec<StreamId> {
        if path == Path::new(STANDARD_INPUT) {
            return StreamId::of(path).into_iter().collect();
        }
        expand(path).into_iter().flatten().filter_map(|file| StreamId::of(&file.path)).collect()
    }

    /// Has streams keep what is read of them in a folder, so that they can be opened more than once.
    pub(super) fn keep(inputs: &[Self], folder: &Path) -> Result<(), SourceError> {
        let mut streams = inputs.iter().filter_map(|input| match input {
            Self::File(_) => None,
            Self::Stream(stream) => Some(stream),
        });
        streams.try_for_each(|stream| stream.keep(folder))
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
    /// Errors: a stream that was opened before, unless it is kept.
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
