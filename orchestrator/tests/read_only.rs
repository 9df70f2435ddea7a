//! A store that cannot be written can be read, and one that a group shares can be written by it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use support::Folder;

const PIPELINE: &str = "\
version: 1
name: shared
nodes:
  rows: { rows: { tags: [id], rows: [ { id: 1, x: 1 }, { id: 2, x: 0 }, { id: 3, x: 3 } ] } }
  f: { function: { input: rows, sql: { y: \"10 // x + CAST(CASE WHEN x = 0 THEN 'none' ELSE '1' END AS BIGINT)\" } }, on_error: set_aside }
";

/// Another user, who may read everything here but write nothing.
struct Reader {
    folder: Folder,
    program: PathBuf,
    /// Arguments that make a call that of another user; root may write whatever the permissions are.
    prefix: Vec<&'static str>,
}

impl Reader {
    /// Nothing where root cannot become another user.
    fn new(folder: Folder) -> Option<Self> {
        let is_root = fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
        let prefix = if is_root {
            vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        } else {
            Vec::new()
        };
        if is_root && Command::new("setpriv").arg("--version").output().is_err() {
            return None;
        }
        // Somewhere everybody may run it.
        let program = folder.path("program");
        fs::copy(env!("CARGO_BIN_EXE_anabranch"), &program).unwrap();
        Some(Self { folder, program, prefix })
    }

    /// Takes the permission to write away, or gives it back.
    fn permit(&self, writing: bool) {
        let own = if writing { 0o200 } else { 0 };
        for name in self.folder.entries().into_iter().chain([String::new()]) {
            let path = self.folder.path(&name);
            let mode = if path.is_dir() || name == "program" { 0o555 } else { 0o444 };
            fs::set_permissions(path, Permissions::from_mode(mode | own)).unwrap();
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let program = self.program.to_str().unwrap();
        let all: Vec<&str> =
            self.prefix.iter().copied().chain([program]).chain(arguments.iter().copied()).collect();
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(self.folder.path("")).output().unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.permit(true);
    }
}

#[test]
fn who_may_read_a_store_needs_no_permission_to_write_it() {
    let folder = Folder::new();
    folder.write("p.yaml", PIPELINE);
    folder.run(&["run", "p.yaml", "-q"]);
    let Some(reader) = Reader::new(folder) else { return };
    for with_log in [true, false] {
        if !with_log {
            // Who closes the store last takes its log over.
            reader.folder.text(&["cache", "verify", "p.yaml"]);
            let log = reader.folder.path(".anabranch/store.db-wal");
            assert!(!log.exists(), "there is a log still");
        }
        reader.permit(false);
        let before = reader.folder.entries();
        for (arguments, expected) in [
            (&["replay", "p.yaml", "f"][..], "\"y\":11"),
            (&["show", "p.yaml", "f"], "2 rows of node"),
            (&["runs", "p.yaml"], "ok"),
            (&["trace", "p.yaml", "f"], "row_2"),
            (&["errors", "p.yaml"], "x=0"),
            (&["cache", "ls", "p.yaml"], "shared"),
            (&["cache", "size", "p.yaml"], "on disk"),
            (&["cache", "verify", "p.yaml"], "the store is whole"),
            (&["plan", "p.yaml"], "calls to compute"),
            (&["explain", "p.yaml", "f"], "function f"),
        ] {
            let output = reader.run(arguments);
            let (text, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{arguments:?}, log {with_log}: {error}");
            assert!(text.contains(expected), "{arguments:?}, log {with_log}: {text}");
        }
        for arguments in [&["run", "p.yaml", "-q"][..], &["cache", "gc", "p.yaml"]] {
            let output = reader.run(arguments);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
            assert!(error.lines().count() == 1 && error.contains("writ"), "{arguments:?}: {error}");
        }
        assert_eq!(reader.folder.entries(), before, "something was made");
        reader.permit(true);
    }
}

#[test]
fn all_files_of_a_store_have_the_permissions_that_the_umask_leaves() {
    for (umask, mode) in [("002", 0o664), ("027", 0o640), ("077", 0o600)] {
        let folder = Folder::new();
        folder.write("p.yaml", PIPELINE);
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let program = env!("CARGO_BIN_EXE_anabranch");
        let call = ["-c", &script, program, "run", "p.yaml", "-q"];
        Command::new("sh").args(call).current_dir(folder.path("")).output().unwrap();
        let files = folder.entries().into_iter().filter(|name| name.starts_with(".anabranch/"));
        let files: Vec<String> = files.filter(|name| folder.path(name).is_file()).collect();
        assert!(files.contains(&".anabranch/store.db".to_owned()), "{files:?}");
        for name in files {
            let found = fs::metadata(folder.path(&name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name} with umask {umask}: {found:o}");
        }
    }
}

#[test]
fn a_store_is_where_its_name_says_and_no_uri() {
    let folder = Folder::new();
    folder.write("p.yaml", PIPELINE);
    for name in ["file:store?mode=memory", ":memory:", "file:/nowhere", "a%20b#c?immutable=1"] {
        folder.run(&["run", "p.yaml", "-q", "--store", name]);
        assert!(folder.path(name).join("store.db").is_file(), "{name}");
        assert_eq!(folder.text(&["replay", "p.yaml", "f", "--store", name]).lines().count(), 2, "{name}");
    }
}

#[test]
fn a_path_may_be_as_long_as_the_system_takes() {
    let folder = Folder::new();
    let deep = |folders: usize| (0..folders).map(|_| "d".repeat(100)).collect::<Vec<_>>().join("/");
    folder.write("p.yaml", PIPELINE);
    for folders in [3, 4, 5, 6, 20, 39] {
        let (store, out) = (deep(folders), format!("{}/out.csv", deep(folders)));
        let place = ["p.yaml", "--store", &format!("{store}/store")];
        folder.run(&[&["run", "-q"], &place[..]].concat());
        assert!(folder.path(&store).join("store/store.db").is_file(), "{folders}");
        let again = folder
            .run(&[&["run", "-q", "--format", "json", "--out", &format!("rows={out}")], &place[..]].concat());
        let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(support::node(&again, "f")["reused"], 2, "{again}");
        assert_eq!(fs::read_to_string(folder.path(&out)).unwrap().lines().count(), 4, "{folders}");
        let shown = folder.text(&["replay", "p.yaml", "f", "--store", place[2]]);
        assert_eq!(shown.lines().count(), 2, "{folders}");
        folder.text(&[&["cache", "gc"], &place[..]].concat());
        assert!(folder.text(&[&["cache", "verify"], &place[..]].concat()).contains("the store is whole"));
        assert!(!folder.path(place[2]).join("store.db-wal").exists(), "the log was not taken over");
    }
}
