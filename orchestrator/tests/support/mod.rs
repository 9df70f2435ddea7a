//! The program in a folder of its own.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(missing_docs, reason = "shared by tests only")]

pub(crate) mod measured;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An example program that was built beside this test.
pub(crate) fn built_example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} lacks {from}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    /// Runs the program here.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_anabranch");
        Command::new(program).args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// Runs it, expects success, and gives what it printed.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it with `--format json`, expects success and one document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
    }

    /// Runs it, expects a failure, and gives exit code and standard error.
    pub(crate) fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Names of everything in the folder, at any depth, sorted.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut open = vec![self.0.path().to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(self.0.path()).unwrap().display().to_string());
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort_unstable();
        found
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        let name = path.file_name().and_then(|n| n.to_str()).unwrap();
        if path.is_dir() && name != "out" && name != ".anabranch" {
            copy_folder(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A folder with a copy of an example, without its store and its output.
pub(crate) fn copy_example(name: &str) -> Folder {
    let folder = Folder::new();
    copy_folder(&root().join("examples").join(name), folder.0.path());
    folder
}

/// Part of a summary about a node.
pub(crate) fn node<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let nodes = summary["nodes"].as_array().unwrap();
    nodes.iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("no node {name} in {summary}"))
}

/// The rows of a JSON lines file.
pub(crate) fn rows_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes of a store's database and of what waits to get into it.
pub(crate) fn store_bytes(dir: &Path) -> u64 {
    let bytes = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |m| m.len());
    bytes("store.db") + bytes("store.db-wal")
}

/// Kills a run once it has written so many bytes; says whether it was still at work.
pub(crate) fn kill_after(child: &mut Child, dir: &Path, bytes: u64) -> bool {
    let target = store_bytes(dir) + bytes;
    while store_bytes(dir) < target {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}
