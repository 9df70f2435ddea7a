//! Refusals of the operators before a run, word by word, with the place in the pipeline file.
//!
//! `ANABRANCH_GOLDEN=write` writes `golden/plan_errors.txt` anew; read the difference before it is kept.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::path::Path;

use anabranch::Pipeline;

/// Sources that all fragments may read from.
const SOURCES: &str = "version: 1
name: refused
nodes:
  people: { rows: { tags: [id, team], rows: [ { id: 1, team: red, age: 30, score: 1.5 } ] } }
  teams: { rows: { tags: [team], rows: [ { team: red, city: Oslo } ] } }
  towns: { rows: { tags: [town], rows: [ { town: Oslo, people: 700000 } ] } }
  ages: { rows: { tags: [id], rows: [ { id: 1, age: 30 } ] } }
  named: { rows: { tags: [id], rows: [ { id: one, height: 180 } ] } }
  counted: { rows: { tags: [id], types: { id: uint64 }, rows: [ { id: 1, count: 2 } ] } }
  grown: { rows: { tags: [id], rows: [ { id: 1, team: red } ] } }
  listed: { rows: { tags: [id], types: { id: list<int64>, score: list<float64> }, rows: [ { id: [1], score: [2.5] } ] } }
  paired: { rows: { tags: [id], types: { spot: 'struct<x:int64>', age: list<int64> }, rows: [ { id: 1, spot: { x: 1 }, age: [30] } ] } }
  placed: { rows: { tags: [id], types: { spot: 'struct<x:float64>' }, rows: [ { id: 1, spot: { x: 1.5 } } ] } }
  timed: { rows: { tags: [at], types: { at: timestamp }, rows: [ { at: '2026-01-01T00:00:00', x: 1 } ] } }
  zoned: { rows: { tags: [at], types: { at: timestamp_utc }, rows: [ { at: '2026-01-01T00:00:00Z', y: 1 } ] } }
  priced: { rows: { tags: [price], types: { price: 'decimal(9,2)' }, rows: [ { price: '1.25', x: 1 } ] } }
  dear: { rows: { tags: [price], types: { price: 'decimal(9,3)' }, rows: [ { price: '1.250', y: 1 } ] } }
  crowd: { join: { inputs: [people, teams] } }
  lists: { batch: { input: people, by: [id] } }
";

/// Each a node, or several, of which one is refused.
const REFUSED: &[(&str, &str)] = &[
    ("select: a name that there is not", "select: { input: people, tags: [idd] }"),
    ("select: a tag where a packet column is looked for", "select: { input: people, packets: [team] }"),
    ("select: a name twice", "select: { input: people, tags: [id, id] }"),
    ("drop: a name that there is not", "drop: { input: people, packets: [scores] }"),
    ("drop: a name twice", "drop: { input: people, packets: [age, age] }"),
    ("map: a name that there is not", "map: { input: people, packets: { agee: years } }"),
    ("map: two columns under one name", "map: { input: people, packets: { age: score } }"),
    ("map: a packet column under the name of a tag", "map: { input: people, packets: { age: id } }"),
    ("map: two new names that are one", "map: { input: people, packets: { age: n, score: n } }"),
    ("map: a reserved name", "map: { input: people, packets: { age: _age } }"),
    ("filter: no condition", "filter: { input: people }"),
    ("filter: no truth", "filter: { input: people, where: 'age + 1' }"),
    ("filter: no such column", "filter: { input: people, where: 'agee > 1' }"),
    ("filter: no SQL", "filter: { input: people, where: 'age >' }"),
    ("filter: an aggregate", "filter: { input: people, where: 'SUM(age) > 1' }"),
    ("filter: a random number", "filter: { input: people, where: 'age > RANDOM()' }"),
    ("filter: types that do not compare", "filter: { input: people, where: 'team > 1' }"),
    ("filter: equals, no such column", "filter: { input: people, equals: { teem: red } }"),
    ("filter: equals, a value of another type", "filter: { input: people, equals: { age: old } }"),
    ("batch: neither size nor by", "batch: { input: people }"),
    ("batch: an empty by", "batch: { input: people, by: [] }"),
    ("batch: by what is no tag", "batch: { input: people, by: [age] }"),
    ("batch: by a name twice", "batch: { input: people, by: [id, id] }"),
    ("batch: by a list", "batch: { input: listed, by: [id] }"),
    ("batch: by a name that there is not", "batch: { input: people, by: [tema] }"),
    ("batch: size without an order", "batch: { input: crowd, size: 10 }"),
    ("batch: a part of nothing", "batch: { input: people, by: [id], drop_partial: true }"),
    ("batch: a part of all", "batch: { input: people, size: 0, drop_partial: true }"),
    ("unbatch: no list", "unbatch: { input: people }"),
    ("sort: no name", "sort: { input: people, by: [] }"),
    ("sort: a name that there is not", "sort: { input: people, by: [teams] }"),
    ("sort: what is no tag", "sort: { input: people, by: [age] }"),
    ("sort: a name twice", "sort: { input: people, by: [id, id] }"),
    ("sort: a list", "sort: { input: listed, by: [id] }"),
    ("join: no input", "join: { inputs: [] }"),
    ("join: no shared tag", "join: { inputs: [people, towns] }"),
    ("join: two groups that share no tag", "join: { inputs: [people, teams, towns] }"),
    ("join: a packet name in two inputs", "join: { inputs: [people, ages] }"),
    ("join: itself", "join: { inputs: [people, people] }"),
    ("join: a tag here and a packet column there", "join: { inputs: [people, grown] }"),
    ("join: tags of two types", "join: { inputs: [people, named] }"),
    ("join: tags that no type of 64 bits holds", "join: { inputs: [people, counted] }"),
    ("join: an instant and a time without a zone", "join: { inputs: [timed, zoned] }"),
    ("join: decimals of two scales", "join: { inputs: [priced, dear] }"),
    ("join: a list as a tag", "join: { inputs: [ages, listed] }"),
    ("merge_join: one input", "merge_join: { inputs: [people] }"),
    ("merge_join: three inputs", "merge_join: { inputs: [people, people, people] }"),
    ("merge_join: no shared tag", "merge_join: { inputs: [people, towns] }"),
    ("merge_join: a tag here and a packet column there", "merge_join: { inputs: [people, grown] }"),
    ("merge_join: tags of two types", "merge_join: { inputs: [people, named] }"),
    ("merge_join: a list here and its item there", "merge_join: { inputs: [people, paired] }"),
    ("merge_join: packet columns of two types", "merge_join: { inputs: [paired, placed] }"),
    ("merge_join: source info in lists on one side", "merge_join: { inputs: [lists, paired] }"),
    ("semijoin: columns of two types", "semijoin: { left: people, right: named }"),
    ("semijoin: numbers that no type of 64 bits holds", "semijoin: { left: people, right: counted }"),
    ("semijoin: a list as a key", "semijoin: { left: listed, right: people }"),
    ("semijoin: a struct as a key", "semijoin: { left: paired, right: paired }"),
    ("antijoin: columns of two types", "antijoin: { left: named, right: people }"),
    ("antijoin: a list as a key", "antijoin: { left: ages, right: paired }"),
    ("union: no input", "union: { inputs: [] }"),
    ("union: a column that one lacks", "union: { inputs: [people, ages] }"),
    ("union: a column that one has beside", "union: { inputs: [ages, people] }"),
    (
        "union: a tag here and a packet column there",
        "union: { inputs: [grown, moved] }\n  moved: { rows: { tags: [id, team], rows: [ { id: 1, team: red } ] } }",
    ),
    (
        "union: columns of two types",
        "union: { inputs: [ages, whole] }\n  whole: { rows: { tags: [id], rows: [ { id: 1, age: 30.5 } ] } }",
    ),
    (
        "union: source info in lists on one side",
        "union: { inputs: [lists, flat] }\n  flat: { rows: { tags: [id, team], types: { team: list<string>, age: list<int64>, score: list<float64> }, rows: [ { id: 1, team: [red], age: [1], score: [1.5] } ] } }",
    ),
];

/// Error of the pipeline file with this node in it.
fn told(folder: &Path, fragment: &str) -> String {
    let path = folder.join("pipeline.yaml");
    let (node, others) = fragment.split_once('\n').unwrap_or((fragment, ""));
    std::fs::write(&path, format!("{SOURCES}  node: {{ {node} }}\n{others}\n")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    match Pipeline::from_yaml(&path) {
        Ok(_) => panic!("nothing is refused in\n{text}"),
        Err(error) => {
            assert_eq!(error.diagnostics().len(), 1, "{error}\n{text}");
            error.to_string().replace(path.to_str().unwrap(), "pipeline.yaml")
        }
    }
}

#[test]
fn every_refusal_of_an_operator_is_told_in_these_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = format!("{SOURCES}\n");
    for (title, fragment) in REFUSED {
        all.push_str(&format!("## {title}\n{}\n\n", told(folder.path(), fragment)));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/plan_errors.txt");
    if std::env::var("ANABRANCH_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&golden, &all).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    for (told, expected) in all.split("\n## ").zip(expected.split("\n## ")) {
        assert_eq!(told, expected);
    }
    assert_eq!(all, expected);
}
