//! Reports of runs and of commands about runs: rows that were left out, with commands to type, and choices of runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use serde_json::json;
use support::Folder;

/// A program that fails for 1, drops 2, and gives one more for the others.
const CODE: &str = "import json, sys
for line in sys.stdin:
    n = json.loads(line)['n']
    answer = {'$error': 'one is no number'} if n == 1 else None if n == 2 else {'m': n + 1}
    print(json.dumps(answer), flush=True)
";

fn project(on_error: &str) -> Folder {
    let folder = Folder::new();
    folder.write("f.py", CODE);
    folder.write(
        "my p.yaml",
        &format!(
            "version: 1
name: p
nodes:
  a: {{ rows: {{ tags: [id], rows: [ {{ id: 1, n: 1 }}, {{ id: 2, n: 2 }}, {{ id: 3, n: 3 }}, {{ id: 4, n: 2 }} ] }} }}
  f: {{ function: {{ input: a, command: {{ run: [python3, f.py] }}, gives: {{ m: int64 }} }}, on_error: {on_error} }}
"
        ),
    );
    folder
}

#[test]
fn a_run_that_leaves_rows_out_ends_with_what_became_of_them_and_what_to_type() {
    for (on_error, reported) in [
        (
            "set_aside",
            "1 row set aside, since the code of \"f\" failed; anabranch errors 'my p.yaml' shows why, and the next run tries again",
        ),
        (
            "skip",
            "1 row skipped, since the code of \"f\" failed; with on_error: set_aside anabranch errors 'my p.yaml' shows why",
        ),
    ] {
        let folder = project(on_error);
        let output = folder.run(&["run", "my p.yaml", "-q"]);
        assert_eq!(output.status.code(), Some(3));
        let text = String::from_utf8(output.stdout).unwrap();
        let last: Vec<&str> = text.lines().rev().take(2).collect();
        let dropped = "2 rows dropped, since the code of \"f\" gave nothing for them; anabranch show 'my p.yaml' f shows the rows that are left";
        assert_eq!(last, [dropped, reported]);
        // What there is to be typed works as it stands.
        assert!(folder.text(&["show", "my p.yaml", "f"]).contains("1 rows of node \"f\""));
        if on_error == "set_aside" {
            assert!(folder.text(&["errors", "my p.yaml"]).contains("one is no number"));
        }

        let runs = folder.text(&["runs", "my p.yaml"]);
        let header: Vec<&str> =
            runs.lines().next().unwrap().split("  ").map(str::trim).filter(|s| !s.is_empty()).collect();
        assert_eq!(header[5..], ["computed", "reused", "dropped", "skipped", "set aside"], "{runs}");
        let document = folder.json(&["runs", "my p.yaml"]);
        let run = document["runs"][0]["run_id"].as_str().unwrap();
        let named = reported.replace(
            "anabranch errors 'my p.yaml' shows why, and",
            &format!("anabranch errors 'my p.yaml' --run {run} shows why, and"),
        );
        assert!(runs.contains(&format!("\nrun {run}:\n{named}\n")), "{runs}");
        assert!(runs.ends_with(&format!("f --run {run} shows the rows that are left\n")), "{runs}");
        let f = &document["runs"][0]["summary"]["nodes"][1];
        let key = if on_error == "skip" { "skipped" } else { "set_aside" };
        assert_eq!((&f["dropped"], &f[key]), (&json!(2), &json!(1)), "{document}");
    }
}

#[test]
fn a_run_that_fails_ends_with_what_to_type_to_see_all_that_it_failed_on() {
    let folder = project("stop");
    let (code, error) = folder.failure(&["run", "my p.yaml", "-q"]);
    assert_eq!(code, 1, "{error}");
    let run = folder.json(&["runs", "my p.yaml"])["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let last = format!("anabranch errors 'my p.yaml' --run {run} shows all packets that it failed on");
    assert_eq!(error.lines().last(), Some(last.as_str()), "{error}");
    assert!(folder.text(&["errors", "my p.yaml", "--run", &run]).contains("one is no number"));
}

#[test]
fn what_to_type_is_offered_only_where_it_works() {
    let reported = "dropped, since the code of \"f\" gave nothing for them";
    let folder = project("skip");
    let output = folder.run(&["run", "my p.yaml", "-q", "--limit", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    // Nothing is recorded then that could be shown.
    assert!(text.ends_with(&format!("1 row {reported}\n")), "{text}");
    folder.edit("my p.yaml", "on_error: skip", "on_error: skip, cache: off");
    let output = folder.run(&["run", "my p.yaml", "-q"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with(&format!("2 rows {reported}\n")), "{text}");
}

#[test]
fn a_run_that_leaves_nothing_out_ends_with_its_id() {
    let folder = project("stop");
    folder.edit("f.py", "n == 1", "False");
    folder.edit("f.py", "n == 2", "False");
    let text = folder.text(&["run", "my p.yaml", "-q"]);
    assert!(text.lines().last().unwrap().starts_with("p: ok in "), "{text}");
    assert!(!folder.text(&["runs", "my p.yaml"]).contains("rows"));
}

fn small(x: u32) -> String {
    format!(
        "version: 1
name: p
store: {{ dir: ../store }}
nodes:
  a: {{ rows: {{ tags: [id], rows: [ {{ id: 1, x: {x} }} ] }} }}
  f: {{ function: {{ input: a, sql: {{ y: \"x + 1\" }} }} }}
"
    )
}

fn shown(folder: &Folder, file: &str) -> (serde_json::Value, String) {
    let document = folder.json(&["show", file, "f"]);
    (document["rows"][0]["y"].clone(), document["warning"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn of_two_projects_of_one_name_in_one_store_each_reads_its_own_runs() {
    let folder = Folder::new();
    folder.write("one/p.yaml", &small(10));
    folder.write("two/p.yaml", &small(20));
    folder.text(&["run", "one/p.yaml", "-q"]);
    let first = folder.json(&["runs", "one/p.yaml"])["runs"][0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(shown(&folder, "one/p.yaml"), (json!(11), String::new()));

    // The other project has no run of its own yet, and gets a warning about whose run it reads.
    let (value, warning) = shown(&folder, "two/p.yaml");
    assert_eq!(value, json!(11));
    assert!(warning.contains(&format!("run {first}, which is read, is of ")), "{warning}");
    assert!(
        warning.contains("one/p.yaml, which has this pipeline's name")
            && warning.contains("give one of them another name"),
        "{warning}"
    );

    folder.text(&["run", "two/p.yaml", "-q"]);
    assert_eq!(shown(&folder, "two/p.yaml"), (json!(21), String::new()));
    let (value, warning) = shown(&folder, "one/p.yaml");
    assert_eq!(value, json!(11));
    assert!(
        warning.contains("two/p.yaml is newer and has this pipeline's name; what is read is of "),
        "{warning}"
    );
    for command in ["replay", "trace"] {
        let document = folder.json(&[command, "one/p.yaml", "f"]);
        assert!(
            document["warning"].as_str().unwrap().contains("is newer and has this pipeline's name"),
            "{document}"
        );
        assert!(
            document.to_string().contains("\":11") && !document.to_string().contains("\":21"),
            "{document}"
        );
    }
    let output = folder.run(&["errors", "one/p.yaml"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("warning: run "));
    assert!(folder.text(&["runs", "one/p.yaml"]).contains("two/p.yaml"));

    // A project that was moved is taken for the one it was.
    std::fs::rename(folder.path("two"), folder.path("moved")).unwrap();
    std::fs::remove_file(folder.path("one/p.yaml")).unwrap();
    let (value, warning) = shown(&folder, "moved/p.yaml");
    assert_eq!(value, json!(21));
    assert!(warning.contains("two/p.yaml, which is gone"), "{warning}");
    folder.text(&["run", "moved/p.yaml", "-q"]);
    assert_eq!(shown(&folder, "moved/p.yaml"), (json!(21), String::new()));
}

#[test]
fn a_node_that_is_served_from_its_recording_says_why_it_ran() {
    let folder = Folder::new();
    folder.write(
        "p.yaml",
        "version: 1\nname: p\nnodes:\n  a: { rows: { tags: [id], rows: [ { id: 2 }, { id: 1 } ] } }\n  s: { sort: { input: a, by: [id] }, cache: replay }\n",
    );
    let reported = |arguments: &[&str]| {
        let text = folder.text(&[&["run", "p.yaml", "-q"], arguments].concat());
        text.lines().find_map(|line| line.strip_prefix("node \"s\", cache: replay: ")).map(str::to_owned)
    };
    let limited = reported(&["--limit", "1"]).unwrap();
    assert!(limited.starts_with("a limited run neither reads nor keeps a recording"), "{limited}");
    let first = reported(&[]).unwrap();
    assert!(first.starts_with("no recording stands for it as it is now: it ran and was recorded"), "{first}");
    assert_eq!(reported(&[]), None);
    assert!(folder.json(&["run", "p.yaml", "-q"])["nodes"].to_string().contains("\"replayed\":true"));
    let anew = folder.json(&["run", "p.yaml", "-q", "--no-reuse"]);
    let reason = support::node(&anew, "s")["ran_because"].as_str().unwrap();
    assert!(reason.starts_with("nothing is reused in this run"), "{reason}");
}

/// The rows 1 to 3, of which the last has the largest integer, joined with rows of another source.
const OVERFLOWS: &str = "version: 1
name: p
nodes:
  a: { rows: { tags: [id], record_id: [id], rows: [ { id: 1, x: 1 }, { id: 2, x: 2 }, { id: 3, x: 9223372036854775807 } ] } }
  b: { rows: { tags: [id], rows: [ { id: 3, z: 1 }, { id: 2, z: 2 }, { id: 1, z: 5 } ] } }
  j: { join: { inputs: [a, b] } }
  s: { sort: { input: j, by: [id] }, cache: log }
  l: { batch: { input: s, size: 2 } }
  u: { unbatch: { input: l } }
";

#[test]
fn an_error_of_an_expression_names_source_and_record_id_of_its_row_wherever_it_is_computed() {
    let nodes = [
        "filter: { input: a, where: \"x + 1 > 0\" }",
        "filter: { input: s, where: \"x + 1 > 0\" }",
        "filter: { input: u, where: \"x + z > 0\" }",
        "function: { input: a, sql: { y: \"x + 1\" } }",
        "function: { input: s, sql: { y: \"x + z\" } }",
        "function: { input: u, sql: { y: \"x + z\" } }",
        "filter: { input: l, where: \"x[1] + 1 > 0\" }",
        "function: { input: l, sql: { y: \"x[1] + 1\" } }",
    ];
    for node in nodes {
        for executor in ["async", "sync"] {
            let folder = Folder::new();
            // Rows of one chunk each show whether the message names the row by its place there.
            let settings = format!("settings: {{ chunk_rows: 1, executor: {executor} }}\n");
            folder.write("p.yaml", &format!("{OVERFLOWS}  n: {{ {node} }}\n{settings}"));
            let (code, error) = folder.failure(&["run", "p.yaml", "-q"]);
            assert_eq!(code, 1, "{error}");
            let first = error.lines().next().unwrap();
            assert!(
                first.contains("node \"n\" failed") && first.contains("beyond the range of its type"),
                "{error}"
            );
            assert!(first.contains("id=3") && first.contains('a'), "{node}: {error}");
            assert!(node.contains("input: a") || first.contains("row_0"), "{node}: {error}");
            assert!(!error.contains("chunk") && !error.contains(" row 0"), "{error}");
        }
    }
}

#[test]
fn an_error_of_a_condition_names_the_recorded_row_by_its_source_rows() {
    let folder = Folder::new();
    folder.write("p.yaml", OVERFLOWS);
    folder.text(&["run", "p.yaml", "-q"]);
    for command in ["replay", "show", "trace"] {
        let (code, error) = folder.failure(&[command, "p.yaml", "s", "--where", "x + 1 > 0"]);
        assert_eq!(code, 1, "{error}");
        for reported in
            ["--where, ", "id=3 of source \"a\"", "row_0 of source \"b\"", "beyond the range of its type"]
        {
            assert!(error.contains(reported), "{command}: {error}");
        }
    }
}
