//! Outputs destroy nothing: what they may not be, and what a run leaves alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::Folder;

/// A pipeline with something of everything; OUTPUT stands for its last sink. Without the function in
/// Python, which takes an interpreter to plan, it is planned at once ([`quick`]).
const EVERYTHING: &str = "\
version: 1
name: everything
include: [inc.yaml]
params:
  least: { type: int, default: 0 }
nodes:
  one: { csv: { path: data/in.csv, tags: [id] } }
  many: { csv: { path: data/parts/*.csv, tags: [id] } }
  up: { derived: { store: other, pipeline: first, node: double } }
  large: { filter: { input: one, where: \"x >= ${least}\" } }
  f: { function: { input: large, python: { file: code.py, call: f }, takes: [x], gives: { y: int64 } } }
  g: { function: { input: one, command: { each: [sh, tool.sh, \"{x}\"], files: [tool.sh, model.txt] }, takes: [x], gives: { y: int64 } } }
  out: { write: { input: one, csv: { path: out/rows.csv } } }
  parted: { write: { input: one, csv: { path: out/parted }, partition_by: [id] } }
  last: { write: { input: extra, OUTPUT } }
";

/// [`EVERYTHING`] with that output, without the function in Python.
fn quick(output: &str) -> String {
    let lines: Vec<&str> = EVERYTHING.lines().filter(|line| !line.starts_with("  f:")).collect();
    lines.join("\n").replace("OUTPUT", output)
}

/// A folder in which [`EVERYTHING`] has run once, with links of all kinds.
fn everything() -> Folder {
    let folder = Folder::new();
    for (name, text) in [
        ("data/in.csv", "id,x\na,1\nb,2\n"),
        ("data/parts/1.csv", "id,x\na,1\n"),
        ("data/parts/2.csv", "id,x\nb,2\n"),
        ("inc.yaml", "nodes:\n  extra: { rows: { tags: [id], rows: [ { id: 1, x: 1 } ] } }\n"),
        ("params.yaml", "least: 1\n"),
        ("code.py", "import helper\n\ndef f(x):\n    return helper.double(x)\n"),
        ("helper.py", "def double(x):\n    return 2 * x\n"),
        ("tool.sh", "echo \"{\\\"y\\\": $1}\"\n"),
        ("model.txt", "weights\n"),
        ("mine/notes.txt", "notes\n"),
        (
            "first.yaml",
            "version: 1\nname: first\nstore: { dir: other }\nnodes:\n  one: { csv: { path: data/in.csv, tags: [id] } }\n  double: { function: { input: one, sql: { y: \"x * 2\" } } }\n",
        ),
    ] {
        folder.write(name, text);
    }
    folder.text(&["run", "first.yaml", "-q"]);
    folder.write("p.yaml", &EVERYTHING.replace("OUTPUT", "csv: { path: out/last.csv }"));
    folder.text(&["run", "p.yaml", "-q", "--params", "params.yaml"]);
    let at = |name: &str| folder.path(name);
    symlink("p.yaml", at("link.yaml")).unwrap();
    symlink("link.yaml", at("link of link")).unwrap();
    symlink(at("data/in.csv"), at("link.csv")).unwrap();
    symlink("data", at("linked")).unwrap();
    symlink(".anabranch", at("stored")).unwrap();
    symlink(".anabranch/later.csv", at("into.csv")).unwrap();
    symlink("out/rows.csv", at("rows.csv")).unwrap();
    fs::hard_link(at("p.yaml"), at("hard.yaml")).unwrap();
    fs::hard_link(at("helper.py"), at("hard.py")).unwrap();
    fs::hard_link(at("data/parts/2.csv"), at("hard.csv")).unwrap();
    folder
}

/// All files with their bytes. Of stores, which may be opened, only that they are still databases.
fn contents(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let in_store = |name: &String| {
        [".anabranch/", "stored/", "other/", "kept/", "database.csv", "derived.csv"]
            .iter()
            .any(|at| name.starts_with(at))
    };
    let files = folder.entries().into_iter().filter(|name| folder.path(name).is_file() && !in_store(name));
    let stores = [".anabranch/store.db", "other/store.db"].into_iter().map(|name| {
        let bytes = fs::read(folder.path(name)).unwrap();
        (name.to_owned(), bytes[..15].to_vec())
    });
    files.map(|name| (name.clone(), fs::read(folder.path(&name)).unwrap())).chain(stores).collect()
}

/// Names of files that are new, gone or other than before.
fn changed(before: &BTreeMap<String, Vec<u8>>, folder: &Folder) -> Vec<String> {
    let now = contents(folder);
    let names = before.keys().chain(now.keys());
    names.filter(|name| before.get(*name) != now.get(*name)).cloned().collect()
}

/// Runs [`EVERYTHING`] with another last output, and expects that it is refused and nothing changes.
fn refused(folder: &Folder, output: &str, more: &[&str], why: &str) {
    let pipeline = if why.contains("\"f\"") { EVERYTHING.replace("OUTPUT", output) } else { quick(output) };
    // Written in place, so that links stay links.
    fs::write(folder.path("p.yaml"), &pipeline).unwrap();
    let before = contents(folder);
    let (code, message) = folder.failure(&[&["run", "p.yaml", "-q"], more].concat());
    assert_eq!(code, 2, "{output} {more:?}: {message}");
    assert!(message.contains(why), "{output} {more:?}: {message}");
    assert_eq!(changed(&before, folder), [""; 0], "{output} {more:?}");
    assert!(!folder.path(".anabranch/new.csv").exists() && !folder.path("kept/x.csv").exists());
}

#[test]
fn a_sink_that_would_replace_what_the_pipeline_needs_is_refused_by_whatever_path() {
    let folder = everything();
    let absolute = folder.path("data/in.csv").display().to_string();
    let twisted = "mine/../out/../data/./in.csv";
    let pipeline = "which is a file of the pipeline";
    let store = "which is the store, with everything in it";
    for (path, why) in [
        ("p.yaml", pipeline),
        ("mine/../p.yaml", pipeline),
        ("link.yaml", pipeline),
        ("link of link", pipeline),
        ("hard.yaml", pipeline),
        ("inc.yaml", pipeline),
        ("linked/../inc.yaml", pipeline),
        ("code.py", "which function \"f\" consists of"),
        ("helper.py", "which function \"f\" consists of"),
        ("hard.py", "which function \"f\" consists of"),
        ("tool.sh", "which function \"g\" consists of"),
        ("model.txt", "which function \"g\" consists of"),
        ("data/in.csv", "which source \"one\" reads"),
        (&absolute, "which source \"one\" reads"),
        (twisted, "which source \"one\" reads"),
        ("new/../data/in.csv", "which source \"one\" reads"),
        ("link.csv", "which source \"one\" reads"),
        ("linked/in.csv", "which source \"one\" reads"),
        ("data/parts/1.csv", "which source \"many\" reads"),
        ("linked/parts/2.csv", "which source \"many\" reads"),
        ("hard.csv", "which source \"many\" reads"),
        (".anabranch/store.db", store),
        (".anabranch/store.db-wal", store),
        (".anabranch/claims", store),
        (".anabranch/runs/new.csv", store),
        ("stored/store.db", store),
        ("into.csv", store),
        ("other/store.db", "which is the store that source \"up\" reads"),
        ("other/new.csv", "which is the store that source \"up\" reads"),
        ("out/rows.csv", "which \"out\" writes as well"),
        ("rows.csv", "which \"out\" writes as well"),
        ("out/parted/id=a/part-0.csv", "which \"parted\" writes as well"),
    ] {
        refused(&folder, &format!("csv: {{ path: \"{path}\" }}"), &[], why);
    }
    refused(&folder, "csv: { path: params.yaml }", &["--params", "params.yaml"], pipeline);
    refused(&folder, "csv: { path: kept/x.csv }", &["--store", "kept"], store);
    // What is only beside all this is written.
    fs::write(folder.path("p.yaml"), quick("csv: { path: data/parts-of-it.csv }")).unwrap();
    folder.text(&["run", "p.yaml", "-q"]);
    assert_eq!(fs::read_to_string(folder.path("data/parts-of-it.csv")).unwrap(), "id,x\n1,1\n");
}

#[test]
fn a_partitioned_sink_is_kept_away_from_folders_with_something_else_in_them() {
    let folder = everything();
    for (path, why) in [
        ("data", "which source \"one\" reads"),
        ("linked/parts", "which source \"many\" reads"),
        (".", "which is the store"),
        (".anabranch", "which is the store"),
        (".anabranch/parted", "which is the store"),
        ("other", "which is the store that source \"up\" reads"),
        ("out", "writes as well"),
        ("out/parted", "which \"parted\" writes as well"),
        ("out/parted/id=a", "which \"parted\" writes as well"),
        ("mine/../out/parted", "which \"parted\" writes as well"),
    ] {
        refused(&folder, &format!("csv: {{ path: \"{path}\" }}, partition_by: [id]"), &[], why);
    }
    let (output, notes) = ("csv: { path: mine }, partition_by: [id]", folder.path("mine/notes.txt"));
    fs::write(folder.path("p.yaml"), quick(output)).unwrap();
    let (_, message) = folder.failure(&["run", "p.yaml", "-q"]);
    assert!(message.contains("a folder that holds \"notes.txt\""), "{message}");
    assert_eq!(fs::read_to_string(notes).unwrap(), "notes\n");
}

#[test]
fn an_output_of_a_call_is_kept_away_from_the_same() {
    let folder = everything();
    for (name, target) in [
        ("pipeline.csv", "p.yaml"),
        ("included.csv", "inc.yaml"),
        ("code.csv", "code.py"),
        ("module.csv", "helper.py"),
        ("database.csv", ".anabranch/store.db"),
        ("derived.csv", "other/store.db"),
        ("sink.csv", "out/last.csv"),
    ] {
        symlink(target, folder.path(name)).unwrap();
    }
    let output = "csv: { path: out/last.csv }";
    let before = contents(&folder);
    let targets = [
        "pipeline.csv",
        "included.csv",
        "code.csv",
        "module.csv",
        "database.csv",
        "derived.csv",
        "sink.csv",
        "link.csv",
        "hard.csv",
        "out/rows.csv",
        "data/parts/1.csv",
        ".anabranch/new.csv",
        "out/parted/new.csv",
    ];
    for target in targets {
        let needs_code = ["code.csv", "module.csv"].contains(&target);
        let pipeline = if needs_code { EVERYTHING.replace("OUTPUT", output) } else { quick(output) };
        fs::write(folder.path("p.yaml"), &pipeline).unwrap();
        let mut before = before.clone();
        for (name, bytes) in &mut before {
            // The pipeline under all of its names.
            if ["p.yaml", "link.yaml", "link of link", "hard.yaml", "pipeline.csv"].contains(&name.as_str()) {
                *bytes = pipeline.clone().into_bytes();
            }
        }
        for arguments in [
            vec!["run".to_owned(), "p.yaml".to_owned(), "--out".to_owned(), format!("one={target}")],
            vec![
                "replay".to_owned(),
                "p.yaml".to_owned(),
                "f".to_owned(),
                "--out".to_owned(),
                target.to_owned(),
            ],
        ] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let (code, message) = folder.failure(&arguments);
            assert_eq!(code, 2, "{arguments:?}: {message}");
            assert!(message.contains("expected a path of its own"), "{arguments:?}: {message}");
            assert_eq!(changed(&before, &folder), [""; 0], "{arguments:?}");
        }
    }
    let (code, message) =
        folder.failure(&["run", "p.yaml", "--out", "one=new.csv", "--out", "large=mine/../new.csv"]);
    assert!(code == 2 && message.contains("the rows of \"one\" are written to as well"), "{message}");
    // Rows of a recording that cannot be planned any more are kept away as well.
    fs::remove_file(folder.path("data/in.csv")).unwrap();
    for target in ["pipeline.csv", "included.csv", "database.csv"] {
        let (code, message) = folder.failure(&["replay", "p.yaml", "f", "--out", target]);
        assert!(code == 2 && message.contains("expected a path of its own"), "{target}: {message}");
    }
    assert!(folder.path("p.yaml").is_file() && PathBuf::from(&folder.path("inc.yaml")).is_file());
}

/// The program with a folder of its own for temporary files.
fn with_tmp(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(arguments).current_dir(folder.path("")).env("TMPDIR", folder.path("tmp"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A folder with a run that was killed while a program was called for a packet: it has left that
/// call's folder and something hidden beside each of three outputs.
fn killed() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).unwrap();
    folder.write("tool.sh", "if [ -e \"$2\" ]; then sleep 60; fi; echo \"$1\" > \"$3\"\n");
    folder.write(
        "p.yaml",
        "version: 1\nname: killed\nnodes:\n  one: { rows: { tags: [g], rows: [ { g: 1, x: 1 }, { g: 2, x: 2 } ] } }\n  \
         f: { function: { input: one, command: { each: [sh, tool.sh, \"{x}\", slow, \"{out.y}\"], files: [tool.sh, slow] }, takes: [x], gives: { y: string } } }\n  \
         out: { write: { input: f, csv: { path: out.csv } } }\n  \
         parts: { write: { input: f, csv: { path: parts }, partition_by: [g] } }\n",
    );
    folder.write("slow", "");
    let mut child = with_tmp(&folder, &["run", "p.yaml", "-q", "--out", "one=one.csv"]).spawn().unwrap();
    while fs::read_dir(folder.path("tmp")).unwrap().next().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(hidden(&folder).len(), 3, "{:?}", folder.entries());
    folder
}

fn hidden(folder: &Folder) -> Vec<String> {
    folder.entries().into_iter().filter(|name| name.starts_with('.') && name.contains(".tmp")).collect()
}

fn left_by_calls(folder: &Folder) -> usize {
    fs::read_dir(folder.path("tmp")).unwrap().count()
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_run() {
    let folder = killed();
    folder.edit("tool.sh", "[ -e", "[ no = ");
    let again = ["run", "p.yaml", "-q", "--out", "one=one.csv"];
    assert!(with_tmp(&folder, &again).status().unwrap().success());
    assert_eq!((hidden(&folder), left_by_calls(&folder)), (Vec::new(), 0));
    for name in ["parts/g=1", "out.csv", "one.csv"] {
        assert!(folder.path(name).exists(), "{name}");
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_garbage() {
    let folder = killed();
    let mine = [".other.csv.aB3dE6.tmp", "tmp/anabranch-call-mine/y", "tmp/mine.tmp"];
    for name in mine {
        folder.write(name, "mine");
    }
    // A pipeline that cannot be planned any more is no matter.
    fs::remove_file(folder.path("tool.sh")).unwrap();
    assert!(with_tmp(&folder, &["cache", "gc", "p.yaml", "--dry-run"]).status().unwrap().success());
    assert!(hidden(&folder).len() == 4 && left_by_calls(&folder) >= 3);
    assert!(with_tmp(&folder, &["cache", "gc", "p.yaml"]).status().unwrap().success());
    assert_eq!((hidden(&folder), left_by_calls(&folder)), (vec![mine[0].to_owned()], 2));
    assert!(mine.iter().all(|name| folder.path(name).exists()));
}
