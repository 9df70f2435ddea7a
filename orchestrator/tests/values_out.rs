//! Reports about values: types that were inferred for columns, and values that could not be written as they are.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use support::{Folder, node};

fn folder(csv: &str, nodes: &str) -> Folder {
    let folder = Folder::new();
    folder.write("in.csv", csv);
    folder.write("pipeline.yaml", &format!("version: 1\nname: values\nnodes:\n{nodes}"));
    folder
}

#[test]
fn floats_that_json_has_no_number_for_are_null_and_counted_or_what_was_asked_for() {
    const ROWS: &str = "id,x\n1,nan\n2,1.5\n3,-inf\n4,\n";
    for (option, expected) in [
        ("", Ok("null null")),
        (", nan: null", Ok("null null")),
        (", nan: string", Ok("\"NaN\" \"-Infinity\"")),
        (", nan: error", Err("row")),
    ] {
        let nodes = format!(
            "  in: {{ csv: {{ path: in.csv, tags: [id], types: {{ x: float64 }} }} }}\n  out: {{ write: {{ input: in, jsonl: {{ path: out.jsonl{option} }} }} }}\n"
        );
        for executor in ["async", "sync"] {
            let folder = folder(ROWS, &nodes);
            folder.edit("pipeline.yaml", "nodes:", &format!("settings: {{ executor: {executor} }}\nnodes:"));
            match expected {
                Ok(values) => {
                    let summary = folder.json(&["run", "pipeline.yaml"]);
                    let counted = &node(&summary, "out")["non_finite"];
                    assert_eq!(*counted, 2, "written as null or as a string");
                    let written = std::fs::read_to_string(folder.path("out.jsonl")).unwrap();
                    let values: Vec<&str> = values.split(' ').collect();
                    let lines = [
                        format!("{{\"id\":1,\"x\":{}}}", values[0]),
                        "{\"id\":2,\"x\":1.5}".to_owned(),
                        format!("{{\"id\":3,\"x\":{}}}", values[1]),
                        "{\"id\":4,\"x\":null}".to_owned(),
                    ];
                    assert_eq!(written.lines().collect::<Vec<_>>(), lines);
                }
                Err(part) => {
                    let (code, text) = folder.failure(&["run", "pipeline.yaml"]);
                    assert!(code == 1 && text.contains(part) && text.contains("\"x\""), "{code}: {text}");
                    assert!(!folder.path("out.jsonl").exists());
                }
            }
        }
    }
}

#[test]
fn columns_that_are_strings_because_of_a_few_values_are_told_by_check() {
    let nodes = "  in: { csv: { path: in.csv } }\n";
    let few = folder("id,leaves,name\n1,5,a\n2,NA,b\n3,7,c\n", nodes);
    let report = few.text(&["check", "pipeline.yaml"])
        + &String::from_utf8(few.run(&["check", "pipeline.yaml"]).stderr).unwrap();
    assert!(
        report.contains("column \"leaves\" is string because of \"NA\" in line 3; add null_values: [NA]"),
        "{report}"
    );
    assert!(!report.contains("\"name\""), "{report}");
    few.edit("pipeline.yaml", "in.csv }", "in.csv, null_values: [NA] }");
    let report = few.text(&["check", "pipeline.yaml"])
        + &String::from_utf8(few.run(&["check", "pipeline.yaml"]).stderr).unwrap();
    assert!(!report.contains("because of"), "{report}");
}
