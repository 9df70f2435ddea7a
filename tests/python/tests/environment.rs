//! The environment is made once, and what is missing is said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;
use std::process::Command;

use anabranch_test_python::{Environment, interpreter};
use tempfile::TempDir;

/// A program that stands for an interpreter: `body` is the shell's.
///
/// Another process writes it: a file that this one had open for writing might still be open in a child
/// that another test has just forked, and could not be run then.
fn program(folder: &TempDir, body: &str) -> String {
    let path = folder.path().join("python").to_str().unwrap().to_owned();
    let write = "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let text = format!("#!/bin/sh\n{body}\n");
    let written = Command::new("sh").args(["-c", write, "sh", &text, &path]).status().unwrap();
    assert!(written.success());
    path
}

/// An interpreter that makes environments whose pip only writes a line to `installed`.
fn imitation(folder: &TempDir, version: &str) -> String {
    let installed = folder.path().join("installed");
    let body = format!(
        r#"case "$1 $2" in
-c*) printf '3.99\n{version}\n';;
"-m venv") mkdir -p "$3/bin" && printf '#!/bin/sh\necho "$@" >> {}\n' > "$3/bin/python3" && chmod +x "$3/bin/python3";;
esac"#,
        installed.display()
    );
    program(folder, &body)
}

fn installed(folder: &TempDir) -> usize {
    fs::read_to_string(folder.path().join("installed")).unwrap().lines().count()
}

fn failure(target: &Path, interpreter: &str) -> String {
    Environment::make(target, interpreter).unwrap_err().with_causes()
}

#[test]
fn many_at_once_make_one_environment() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let python = imitation(&folder, "a");
    std::thread::scope(|scope| {
        let made: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Environment::make(target.path(), &python).unwrap())).collect();
        let made: Vec<String> = made.into_iter().map(|one| one.join().unwrap().into_interpreter()).collect();
        assert!(made.iter().all(|one| Path::new(one).is_file() && *one == made[0]), "{made:?}");
    });
    assert_eq!(installed(&folder), 1);
}

#[test]
fn a_half_made_environment_is_made_anew() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let python = imitation(&folder, "a");
    let made = Environment::make(target.path(), &python).unwrap();
    let stamp = target.path().join("test-python-3.99/stamp.txt");
    let left_over = target.path().join("test-python-3.99/left_over");
    fs::write(&left_over, "").unwrap();
    fs::remove_file(stamp).unwrap();
    assert_eq!(Environment::make(target.path(), &python).unwrap(), made);
    assert_eq!(installed(&folder), 2);
    assert!(!left_over.exists());
}

#[test]
fn another_interpreter_of_the_same_version_gets_an_environment_of_its_own() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (version, expected) in [("a", 1), ("a", 1), ("b", 2), ("b", 2)] {
        Environment::make(target.path(), &imitation(&folder, version)).unwrap();
        assert_eq!(installed(&folder), expected);
    }
}

#[test]
fn a_machine_without_python_is_named() {
    let target = TempDir::new().unwrap();
    let message = failure(target.path(), "no-such-python");
    assert!(message.contains("\"no-such-python\" does not start"), "{message}");
    assert!(message.contains("apt-get install python3 python3-venv"), "{message}");
}

#[test]
fn an_interpreter_with_neither_ensurepip_nor_pip_is_named() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let python =
        program(&folder, r#"[ "$1" = -c ] && exec python3 "$@"; echo "ensurepip is not available"; exit 1"#);
    let message = failure(target.path(), &python);
    assert!(message.contains("found neither the module ensurepip (of venv) nor the module pip"), "{message}");
    assert!(message.ends_with("ensurepip is not available"), "{message}");
}

#[test]
fn an_index_that_is_out_of_reach_is_named_with_the_packages() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let body = r#"case "$*" in *without-pip*) mkdir -p "$5/bin";; *venv*) exit 1;; *pip*install*) echo "no route"; exit 1;; -c*) exec python3 "$@";; esac"#;
    let message = failure(target.path(), &program(&folder, body));
    assert!(message.contains("duckdb==2.0.1 and pyarrow==26.0.1"), "{message}");
    assert!(message.ends_with("no route"), "{message}");
}

#[test]
fn the_environment_imports_what_is_pinned() {
    let versions =
        "import duckdb, pyarrow; print(f'duckdb=={duckdb.__version__}\\npyarrow=={pyarrow.__version__}')";
    let output = Command::new(interpreter()).args(["-c", versions]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let pinned = include_str!("../requirements.txt").lines().filter(|line| !line.starts_with('#'));
    assert!(pinned.eq(printed.lines()), "{printed}");
}
