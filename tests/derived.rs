//! Derived sources: a new root of rows that another pipeline recorded, with a way back to them.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use anabranch::{
    Batch, Columns, Derived, Executor, Filter, Function, Join, Pipeline, PlanError, RecordMode, Rows,
    RunOptions, Store, Union, Which,
};
use anabranch_engine::provenance::Origin;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use support::{Numbers, random, replay_node, run_node, sorted, store, texts, ways};

fn numbers(count: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new((0..count).collect::<Int64Array>());
    let n: ArrayRef = Arc::new((0..count).map(|n| Some(n % 40)).collect::<Int64Array>());
    RecordBatch::try_from_iter([("id", id), ("n", n)]).unwrap()
}

/// `twice` computes on rows that are there two times each: their provenance is the same.
fn upstream(count: i64) -> Pipeline {
    let mut p = Pipeline::new("up");
    let rows = p.source("rows", Rows::from_batches(vec![numbers(count)]).tags(["id"])).unwrap();
    let both = p.operator("both", Union, [rows, rows]).unwrap();
    p.function("twice", both, Function::sql("twice", [("m", "n * 2")]).keep(true)).unwrap();
    let one = p.operator("one", Filter::predicate("n <> 3"), [rows]).unwrap();
    p.function("plain", one, Function::sql("plain", [("m", "n * 3")])).unwrap();
    p
}

fn downstream(source: Derived) -> Pipeline {
    let mut p = Pipeline::new("down");
    let source = p.source("derived", source.source_id("root")).unwrap();
    p.function("more", source, Function::sql("more", [("k", "m + 1")]).keep(true)).unwrap();
    p
}

/// Visible columns and record ids of the rows of a node.
fn rows(p: &Pipeline, store: &Store, node: &str) -> Vec<(String, String)> {
    let replay = store.replay(p, p.node(node).unwrap()).unwrap();
    let origins = Arc::clone(replay.origins());
    let mut rows = Vec::new();
    for chunk in replay {
        let chunk = chunk.unwrap();
        let (sources, records) = origins.pairs(&chunk.provenance().tags[0]).unwrap();
        assert!(sources.as_string_view().iter().all(|s| s == Some("root")));
        let records = records.as_string_view().iter().map(|r| r.unwrap().to_owned()).collect::<Vec<_>>();
        rows.extend(texts(&chunk.to_batch(Columns::Data, &origins).unwrap()).into_iter().zip(records));
    }
    rows
}

#[test]
fn a_derived_source_gives_the_recorded_rows_as_a_root_of_its_own() {
    let (folder, store) = store();
    let up = upstream(20_000);
    up.run(&store).unwrap();
    for executor in [Executor::Async, Executor::Sync] {
        let mut p = downstream(Derived::new(folder.path().join("store"), "up", "plain"));
        p.settings_mut().executor = executor;
        let contract = p.contract(p.node("derived").unwrap()).unwrap().clone();
        assert!(contract.ordered && contract.bounded);
        assert_eq!(contract.schema.names(), ["id", "m"]);
        assert_eq!(contract.schema.tags().len(), 1);
        assert_eq!(contract.schema.system_tags().len(), 1);
        let (_, given) = run_node(&p, &store, "more");
        assert_eq!(given.len(), 19_500);
        assert!(given[4].contains("id=5|k=16|m=15"), "{}", given[4]);
        let found = rows(&p, &store, "more");
        let distinct: HashSet<&String> = found.iter().map(|(_, record)| record).collect();
        assert_eq!(distinct.len(), found.len());
        assert!(found.iter().all(|(_, r)| r.len() == 34 && r.ends_with(".0")), "{:?}", found[0]);
        assert!(given[0].contains(&format!("_source_m=root::{}::m", found[0].1)), "{}", given[0]);
    }
}

#[test]
fn record_ids_are_the_same_whatever_run_recorded_the_rows_and_equal_ones_are_told_apart() {
    let (_folder, store) = store();
    let up = upstream(9_000);
    up.run(&store).unwrap();
    let p = downstream(Derived::of(&store, "up", "twice"));
    assert!(!p.contract(p.node("derived").unwrap()).unwrap().ordered, "a union has no order");
    p.run(&store).unwrap();
    let first = rows(&p, &store, "more");
    assert_eq!(first.len(), 18_000);
    let distinct: HashSet<&String> = first.iter().map(|(_, record)| record).collect();
    assert_eq!(distinct.len(), 18_000, "a record id is repeated");
    assert_eq!(first.iter().filter(|(_, r)| r.ends_with(".1")).count(), 9_000);
    up.run_with(&store, &RunOptions { no_reuse: true, ..RunOptions::default() }).unwrap();
    p.run(&store).unwrap();
    let sort = |mut rows: Vec<(String, String)>| {
        rows.sort_unstable();
        rows
    };
    assert!(sort(rows(&p, &store, "more")) == sort(first));
}

#[test]
fn an_order_that_was_undefined_stays_undefined() {
    let (_folder, store) = store();
    upstream(10).run(&store).unwrap();
    let mut p = Pipeline::new("down");
    let source = p.source("derived", Derived::of(&store, "up", "twice")).unwrap();
    let error = p.operator("cut", Batch::new().size(3), [source]).unwrap_err();
    assert!(error.to_string().contains("order"), "{error}");
    let source = p.source("other", Derived::of(&store, "up", "plain")).unwrap();
    p.operator("cut", Batch::new().size(3), [source]).unwrap();
}

#[test]
fn lineage_goes_on_through_the_link() {
    let (folder, own) = store();
    let other = Store::open(folder.path().join("other")).unwrap();
    upstream(20_000).run(&other).unwrap();
    upstream(20_000).run(&own).unwrap();
    for (at, name) in [(&own, "."), (&other, "other")] {
        let p = downstream(Derived::of(at, "up", "twice"));
        let summary = p.run(&own).unwrap();
        let links = own.links(&summary.run_id).unwrap();
        assert_eq!(links.len(), 1);
        assert_eq!((links[0].node.as_str(), links[0].source_id.as_str()), ("derived", "root"));
        assert!(links[0].store.ends_with(name), "{links:?}");
        let behind = own.upstream(&links[0]).unwrap();
        assert_eq!((behind.recording().node.as_str(), behind.recording().rows), ("twice", 40_000));

        let mut replay = own.replay(&p, p.node("more").unwrap()).unwrap();
        let mut looked_at = 0;
        while let Some(chunk) = replay.next() {
            let chunk = chunk.unwrap();
            let tag = chunk.provenance().tags[0].flat().unwrap().clone();
            assert!(matches!(replay.origins().get(tag.origins.get(0)), Some(Origin::Source { .. })));
            for row in (0..chunk.rows()).step_by(1_709) {
                let place = u64::try_from(tag.positions.get(row)).unwrap();
                let (recorded, origins) = behind.row(place).unwrap().unwrap();
                let before = recorded.to_batch(Columns::Data, &origins).unwrap();
                let value = |name: &str| {
                    before
                        .column_by_name(name)
                        .unwrap()
                        .as_primitive::<arrow::datatypes::Int64Type>()
                        .value(0)
                };
                let mine = |name: &str| {
                    chunk.column(name).unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(row)
                };
                for name in ["id", "n", "m"] {
                    assert_eq!(value(name), mine(name), "row {place}");
                }
                let (_, records) = replay.origins().pairs(&chunk.provenance().tags[0]).unwrap();
                let record = records.as_string_view().value(row).to_owned();
                if looked_at < 4 {
                    assert_eq!(behind.place(&record).unwrap(), Some(place));
                }
                looked_at += 1;
            }
        }
        assert!(looked_at > 15);
        assert!(behind.row(40_000).unwrap().is_none());
        assert_eq!(behind.place("no such.0").unwrap(), None);
    }
}

#[test]
fn the_last_complete_recording_at_the_start_of_the_run_is_read_or_that_of_a_run() {
    let (_folder, store) = store();
    let first = upstream(10).run(&store).unwrap();
    let last = downstream(Derived::of(&store, "up", "plain"));
    let given = downstream(Derived::of(&store, "up", "plain").run(&first.run_id));
    upstream(20).run(&store).unwrap();
    let rows_of = |p: &Pipeline| p.run(&store).unwrap().node("derived").unwrap().rows_out;
    assert_eq!((rows_of(&last), rows_of(&given)), (19, 9));
    // Other columns than those that the pipeline was planned with.
    let mut changed = Pipeline::new("up");
    let rows = changed.source("rows", Rows::from_batches(vec![numbers(5)]).tags(["id"])).unwrap();
    changed.function("plain", rows, Function::sql("plain", [("x", "n * 3")])).unwrap();
    changed.run(&store).unwrap();
    let error = last.run(&store).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("other columns") && cause.contains("plan it again"), "{cause}");
    assert_eq!(rows_of(&given), 9);
}

fn refusal(derived: Derived) -> PlanError {
    Pipeline::new("down").source("derived", derived).unwrap_err()
}

#[test]
fn what_is_not_there_is_told_when_the_source_is_planned() {
    let (folder, store) = store();
    upstream(10).run(&store).unwrap();
    let error = refusal(Derived::new(folder.path().join("nowhere"), "up", "plain"));
    assert_eq!(error.parameter(), Some("store"));
    assert!(error.to_string().contains("run the pipeline first"), "{error}");
    assert!(!folder.path().join("nowhere").exists(), "who only reads makes no store");
    let error = refusal(Derived::of(&store, "pu", "plain"));
    assert_eq!(error.parameter(), Some("pipeline"));
    assert!(error.to_string().contains("\"up\""), "{error}");
    let error = refusal(Derived::of(&store, "up", "plian"));
    assert_eq!(error.parameter(), Some("node"));
    assert!(error.to_string().contains("plain") && error.to_string().contains("cache: log"), "{error}");
    let error = refusal(Derived::of(&store, "up", "plain").run("r9"));
    assert_eq!(error.parameter(), Some("run"));
}

#[test]
fn a_derived_source_of_a_derived_source_has_lineage_of_two_steps() {
    let (_folder, store) = store();
    upstream(100).run(&store).unwrap();
    downstream(Derived::of(&store, "up", "plain")).run(&store).unwrap();
    let mut last = Pipeline::new("last");
    let source = last.source("second", Derived::of(&store, "down", "more")).unwrap();
    last.function("end", source, Function::sql("end", [("z", "k - m")])).unwrap();
    let summary = last.run(&store).unwrap();
    let link = &store.links(&summary.run_id).unwrap()[0];
    let middle = store.upstream(link).unwrap();
    let (row, _) = middle.row(50).unwrap().unwrap();
    let place = row.provenance().tags[0].flat().unwrap().positions.get(0);
    let link = &store.links(&middle.recording().run).unwrap()[0];
    let (first, origins) = store.upstream(link).unwrap().row(u64::try_from(place).unwrap()).unwrap().unwrap();
    assert_eq!(first.column("id").unwrap(), row.column("id").unwrap());
    let (_, records) = origins.pairs(&first.provenance().tags[0]).unwrap();
    assert!(records.as_string_view().value(0).starts_with("row_"));
}

#[test]
fn any_recorded_stream_can_be_a_root() {
    let ways = ways();
    for seed in 0..25 {
        let (mut up, _) = random::random_pipeline(seed);
        let operator = up.node_names().nth(3 + Numbers(seed).below(6) as usize).unwrap().to_owned();
        let handle = up.node(&operator).unwrap();
        up.set_recording(handle, RecordMode::Log).unwrap();
        let (_folder, store) = store();
        ways[seed as usize % ways.len()].set(&mut up);
        up.run(&store).unwrap();
        let mut p = Pipeline::new("down");
        let source = Derived::of(&store, up.name(), &operator).source_id("root");
        let source = p.source("derived", source).unwrap();
        assert!(p.set_recording(source, RecordMode::Log).is_err(), "sources have histories, not recordings");
        let all = p.operator("all", Union, [source]).unwrap();
        p.set_recording(all, RecordMode::Log).unwrap();
        ways[(seed as usize + 3) % ways.len()].set(&mut p);
        p.run(&store).unwrap();
        let data = |pipeline: &str, node: &str| {
            let replay = store.replay_named(pipeline, node, &Which::Last).unwrap();
            let origins = Arc::clone(replay.origins());
            replay
                .flat_map(|chunk| texts(&chunk.unwrap().to_batch(Columns::Data, &origins).unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(data("down", "all"), data(up.name(), &operator), "seed {seed}");
        let all = replay_node(&p, &store, "all");
        assert_eq!(sorted(all.clone()).windows(2).filter(|two| two[0] == two[1]).count(), 0, "seed {seed}");
    }
}

#[test]
fn an_empty_recording_is_an_empty_source() {
    let (_folder, store) = store();
    upstream(0).run(&store).unwrap();
    let p = downstream(Derived::of(&store, "up", "plain"));
    assert_eq!(p.run(&store).unwrap().node("derived").unwrap().rows_out, 0);
}

#[test]
fn a_pipeline_file_names_store_pipeline_and_node() {
    let (folder, store) = store();
    upstream(30).run(&store).unwrap();
    let yaml = "version: 1\nname: down\nnodes:\n  d: { derived: { store: store, pipeline: up, node: plain, source_id: root } }\n  f: { function: { input: d, sql: { k: m + 1 } } }\n";
    let path = folder.path().join("p.yaml");
    fs::write(&path, yaml).unwrap();
    let p = Pipeline::from_yaml(&path).unwrap();
    assert_eq!(p.run(&store).unwrap().node("f").unwrap().rows_out, 29);
    let hash = |p: &Pipeline, node: &str| p.content_hash(p.node(node).unwrap());
    let built = {
        let mut p = Pipeline::new("down");
        p.source("d", Derived::of(&store, "up", "plain").source_id("root")).unwrap();
        p
    };
    assert_eq!(hash(&p, "d"), hash(&built, "d"));
    for (from, to, place) in [
        ("pipeline: up", "pipeline: on", "p.yaml:4:"),
        ("node: plain", "node: plan", "p.yaml:4:"),
        ("store: store", "store: stare", "p.yaml:4:"),
        ("node: plain, ", "", "p.yaml:4:"),
        ("} }\n  f", "}, cache: cumulative }\n  f", "p.yaml:4:"),
    ] {
        fs::write(&path, yaml.replacen(from, to, 1)).unwrap();
        let error = Pipeline::from_yaml(&path).unwrap_err().to_string();
        assert!(error.contains(place), "{to}: {error}");
    }
}

#[test]
fn rows_of_a_join_keep_one_record_id_for_each_tuple() {
    let (_folder, store) = store();
    let mut up = Pipeline::new("up");
    let tags = |name: &str, values: &[&str]| {
        let key: ArrayRef = Arc::new(StringViewArray::from(values.to_vec()));
        let n: ArrayRef = Arc::new((0..values.len() as i64).collect::<Int64Array>());
        Rows::from_batches(vec![RecordBatch::try_from_iter([("key", key), (name, n)]).unwrap()]).tags(["key"])
    };
    let a = up.source("a", tags("x", &["p", "p", "q"])).unwrap();
    let b = up.source("b", tags("y", &["p", "p", "q", "q"])).unwrap();
    let both = up.operator("both", Join::new(), [a, b]).unwrap();
    up.set_recording(both, RecordMode::Log).unwrap();
    up.run(&store).unwrap();
    let mut p = Pipeline::new("down");
    let source = p.source("derived", Derived::of(&store, "up", "both").source_id("root")).unwrap();
    p.function("all", source, Function::sql("all", [("z", "x * 10 + y")])).unwrap();
    p.run(&store).unwrap();
    let found = rows(&p, &store, "all");
    let distinct: HashSet<&String> = found.iter().map(|(_, record)| record).collect();
    assert_eq!((found.len(), distinct.len()), (6, 6));
    assert!(found.iter().all(|(_, record)| record.ends_with(".0")), "tuples differ: {found:?}");
}

#[test]
fn lineage_goes_on_through_derived_sources_to_the_first_source() {
    let (folder, store) = store();
    let dir = folder.path().join("store");
    upstream(200).run(&store).unwrap();
    downstream(Derived::new(&dir, "up", "plain")).run(&store).unwrap();
    let mut last = Pipeline::new("last");
    let source = last.source("again", Derived::new(&dir, "down", "more").source_id("second")).unwrap();
    last.function("end", source, Function::sql("end", [("z", "k * 10")])).unwrap();
    last.run(&store).unwrap();
    let mut tracer = store.trace("last", "end", &Which::Last).unwrap();
    for number in 0..tracer.recording().rows {
        let row = tracer.row(number).unwrap().unwrap();
        let [down] = row.upstream.as_slice() else { panic!("row {number}: {:?}", row.upstream) };
        assert_eq!((down.source.as_str(), down.node.as_str()), ("second", "more"));
        let [up] = down.row.upstream.as_slice() else { panic!("row {number}: {:?}", down.row.upstream) };
        assert_eq!((up.source.as_str(), up.pipeline.as_str(), up.node.as_str()), ("root", "up", "plain"));
        let id = row.tags["id"].as_i64().unwrap();
        assert_eq!(up.row.tags["id"], id);
        assert_eq!(row.values["z"].as_i64().unwrap(), (id % 40 * 3 + 1) * 10);
        let values: Vec<_> = up.row.source_values().collect();
        assert_eq!(values, [("rows", format!("row_{id}").as_str(), "n")], "row {number}");
        assert!(up.row.upstream.is_empty());
    }
}
