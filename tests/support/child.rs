//! Runs of the program `heavy` in processes of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const MIB: u64 = 1 << 20;
/// Memory limit of a pipeline that names none.
pub(crate) const PLENTY: u64 = 2 << 30;

/// A shape of pipeline, how many rows it has, and how it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heavy {
    pub(crate) shape: &'static str,
    pub(crate) rows: u64,
    pub(crate) executor: &'static str,
    pub(crate) memory_limit: u64,
}

impl Heavy {
    pub(crate) fn new(shape: &'static str, rows: u64) -> Self {
        Self { shape, rows, executor: "async", memory_limit: PLENTY }
    }

    pub(crate) fn synchronous(self) -> Self {
        Self { executor: "sync", ..self }
    }

    pub(crate) fn limited(self, memory_limit: u64) -> Self {
        Self { memory_limit, ..self }
    }

    pub(crate) fn command(self, store: &Path) -> Command {
        let mut command = Command::new(program());
        command.args([self.shape, &self.rows.to_string(), self.executor, &self.memory_limit.to_string()]);
        command.arg(store).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Report of the program at its end.
    pub(crate) fn run_in(self, store: &Path) -> Told {
        let output = self.command(store).output().unwrap();
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        let told = serde_json::from_slice(&output.stdout).unwrap();
        eprintln!("{self:?}: {told}");
        Told(told)
    }

    pub(crate) fn run(self) -> Told {
        let folder = tempfile::tempdir().unwrap();
        self.run_in(&folder.path().join("store"))
    }
}

/// The program beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    folder.join("examples/heavy")
}

/// Report of a run about itself.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Value);

impl Told {
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {}", self.0))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.number("rows")
    }

    /// By how much rows raised the largest memory of the process.
    pub(crate) fn above_empty_bytes(&self) -> u64 {
        self.number("above_empty_bytes")
    }

    /// Rows and the sum of their hashes.
    pub(crate) fn digest(&self) -> (u64, String) {
        (self.rows(), self.0["digest"].as_str().unwrap().to_owned())
    }

    pub(crate) fn spilled_bytes(&self) -> u64 {
        self.0["summary"]["spilled_bytes"].as_u64().unwrap()
    }
}

/// Memory that a process needs beside the state of its operators: chunks under way, the allocator's reserves.
pub(crate) const CONSTANT_BYTES: u64 = 64 * MIB;

/// The same rows with a limit and without; the state that left memory is gone in the end.
pub(crate) fn spills(shape: &'static str, rows: u64, memory_limit: u64) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let plenty = Heavy::new(shape, rows).run_in(&store);
    assert_eq!(plenty.spilled_bytes(), 0, "{shape} spills without need");
    let before = files_below(&store);
    let little = Heavy::new(shape, rows).limited(memory_limit).run_in(&store);
    assert!(little.spilled_bytes() > memory_limit, "{shape} spills {} bytes", little.spilled_bytes());
    assert_eq!(little.digest(), plenty.digest(), "{shape}");
    assert_eq!(files_below(&store), before, "{shape} leaves files behind");
    let (above, most) = (little.above_empty_bytes(), memory_limit / 4 * 5 + CONSTANT_BYTES);
    assert!(above < most, "{shape}: {above} bytes above an empty run, expected less than {most}");
    little
}

/// Every file and folder below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}
