//! Process groups that end with this process, even after a crash or `kill -9`.
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
        // Fails only if no process is left.
        let _ = kill_process_group(self.id, Signal::KILL);
        let _ = self.watcher.wait();
    }
}

#[derive(Debug, Default)]
enum GroupState {
    #[default]
    Empty,
    Running(Group),
    Killed,
}

/// The processes of one worker, which any thread can kill, also before the first one has started.
///
/// A lock, since one thread starts processes and another one enforces timeouts; it is held for a few system calls.
#[derive(Debug, Default)]
pub(crate) struct ProcessGroup(Mutex<GroupState>);

impl ProcessGroup {
    fn state(&self) -> MutexGuard<'_, GroupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process in the group; the first one starts the group.
    ///
    /// Errors: those of starting, and `Interrupted` if the group has been killed.
    pub(super) fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut state = self.state();
        if matches!(*state, GroupState::Empty) {
            *state = GroupState::Running(Group::start()?);
        }
        let GroupState::Running(group) = &*state else { return Err(std::io::ErrorKind::Interrupted.into()) };
        command.process_group(group.id.as_raw_nonzero().get()).spawn()
    }

    /// Kills the processes; none can be started afterwards.
    pub(super) fn kill(&self) {
        if let GroupState::Running(group) = std::mem::replace(&mut *self.state(), GroupState::Killed) {
            group.end();
        }
    }

    /// Kills the processes; others can be started afterwards.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        match std::mem::take(&mut *state) {
            GroupState::Running(group) => group.end(),
            GroupState::Killed => *state = GroupState::Killed,
            GroupState::Empty => {}
        }
    }

    /// True after [`ProcessGroup::kill`].
    pub(super) fn is_killed(&self) -> bool {
        matches!(*self.state(), GroupState::Killed)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
