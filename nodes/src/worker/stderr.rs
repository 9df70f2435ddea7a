//! Standard error of workers: read at all times, so that they never wait, and kept as far as it matters.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anabranch_engine::index::At as _;
use rustix::event::PollFlags;

use super::pipes::ready;

/// Bytes of the end that are kept.
const KEPT_BYTES: usize = 64 << 10;
/// Bytes that a failure quotes.
const QUOTED_BYTES: usize = 16 << 10;
/// Maximum wait of a failure for the output before it.
const PATIENCE: Duration = Duration::from_millis(200);
/// Interval of checks.
const TURN: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    total: u64,
    ended: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.bytes.drain(..over);
    }
}

/// The end of what was printed. Memory: at most `KEPT_BYTES`.
///
/// The lock is there since one thread reads the output while another looks at it.
#[derive(Debug)]
pub(super) struct Printed {
    tail: Mutex<Tail>,
    changed: Condvar,
    /// The pipe once more, to find out what is in it.
    pipe: OwnedFd,
}

impl Printed {
    /// Reads a pipe until its end, on a thread of its own.
    pub(super) fn follow<R: Read + AsFd + Send + 'static>(pipe: R) -> std::io::Result<Arc<Self>> {
        let copy = pipe.as_fd().try_clone_to_owned()?;
        let printed = Arc::new(Self { tail: Mutex::default(), changed: Condvar::new(), pipe: copy });
        let reader = Arc::clone(&printed);
        let thread = std::thread::Builder::new().name("worker stderr".to_owned());
        thread.spawn(move || reader.read(pipe))?;
        Ok(printed)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut pipe: impl Read + AsFd) {
        let mut buffer = vec![0_u8; 32 << 10];
        while ready(pipe.as_fd(), PollFlags::IN, None).is_ok() {
            // What leaves the pipe is in the tail before anyone can look at either; no read waits now.
            let mut tail = self.tail();
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    tail.push(buffer.at(0..count, "a read returns no more than its buffer holds"));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            self.changed.notify_all();
        }
        self.tail().ended = true;
        self.changed.notify_all();
    }

    /// A place from which [`Printed::since`] counts.
    pub(super) fn mark(&self) -> u64 {
        self.tail().total
    }

    /// Waits until what is in the pipe has been read: what was printed before an answer came.
    pub(super) fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut tail = self.tail();
        while !tail.ended && Instant::now() < deadline {
            if rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0) == 0 {
                return;
            }
            tail = self.changed.wait_timeout(tail, TURN).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of the pipe, which follows a worker's death at once.
    pub(super) fn wait_for_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut tail = self.tail();
        while !tail.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tail = self.changed.wait_timeout(tail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The end of what was printed since a mark, as text.
    pub(super) fn since(&self, mark: u64) -> String {
        let tail = self.tail();
        let printed = usize::try_from(tail.total.saturating_sub(mark)).unwrap_or(usize::MAX);
        let count = printed.min(QUOTED_BYTES).min(tail.bytes.len());
        let bytes: Vec<u8> = tail.bytes.iter().skip(tail.bytes.len() - count).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        if printed > count {
            format!("({} bytes before this)\n{text}", printed - count)
        } else {
            text.into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_printed_before_it_settles_is_all_there() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let printed = Printed::follow(reader).unwrap();
        for n in 0..20_000 {
            let (mark, line) = (printed.mark(), format!("line {n}\n"));
            writer.write_all(line.as_bytes()).unwrap();
            printed.settle();
            assert_eq!(printed.since(mark), line);
        }
    }
}
