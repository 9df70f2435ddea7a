//! The program where the system allows few threads or little address space: it works, or says what could not be
//! started, and ends.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::Folder;

/// Seconds after which a command counts as one that hangs; none takes two.
const HANGS: &str = "60";
const MIB: u64 = 1 << 20;

const PIPELINE: &str = "version: 1
name: p
settings: { concurrency: 3 }
nodes:
  a: { rows: { tags: [id], rows: [ { id: 1, x: 1.0 }, { id: 2, x: 2.0 }, { id: 3, x: 3.0 } ] } }
  b: { rows: { tags: [id], rows: [ { id: 1, y: 1.0 }, { id: 2, y: 2.0 }, { id: 3, y: 3.0 } ] } }
  c: { join: { inputs: [a, b] } }
  f: { function: { input: c, sql: { z: \"x * y\" }, keep: true } }
  s: { sort: { input: f, by: [id] }, cache: log }
  o: { write: { input: s, csv: { path: o.csv } } }
";

const CODE: &str = "version: 1
name: code
settings: { concurrency: 3 }
nodes:
  a: { rows: { tags: [id], rows: [ { id: 1, x: 1 }, { id: 2, x: 2 }, { id: 3, x: 3 } ] } }
  f: { function: { input: a, python: { file: f.py, call: f }, gives: { y: int64 }, keep: true } }
  g: { function: { input: f, command: { run: [sh, g.sh] }, takes: [y], gives: { z: int64 }, keep: true } }
  h: { function: { input: g, command: { each: [sh, h.sh, \"{z}\", \"{out.w}\"] }, takes: [z], gives: { w: string } } }
  o: { write: { input: h, csv: { path: o.csv } } }
";

/// Users that were taken in this process.
static USERS: AtomicU32 = AtomicU32::new(0);
/// Held by the one test that may run where all of them have the same user.
static ONE_USER: Mutex<()> = Mutex::new(());

/// A folder that anybody may use, with the program, under a user who has no other process if that can be had.
struct Limited {
    folder: Folder,
    user: Option<u32>,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// A limit of the system.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// Threads that the program may have.
    Threads(u64),
    /// Bytes of address space.
    Space(u64),
    None,
}

impl Limited {
    fn new() -> Self {
        let folder = Folder::new();
        std::fs::copy(env!("CARGO_BIN_EXE_anabranch"), folder.path("anabranch")).unwrap();
        folder.write("p.yaml", PIPELINE);
        folder.write("code.yaml", CODE);
        folder.write("f.py", "def f(x):\n    return x + 1\n");
        folder.write("g.sh", "while read -r line; do echo '{\"z\": 7}'; done\n");
        folder.write("h.sh", "printf %s \"$1\" > \"$2\"\n");
        let user = id("-u") == 0;
        // The limit of threads is one of all processes of a user, and none for the superuser. The tests of a process run
        // at once, so each has a user of its own.
        let number = USERS.fetch_add(1, Relaxed);
        let user = user.then(|| 20_000 + (std::process::id() * 8 + number) % 40_000);
        std::fs::set_permissions(folder.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
        // Without users of their own they would count each other's threads, so that one waits for the next.
        let alone = user.is_none().then(|| ONE_USER.lock().unwrap_or_else(PoisonError::into_inner));
        Self { folder, user, _alone: alone }
    }

    fn run(&self, limit: Limit, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", HANGS, "prlimit"]).current_dir(self.folder.path("."));
        match limit {
            // `timeout` is one of the user's processes.
            Limit::Threads(threads) => command.arg(format!("--nproc={}", self.others() + 1 + threads)),
            Limit::Space(bytes) => command.arg(format!("--as={bytes}")),
            Limit::None => &mut command,
        };
        // With it, the program prints the panics of libraries that it catches.
        command.arg(self.folder.path("anabranch")).args(arguments).env_remove("RUST_BACKTRACE");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.output().unwrap()
    }

    /// Threads of other processes of the user.
    fn others(&self) -> u64 {
        if self.user.is_some() {
            return 0;
        }
        let me = id("-u").to_string();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let statuses =
            processes.filter_map(|process| std::fs::read_to_string(process.path().join("status")).ok());
        let field = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let mine = statuses.filter(|status| field(status, "Uid:") == Some(me.clone()));
        mine.filter_map(|status| field(&status, "Threads:")?.parse::<u64>().ok()).sum()
    }

    /// True if it worked; if not, it has said in a sentence what the system refused.
    fn works(&self, limit: Limit, arguments: &[&str]) -> bool {
        let output = self.run(limit, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = format!("{arguments:?} under {limit:?}: {} {error}", output.status);
        assert_ne!(output.status.code(), Some(137), "it hangs: {told}");
        assert!(!error.contains("panicked") && !error.contains("fault of the program"), "{told}");
        if output.status.success() {
            return true;
        }
        let words = ["could not be started", "no thread could be started", "no thread for", "did not start"];
        if let Limit::Space(_) = limit {
            assert!(!error.is_empty(), "{told}");
        } else {
            assert!(output.status.signal().is_none(), "{told}");
            assert!(words.iter().any(|words| error.contains(words)), "{told}");
        }
        false
    }
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id").arg(flag).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn remove(path: &Path) {
    if path.exists() {
        std::fs::remove_dir_all(path).unwrap();
    }
}

/// Runs a pipeline under limits of threads, and then under none; gives the most with which it did not work.
fn refused(file: &str, executor: &str, limits: impl Iterator<Item = u64>) -> u64 {
    let limited = Limited::new();
    let mut refused = 0;
    for threads in limits {
        remove(&limited.folder.path(".anabranch"));
        if limited.works(Limit::Threads(threads), &["run", file, "-q", "--executor", executor]) {
            assert_eq!(std::fs::read_to_string(limited.folder.path("o.csv")).unwrap().lines().count(), 4);
        } else {
            refused = threads;
        }
    }
    // What an earlier run was refused hinders no later one, and none is taken for one that goes on.
    assert!(limited.works(Limit::None, &["run", file, "-q", "--executor", executor]));
    let runs = limited.run(Limit::None, &["runs", file]);
    assert!(!String::from_utf8(runs.stdout).unwrap().contains("running"));
    refused
}

#[test]
fn a_run_under_any_limit_of_threads_works_or_names_the_thread_that_could_not_be_started() {
    for executor in ["async", "sync"] {
        let refused = refused("p.yaml", executor, 1..=40);
        assert!((2..=30).contains(&refused), "{executor}: refused with {refused} threads");
    }
}

#[test]
fn workers_of_functions_under_any_limit_of_threads_work_or_name_what_could_not_be_started() {
    for executor in ["async", "sync"] {
        let refused = refused("code.yaml", executor, (1..=12).chain((13..=40).step_by(4)));
        assert!(refused >= 5, "{executor}: refused with {refused} threads and processes");
    }
}

#[test]
fn every_command_under_few_threads_works_or_names_the_thread_that_could_not_be_started() {
    let limited = Limited::new();
    assert!(limited.works(Limit::None, &["run", "p.yaml", "-q"]));
    let commands: [&[&str]; 12] = [
        &["check", "p.yaml"],
        &["graph", "p.yaml"],
        &["plan", "p.yaml"],
        &["explain", "p.yaml", "f"],
        &["verify", "p.yaml"],
        &["replay", "p.yaml", "f"],
        &["show", "p.yaml", "f"],
        &["trace", "p.yaml", "f"],
        &["errors", "p.yaml"],
        &["runs", "p.yaml"],
        &["cache", "ls", "p.yaml"],
        &["cache", "gc", "p.yaml"],
    ];
    let mut refused = 0;
    for threads in 1..=6 {
        for command in commands {
            refused += u64::from(!limited.works(Limit::Threads(threads), command));
        }
    }
    assert!(refused > 0, "no limit was too low for any command");
}

#[test]
fn runs_under_any_limit_of_address_space_work_or_end_with_an_error() {
    let limited = Limited::new();
    let mut worked = Vec::new();
    for step in 1..=32 {
        if limited.run(Limit::Space(step * 16 * MIB), &["--version"]).status.signal().is_some() {
            // The system cannot even load the program.
            continue;
        }
        for executor in ["async", "sync"] {
            remove(&limited.folder.path(".anabranch"));
            let space = Limit::Space(step * 16 * MIB);
            worked.push(limited.works(space, &["run", "p.yaml", "-q", "--executor", executor]));
        }
    }
    remove(&limited.folder.path(".anabranch"));
    assert!(limited.works(Limit::Space(4096 * MIB), &["run", "p.yaml", "-q"]));
    assert!(worked.contains(&false), "no limit was too low");
}
