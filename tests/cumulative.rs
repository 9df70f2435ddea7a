//! Cumulative sources: the newest version of every record ever seen, in the order of first appearance.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anabranch::{
    ChunkRows, Csv, Executor, Filter, Function, Pipeline, Rows, RunOptions, Store, Summary, Which,
};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use support::{Numbers, replay_node, run_node, store, told};

/// A record: its id and two values.
type Record = (i64, Option<i64>, String);

fn batch(records: &[Record]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(records.iter().map(|r| Some(r.0)).collect::<Int64Array>());
    let numbers: ArrayRef = Arc::new(records.iter().map(|r| r.1).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new(records.iter().map(|r| Some(r.2.as_str())).collect::<StringViewArray>());
    let columns = [("id", ids, false), ("number", numbers, true), ("text", texts, false)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn pipeline(records: &[Record]) -> Pipeline {
    let mut p = Pipeline::new("cumulative");
    let rows = Rows::from_batches(vec![batch(records)]).tags(["id"]).record_id(["id"]);
    p.source("records", rows.source_id("of:old").cumulative(true)).unwrap();
    p
}

/// Form of a record with its provenance.
fn expected(records: &[Record]) -> Vec<String> {
    let hash = {
        let p = pipeline(&[(0, None, String::new())]);
        let schema = Arc::clone(&p.contract(p.node("records").unwrap()).unwrap().schema);
        schema.system_tags()[0].stem().to_string()
    };
    let row = |(id, number, text): &Record| {
        let number = number.map_or("\u{2205}".to_owned(), |n| n.to_string());
        format!(
            "_source_number=of:old::id={id}::number|_source_text=of:old::id={id}::text|_tag_record_id::{hash}=id={id}|_tag_source_id::{hash}=of:old|id={id}|number={number}|text={text}"
        )
    };
    records.iter().map(row).collect()
}

/// A model of the history, and the source as it is now.
struct Model {
    numbers: Numbers,
    known: Vec<Record>,
    now: Vec<Record>,
    next_id: i64,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self { numbers: Numbers(seed), known: Vec::new(), now: Vec::new(), next_id: 0 }
    }

    fn record(&mut self, id: i64) -> Record {
        let number = (self.numbers.below(9) > 0).then(|| self.numbers.below(1_000).cast_signed());
        (id, number, format!("text {} of more than twelve bytes", self.numbers.below(50)))
    }

    /// Some records vanish or come back, some change, some are new; sometimes all stand otherwise.
    fn change(&mut self, new: u64) {
        let vanish = self.numbers.below(4);
        let mut kept = std::mem::take(&mut self.now);
        kept.retain(|_| self.numbers.below(10) >= vanish);
        for record in &mut kept {
            if self.numbers.below(20) == 0 {
                *record = self.record(record.0);
            }
        }
        for _ in 0..new {
            let id = self.next_id * 7 % 1_000_003;
            self.next_id += 1;
            let record = self.record(id);
            let at = self.numbers.below(kept.len() as u64 + 1) as usize;
            kept.insert(if new > 2_000 { kept.len() } else { at }, record);
        }
        if let Some(back) = self.known.get(self.numbers.below(100) as usize).cloned()
            && !kept.iter().any(|r| r.0 == back.0)
        {
            kept.push(back);
        }
        if self.numbers.below(3) == 0 {
            for at in (1..kept.len()).rev() {
                kept.swap(at, self.numbers.below(at as u64 + 1) as usize);
            }
        }
        for record in &kept {
            match self.known.iter_mut().find(|known| known.0 == record.0) {
                Some(known) => known.clone_from(record),
                None => self.known.push(record.clone()),
            }
        }
        self.now = kept;
    }
}

#[test]
fn the_stream_is_the_newest_version_of_every_record_in_the_order_of_first_appearance() {
    for seed in 0..6 {
        let (_folder, store) = store();
        let mut model = Model::new(seed);
        for run in 0..8 {
            let new = [0, 300, 1, 2_500, 0, 40, 7, 900][(run + seed as usize) % 8];
            model.change(new);
            let mut p = pipeline(&model.now);
            let settings = p.settings_mut();
            settings.executor = if run % 2 == 0 { Executor::Async } else { Executor::Sync };
            let rows = [1, 100, 5_000][run % 3];
            settings.chunk_rows = ChunkRows::Fixed(NonZeroUsize::new(rows).unwrap());
            if seed % 2 == 0 {
                settings.memory_limit = 1;
            }
            let (summary, rows) = run_node(&p, &store, "records");
            assert_eq!(summary.node("records").unwrap().rows_out, model.known.len() as u64);
            assert!(rows == expected(&model.known), "seed {seed}, run {run}: rows differ");
            assert!(replay_node(&p, &store, "records") == rows, "seed {seed}, run {run}: replay differs");
        }
        assert!(model.known.len() > model.now.len(), "seed {seed}: nothing vanished");
    }
}

#[test]
fn records_of_many_buckets_are_put_together_in_their_order() {
    let (_folder, store) = store();
    let record = |id: i64, n: i64| (id, Some(n), format!("text {id} {n}"));
    let first: Vec<Record> = (0..30_000).map(|id| record(id, 0)).collect();
    pipeline(&first).run(&store).unwrap();
    // Every third one changes, back to front, between new ones.
    let mut second = Vec::new();
    for id in (0..30_000_i64).rev().filter(|id| id % 3 == 0) {
        second.push(record(id, 1));
        if id % 1_000 == 0 {
            second.push(record(100_000 - id, 2));
        }
    }
    let (_, rows) = run_node(&pipeline(&second), &store, "records");
    let mut all: Vec<Record> = (0..30_000).map(|id| record(id, i64::from(id % 3 == 0))).collect();
    all.extend(second.iter().filter(|r| r.1 == Some(2)).cloned());
    assert!(rows == expected(&all));
}

fn size(folder: &Path) -> u64 {
    let bytes = |name: &str| fs::metadata(folder.join("store").join(name)).map_or(0, |m| m.len());
    bytes("store.db") + bytes("store.db-wal")
}

#[test]
fn runs_in_which_little_changes_add_little_to_the_store() {
    let (folder, store) = store();
    let record = |id: i64| (id, Some(id * 31), format!("text of record number {id}"));
    let mut records: Vec<Record> = (0..50_000).map(record).collect();
    pipeline(&records).run(&store).unwrap();
    let once = size(folder.path());
    for run in 0..10 {
        records.push(record(100_000 + run));
        pipeline(&records).run(&store).unwrap();
    }
    // The last block is written again by each run, and the log may hold a copy of it.
    let grown = size(folder.path()) - once;
    assert!(grown < 2 * once, "ten runs added {grown} bytes to {once}");
    let connection_rows = store.replay_named("cumulative", "records", &Which::All).unwrap();
    assert_eq!(connection_rows.recordings().len(), 11);
}

#[test]
fn a_source_id_has_one_history_for_all_pipelines_and_each_store_its_own() {
    let (_folder, store) = store();
    let one = (1, Some(1), "a".to_owned());
    let two = (2, None, "b".to_owned());
    pipeline(std::slice::from_ref(&one)).run(&store).unwrap();
    let mut other = Pipeline::new("other");
    let rows = Rows::from_batches(vec![batch(std::slice::from_ref(&two))]).tags(["id"]).record_id(["id"]);
    other.source("theirs", rows.source_id("of:old").cumulative(true)).unwrap();
    let (_, rows) = run_node(&other, &store, "theirs");
    assert_eq!(rows, expected(&[one, two.clone()]));
    let (_folder, empty) = support::store();
    assert_eq!(run_node(&other, &empty, "theirs").1, expected(&[two]));
}

fn csv(folder: &Path, text: &str, source: impl FnOnce(Csv) -> Csv) -> Pipeline {
    fs::write(folder.join("data.csv"), text).unwrap();
    let mut p = Pipeline::new("of csv");
    let csv = Csv::new(folder.join("data.csv")).tags(["id"]).record_id(["id"]);
    let rows = p.source("rows", source(csv.source_id("csv").cumulative(true))).unwrap();
    let some = p.operator("some", Filter::predicate("n > 0"), [rows]).unwrap();
    p.function("twice", some, Function::sql("twice", [("m", "n * 2")])).unwrap();
    p
}

fn failure(run: Result<Summary, anabranch::RunError>) -> String {
    told(&run.unwrap_err())
}

#[test]
fn another_order_or_role_of_columns_is_no_change_of_the_source() {
    let (folder, store) = store();
    csv(folder.path(), "id,n,t\n1,5,x\n2,6,y\n", |c| c).run(&store).unwrap();
    let p = csv(folder.path(), "t,n,id\nz,7,3\n", |c| c.tags(["t", "id"]));
    let (_, rows) = run_node(&p, &store, "rows");
    let shown: Vec<String> = rows.iter().map(|row| row[row.find("|id=").unwrap()..].to_owned()).collect();
    assert_eq!(shown, ["|id=1|n=5|t=x", "|id=2|n=6|t=y", "|id=3|n=7|t=z"]);
}

#[test]
fn a_change_of_columns_is_an_error_that_names_them_and_changes_nothing() {
    let (folder, store) = store();
    csv(folder.path(), "id,n,t\n1,5,x\n", |c| c).run(&store).unwrap();
    fs::write(folder.path().join("data.csv"), "id,n,u\n1,z,x\n").unwrap();
    let mut p = Pipeline::new("of csv");
    let source = Csv::new(folder.path().join("data.csv")).tags(["id"]).record_id(["id"]);
    p.source("rows", source.source_id("csv").cumulative(true)).unwrap();
    let text = failure(p.run(&store));
    for part in [
        "source \"csv\"",
        "column \"n\" now string, int64 before",
        "column \"u\" added",
        "column \"t\" gone",
        "read it as before by `types: { n: int64 }`",
        "a source_id of its own",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let p = csv(folder.path(), "id,n,t\n1,5,x\n", |c| c.record_id(["id", "t"]));
    let text = failure(p.run(&store));
    assert!(text.contains("record_id"), "{text}");
    assert_eq!(run_node(&csv(folder.path(), "id,n,t\n2,6,y\n", |c| c), &store, "rows").1.len(), 2);
}

#[test]
fn what_cannot_be_found_again_is_refused_when_it_is_planned() {
    let rows = || Rows::new([[("id", 1.into()), ("n", 2.into())]]);
    let mut p = Pipeline::new("wrong");
    let error = p.source("a", rows().source_id("x").cumulative(true)).unwrap_err();
    assert_eq!(error.parameter(), Some("record_id"));
    assert!(error.to_string().contains("name them, as in `record_id: [id]`"), "{error}");
    let error = p.source("b", rows().record_id(["id"]).cumulative(true)).unwrap_err();
    assert_eq!(error.parameter(), Some("source_id"));
    assert!(error.to_string().contains("no other source of the store"), "{error}");
}

#[test]
fn a_source_that_breaks_off_leaves_its_history_as_it_was() {
    for executor in [Executor::Async, Executor::Sync] {
        let (folder, store) = store();
        csv(folder.path(), "id,n\n1,5\n2,6\n", |c| c).run(&store).unwrap();
        let mut lines = String::from("id,n\n3,7\n");
        for id in 10..80_000 {
            lines += &format!("{id},1\n");
        }
        let torn = format!("{lines}9,nine\n");
        let mut p = csv(folder.path(), &torn, |c| c);
        p.settings_mut().executor = executor;
        assert!(failure(p.run(&store)).contains("data.csv:"), "the broken line is named");
        let twice = format!("{lines}3,8\n");
        let text = failure(csv(folder.path(), &twice, |c| c).run(&store));
        assert!(text.contains("\"id=3\""), "{text}");
        let (_, rows) = run_node(&csv(folder.path(), "id,n\n4,8\n", |c| c), &store, "rows");
        assert_eq!(rows.len(), 3, "{executor:?}: half of a reading was kept");
    }
}

#[test]
fn a_failure_further_down_does_not_lose_what_was_read() {
    let (folder, store) = store();
    let failing = |text: &str| {
        let mut p = csv(folder.path(), text, |c| c);
        let rows = p.node("rows").unwrap();
        let f = Function::new("fails").version("1").takes(["n"]).gives::<i64>("x");
        let f = f.call(|n: i64| if n == 13 { Err(anabranch::PacketError::new("on purpose")) } else { Ok(n) });
        p.function("fails", rows, f).unwrap();
        p
    };
    failing("id,n\n1,13\n").run(&store).unwrap_err();
    let (_, rows) = run_node(&csv(folder.path(), "id,n\n2,2\n", |c| c), &store, "rows");
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_run_of_some_rows_reads_the_source_alone_and_keeps_nothing() {
    let (folder, store) = store();
    csv(folder.path(), "id,n\n1,5\n", |c| c).run(&store).unwrap();
    let p = csv(folder.path(), "id,n\n2,6\n3,7\n", |c| c);
    let some = RunOptions { limit: Some(1), ..RunOptions::default() };
    assert_eq!(p.run_with(&store, &some).unwrap().node("rows").unwrap().rows_out, 1);
    let (_, rows) = run_node(&csv(folder.path(), "id,n\n1,5\n", |c| c), &store, "rows");
    assert_eq!(rows.len(), 1);
}

#[test]
fn runs_at_once_lose_nothing_of_each_other() {
    let (folder, first) = store();
    let path = folder.path().join("store");
    let record = |id: i64| (id, Some(id), format!("text {id}"));
    std::thread::scope(|scope| {
        for worker in 0..4_i64 {
            let path = &path;
            scope.spawn(move || {
                let store = Store::open(path).unwrap();
                for turn in 0..5 {
                    let from = worker * 1_000 + turn * 100;
                    let records: Vec<Record> = (from..from + 100).map(record).collect();
                    let (_, rows) = run_node(&pipeline(&records), &store, "records");
                    let own = expected(&records);
                    assert!(own.iter().all(|row| rows.contains(row)), "a run misses rows of its own");
                }
            });
        }
    });
    let (_, rows) = run_node(&pipeline(&[record(0)]), &first, "records");
    assert_eq!(rows.len(), 4 * 5 * 100);
}

#[test]
fn a_pipeline_file_says_cumulative_beside_the_source() {
    let (folder, store) = store();
    let yaml = "version: 1\nname: file\nnodes:\n  a:\n    csv: { path: a.csv, tags: [id], record_id: [id], source_id: a }\n    cache: cumulative\n";
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    for (text, rows) in [("id,n\n1,2\n", 1), ("id,n\n2,3\n", 2), ("id,n\n1,4\n", 2)] {
        fs::write(folder.path().join("a.csv"), text).unwrap();
        let p = Pipeline::from_yaml(folder.path().join("p.yaml")).unwrap();
        assert_eq!(p.run(&store).unwrap().node("a").unwrap().rows_out, rows);
    }
    fs::write(folder.path().join("p.yaml"), yaml.replace(", source_id: a", "")).unwrap();
    let error = Pipeline::from_yaml(folder.path().join("p.yaml")).unwrap_err().to_string();
    assert!(error.contains("source_id") && error.contains("p.yaml:"), "{error}");
}
