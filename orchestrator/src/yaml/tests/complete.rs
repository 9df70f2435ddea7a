//! Whole pipelines: one with every key there is, and the builder's errors at their places.

use std::collections::HashSet;

use super::super::values::fields::Presence;
use super::super::values::tree::{Value, YamlNode};
use super::super::{kinds, table};
use super::schema::all_keys;
use super::{Folder, nodes};
use crate::node::{ChunkRows, Executor};

const COMPLETE: &str = r#"version: 1
name: complete
include: [shared/more.yaml]
params:
  root: { type: path, default: data }
  least: { type: int, default: 100, env: LEAST }
secrets:
  lake: { env: LAKE_DSN }
store: { dir: kept }
settings:
  executor: sync
  channel_capacity: 4
  chunk_rows: 100
  memory_limit: 1GiB
  spill_limit: 10 GB
  concurrency: 3
  on_error: stop
nodes:
  flights:
    csv:
      path: "${root}/flights.csv"
      tags: [tailnum]
      record_id: [id]
      source_id: flights-2013
      types: { distance: int64 }
      delimiter: ";"
      header: true
      quote: "'"
      null_values: [NA]
      comment: '#'
      skip_rows: 1
      encoding: latin1
      ragged: null
      columns: [id, tailnum, distance, air_time, day]
      formats: { day: "%d.%m.%Y" }
    label: Flights
  planes:
    rows:
      rows: [{ id: a, tailnum: N1, seats: 2 }, { id: b, tailnum: N2, seats: 3 }]
      tags: [tailnum]
      record_id: [id]
      source_id: planes-2013
      types: { seats: int32 }
  chosen: { select: { input: planes, tags: [tailnum], packets: [seats], strict: true } }
  renamed: { map: { input: chosen, tags: { tailnum: tailnum }, packets: { seats: places }, copy: { fleet: tailnum }, drop_unmapped: false, strict: true } }
  flown: { join: { inputs: [flights, renamed], cross: false } }
  kept: { drop: { input: flown, tags: [], packets: [id, day, fleet], strict: true } }
  long: { filter: { input: kept, where: "distance >= ${least}", equals: { places: 2 } } }
  speed:
    function:
      input: long
      sql: { mph: "distance / (air_time / 60.0)" }
      takes: [distance, air_time]
      gives: { mph: float64 }
      version: "2"
      keep: true
    cache: refresh
    concurrency: 2
    timeout: 30s
    retry: { attempts: 3, backoff: 100ms, jitter: 0.1 }
    rate: 250
    order: input
    on_error: stop
  out:
    write:
      input: speed
      parquet: { path: out/speed.parquet }
      columns: data
      partition_by: [tailnum]
      if_exists: replace
  again: { union: { inputs: [kept, kept] } }
  unknown: { antijoin: { left: again, right: chosen } }
  known: { semijoin: { left: again, right: chosen } }
  both: { merge_join: { inputs: [unknown, known], cross: false } }
  single: { distinct: { input: both, by: [tailnum, places] } }
  ordered: { sort: { input: both, by: [tailnum] } }
  pairs: { batch: { input: ordered, size: 2, drop_partial: false, allow_unordered: false } }
  fleets: { batch: { input: ordered, by: [tailnum] } }
  flat: { unbatch: { input: fleets } }
  out_csv: { write: { input: speed, csv: { path: out/speed.csv } } }
  out_jsonl: { write: { input: speed, jsonl: { path: out/speed.jsonl, nan: string, exact: string } } }
  out_arrow: { write: { input: speed, arrow: { path: out/speed.arrow }, columns: all, if_exists: error } }
tests:
  - name: short flights are left out
    set: { least: 1 }
    given: { long: [{ distance: 1 }] }
    fake: { speed: [{ mph: 1.0 }] }
    runs: 2
    expect: { speed: { count: 1 } }
"#;

/// Keys that other tests cover: files of Parquet or Arrow data and databases cannot be written as text, and these kinds and their
/// keys need a store, an interpreter or a program.
const ELSEWHERE: [&str; 7] = ["parquet", "arrow", "sqlite", "derived", "python", "command", "none"];

fn complete() -> Folder {
    Folder::new(COMPLETE)
        .file("shared/more.yaml", "nodes:\n  more: { jsonl: { path: more.jsonl, tags: [k], record_id: [k], source_id: m, types: { v: int64 }, rename: { _k: k } } }\n")
        .file("shared/more.jsonl", "{\"_k\": 1, \"v\": 2}\n")
        .file("data/flights.csv", "Report\nid;;;;\n# note\n1;'N1';200;NA;31.1.2013\n2;N2;50;20\n")
}

#[test]
fn a_file_with_every_key_is_planned() {
    let folder = complete();
    let loaded = folder.load().unwrap_or_else(|error| panic!("{error}"));
    let pipeline = loaded.pipeline;
    assert_eq!(pipeline.name(), "complete");
    assert_eq!(loaded.store_dir, folder.path("kept"));
    assert_eq!(loaded.warnings.len(), 1, "the tests are not run");
    let settings = pipeline.settings();
    assert_eq!(settings.executor, Executor::Sync);
    assert_eq!(settings.channel_capacity.get(), 4);
    assert!(matches!(settings.chunk_rows, ChunkRows::Fixed(rows) if rows.get() == 100));
    assert_eq!((settings.memory_limit, settings.spill_limit), (1 << 30, 10_000_000_000));
    assert_eq!(settings.concurrency.get(), 3);
    let names: Vec<&str> = pipeline.node_names().collect();
    assert_eq!(names.len(), 22);
    let speed = pipeline.node("speed").and_then(|node| pipeline.contract(node)).unwrap();
    assert_eq!(speed.schema.names(), ["tailnum", "places", "distance", "air_time", "mph"]);
}

#[test]
fn the_file_with_every_key_has_every_key() {
    let folder = complete();
    let mut report = super::super::values::report::Report::default();
    let documents = super::super::files::read_all(&mut report, &folder.path("pipeline.yaml"));
    let mut keys = HashSet::new();
    for document in &documents {
        collect(&document.root, &mut keys);
    }
    for (schema, field) in all_keys() {
        let elsewhere = ELSEWHERE.contains(&schema) || ELSEWHERE.contains(&field.key);
        assert!(elsewhere || keys.contains(field.key), "{} of {schema} is missing", field.key);
    }
    assert!(table::PIPELINE.fields.iter().all(|f| f.reserved || documents[0].root.get(f.key).is_some()));
    let used = kinds::NODE.fields.iter().filter(|f| f.presence == Presence::Alternative && !f.reserved);
    assert!(used.map(|f| f.key).filter(|k| !ELSEWHERE.contains(k)).all(|k| keys.contains(k)));
}

fn collect(node: &YamlNode, keys: &mut HashSet<String>) {
    match &node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                keys.insert(entry.key.clone());
                collect(&entry.value, keys);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Scalar(_) | Value::Path(_) => {}
    }
}

#[test]
fn a_column_that_is_missing_is_reported_where_it_is_named() {
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ year: 1, seats: 2 }] } }\n  b:\n    select:\n      input: a\n      packets: [seats, yaer]\n  below: { drop: { input: b, packets: [nonsense] } }\n",
    ));
    let findings = folder.findings();
    assert_eq!(
        findings,
        "pipeline.yaml:8:24: error: node \"b\": found no packet column \"yaer\" in input \"a\", expected one of \"year\", \"seats\"; did you mean \"year\"?
    8 |       packets: [seats, yaer]
      |                        ^^^^"
    );
}

#[test]
fn a_source_file_that_is_missing_is_reported_at_its_node_and_nothing_below_it() {
    let folder = Folder::new(&nodes(
        "  a: { csv: { path: gone.csv } }\n  b: { drop: { input: a, packets: [x] } }\n  c: { parquet: { path: gone.parquet } }\n",
    ));
    let headlines = folder.headlines();
    assert_eq!(headlines.len(), 2, "{headlines:?}");
    assert!(
        headlines[0]
            .starts_with("pipeline.yaml:4:21: error: node \"a\": opening gone.csv: found no such file"),
        "{}",
        headlines[0]
    );
    assert!(headlines[1].starts_with("pipeline.yaml:6:25: error: node \"c\": "), "{}", headlines[1]);
}

#[test]
fn knobs_of_functions_are_refused_beside_other_kinds() {
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ x: 1 }] }, cache: reuse }\n  b: { drop: { input: a, packets: [] }, concurrency: 3, cache: off }\n",
    ));
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:4:36: error: node \"a\": cache: reuse is not for sources, found it beside rows, expected off or cumulative",
            "pipeline.yaml:5:41: error: node \"b\": concurrency is for function nodes, found it beside drop",
        ]
    );
}

#[test]
fn errors_of_all_nodes_are_reported_together() {
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ x: 1 }] } }
  b: { drop: { input: a, packets: [y] } }
  c: { select: { input: a, packets: [z] } }
  d: { map: { input: e, packets: { x: y } } }
  f: { csv: { pth: x } }
",
    ));
    let places: Vec<String> =
        folder.headlines().iter().map(|line| line.split(" error").next().unwrap().to_owned()).collect();
    assert_eq!(
        places,
        ["pipeline.yaml:5:36:", "pipeline.yaml:6:38:", "pipeline.yaml:7:22:", "pipeline.yaml:8:15:"]
    );
}

#[test]
fn the_order_of_nodes_in_the_file_does_not_matter() {
    let forwards = Folder::new(&nodes(
        "  a: { rows: { rows: [{ x: 1 }] } }\n  b: { map: { input: a, packets: { x: y } } }\n",
    ));
    let backwards = Folder::new(&nodes(
        "  b: { map: { input: a, packets: { x: y } } }\n  a: { rows: { rows: [{ x: 1 }] } }\n",
    ));
    assert_eq!(forwards.load().unwrap().pipeline.hash(), backwards.load().unwrap().pipeline.hash());
}

#[test]
fn inline_rows_hold_scalars_and_lists_of_them() {
    let folder = Folder::new(
        "version: 1\nname: p\nparams: { n: { type: int, default: 3 } }\nnodes:\n  a: { rows: { rows: [{ x: 1, ids: [1, '${n}'], word: no }] } }\n",
    );
    let loaded = folder.load().unwrap_or_else(|error| panic!("{error}"));
    let node = loaded.pipeline.node("a").unwrap();
    let schema = &loaded.pipeline.contract(node).unwrap().schema;
    let types: Vec<String> = schema.columns().map(|f| anabranch_engine::types::logical_name(f)).collect();
    assert_eq!(types, ["int64", "list<int64>", "string"]);
}

#[test]
fn parquet_and_arrow_files_are_sources() {
    use anabranch_nodes::sink::{Format, WriteSpec, Writer};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let folder = Folder::new(&nodes(
        "  p: { parquet: { path: p.parquet, tags: [n], record_id: [n], source_id: x, types: { n: int32 } } }\n  a: { arrow: { path: a.arrow, tags: [n], record_id: [n], source_id: x, types: { n: int32 } } }\n",
    ));
    let numbers: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    for (name, format) in [("p.parquet", Format::Parquet), ("a.arrow", Format::Arrow)] {
        let mut writer = Writer::create(&WriteSpec::new(format, folder.path(name)), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap().publish().unwrap();
    }
    let pipeline = folder.load().unwrap_or_else(|error| panic!("{error}")).pipeline;
    for node in ["p", "a"] {
        let contract = pipeline.contract(pipeline.node(node).unwrap()).unwrap();
        let (_, _, field) = contract.schema.find("n").unwrap();
        assert_eq!(anabranch_engine::types::logical_name(field), "int32", "{node}");
    }
}

#[test]
fn errors_in_expressions_are_reported_at_the_expression() {
    let folder = Folder::new(&nodes(
        "  a: { rows: { rows: [{ distance: 1 }] } }
  b: { filter: { input: a, where: distanc > 1 } }
  c: { function: { input: a, sql: { twice: distance * 2, wrong: nosuch + 1 } } }
  d: { filter: { input: a } }
  e: { filter: { input: a, where: distance + 1 } }
",
    ));
    let headlines = folder.headlines();
    let begins = [
        "pipeline.yaml:5:35: error: node \"b\": where: ",
        "pipeline.yaml:6:65: error: node \"c\": takes: found no packet column \"nosuch\"",
        "pipeline.yaml:7:3: error: node \"d\": where: ",
        "pipeline.yaml:8:35: error: node \"e\": where: ",
    ];
    assert_eq!(headlines.len(), begins.len(), "{headlines:#?}");
    for (headline, begin) in headlines.iter().zip(begins) {
        assert!(headline.starts_with(begin), "{headline}");
    }
    assert!(headlines[0].contains("did you mean \"distance\"?"), "{}", headlines[0]);
}

#[test]
fn a_text_given_for_a_number_stays_a_literal_in_the_planned_expression() {
    let text = "version: 1\nname: p\nparams: { who: { type: string } }\nnodes:\n  s: { rows: { rows: [{ name: a }] } }\n  f: { filter: { input: s, where: 'name = ${who}' } }\n";
    let hash = |value: &str| {
        let pipeline = Folder::new(text).set("who", value).load().unwrap().pipeline;
        pipeline.pipeline_hash(pipeline.node("f").unwrap())
    };
    assert_eq!(hash("a"), hash("a"));
    assert_ne!(hash("a"), hash("a' OR 'x' = 'x"));
    let condition = Folder::new(&text.replace("name = ${who}", "${who}")).set("who", "1 = 1");
    assert!(condition.headlines()[0].contains("node \"f\": where: "), "a text is no condition");
    let quoted = Folder::new(&text.replace("'name = ${who}'", "\"name = 'a${who}'\"")).set("who", "b");
    assert!(
        quoted.headlines()[0].starts_with("pipeline.yaml:6:35: error: where in node \"f\": "),
        "{:?}",
        quoted.headlines()
    );
}
