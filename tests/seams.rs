//! A crate behind a seam is named in one folder of the crate that uses it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

/// Names of crates, the sources that use them, and the folder there that may name them.
const SEAMS: [(&str, &str, &str); 3] = [
    ("anabranch_storage", "orchestrator/src", "store"),
    ("rusqlite", "storage/src", "sqlite"),
    ("rusqlite", "nodes/src", "source/sqlite"),
];

#[test]
fn a_crate_behind_a_seam_is_named_in_one_folder() {
    for (name, sources, folder) in SEAMS {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(sources);
        let (within, outside): (Vec<PathBuf>, Vec<PathBuf>) =
            naming(&sources, name).into_iter().partition(|file| file.starts_with(sources.join(folder)));
        assert!(!within.is_empty(), "no file of {folder} names {name}");
        assert!(outside.is_empty(), "{name} is named outside {folder}: {outside:#?}");
    }
}

#[test]
fn files_that_name_a_crate_are_found_at_every_depth() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("named.rs"), "fn f() { some_crate::g(); }").unwrap();
    fs::write(deep.join("other.rs"), "fn f() { some::g(); }").unwrap();
    fs::write(folder.path().join("named.rs"), "//! some_crate").unwrap();
    fs::write(folder.path().join("named.txt"), "some_crate").unwrap();
    let found = naming(folder.path(), "some_crate");
    assert_eq!(found, [deep.join("named.rs"), folder.path().join("named.rs")]);
}

/// Source files below a folder in which a name stands anywhere, in their order.
fn naming(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(naming(&path, name));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path).unwrap().contains(name)
        {
            found.push(path);
        }
    }
    found
}
