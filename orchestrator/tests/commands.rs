//! The commands that look at a pipeline and its store: what they say, and what they leave alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use serde_json::{Value, json};
use support::{Folder, node};

const PIPELINE: &str = "\
version: 1
name: small
params:
  least: { type: int, default: 0 }
nodes:
  rows: { csv: { path: rows.csv, tags: [id], record_id: [id] } }
  some: { filter: { input: rows, where: \"n >= ${least}\" } }
  double: { function: { input: some, sql: { y: \"n * 2\" }, keep: true } }
  large: { filter: { input: double, where: \"y > 2\" } }
  text: { function: { input: large, sql: { t: \"CAST(y AS VARCHAR)\" } } }
";

fn small() -> Folder {
    let folder = Folder::new();
    folder.write("rows.csv", "id,n\na,1\nb,2\nc,3\nd,3\n");
    folder.write("pipeline.yaml", PIPELINE);
    folder
}

fn plan(folder: &Folder, more: &[&str]) -> Value {
    folder.json(&[&["plan", "pipeline.yaml"], more].concat())
}

#[test]
fn a_plan_says_what_the_run_then_does_and_writes_nothing() {
    let folder = small();
    let before = folder.entries();
    let first = plan(&folder, &[]);
    assert_eq!(folder.entries(), before);
    assert_eq!(node(&first, "double")["compute"], 3);
    assert_eq!(node(&first, "double")["reuse"], 1);
    assert_eq!(node(&first, "double")["exact"], false);
    assert_eq!(node(&first, "double")["compute_exact"], true);
    assert_eq!(node(&first, "double")["why"]["reason"], "first_time");
    // All four rows may be large, since y is not known yet.
    assert_eq!(node(&first, "text")["compute"], 4);
    assert_eq!(node(&first, "text")["compute_exact"], false);
    let ran = folder.json(&["run", "pipeline.yaml"]);
    assert_eq!(node(&ran, "double")["computed"], 3);
    assert_eq!(node(&ran, "text")["computed"], 2);

    let again = plan(&folder, &[]);
    for name in ["double", "text"] {
        assert_eq!(node(&again, name)["compute"], 0);
        assert_eq!(node(&again, name)["exact"], true);
        assert_eq!(node(&again, name)["why"], Value::Null);
    }
    assert_eq!(node(&again, "text")["reuse"], 3);

    // Exact through a function that has all its results: a packet of the second is new only there.
    folder.edit("pipeline.yaml", "CAST(y AS VARCHAR)", "CAST(y + 1 AS VARCHAR)");
    let changed = plan(&folder, &[]);
    assert_eq!(node(&changed, "double")["compute"], 0);
    assert_eq!(node(&changed, "text")["rows_in"], json!([3]));
    assert_eq!(node(&changed, "text")["compute"], 2);
    assert_eq!(node(&changed, "text")["compute_exact"], true);
    assert_eq!(node(&changed, "text")["why"]["reason"], "function_changed");
    assert_eq!(node(&changed, "text")["why"]["components"], json!(["expressions"]));
    let ran = folder.json(&["run", "pipeline.yaml"]);
    assert_eq!(node(&ran, "text")["computed"], 2);
    let all = plan(&folder, &["--no-reuse"]);
    assert_eq!(node(&all, "double")["compute"], 3);
    let fewer = plan(&folder, &["--set", "least=3"]);
    assert_eq!(node(&fewer, "double")["rows_in"], json!([2]));
}

#[test]
fn an_explanation_names_the_component_that_changed_with_both_values() {
    let folder = small();
    folder.text(&["run", "pipeline.yaml"]);
    let same = folder.json(&["explain", "pipeline.yaml", "double"]);
    assert_eq!((same["compute"].clone(), same["changes"].clone()), (json!(0), json!([])));
    folder.edit("pipeline.yaml", "n * 2", "n * 4");
    let changed = folder.json(&["explain", "pipeline.yaml", "double"]);
    assert_eq!(changed["compute"], 3);
    let change = &changed["changes"][0];
    assert_eq!(changed["changes"].as_array().unwrap().len(), 1);
    assert_eq!(change["component"], "expressions");
    assert!(change["old"].as_str().unwrap().contains("\"n\" * 2"), "{change}");
    assert!(change["new"].as_str().unwrap().contains("\"n\" * 4"), "{change}");
    assert_eq!(changed["packets"][0]["cause"], "same_packet");
    let text = folder.text(&["explain", "pipeline.yaml", "double"]);
    assert!(text.contains("- y = \"n\" * 2\n    + y = \"n\" * 4\n"), "{text}");
    let (code, message) = folder.failure(&["explain", "pipeline.yaml", "rows"]);
    assert_eq!(code, 2);
    assert!(message.contains("node \"rows\" is csv, expected a function"), "{message}");
}

#[test]
fn an_explanation_tells_new_records_from_changed_ones_and_names_the_column() {
    let folder = small();
    folder.text(&["run", "pipeline.yaml"]);
    folder.write("rows.csv", "id,n\na,1\nb,7\nc,3\nd,3\ne,9\n");
    let found = folder.json(&["explain", "pipeline.yaml", "double"]);
    assert_eq!(found["why"]["reason"], "new_packets");
    let packets = found["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[0]["records"], json!(["rows::id=b"]));
    assert_eq!(packets[0]["cause"], "columns_changed");
    assert_eq!(packets[0]["columns"], json!([{"column": "n", "certain": true}]));
    assert_eq!(packets[1]["tags"], json!({"id": "e"}));
    assert_eq!(packets[1]["cause"], "new_record");
    let only = folder.json(&["explain", "pipeline.yaml", "double", "--where", "id = 'e'"]);
    assert_eq!(only["packets"].as_array().unwrap().len(), 1);
    // What stands below depends on what is computed first.
    let below = folder.json(&["explain", "pipeline.yaml", "text"]);
    assert_eq!(below["packets"][0]["cause"], "above");
    let (code, _) = folder.failure(&["explain", "pipeline.yaml", "double", "--where", "n = 1"]);
    assert_eq!(code, 2);
}

#[test]
fn a_table_shows_rows_and_says_how_many_there_are() {
    let folder = small();
    folder.text(&["run", "pipeline.yaml"]);
    let text = folder.text(&["show", "pipeline.yaml", "double", "--head", "2"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "id  n  y");
    assert_eq!(lines[2..4], ["a   1  2", "b   2  4"]);
    assert!(lines[4].starts_with("2 of 4 rows of node \"double\", run "), "{text}");
    let found = folder.json(&["show", "pipeline.yaml", "double", "--where", "y = 6"]);
    assert_eq!(found["rows_total"], 2);
    assert_eq!(found["rows"], json!([{"id": "c", "n": 3, "y": 6}, {"id": "d", "n": 3, "y": 6}]));
    let none = folder.json(&["show", "pipeline.yaml", "double", "--head", "0"]);
    assert_eq!((none["rows"].clone(), none["rows_total"].clone()), (json!([]), json!(4)));
    let (code, message) = folder.failure(&["show", "pipeline.yaml", "doubel"]);
    assert_eq!(code, 2);
    assert!(message.contains("did you mean \"double\""), "{message}");
}

#[test]
fn a_trace_needs_no_source_and_says_where_one_has_changed() {
    let folder = small();
    folder.text(&["run", "pipeline.yaml"]);
    let first = folder.json(&["trace", "pipeline.yaml", "text", "--head", "1"]);
    let row = &first["rows"][0];
    assert_eq!(row["tags"], json!({"id": "b"}));
    assert_eq!(row["columns"][0]["from"], json!({"call": 0, "output": "t"}));
    assert_eq!(row["calls"][0]["inputs"], json!([{"column": "y", "from": {"call": 1, "output": "y"}}]));
    let origin = json!({"source": "rows", "record": "id=b", "column": "n"});
    assert_eq!(row["calls"][1]["inputs"], json!([{"column": "n", "from": origin}]));
    assert_eq!(first["sources"][0]["state"], "same");
    folder.write("rows.csv", "id,n\na,1\nb,7\n");
    let text = folder.text(&["trace", "pipeline.yaml", "double", "--where", "id = 'b'"]);
    assert!(text.contains("n = 2  \u{2190} rows::id=b::n  changed since, now 7"), "{text}");
    std::fs::remove_file(folder.path("rows.csv")).unwrap();
    let gone = folder.json(&["trace", "pipeline.yaml", "text", "--head", "1"]);
    assert_eq!(gone["rows"][0], *row);
    assert_eq!(gone["sources"], json!([]));
}

#[test]
fn a_certificate_counts_what_was_checked_and_a_difference_is_a_failure() {
    let folder = small();
    let (code, message) = folder.failure(&["verify", "pipeline.yaml"]);
    assert_eq!(code, 2);
    assert!(message.contains("found no store"), "{message}");
    folder.text(&["run", "pipeline.yaml"]);
    let entries = folder.entries();
    let found = folder.json(&["verify", "pipeline.yaml"]);
    assert_eq!(found["status"], "equal");
    let counts = |name: &str, document: &Value| {
        let node = document["nodes"].as_array().unwrap().iter().find(|n| n["node"] == name).unwrap().clone();
        ["rows", "checked", "equal", "different", "without_result"].map(|key| node[key].as_u64().unwrap())
    };
    assert_eq!(counts("double", &found), [4, 3, 3, 0, 0]);
    assert_eq!(counts("text", &found), [3, 2, 2, 0, 0]);
    let sample = folder.json(&["verify", "pipeline.yaml", "double", "--sample", "2"]);
    assert_eq!(counts("double", &sample), [4, 2, 2, 0, 0]);
    assert_eq!(sample["nodes"].as_array().unwrap().len(), 1);
    folder.write("rows.csv", "id,n\na,1\nz,50\n");
    let more = folder.json(&["verify", "pipeline.yaml"]);
    assert_eq!(counts("double", &more), [2, 1, 1, 0, 1]);
    assert_eq!(folder.entries(), entries, "a certificate writes nothing");
    let runs = folder.json(&["runs", "pipeline.yaml"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn values_and_secrets_stand_in_no_message_of_run_plan_and_explain() {
    const PLANTED: &str = "planted-value-7f3a";
    let folder = small();
    folder.write("rows.csv", &format!("id,n,note\na,1,{PLANTED}\nb,2,{PLANTED}-b\n"));
    let sql =
        PIPELINE.replace("sql: { y: \"n * 2\" }, keep: true", "sql: { y: \"n * 2\", s: \"UPPER(note)\" }");
    let text = sql.replace("y: \"n * 2\"", "y: \"LENGTH(note)\"");
    let text = text.replace("params:", "secrets:\n  lake: { env: LAKE_DSN }\nparams:");
    folder.write("pipeline.yaml", &text);
    let calls: [&[&str]; 7] = [
        &["explain", "pipeline.yaml", "double"],
        &["explain", "pipeline.yaml", "double", "--format", "json"],
        &["plan", "pipeline.yaml"],
        &["run", "pipeline.yaml"],
        &["run", "pipeline.yaml", "--format", "json"],
        &["plan", "pipeline.yaml", "--format", "json"],
        &["verify", "pipeline.yaml", "--format", "json"],
    ];
    for call in calls.iter().chain(&calls) {
        if call[0] == "explain" {
            // There is something to explain: a packet that has changed.
            let text = std::fs::read_to_string(folder.path("rows.csv")).unwrap();
            folder.write("rows.csv", &text.replace("-b", "-b-b"));
        }
        let program = env!("CARGO_BIN_EXE_anabranch");
        let output = std::process::Command::new(program)
            .args(*call)
            .env("RUST_LOG", "trace")
            .env("LAKE_DSN", "planted-secret-91c2")
            .current_dir(folder.path("."))
            .output()
            .unwrap();
        assert!(output.status.success(), "{call:?}: {}", String::from_utf8_lossy(&output.stderr));
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap().to_lowercase();
        assert!(!all.contains("planted-"), "{call:?} tells a value: {all}");
    }
    let shown = folder.text(&["show", "pipeline.yaml", "double"]).to_lowercase();
    assert!(shown.contains(PLANTED), "what is asked for is shown");
}

#[test]
fn packets_set_aside_are_listed_with_what_they_were_and_why() {
    use anabranch::{Function, OnError, PacketError, Pipeline, Rows, Store};
    let folder = small();
    let store = Store::open(folder.path(".anabranch")).unwrap();
    let mut p = Pipeline::new("small");
    let rows = (1..4).map(|n| [("id", n.into()), ("n", (n % 2).into())]);
    let rows = p.source("rows", Rows::new(rows).tags(["id"])).unwrap();
    let odd = Function::new("double")
        .version("1")
        .takes(["n"])
        .gives::<i64>("y")
        .call(|n: i64| if n == 1 { Err(PacketError::new("it is odd")) } else { Ok(n * 2) });
    let double = p.function("double", rows, odd).unwrap();
    p.set_on_error(double, OnError::SetAside).unwrap();
    p.run(&store).unwrap();
    drop(store);
    let found = folder.json(&["errors", "pipeline.yaml"]);
    let packets = found["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0]["input"], json!({"n": 1}));
    assert_eq!(packets[0]["tags"], json!({"id": 1}));
    assert_eq!((packets[0]["rows"].clone(), packets[0]["attempts"].clone()), (json!(2), json!(1)));
    assert!(packets[0]["message"].as_str().unwrap().contains("it is odd"), "{found}");
    let text = folder.text(&["errors", "pipeline.yaml", "double"]);
    assert!(text.contains("input   n=1\n") && text.contains("it is odd"), "{text}");
    let none = folder.json(&["errors", "pipeline.yaml", "text"]);
    assert_eq!(none["packets"], json!([]));
    let runs = folder.text(&["runs", "pipeline.yaml"]);
    assert!(runs.lines().next().unwrap().contains("set aside"), "{runs}");
}
