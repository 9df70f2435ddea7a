//! Names of types are unique within each of our crates, private ones too.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Our crates.
const CRATES: &[&str] = &["engine", "expression", "operators", "storage", "nodes", "orchestrator"];

#[test]
fn a_type_name_has_one_meaning_within_a_crate() {
    for name in CRATES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for file in rust_files(&source) {
            for name in type_names(&std::fs::read_to_string(&file).unwrap()) {
                places.entry(name).or_default().push(file.clone());
            }
        }
        assert!(places.len() > 20, "{name}: only {} types were found", places.len());
        places.retain(|_, files| files.len() > 1);
        assert!(places.is_empty(), "{name}: several types of one name: {places:#?}");
    }
}

#[test]
fn names_are_found_wherever_they_stand_but_in_tests_and_traits() {
    let source = "pub struct One;\n#[cfg(test)]\nmod tests {\n    struct Two;\n}\nenum Three<T> {}\n\
        impl Iterator for One {\n    type Item = u8;\n}\npub(crate) type Four = u8;\n\
        fn five() {\n    struct Five;\n}\n/// struct Six;\npub unsafe trait Seven {}\n";
    assert_eq!(type_names(source), ["One", "Three", "Four", "Five", "Seven"]);
}

/// The files of a folder, without those of tests.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The names that a formatted source defines outside items for tests; associated types do not count.
fn type_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            skip_item(&mut lines);
        } else if let Some(name) = type_name(line) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Skips an item: a line that ends with a semicolon, or all to the brace that stands under its beginning.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let Some(first) = lines.find(|line| !line.trim_start().starts_with("#[")) else { return };
    if !first.ends_with(';') && !first.ends_with('}') {
        let indent = first.len() - first.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let _ = lines.find(|line| line.starts_with(&end));
    }
}

fn type_name(line: &str) -> Option<&str> {
    let item = line.trim_start();
    let is_outermost = item.len() == line.len();
    let item = match item.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => item,
    };
    let (keyword, rest) = item.strip_prefix("unsafe ").unwrap_or(item).split_once(' ')?;
    let counts = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => is_outermost,
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name = rest.get(..end)?;
    (counts && name.starts_with(char::is_uppercase)).then_some(name)
}
