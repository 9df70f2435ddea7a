//! Pipes to a process and from it, which end with the process.
//!
//! A process can leave children that hold its ends of the pipes open. So a wait for a pipe is a wait for the end of
//! the process as well, where the system has descriptors of processes (Linux).

use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A descriptor that becomes readable when a process ends; none where the system has nothing of the kind.
fn end_of(child: &Child) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = child;
        None
    }
}

/// Waits until a pipe can be used; false if its process has ended before.
pub(super) fn ready(pipe: BorrowedFd<'_>, use_of: PollFlags, end: Option<&OwnedFd>) -> Result<bool> {
    ready_until(pipe, use_of, end, None)
}

/// [`ready`], false also if it takes too long.
fn ready_until(
    pipe: BorrowedFd<'_>,
    use_of: PollFlags,
    end: Option<&OwnedFd>,
    until: Option<Instant>,
) -> Result<bool> {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut last = false;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec::try_from(left).unwrap_or(AT_ONCE));
        let limit = if last { Some(AT_ONCE) } else { left };
        let mut watched = vec![PollFd::new(&pipe, use_of)];
        watched.extend(end.map(|end| PollFd::new(end, PollFlags::IN)));
        match poll(&mut watched, limit.as_ref()) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let usable = watched.first().is_some_and(|pipe| !pipe.revents().is_empty());
        if usable || last {
            return Ok(usable);
        }
        // It has ended, or takes too long; what it wrote last may have come in between.
        last = true;
    }
}

/// Standard output of a process.
#[derive(Debug)]
pub(super) struct OutputPipe {
    pipe: ChildStdout,
    end: Option<OwnedFd>,
}

impl OutputPipe {
    pub(super) fn new(pipe: ChildStdout, child: &Child) -> Self {
        Self { pipe, end: end_of(child) }
    }

    /// Waits until there is something to read, or the pipe's end; false if the process has ended before, or if it
    /// takes too long.
    pub(super) fn wait(&self, until: Instant) -> Result<bool> {
        ready_until(self.pipe.as_fd(), PollFlags::IN, self.end.as_ref(), Some(until))
    }
}

impl Read for OutputPipe {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if ready(self.pipe.as_fd(), PollFlags::IN, self.end.as_ref())? {
            self.pipe.read(buffer)
        } else {
            Ok(0)
        }
    }
}

impl AsFd for OutputPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Standard input of a process.
#[derive(Debug)]
pub(super) struct Input {
    pipe: ChildStdin,
    end: Option<OwnedFd>,
}

impl Input {
    pub(super) fn new(pipe: ChildStdin, child: &Child) -> Result<Self> {
        // Only our end of the pipe: a write takes what there is room for.
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, end: end_of(child) })
    }
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        loop {
            if !ready(self.pipe.as_fd(), PollFlags::OUT, self.end.as_ref())? {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match self.pipe.write(bytes) {
                // Room for a byte may be less than a write of few bytes asks for.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.pipe.flush()
    }
}
