//! Processes that end with ours, however that comes about.
//!
//! Each worker lives in a process group of its own. The group is led by a small watcher, a shell that
//! reads a pipe whose other end only this process holds: when that end closes, by [`Group::end`], by
//! a crash or by `kill -9`, the watcher kills the group, grandchildren included. A process that makes
//! itself a session or group of its own has left, and is not followed.

use std::io::PipeWriter;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

const WATCHER: &str = "read x; kill -KILL 0";

/// A process group and its watcher.
#[derive(Debug)]
struct Group {
    watcher: Child,
    id: Pid,
    /// Held open as long as the group may live.
    _alive: PipeWriter,
}

impl Group {
    fn start() -> std::io::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        let watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER])
            .env_clear()
            .current_dir("/")
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let id = i32::try_from(watcher.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| std::io::Error::other("found a process id out of range"))?;
        Ok(Self { watcher, id, _alive: writer })
    }

    /// Kills all of the group. The watcher is waited for only after that, so its number, which is
    /// the group's, cannot have become another's.
    fn end(mut self) {
        // Fails only if nobody is left.
        let _ = kill_process_group(self.id, Signal::KILL);
        let _ = self.watcher.wait();
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Held(Group),
    Cut,
}

/// What holds a worker's processes: whoever has it can end them, from any thread, also before they
/// have begun.
///
/// The lock is there since one thread starts processes and another watches the clock; it is held for
/// a few system calls.
#[derive(Debug, Default)]
pub(crate) struct Leash(Mutex<State>);

impl Leash {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process in the group; the first one starts the group.
    ///
    /// Errors: those of starting, and `Interrupted` if the leash has been cut.
    pub(super) fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut state = self.state();
        if matches!(*state, State::Free) {
            *state = State::Held(Group::start()?);
        }
        let State::Held(group) = &*state else { return Err(std::io::ErrorKind::Interrupted.into()) };
        command.process_group(group.id.as_raw_nonzero().get()).spawn()
    }

    /// Ends the group for good.
    pub(super) fn cut(&self) {
        if let State::Held(group) = std::mem::replace(&mut *self.state(), State::Cut) {
            group.end();
        }
    }

    /// Ends the processes there are; others may follow.
    pub(super) fn shake(&self) {
        let mut state = self.state();
        match std::mem::take(&mut *state) {
            State::Held(group) => group.end(),
            State::Cut => *state = State::Cut,
            State::Free => {}
        }
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        matches!(*self.state(), State::Cut)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.cut();
    }
}
