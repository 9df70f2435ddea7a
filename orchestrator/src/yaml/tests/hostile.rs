//! Tests of malicious files.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{LoadOptions, load_header};
use super::{Folder, nodes};

/// Returns the findings about a file of these bytes; the test is that loading ends at all.
fn first_headline(content: impl AsRef<[u8]>) -> String {
    let folder = Folder::new("").file("pipeline.yaml", content);
    let begin = Instant::now();
    let headline = folder.headlines().first().cloned().unwrap_or_default();
    assert!(begin.elapsed() < Duration::from_mins(1), "took {:?}", begin.elapsed());
    headline
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{uses}]").unwrap();
    }
    let headline = first_headline(text);
    assert!(headline.contains("expands to more than 500000 values or 16 MiB here"), "{headline}");
}

#[test]
fn a_long_text_behind_many_aliases_is_refused() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert!(first_headline(text).contains("expands to more than"));
}

#[test]
fn an_alias_within_what_it_refers_to_is_refused() {
    assert_eq!(
        first_headline("a: &a [*a]\n"),
        "pipeline.yaml:1:8: error: the alias stands within what it refers to"
    );
}

#[test]
fn deep_nesting_is_refused_whatever_it_is_made_of() {
    for unit in ["[", "{a: ", "- ", "? ", "[{a: "] {
        let headline = first_headline(unit.repeat(100_000));
        assert!(headline.contains("error: "), "{unit}: {headline}");
    }
    let mut steps = String::new();
    for depth in 0..1_000 {
        writeln!(steps, "{}a:", " ".repeat(depth)).unwrap();
    }
    assert!(first_headline(steps).contains("nested more than 64 levels deep"));
}

#[test]
fn aliases_do_not_deepen_the_tree_beyond_the_limit() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        writeln!(text, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(first_headline(text).contains("nested more than 64 levels deep"));
}

#[test]
fn huge_scalars_and_files_are_refused_or_cut_short() {
    let long = format!("version: 1\nname: p\n{}: 1\nnodes: {{}}\n", "k".repeat(1 << 20));
    assert!(first_headline(long).len() < 1_000);
    assert!(first_headline("x".repeat(5 << 20)).contains("larger than 4 MiB"));
    let digits = nodes(&format!("  a: {{ rows: {{ rows: [{{ x: {} }}] }} }}\n", "9".repeat(100_000)));
    assert!(first_headline(digits).contains("has more than 400 digits"));
}

#[test]
fn many_faults_are_reported_up_to_a_bound() {
    let mut lines = String::new();
    for at in 0..5_000 {
        writeln!(lines, "  n{at}: {{ wrong: 1 }}").unwrap();
    }
    let folder = Folder::new(&nodes(&lines));
    let error = folder.load().unwrap_err();
    assert_eq!(error.diagnostics().len(), 501);
    assert_eq!(error.diagnostics()[500].message, "4500 more findings are not shown");
}

#[test]
fn a_long_chain_of_nodes_needs_no_stack() {
    let mut lines = "  n0: { rows: { rows: [{ x: 1 }] } }\n".to_owned();
    for at in 1..3_000 {
        writeln!(lines, "  n{at}: {{ drop: {{ input: n{} }} }}", at + 1).unwrap();
    }
    lines.push_str("  n3000: { drop: { input: n1 } }\n");
    let headline = first_headline(nodes(&lines));
    assert!(headline.contains("in a cycle"), "{headline}");
}

#[test]
fn many_names_that_do_not_exist_cost_no_more_than_they_are() {
    let mut text = "version: 1\nname: p\nparams:\n".to_owned();
    for at in 0..5_000 {
        writeln!(text, "  parameter_{at}: {{ type: int, default: 1 }}").unwrap();
    }
    text.push_str("nodes:\n");
    for at in 0..5_000 {
        writeln!(text, "  node_{at}: {{ drop: {{ input: nodes_{at}, packets: ['${{paramter_{at}x}}'] }} }}")
            .unwrap();
    }
    assert!(first_headline(text).contains("there is no parameter \"paramter_0x\""));
}

#[test]
fn what_is_not_yaml_is_reported_with_its_place() {
    assert_eq!(
        Folder::new("version: 1\nnodes:\n\ta: 1\n").findings(),
        "pipeline.yaml:3:1: error: not valid YAML: the line is indented with a tab\n    3 | \ta: 1\n      | ^ indent with spaces"
            .replace('\t', " ")
    );
    let headline = first_headline("name: \"abc\nnodes: {}\n");
    assert!(headline.starts_with("pipeline.yaml:") && headline.contains("not valid YAML: "), "{headline}");
    assert_eq!(
        first_headline(b"name: a\nx: \xff\n"),
        "pipeline.yaml:2:4: error: found a byte that is not UTF-8"
    );
    assert_eq!(first_headline(""), "pipeline.yaml: error: the file is empty, expected a mapping");
    assert_eq!(first_headline("- a\n"), "pipeline.yaml:1:1: error: found a list, expected a mapping");
    assert_eq!(
        first_headline("a: !!python/object x\n"),
        "pipeline.yaml:1:4: error: found the tag \"tag:yaml.org,2002:!python/object\", expected no tags"
    );
    assert!(first_headline("<<: { a: 1 }\n").contains("found the merge key `<<`"));
    assert!(first_headline("[a, b]: 1\n").contains("as a key, expected a name"));
}

#[test]
fn a_second_document_is_refused() {
    let text = format!("{}---\nname: q\n", nodes("  a: { rows: { rows: [{ x: 1 }] } }\n"));
    assert_eq!(
        first_headline(text),
        "pipeline.yaml:5:1: error: a second document begins here, expected one per file"
    );
}

#[test]
fn marks_and_line_ends_of_other_systems_are_understood() {
    let text = format!("\u{feff}{}", nodes("  ä: { rüws: 1 }\n").replace('\n', "\r\n"));
    let folder = Folder::new(&text);
    assert_eq!(folder.headlines(), ["pipeline.yaml:4:8: error: unknown key \"rüws\" in node \"ä\""]);
    assert!(!folder.findings().contains('\r'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_the_loader_panic(content in proptest::collection::vec(any::<u8>(), 0..400)) {
        first_headline(content);
    }

    #[test]
    fn no_text_of_yaml_marks_makes_the_loader_panic(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "a", ": ", "- ", "? ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&x ", "*x", "!!str ", "!t ", "|", ">",
                "'", "\"", "#", "---\n", "...\n", "%YAML 1.2\n", "<<", "nodes:\n", "version: 1\n", "name: p\n", "${", "}",
                "params:\n", "csv", "input", "\\", "\r", "\u{feff}", "ä", "\u{85}", "\0", "include: [pipeline.yaml]\n",
            ]),
            0..60,
        )
    ) {
        let text = words.concat();
        let folder = Folder::new(&text);
        let _ = folder.findings();
        let _ = load_header(&folder.path("pipeline.yaml"), &LoadOptions::default());
    }
}
