//! Folders of a crate import each other in one direction only.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on panics"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates whose folders have no cycle; the files in the roots of engine and expression are their vocabularies, which all of their folders share.
const CRATES: [&str; 4] = ["operators", "storage", "nodes", "orchestrator"];

#[test]
fn no_folder_imports_one_that_imports_it() {
    for name in CRATES {
        let cycles = folder_cycles(name);
        assert!(cycles.is_empty(), "{name}: {}", cycles.join("\n"));
    }
}

/// The cycles between folders of a crate, tests aside; for each the folders, and one import for each step.
///
/// A folder imports another where one of its files names an item of it by `crate::` or `super::`, in a `use` or elsewhere. Not
/// counted are declarations of modules, and re-exports of a folder's own descendants (`pub use child::Type`).
fn folder_cycles(name: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let modules = modules(&root);
    cycles(&imports(&modules))
}

/// A module: the folder of its file, the file, and its text without comments, strings and tests.
struct Module {
    folder: String,
    file: PathBuf,
    code: String,
}

/// Folder to imported folder, with one import as an example.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// The modules below a folder, by their paths.
fn modules(root: &Path) -> BTreeMap<Vec<String>, Module> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let within = file.strip_prefix(root).unwrap();
            if within.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let mut path: Vec<String> =
                within.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            let folder = path[..path.len() - 1].join("/");
            if ["mod", "lib", "main"].contains(&path.last().unwrap().as_str()) {
                path.pop();
            }
            if path.iter().any(|part| part == "tests") {
                continue;
            }
            let code = code(&fs::read_to_string(&file).unwrap());
            modules.insert(path, Module { folder, file, code });
        }
    }
    modules
}

/// A file's code without comments, strings and its module of tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut before = ' ';
        for (at, character) in line.char_indices() {
            if !quoted && line[at..].starts_with("//") {
                break;
            }
            if character == '"' && before != '\\' && before != '\'' {
                quoted = !quoted;
            }
            if !quoted {
                code.push(character);
            }
            before = character;
        }
        code.push('\n');
    }
    code
}

fn imports(modules: &BTreeMap<Vec<String>, Module>) -> Imports {
    let mut imports = Imports::new();
    for (path, module) in modules {
        for (named, exported) in paths(&module.code) {
            let Some(target) = resolve(&named, path, modules) else { continue };
            let to = &modules[&target].folder;
            let below = module.folder.is_empty() || to.starts_with(&format!("{}/", module.folder));
            if *to == module.folder || exported && below {
                continue;
            }
            let example = format!("{}: {}", module.file.display(), named.join("::"));
            imports.entry(module.folder.clone()).or_default().entry(to.clone()).or_insert(example);
        }
    }
    imports
}

/// Paths that code names, each with true if it is re-exported.
fn paths(code: &str) -> Vec<(Vec<String>, bool)> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let start = statement.lines().position(|line| {
            let line = line.trim_start();
            line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ")
        });
        let Some(start) = start else {
            rest.push_str(statement);
            continue;
        };
        let lines: Vec<&str> = statement.lines().collect();
        rest.push_str(&lines[..start].join("\n"));
        let used = lines[start..].join(" ");
        let (visibility, tree) = used.split_once("use ").unwrap();
        let mut named = Vec::new();
        expand(&[], tree.trim_end_matches(';'), &mut named);
        paths.extend(named.into_iter().map(|path| (path, visibility.contains("pub"))));
    }
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for named in rest.split(|c| !word(c)).filter(|n| n.starts_with("crate::") || n.starts_with("super::")) {
        paths.push((named.split("::").map(str::to_owned).collect(), false));
    }
    paths
}

/// The paths of a tree of a `use`.
fn expand(before: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let (mut depth, mut from) = (0, 0);
    let mut parts = Vec::new();
    for (at, character) in tree.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[from..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (head, group) = part.split_once('{').map_or((part, None), |(head, group)| (head, Some(group)));
        let head = head.split(" as ").next().unwrap();
        let names = head.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let path: Vec<String> = before.iter().cloned().chain(names).collect();
        match group {
            Some(group) => expand(&path, group.trim_end().trim_end_matches('}'), paths),
            None => paths.push(path),
        }
    }
}

/// The module that a path names an item of, seen from a module.
fn resolve(
    named: &[String],
    from: &[String],
    modules: &BTreeMap<Vec<String>, Module>,
) -> Option<Vec<String>> {
    let mut path = from.to_vec();
    let mut parts = named.iter().peekable();
    match parts.peek()?.as_str() {
        "crate" => {
            path.clear();
            parts.next();
        }
        "self" | "super" => {
            while let Some(name) = parts.next_if(|name| ["self", "super"].contains(&name.as_str())) {
                if name == "super" {
                    path.pop();
                }
            }
        }
        first if modules.contains_key(&[from, &[first.to_owned()]].concat()) => {}
        _ => return None,
    }
    for name in parts {
        path.push(name.clone());
        if !modules.contains_key(&path) {
            path.pop();
            break;
        }
    }
    modules.contains_key(&path).then_some(path)
}

/// Groups of folders that reach each other.
fn cycles(imports: &Imports) -> Vec<String> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(folder) = open.pop() {
            for next in imports.get(folder).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(next) {
                    open.push(next);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports.keys().map(|f| (f, reached(f))).collect();
    let mut found = Vec::new();
    for (from, to) in imports.iter().flat_map(|(from, to)| to.keys().map(move |to| (from, to))) {
        if reached.get(to).is_some_and(|reached| reached.contains(from)) {
            found.push(format!("\"{from}\" imports \"{to}\" in a cycle ({})", imports[from][to]));
        }
    }
    found
}

#[test]
fn imports_are_found_in_groups_and_in_code_and_cycles_with_them() {
    let module = |folder: &str, text: &str| Module {
        folder: folder.to_owned(),
        file: PathBuf::from(folder),
        code: code(text),
    };
    let path = |path: &str| -> Vec<String> {
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let mut modules = BTreeMap::from([
        (path(""), module("", "pub mod a;\npub use a::A;\n")),
        (path("a"), module("a", "//! super::b\nuse super::b::{self, inner::{B, C as D}};\n")),
        (path("b"), module("b", "pub mod inner;\n")),
        (path("b::inner"), module("b", "fn f() { \"crate::a\"; g(); }\n")),
    ]);
    let found = imports(&modules);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(found["a"].keys().collect::<Vec<_>>(), ["b"]);
    assert!(cycles(&found).is_empty());
    modules.insert(path("b::inner"), module("b", "fn f() { crate::a::g(); }\n"));
    assert_eq!(cycles(&imports(&modules)).len(), 2);
    modules.insert(path("b::inner"), module("b", "#[cfg(test)]\nmod tests {\n use crate::a;\n}\n"));
    assert!(cycles(&imports(&modules)).is_empty());
}
