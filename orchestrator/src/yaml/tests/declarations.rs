//! Tests of names: given twice, missing, in cycles, and in files that others include.

use super::super::{LoadOptions, load, load_header};
use super::{Folder, nodes};

#[test]
fn a_cycle_is_reported_once_with_its_nodes_in_order_and_their_places() {
    let folder = Folder::new(&nodes(
        "  a: { filter: { input: b, where: x > 0 } }
  b: { drop: { input: c, packets: [y] } }
  c: { join: { inputs: [a, s] } }
  s: { rows: { rows: [{ x: 1 }] } }
  below: { drop: { input: a, packets: [z] } }
",
    ));
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:4:25: error: nodes feed one another in a cycle: \"a\" -> \"c\" -> \"b\" -> \"a\"
    4 |   a: { filter: { input: b, where: x > 0 } }
      |                         ^ take the rows of a node outside the cycle
      = pipeline.yaml:4:3: \"a\" takes rows from \"b\"
      = pipeline.yaml:5:3: \"b\" takes rows from \"c\"
      = pipeline.yaml:6:3: \"c\" takes rows from \"a\""
    );
}

#[test]
fn a_node_that_takes_its_own_rows_is_a_cycle_of_one() {
    let folder = Folder::new(&nodes("  a: { drop: { input: a, packets: [z] } }\n"));
    assert!(folder.headlines()[0].ends_with("in a cycle: \"a\" -> \"a\""), "{:?}", folder.headlines());
}

#[test]
fn an_input_that_does_not_exist_is_reported_with_what_was_meant() {
    let folder = Folder::new(&nodes(
        "  flights: { rows: { rows: [{ x: 1 }] } }\n  long: { filter: { input: flihgts, where: x > 0 } }\n",
    ));
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:5:28: error: node \"long\": there is no node \"flihgts\" to take rows from
    5 |   long: { filter: { input: flihgts, where: x > 0 } }
      |                            ^^^^^^^ did you mean \"flights\"?"
    );
}

#[test]
fn a_sink_gives_no_rows_to_others() {
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ x: 1 }] } }\n  out: { write: { input: a, csv: { path: o.csv } } }\n  b: { drop: { input: out, packets: [x] } }\n",
    ));
    assert_eq!(
        folder.headlines(),
        ["pipeline.yaml:6:23: error: node \"b\": \"out\" is a sink, which gives no rows"]
    );
}

#[test]
fn a_key_given_twice_is_reported_with_both_places() {
    let folder = Folder::new(&nodes("  a: { rows: { rows: [{ x: 1 }] } }\n  a: { rows: { rows: [] } }\n"));
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:5:3: error: the key \"a\" is given twice
    5 |   a: { rows: { rows: [] } }
      |   ^ remove one
      = pipeline.yaml:4:3: it is first given here"
    );
}

#[test]
fn a_name_in_two_files_is_reported_with_both_places() {
    let folder = Folder::new(
        "version: 1\nname: p\ninclude: [shared/a.yaml]\nparams: { n: { type: int, default: 1 } }\nnodes:\n  s: { rows: { rows: [{ x: 1 }] } }\n",
    )
    .file("shared/a.yaml", "params: { n: { type: int, default: 2 } }\nnodes:\n  s: { rows: { rows: [{ x: 2 }] } }\n");
    assert_eq!(
        folder.findings(),
        "shared/a.yaml:1:11: error: parameter \"n\" is declared twice
    1 | params: { n: { type: int, default: 2 } }
      |           ^ rename or remove one
      = pipeline.yaml:4:11: it is first declared here
shared/a.yaml:3:3: error: node \"s\" is declared twice
    3 |   s: { rows: { rows: [{ x: 2 }] } }
      |   ^ rename or remove one
      = pipeline.yaml:6:3: it is first declared here"
    );
}

#[test]
fn files_that_include_one_another_are_refused() {
    let folder =
        Folder::new(&format!("include: [a.yaml]\n{}", nodes("  s: { rows: { rows: [{ x: 1 }] } }\n")))
            .file("a.yaml", "include: [b.yaml]\n")
            .file("b.yaml", "include: [a.yaml]\n");
    assert_eq!(
        folder.findings(),
        "b.yaml:1:11: error: files include one another in a cycle
    1 | include: [a.yaml]
      |           ^^^^^^ remove this include
      = a.yaml:1:11: by way of this"
    );
}

#[test]
fn the_same_file_twice_in_one_list_is_refused_and_by_two_ways_is_not() {
    let text =
        |list: &str| format!("include: [{list}]\n{}", nodes("  t: { drop: { input: s, packets: [] } }\n"));
    let shared = |folder: Folder| {
        folder
            .file("a.yaml", "include: [c.yaml]\n")
            .file("b.yaml", "include: [c.yaml]\n")
            .file("c.yaml", "nodes: { s: { rows: { rows: [{ x: 1 }] } } }\n")
    };
    let twice = shared(Folder::new(&text("c.yaml, c.yaml")));
    assert_eq!(twice.headlines(), ["pipeline.yaml:1:19: error: the file is included twice"]);
    let diamond = shared(Folder::new(&text("a.yaml, b.yaml")));
    assert_eq!(diamond.findings(), "");
}

#[test]
fn an_included_file_that_is_missing_is_reported_where_it_is_named() {
    let folder =
        Folder::new(&format!("include: [gone.yaml]\n{}", nodes("  s: { rows: { rows: [{ x: 1 }] } }\n")));
    assert_eq!(
        folder.headlines(),
        ["pipeline.yaml:1:11: error: cannot read \"gone.yaml\": there is no such file"]
    );
}

#[test]
fn an_included_file_is_no_pipeline_of_its_own() {
    let folder =
        Folder::new(&format!("include: [a.yaml]\n{}", nodes("  s: { rows: { rows: [{ x: 1 }] } }\n")))
            .file("a.yaml", "name: q\nsettings: {}\n");
    assert_eq!(
        folder.headlines(),
        [
            "a.yaml:1:1: error: unknown key \"name\" in the included file",
            "a.yaml:2:1: error: unknown key \"settings\" in the included file",
        ]
    );
}

#[test]
fn a_pipeline_file_that_is_missing_is_a_finding_too() {
    let folder = Folder::new("");
    let error = load(&folder.path("other.yaml"), &LoadOptions::default()).unwrap_err();
    let text = folder.without_folder(&error.to_string());
    assert_eq!(text, "other.yaml: error: cannot read \"other.yaml\": there is no such file");
    assert_eq!(error.diagnostics()[0].line, 0);
}

#[test]
fn the_header_is_read_from_a_file_that_cannot_be_planned() {
    let folder = Folder::new(
        "version: 1\nname: flights\nstore: { dir: kept }\nparams: { n: { type: int } }\nnodes:\n  a: { csv: { path: gone.csv, wrong: 1 } }\n  b: { nonsense: 3 }\n",
    );
    let header = load_header(&folder.path("pipeline.yaml"), &folder.options).unwrap();
    assert_eq!(header.name, "flights");
    assert_eq!(header.store_dir, folder.path("kept"));
    assert_eq!(header.node_names, ["a", "b"]);
    let plain = Folder::new("name: q\n");
    let header = load_header(&plain.path("pipeline.yaml"), &plain.options).unwrap();
    assert_eq!(header.store_dir, plain.path(".anabranch"));
}

#[test]
fn a_header_without_a_name_is_an_error() {
    for text in ["nodes: {}\n", "name: [a]\n", "name: ${x}\n", "[", ""] {
        let folder = Folder::new(text);
        assert!(load_header(&folder.path("pipeline.yaml"), &folder.options).is_err(), "{text}");
    }
}
