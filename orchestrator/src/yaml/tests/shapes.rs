//! Tests of keys, types, and the messages about them.

use super::{Folder, nodes};

#[test]
fn an_unknown_key_is_shown_with_a_caret_and_what_was_meant() {
    let folder = Folder::new(&nodes(
        "  rows: { rows: { rows: [{ a: 1 }] } }\n  speed:\n    filter:\n      imput: rows\n      where: a > 0\n",
    ));
    let expected = "pipeline.yaml:7:7: error: unknown key \"imput\" in node \"speed\"
    7 |       imput: rows
      |       ^^^^^ did you mean \"input\"?";
    assert_eq!(folder.findings(), expected);
}

#[test]
fn wrong_types_name_what_was_found_and_what_was_expected() {
    let folder = Folder::new(&nodes(
        "  a: { csv: { path: 7, tags: year, header: no, delimiter: ab } }\n  b: { select: { input: [a], strict: 1 } }\n",
    ));
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:4:21: error: path in node \"a\": found integer 7, expected a path
    4 |   a: { csv: { path: 7, tags: year, header: no, delimiter: ab } }
      |                     ^ put it in quotes: \"7\"
pipeline.yaml:4:30: error: tags in node \"a\": found text \"year\", expected a list
    4 |   a: { csv: { path: 7, tags: year, header: no, delimiter: ab } }
      |                              ^^^^ write [year]
pipeline.yaml:4:44: error: header in node \"a\": found text \"no\", expected true or false
    4 |   a: { csv: { path: 7, tags: year, header: no, delimiter: ab } }
      |                                            ^^ write false
pipeline.yaml:4:59: error: delimiter in node \"a\": found text \"ab\", expected one ASCII character
    4 |   a: { csv: { path: 7, tags: year, header: no, delimiter: ab } }
      |                                                           ^^
pipeline.yaml:5:25: error: input in node \"b\": found a list, expected a text
    5 |   b: { select: { input: [a], strict: 1 } }
      |                         ^
pipeline.yaml:5:38: error: strict in node \"b\": found integer 1, expected true or false
    5 |   b: { select: { input: [a], strict: 1 } }
      |                                      ^"
    );
}

#[test]
fn missing_keys_are_reported_at_the_mapping_that_lacks_them() {
    let folder = Folder::new("nodes:\n  a: { csv: { tags: [x] } }\n");
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:1:1: error: missing key \"version\" in the pipeline
    1 | nodes:
      | ^ add `version`: Version of the language
pipeline.yaml:1:1: error: missing key \"name\" in the pipeline
    1 | nodes:
      | ^ add `name`: Name of the pipeline
pipeline.yaml:2:8: error: missing key \"path\" in node \"a\"
    2 |   a: { csv: { tags: [x] } }
      |        ^^^ add `path`: The file, or files by a pattern (in the order of their names)"
    );
}

#[test]
fn a_node_has_exactly_one_kind() {
    let folder = Folder::new(&nodes(
        "  a: { cache: off }\n  b: { csv: { path: x }, rows: { rows: [] } }\n  c: { flter: { input: b } }\n  d:\n",
    ));
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:4:3: error: found no kind in node \"a\", expected exactly one",
            "pipeline.yaml:5:26: error: found two of kind in node \"b\", \"csv\" and \"rows\", expected exactly one",
            "pipeline.yaml:6:8: error: unknown key \"flter\" in node \"c\"",
            "pipeline.yaml:7:3: error: node \"d\": found nothing as node, expected a mapping",
        ]
    );
}

#[test]
fn what_this_version_lacks_is_named_and_never_ignored() {
    let folder = Folder::new(&nodes(
        "  s: { from_topic: { topic: x } }
  b: { files: { glob: x } }
  f: { function: { input: s, sql: { a: b } }, cache: log }
  c: { csv: { path: 's3://bucket/key', types: { a: file } } }
",
    ));
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:4:8: error: node \"s\": this version does not have \"from_topic\" yet",
            "pipeline.yaml:5:8: error: node \"b\": this version does not have \"files\" yet",
            "pipeline.yaml:6:47: error: node \"f\": cache: log is not for function nodes, found it beside function, expected reuse or refresh or off or replay or verify",
            "pipeline.yaml:7:21: error: path in node \"c\": this version does not have object stores (\"s3://\") yet",
            "pipeline.yaml:7:52: error: types (a) in node \"c\": this version does not have the type \"file\" yet",
        ]
    );
}

#[test]
fn knobs_of_calls_are_checked_by_unit_and_by_range() {
    let folder = Folder::new(&nodes(
        "  s: { rows: { rows: [ { n: 1 } ] } }
  a: { function: { input: s, sql: { a: n } }, timeout: 0s, rate: 0 }
  b: { function: { input: s, sql: { a: n } }, timeout: '30', retry: { backoff: 1 week } }
  c: { function: { input: s, sql: { a: n } }, retry: { attempts: 0, jitter: 1.5 }, order: any }
  d: { select: { input: s }, retry: { attempts: 2 }, order: arrival }
  e: { function: { input: s, sql: { a: n } }, timeout: 1.5m, rate: 0.5, order: arrival, on_error: skip }
  f: { function: { input: s, sql: { a: n } }, timeout: 1ns, rate: 1e-300, retry: { attempts: 2, backoff: 1d } }
",
    ));
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:5:56: error: timeout in node \"a\": found text \"0s\", expected a time such as 200ms, 30s or 5m",
            "pipeline.yaml:5:66: error: rate in node \"a\": found integer 0, expected a number from 0.00001 to 1000000",
            "pipeline.yaml:6:56: error: timeout in node \"b\": found text \"30\", expected a time such as 200ms, 30s or 5m",
            "pipeline.yaml:6:62: error: missing key \"attempts\" in node \"b\"",
            "pipeline.yaml:6:80: error: backoff in node \"b\": found text \"1 week\", expected a time such as 200ms, 30s or 5m",
            "pipeline.yaml:7:66: error: attempts in node \"c\": found integer 0, expected an integer from 1 to 1000",
            "pipeline.yaml:7:77: error: jitter in node \"c\": found number 1.5, expected a number from 0 to 1",
            "pipeline.yaml:7:91: error: order in node \"c\": found text \"any\", expected input or arrival",
            "pipeline.yaml:8:30: error: node \"d\": retry is for function nodes, found it beside select",
            "pipeline.yaml:8:54: error: node \"d\": order is for function nodes, found it beside select",
            "pipeline.yaml:10:56: error: timeout in node \"f\": found text \"1ns\", expected a time such as 200ms, 30s or 5m",
            "pipeline.yaml:10:67: error: rate in node \"f\": found number 1e-300, expected a number from 0.00001 to 1000000",
            "pipeline.yaml:10:106: error: backoff in node \"f\": found text \"1d\", expected a time such as 200ms, 30s or 5m",
        ]
    );
    for help in ["add the unit, as in 30s", "give 1ms at least", "give 5 minutes at most"] {
        assert!(folder.findings().contains(help), "{}", folder.findings());
    }
}

#[test]
fn a_knob_inside_the_kind_is_reported_where_it_belongs() {
    let folder = Folder::new(&nodes("  f: { function: { input: f2, sql: { a: b }, cache: off } }\n"));
    assert!(
        folder.findings().contains("\"cache\" stands beside the kind, not in it"),
        "{}",
        folder.findings()
    );
}

#[test]
fn settings_are_held_to_their_bounds() {
    let text = "version: 1\nname: p\nsettings: { channel_capacity: 0, chunk_rows: many, memory_limit: lots, executor: aync }\nnodes: { a: { rows: { rows: [{ x: 1 }] } } }\n";
    assert_eq!(
        Folder::new(text).headlines(),
        [
            "pipeline.yaml:3:31: error: channel_capacity in settings: found integer 0, expected an integer from 1 to 4096",
            "pipeline.yaml:3:46: error: chunk_rows in settings: found text \"many\", expected adaptive or an integer from 1 to 1048576",
            "pipeline.yaml:3:66: error: memory_limit in settings: found text \"lots\", expected a number of bytes such as 2GiB or 500MB",
            "pipeline.yaml:3:82: error: executor in settings: found text \"aync\", expected async or sync",
        ]
    );
}

#[test]
fn a_type_that_does_not_exist_is_refused_where_it_stands() {
    let folder = Folder::new(&nodes("  a: { csv: { path: x, types: { n: integer } } }\n"));
    let headline = &folder.headlines()[0];
    assert!(
        headline.starts_with("pipeline.yaml:4:36: error: types (n) in node \"a\": found type \"integer\""),
        "{headline}"
    );
}

#[test]
fn tests_are_checked_for_their_shape_and_not_run() {
    let folder = Folder::new(&format!(
        "{}tests:\n  - name: t\n    given: {{ a: [ {{ x: 1 }} ] }}\n    expct: {{}}\n",
        nodes("  a: { rows: { rows: [{ x: 1 }] } }\n")
    ));
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:5:1: warning: this version does not run tests yet",
            "pipeline.yaml:8:5: error: unknown key \"expct\" in the pipeline",
        ]
    );
}

#[test]
fn a_secret_is_refused_where_it_is_used_since_nothing_takes_one() {
    let folder = Folder::new(
        "version: 1\nname: p\nsecrets: { lake: { env: LAKE_DSN } }\nnodes:\n  a: { csv: { path: { secret: lake } } }\n  b: { csv: { path: { secret: lak } } }\n  c: { csv: { path: \"${lake}/x\" } }\n",
    )
    .variable("LAKE_DSN", "hunter2");
    let findings = folder.findings();
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:5:21: error: path in node \"a\": found a secret, expected a plain value",
            "pipeline.yaml:6:21: error: path in node \"b\": there is no secret \"lak\"",
            "pipeline.yaml:7:21: error: path in node \"c\": \"lake\" is a secret, expected a parameter",
        ]
    );
    assert!(!findings.contains("hunter2"));
}

#[test]
fn what_is_wrong_with_code_in_other_processes_is_reported_at_its_place() {
    let folder = Folder::new(&nodes(
        "  s: { rows: { rows: [ { n: 1, text: a } ] } }
  a: { function: { input: s, python: { file: f.py, cal: f }, gives: { m: int64 } } }
  b: { function: { input: s, python: { file: f.py, call: g }, gives: { m: int64 } } }
  c: { function: { input: s, python: { file: missing.py, call: f }, gives: { m: int64 } } }
  d: { function: { input: s, command: { each: [printf, '{txt}'] }, gives: { m: int64 } } }
  e: { function: { input: s, command: { run: [no-such-program] }, gives: { m: int64 } } }
  f: { function: { input: s, command: { run: [cat], wire: json }, gives: { m: int64 } } }
  g: { function: { input: s, command: { files: [f.py] }, gives: { m: int64 } } }
  h: { function: { input: s, python: { file: f.py, call: f, environment: strickt }, gives: { m: int64 } } }
  i: { function: { input: s, python: { file: f.py, call: f, interpreter: ./no-python }, gives: { m: int64 } } }
",
    ))
    .file("f.py", "def f(n, text):\n    return n\n");
    let findings = folder.headlines();
    let expected = [
        "pipeline.yaml:6:58: error: node \"b\": call: found no function \"g\"",
        "pipeline.yaml:7:46: error: node \"c\": file: found no file",
        "pipeline.yaml:8:47: error: node \"d\": each: found \"{txt}\"",
        "pipeline.yaml:9:46: error: node \"e\": run: found no program \"no-such-program\"",
        "pipeline.yaml:10:60: error: wire in node \"f\": found text \"json\"",
        "pipeline.yaml:11:30: error: found no form in node \"g\"",
        "pipeline.yaml:12:74: error: environment in node \"h\": found text \"strickt\"",
        "pipeline.yaml:13:74: error: node \"i\": interpreter: found no program",
    ];
    for expected in expected {
        let expected_place = expected.split(": ").next().unwrap();
        let found: Vec<&String> =
            findings.iter().filter(|f| f.contains(expected.split_once(": ").unwrap().1)).collect();
        assert_eq!(found.len(), 1, "{expected} is not in\n{}", findings.join("\n"));
        assert!(
            found[0].starts_with(expected_place.split(':').take(2).collect::<Vec<_>>().join(":").as_str()),
            "{found:?}"
        );
    }
    assert!(folder.findings().contains("unknown key \"cal\""));
    assert!(folder.findings().contains("did you mean"));
}

#[test]
fn numbers_of_inline_rows_keep_their_digits() {
    use anabranch_engine::types::logical_type;
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ u: 18446744073709551615, d: 0.1234567890123456789, big: 18446744073709551616, n: .nan, h: 0xFFFFFFFFFFFFFFFF }], types: { d: 'decimal(38,19)' } } }\n",
    ));
    let pipeline = folder.load().unwrap_or_else(|error| panic!("{error}")).pipeline;
    let contract = pipeline.node("a").and_then(|node| pipeline.contract(node)).unwrap();
    let types: Vec<String> = contract.schema.packets().iter().map(|f| logical_type(f.data_type())).collect();
    assert_eq!(types, ["uint64", "decimal(19)", "string", "float64", "uint64"]);
}

#[test]
fn what_none_stands_for_is_said_once_and_of_python_alone() {
    let text = "\
version: 1
name: p
nodes:
  s: { rows: { rows: [ { n: 1 } ] } }
  a: { function: { input: s, sql: { m: n }, none: drop } }
  b: { function: { input: s, python: { file: f.py, call: f, none: drop }, gives: { m: int64 }, none: null } }
  c: { select: { input: s }, none: drop }
";
    let shown = Folder::new(text).file("f.py", "def f(n):\n    return n\n").load().unwrap_err().to_string();
    for expected in [
        "node \"a\": none is for Python functions",
        "node \"b\": found none twice, expected it once",
        "node \"c\": none is for Python functions",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
}
