//! Synchronous, streaming and replayed results are equal, whatever the chunks and the channels.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

#[path = "../examples/builder.rs"]
#[allow(dead_code, reason = "its main is not called here")]
mod builder;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch::{
    Batch, DropColumns, Filter, Function, Join, Map, Pipeline, Rows, RunError, Select, Store, Unbatch,
};
use anabranch_engine::driver::RunError as DriveError;
use anabranch_engine::operator::OperatorError;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use support::{Numbers, Way, random, replay_node, run_node, sorted, store, try_run_node, ways};

/// `rows` rows with keys below `keys`, some of them null, and two payload columns.
fn table(numbers: &mut Numbers, rows: usize, keys: u64, payload: &str) -> RecordBatch {
    let key: Int64Array =
        (0..rows).map(|_| (numbers.below(50) > 0).then(|| numbers.below(keys).cast_signed())).collect();
    let group: StringViewArray = (0..rows)
        .map(|_| Some(["x", "yy", "", "a name longer than twelve"][numbers.below(4) as usize]))
        .collect();
    let value: Float64Array = (0..rows)
        .map(|_| match numbers.below(20) {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(-0.0),
            n => Some(n as f64 * 0.25),
        })
        .collect();
    let count: Int64Array = (0..rows).map(|_| Some(numbers.below(1000).cast_signed())).collect();
    let columns: Vec<(String, ArrayRef)> = vec![
        ("key".into(), Arc::new(key)),
        ("group".into(), Arc::new(group)),
        (format!("{payload}_value"), Arc::new(value)),
        (format!("{payload}_count"), Arc::new(count)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

/// A pipeline that depends on the seed; its last node is a function, named `last`.
fn random_pipeline(seed: u64) -> Pipeline {
    let mut numbers = Numbers(seed);
    let large = table(&mut numbers, 9_000, 3_000, "left");
    let small = table(&mut numbers, 2_000, 3_000, "right");
    let mut p = Pipeline::new(format!("random-{seed}"));
    let left_tags = ["key", "group"];
    let right_tags: &[&str] = if seed.is_multiple_of(2) { &["key"] } else { &["key", "group"] };
    let left = p.source("left", Rows::from_batches(vec![large]).tags(left_tags)).unwrap();
    let right = p.source("right", Rows::from_batches(vec![small]).tags(right_tags.iter().copied())).unwrap();
    let right = if seed.is_multiple_of(2) {
        p.operator("thin", DropColumns::new().packets(["group"]), [right]).unwrap()
    } else {
        p.operator("named", Map::packets([("right_count", "many")]), [right]).unwrap()
    };
    let left = if seed.is_multiple_of(3) {
        p.operator("some", Filter::predicate("left_count % 3 <> 1 AND left_value IS NOT NULL"), [left])
            .unwrap()
    } else {
        p.operator("chosen", Select::new().packets(["left_count", "left_value"]), [left]).unwrap()
    };
    let both = p.operator("both", Join::new(), [left, right]).unwrap();
    let some = p.operator("kept", Filter::predicate("left_count > 20"), [both]).unwrap();
    let sums =
        p.function("sums", some, Function::sql("sums", [("sum", "left_count + 1")]).keep(true)).unwrap();
    let last = Function::new("last")
        .version("1")
        .takes(["sum", "left_value"])
        .gives::<f64>("product")
        .gives::<String>("text")
        .keep(true)
        .call(|(sum, value): (i64, Option<f64>)| {
            if sum % 10 == 0 {
                return Ok(anabranch::Outcome::Drop);
            }
            Ok(anabranch::Outcome::Give((value.map(|v| v * sum as f64), format!("{sum}"))))
        });
    p.function("last", sums, last).unwrap();
    p
}

#[test]
fn every_way_to_run_a_random_pipeline_gives_the_same_rows_and_replays_them() {
    for seed in 0..3 {
        let mut pipeline = random_pipeline(seed);
        let (_folder, first_store) = store();
        let (summary, expected) = run_node(&pipeline, &first_store, "last");
        let expected = sorted(expected);
        assert!(expected.len() > 1_000, "seed {seed} gives only {} rows", expected.len());
        assert_eq!(summary.node("left").unwrap().rows_out, 9_000);
        // Chunks of one row take long; one seed is enough for them here.
        for way in ways().into_iter().filter(|way| seed == 0 || way.chunk_rows != Some(1)) {
            way.set(&mut pipeline);
            let (_folder, store) = store();
            let (summary, rows) = run_node(&pipeline, &store, "last");
            let replayed = replay_node(&pipeline, &store, "last");
            assert!(replayed == rows, "seed {seed}, {way:?}: replay differs from what the run gave");
            assert!(sorted(rows) == expected, "seed {seed}, {way:?}: rows differ");
            let last = summary.node("last").unwrap();
            let function = last.function.unwrap();
            assert_eq!(function.computed + function.reused, last.rows_in[0], "seed {seed}, {way:?}");
            assert_eq!(last.rows_in[0] - function.dropped, last.rows_out);
        }
    }
}

/// Seeds of random pipelines; `ANABRANCH_SEEDS` raises their number.
fn seeds() -> u64 {
    std::env::var("ANABRANCH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// True if a run failed since an `unbatch` met lists of different lengths side by side, which happens
/// where lists of two batches were joined: data that every way has to refuse.
fn refuses_lists(error: &RunError) -> bool {
    let RunError::Drive(DriveError::Node { cause, .. }) = error else { return false };
    matches!(cause.downcast_ref(), Some(OperatorError::Data { operation: "unbatch", .. }))
}

/// Rows of the last node by a way of running, as they are replayed too; none where its lists are refused.
fn given(pipeline: &Pipeline, store: &Store, tried: &str) -> Option<Vec<String>> {
    match try_run_node(pipeline, store, "last") {
        Ok((_, rows)) => {
            let replayed = replay_node(pipeline, store, "last");
            assert!(replayed == rows, "{tried}: replay differs from what the run gave");
            Some(rows)
        }
        Err(error) => {
            assert!(refuses_lists(&error), "{tried}: {error:?}");
            None
        }
    }
}

/// Runs a pipeline in some of the ways, at last with little memory; all of them have to give the same.
fn given_in_every_way(
    seed: u64,
    pipeline: &mut Pipeline,
    chosen: &[Way],
    store: &Store,
) -> Option<Vec<String>> {
    let ordered = pipeline.contract(pipeline.node("last").unwrap()).unwrap().ordered;
    let mut expected = None;
    for (turn, way) in chosen.iter().enumerate() {
        way.set(pipeline);
        let memory_limit = if turn + 1 < chosen.len() { 2 << 30 } else { 64 << 10 };
        pipeline.settings_mut().memory_limit = memory_limit;
        let tried = format!("seed {seed}, {way:?}, {memory_limit} bytes");
        let rows = given(pipeline, store, &tried).map(|rows| if ordered { rows } else { sorted(rows) });
        let expected = expected.get_or_insert_with(|| rows.clone());
        assert!(rows == *expected, "{tried}: rows differ");
    }
    expected.flatten()
}

/// Every fourth seed from this one on; the tests of the four run at the same time.
fn check_random_pipelines(first: u64) {
    let ways = ways();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut with_rows, mut refused) = (0, 0);
    let (_folder, store) = store();
    for seed in (first..seeds()).step_by(4) {
        let (mut pipeline, used) = random::random_pipeline(seed);
        for kind in used {
            *kinds.entry(kind).or_default() += 1;
        }
        // Another choice of ways with each seed.
        let chosen = [0, 5, 10].map(|step| ways[(seed as usize + step) % ways.len()]);
        match given_in_every_way(seed, &mut pipeline, &chosen, &store) {
            Some(rows) => with_rows += u64::from(!rows.is_empty()),
            None => refused += 1,
        }
    }
    assert!(refused * 400 <= seeds(), "{refused} pipelines are refused");
    assert!(with_rows * 40 > seeds() / 4 * 7, "only {with_rows} pipelines give rows");
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    assert!(kinds.values().all(|count| *count as u64 * 40 > seeds()), "{kinds:?}");
}

/// A pipeline that joins lists of two batches and unbatches them together.
fn lists_of_two_batches() -> Pipeline {
    let mut p = Pipeline::new("lists");
    let mut lists = |name: &str, column: &'static str, keys: [i64; 4]| {
        let rows = keys.map(|key| [("key", key.into()), (column, (key * 10).into())]);
        let source = p.source(name, Rows::new(rows).tags(["key"])).unwrap();
        p.operator(&format!("lists of {name}"), Batch::new().by(["key"]), [source]).unwrap()
    };
    let (one, two) = (lists("one", "x", [1, 1, 2, 2]), lists("two", "y", [1, 2, 2, 2]));
    let both = p.operator("both", Join::new(), [one, two]).unwrap();
    let items = p.operator("items", Unbatch, [both]).unwrap();
    p.function("last", items, Function::sql("last", [("z", "x + y")])).unwrap();
    p
}

#[test]
fn lists_of_different_lengths_are_refused_in_every_way() {
    let mut pipeline = lists_of_two_batches();
    let (_folder, store) = store();
    let rows = given_in_every_way(0, &mut pipeline, &ways(), &store);
    assert_eq!(rows, None);
}

#[test]
fn random_pipelines_of_all_operators_give_the_same_rows_in_every_way_and_replay_them() {
    check_random_pipelines(0);
}

#[test]
fn a_second_part_of_random_pipelines_gives_the_same_rows_in_every_way_and_replays_them() {
    check_random_pipelines(1);
}

#[test]
fn a_third_part_of_random_pipelines_gives_the_same_rows_in_every_way_and_replays_them() {
    check_random_pipelines(2);
}

#[test]
fn a_fourth_part_of_random_pipelines_gives_the_same_rows_in_every_way_and_replays_them() {
    check_random_pipelines(3);
}

#[test]
fn where_order_is_defined_it_is_the_source_order_in_every_way() {
    let mut numbers = Numbers(7);
    let batch = table(&mut numbers, 9_000, 500, "only");
    let mut p = Pipeline::new("ordered");
    let source = p.source("source", Rows::from_batches(vec![batch]).tags(["key"])).unwrap();
    let some = p.operator("some", Filter::predicate("only_count >= 100"), [source]).unwrap();
    let twice = Function::new("twice").version("1").takes(["only_count"]).gives::<i64>("twice");
    p.function("twice", some, twice.call(|n: i64| Ok(n * 2))).unwrap();
    let mut expected = None;
    for way in ways() {
        way.set(&mut p);
        let (_folder, store) = store();
        let (_, rows) = run_node(&p, &store, "twice");
        assert!(replay_node(&p, &store, "twice") == rows, "{way:?}: replay differs");
        assert!(*expected.get_or_insert_with(|| rows.clone()) == rows, "{way:?}: order differs");
    }
}

/// A copy of the examples' data and pipelines, so that nothing is written beside them.
fn copy_of_examples() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["flights", "penguins"] {
        let (from, to) = (examples.join(name), folder.path().join(name));
        std::fs::create_dir_all(to.join("data")).unwrap();
        std::fs::copy(from.join("pipeline.yaml"), to.join("pipeline.yaml")).unwrap();
        for file in std::fs::read_dir(from.join("data")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join("data").join(file.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn every_way_to_run_every_example_gives_the_same_rows_and_replays_them() {
    let folder = copy_of_examples();
    let yaml = |name: &str| Pipeline::from_yaml(folder.path().join(name).join("pipeline.yaml")).unwrap();
    let examples = [
        (yaml("flights"), "speed"),
        (yaml("penguins"), "ratio"),
        (builder::pipeline(&folder.path().join("flights")).unwrap(), "speed"),
    ];
    for (mut pipeline, node) in examples {
        let name = pipeline.name().to_owned();
        let mut expected = None;
        // Every other way: of random pipelines all are tried.
        for way in ways().into_iter().skip(1).step_by(2) {
            way.set(&mut pipeline);
            let (_folder, store) = store();
            let (_, rows) = run_node(&pipeline, &store, node);
            assert!(replay_node(&pipeline, &store, node) == rows, "{name}, {way:?}: replay differs");
            let rows = sorted(rows);
            assert!(rows.len() > 300, "{name} gives only {} rows", rows.len());
            assert!(*expected.get_or_insert_with(|| rows.clone()) == rows, "{name}, {way:?}: rows differ");
        }
    }
}
