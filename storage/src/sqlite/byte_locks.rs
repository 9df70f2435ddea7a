//! Locks of the operating system on single bytes of a file.
//!
//! A lock is held by an open file description, so that two of one process exclude each other, and
//! it is released with the process, so that no cleaning up is needed.

use std::fs::File;
use std::io;

/// Kind of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Keeps all others out.
    Exclusive,
    /// Keeps exclusive locks out.
    Shared,
}

#[cfg(target_os = "linux")]
mod system {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::{File, Lock, io};

    /// Locks a byte unless another open file description is in the way.
    pub(crate) fn lock(file: &File, place: u64, lock: Lock) -> io::Result<bool> {
        let kind = match lock {
            Lock::Exclusive => libc::F_WRLCK,
            Lock::Shared => libc::F_RDLCK,
        };
        match set(file, place, kind) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Gives a byte back.
    pub(crate) fn unlock(file: &File, place: u64) {
        // Nothing can be done about a refusal; the lock is released with the file at the latest.
        let _ = set(file, place, libc::F_UNLCK);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the constants are small; the field is a short")]
    fn set(file: &File, place: u64, kind: libc::c_int) -> nix::Result<()> {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: place.cast_signed(),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
    }
}

/// Without such locks of the system, none keeps another out.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::{File, Lock, io};

    pub(crate) fn lock(_: &File, _: u64, _: Lock) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn unlock(_: &File, _: u64) {}
}

pub(crate) use system::{lock, unlock};
