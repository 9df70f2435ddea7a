//! Standard input, pipes and devices: their bytes come once, in order.

use std::fs::File;
use std::io::{self, Cursor, Read, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anabranch_engine::index::At as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::error::{Place, SourceError, reading};
use super::input::Text;
use super::paths::SourceFile;

/// The path that stands for standard input.
pub(super) const STANDARD_INPUT: &str = "-";
/// Seconds for which a named pipe may be without a writer.
const WRITER_SECONDS: i64 = 5;

/// A pipe or standard input, by what it is and not by how it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId {
    device: u64,
    inode: u64,
}

impl StreamId {
    /// The stream behind a path, if its bytes are shared by all who read it.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if path == Path::new(STANDARD_INPUT) {
            let about = rustix::fs::fstat(io::stdin()).ok()?;
            return Some(Self { device: about.st_dev, inode: about.st_ino });
        }
        let about = std::fs::metadata(path).ok()?;
        about.file_type().is_fifo().then(|| Self { device: about.dev(), inode: about.ino() })
    }
}

/// Standard input, a pipe or a device.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    /// None for standard input.
    file: Option<SourceFile>,
    // A lock, since a planned source is shared by the threads that may open it; it is held while
    // one piece is read.
    state: Mutex<StreamState>,
}

enum StreamState {
    Unopened,
    /// The bytes that planning has read, and the rest.
    Begun(Vec<u8>, Text),
    Kept(KeptStream),
    Taken,
}

/// A stream that can be read again: what was read lies in a file without a name.
struct KeptStream {
    file: File,
    bytes: u64,
    rest: Text,
}

impl std::fmt::Debug for StreamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unopened => "unopened",
            Self::Begun(..) => "begun",
            Self::Kept(_) => "kept",
            Self::Taken => "taken",
        })
    }
}

impl Stream {
    pub(super) fn new(name: String, file: Option<SourceFile>) -> Self {
        Self { name, file, state: Mutex::new(StreamState::Unopened) }
    }

    fn state(&self) -> MutexGuard<'_, StreamState> {
        // A reader that panicked leaves bytes that are still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the stream, unless that was done.
    pub(super) fn begin(&self) -> Result<(), SourceError> {
        let mut state = self.state();
        if matches!(*state, StreamState::Unopened) {
            let rest: Text = match &self.file {
                Some(file) => file.open_stream()?,
                None => Box::new(io::stdin()),
            };
            *state = StreamState::Begun(Vec::new(), rest);
        }
        Ok(())
    }

    /// Keeps what is read from now on in a file without a name in this folder, so that the stream can be
    /// opened any number of times.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), SourceError> {
        self.begin()?;
        let mut state = self.state();
        *state = match std::mem::replace(&mut *state, StreamState::Taken) {
            StreamState::Begun(read, rest) => {
                let kept = tempfile::tempfile_in(folder).and_then(|mut file| {
                    file.write_all(&read)?;
                    Ok(KeptStream { file, bytes: read.len() as u64, rest })
                });
                StreamState::Kept(kept.map_err(|cause| reading(&self.name, cause))?)
            }
            other => other,
        };
        Ok(())
    }

    /// The stream from its beginning, once, or any number of times if it is kept.
    pub(super) fn take(self: &Arc<Self>) -> Result<Text, SourceError> {
        self.begin()?;
        let mut state = self.state();
        if matches!(*state, StreamState::Kept(_)) {
            return Ok(Box::new(KeptReader { stream: Arc::clone(self), at: 0 }));
        }
        match std::mem::replace(&mut *state, StreamState::Taken) {
            StreamState::Begun(read, rest) => Ok(Box::new(Cursor::new(read).chain(rest))),
            StreamState::Unopened | StreamState::Kept(_) | StreamState::Taken => Err(SourceError::format(
                Place::Whole(self.name.clone()),
                "a stream that was read before",
                "to read it once",
                "write it to a file, and read that",
            )),
        }
    }
}

/// Reads a stream for planning, from its beginning, and keeps what it reads.
pub(super) struct Peek {
    pub(super) stream: Arc<Stream>,
    pub(super) at: usize,
}

impl Read for Peek {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.stream.state();
        let StreamState::Begun(read, rest) = &mut *state else {
            return Err(io::Error::other("the stream was read before"));
        };
        if self.at == read.len() {
            let count = rest.read(buffer)?;
            read.extend_from_slice(buffer.at(0..count, READ));
            self.at += count;
            return Ok(count);
        }
        let kept = read.at(self.at.., "a reader is within the bytes that planning has read");
        let count = kept.len().min(buffer.len());
        buffer.split_at_mut(count).0.copy_from_slice(kept.split_at(count).0);
        self.at += count;
        Ok(count)
    }
}

/// Invariant of bytes that were read.
const READ: &str = "a read returns no more than its buffer holds";

/// Reads a stream that is kept, from its beginning.
struct KeptReader {
    stream: Arc<Stream>,
    at: u64,
}

impl Read for KeptReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.stream.state();
        let StreamState::Kept(kept) = &mut *state else {
            return Err(io::Error::other("the stream is not kept any more"));
        };
        let count = if self.at < kept.bytes {
            kept.file.read_at(buffer, self.at)?
        } else {
            let count = kept.rest.read(buffer)?;
            kept.file.write_all_at(buffer.at(0..count, READ), kept.bytes)?;
            kept.bytes += count as u64;
            count
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl SourceFile {
    /// Opens what can be read once, front to back.
    ///
    /// Errors: those of the system; a named pipe without a writer.
    fn open_stream(&self) -> Result<Text, SourceError> {
        let failed = |cause| reading(&self.name, cause);
        let about = std::fs::metadata(&self.path).map_err(failed)?.file_type();
        let refused = |found: &str, expected: &str, remedy: &str| {
            SourceError::format(Place::Whole(self.name.clone()), found, expected, remedy)
        };
        if about.is_socket() {
            return Err(refused(
                "a socket",
                "a file, a pipe or a device",
                "have a program read the socket into a pipe",
            ));
        }
        if !about.is_fifo() {
            return Ok(Box::new(File::open(&self.path).map_err(failed)?));
        }
        let nobody = || {
            refused(
                &format!("a pipe that nobody has opened for writing within {WRITER_SECONDS} s"),
                "a program that writes to it",
                "start that program first",
            )
        };
        self.open_pipe().map_err(failed)?.ok_or_else(nobody)
    }

    /// Opens a named pipe; none if it has no writer.
    ///
    /// A plain open waits for a writer without end.
    fn open_pipe(&self) -> io::Result<Option<Text>> {
        let at_once = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let mut pipe = File::options().read(true).custom_flags(at_once).open(&self.path)?;
        let mut first = Vec::new();
        if !is_readable(&pipe)? {
            // A writer that has written nothing yet is one.
            let mut byte = [0_u8; 1];
            match pipe.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => first.extend(byte),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
        Ok(Some(Box::new(Cursor::new(first).chain(pipe))))
    }
}

/// Waits for bytes or for the end of a pipe, which had a writer then; false if neither comes in time.
fn is_readable(pipe: &File) -> io::Result<bool> {
    let limit = Timespec { tv_sec: WRITER_SECONDS, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&limit)) {
            Err(Errno::INTR) => {}
            found => return Ok(found? > 0),
        }
    }
}
