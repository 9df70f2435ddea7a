//! Programs as processes with pipes.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::no_thread;
use super::pipes::{Input, OutputPipe};
use super::process_group::ProcessGroup;
use super::stderr::Printed;
use crate::call::{Failure, FailureKind};

/// Maximum time for a worker that has closed its output to end before it is killed.
const PATIENCE: Duration = Duration::from_millis(300);
/// Interval of checks.
const TURN: Duration = Duration::from_millis(2);

/// A program with its arguments, and where and how it runs.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) folder: PathBuf,
    /// Environment variables that are kept from it: secrets.
    pub(crate) hidden: Vec<String>,
}

impl Program {
    /// Finds a program: a path from a folder where the name has a slash, along `PATH` otherwise.
    pub(crate) fn find(name: &str, folder: &Path) -> Option<PathBuf> {
        let runs = |path: &PathBuf| {
            path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        if name.contains('/') {
            return std::path::absolute(folder.join(name)).ok().filter(runs);
        }
        let places = std::env::var_os("PATH")?;
        std::env::split_paths(&places)
            .filter_map(|place| std::path::absolute(place.join(name)).ok())
            .find(runs)
    }

    /// The command with everything but its pipes.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).current_dir(&self.folder);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command
    }

    pub(super) fn start(&self, group: &Arc<ProcessGroup>) -> Result<Process, Failure> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = group.spawn(&mut command);
        let mut child = started.map_err(|error| {
            Failure::new(FailureKind::NoWorker, format!("{} did not start: {error}", self.path.display()))
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // From here on the process is ended when this goes.
        let mut process =
            Process { group: Arc::clone(group), child, stdin: None, stdout: None, printed: None };
        let piped = |error| Failure::new(FailureKind::NoWorker, error);
        process.stdin = stdin.map(|pipe| Input::new(pipe, &process.child)).transpose().map_err(piped)?;
        process.stdout = stdout.map(|pipe| OutputPipe::new(pipe, &process.child));
        if let Some(stderr) = stderr {
            let printed = Printed::follow(stderr).map_err(|error| no_thread("worker stderr", &error))?;
            process.printed = Some(printed);
        }
        Ok(process)
    }
}

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    group: Arc<ProcessGroup>,
    child: Child,
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<OutputPipe>,
    printed: Option<Arc<Printed>>,
}

impl Process {
    /// Current position of its standard error.
    pub(super) fn mark(&self) -> u64 {
        self.printed.as_ref().map_or(0, |printed| printed.mark())
    }

    /// Its standard error since a mark, while it goes on.
    pub(super) fn log(&self, mark: u64) -> String {
        let Some(printed) = &self.printed else { return String::new() };
        printed.settle();
        printed.since(mark)
    }

    /// The failure of a process that is gone, or is as good as gone.
    pub(super) fn died(&mut self, mark: u64) -> Failure {
        let text = match self.wait(Instant::now() + PATIENCE) {
            Some(status) => ended(status),
            None => "it closed its output and did not end".to_owned(),
        };
        self.lost(FailureKind::WorkerDied, text, mark)
    }

    /// Ends it, for a reason, with what it printed.
    pub(super) fn lost(&mut self, kind: FailureKind, text: String, mark: u64) -> Failure {
        self.group.restart();
        let mut failure = Failure::new(kind, text);
        if let Some(printed) = &self.printed {
            printed.wait_for_end();
            failure.log = printed.since(mark);
        }
        failure
    }

    /// Kills it, so that nothing more comes of it.
    pub(super) fn kill(&mut self) {
        self.group.restart();
        // It has been killed, so this does not take long.
        let _ = self.child.wait();
    }

    /// Closes its input and waits for its end.
    pub(super) fn close(&mut self, until: Instant) {
        drop(self.stdin.take());
        self.wait(until);
    }

    /// Waits for its end; none if it has not come by then.
    pub(super) fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until && !self.group.is_killed() => std::thread::sleep(TURN),
                _ => return None,
            }
        }
    }

    /// Writes all of a request.
    pub(super) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(bytes)?;
        stdin.flush()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Description of the end of a process.
pub(super) fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
