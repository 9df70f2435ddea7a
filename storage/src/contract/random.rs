//! Random changes and queries, against rows in a vector.

use proptest::prelude::*;

use super::{TestPlace, numbers};
use crate::catalog::WriterOptions;
use crate::catalog::query::{Filter, Query};
use crate::catalog::tables::RUNS;

/// A row: number, run, pipeline, time.
type ModelRow = (i64, String, String, i64);

#[derive(Debug, Clone)]
enum Change {
    Add(u8, u8),
    Retime(u8, i64),
    Remove(u8),
    RemoveSpan(i64, i64),
    /// Ends the transaction: committed, or undone.
    End(bool),
    Part(bool),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0_u8..40, 0_u8..3).prop_map(|(run, pipeline)| Change::Add(run, pipeline)),
        2 => (0_u8..3, 0_i64..9).prop_map(|(pipeline, time)| Change::Retime(pipeline, time)),
        1 => (0_u8..40).prop_map(Change::Remove),
        1 => (0_i64..30, 0_i64..30).prop_map(|(first, last)| Change::RemoveSpan(first, last)),
        2 => any::<bool>().prop_map(Change::End),
        2 => any::<bool>().prop_map(Change::Part),
    ]
}

#[derive(Debug, Clone, Default)]
struct Model {
    rows: Vec<ModelRow>,
    last: i64,
}

impl Model {
    fn add(&mut self, run: &str, pipeline: &str) -> bool {
        if self.rows.iter().any(|row| row.1 == run) {
            return false;
        }
        self.last += 1;
        self.rows.push((self.last, run.to_owned(), pipeline.to_owned(), 0));
        true
    }
}

fn agree(rows: &dyn crate::catalog::Rows, model: &Model) {
    let ids = || Query::of(&RUNS, &["id"]);
    let wanted = |keep: &dyn Fn(&ModelRow) -> bool| -> Vec<i64> {
        model.rows.iter().filter(|row| keep(row)).map(|row| row.0).collect()
    };
    assert_eq!(numbers(rows, &ids().ascending("id")), wanted(&|_| true));
    for pipeline in ["p0", "p1", "p2"] {
        let of_it = ids().equal("pipeline", pipeline);
        assert_eq!(numbers(rows, &of_it.clone().ascending("id")), wanted(&|row| row.2 == pipeline));
        let mut last = wanted(&|row| row.2 == pipeline && (3..=20).contains(&row.0));
        last.reverse();
        last.truncate(2);
        assert_eq!(numbers(rows, &of_it.between("id", 3, 20).descending("id").first(2)), last);
    }
    for time in 0..9_i64 {
        let mut found = numbers(rows, &ids().equal("started_ms", time));
        found.sort_unstable();
        assert_eq!(found, wanted(&|row| row.3 == time));
    }
}

fn follows_the_model(place: &TestPlace, changes: &[Change]) {
    let mut writer = place.catalog().writer(&WriterOptions::default()).unwrap();
    let (mut committed, mut rest) = (Model::default(), changes);
    while !rest.is_empty() {
        let mut model = committed.clone();
        let transaction = writer.begin().unwrap();
        let mut commits = true;
        let mut parts: Vec<Model> = Vec::new();
        while let [change, later @ ..] = rest {
            rest = later;
            match change {
                Change::Add(run, pipeline) => {
                    let (run, pipeline) = (format!("r{run}"), format!("p{pipeline}"));
                    let row = [
                        ("run", (&run).into()),
                        ("pipeline", (&pipeline).into()),
                        ("pipeline_hash", "".into()),
                        ("started_ms", 0_i64.into()),
                    ];
                    let added = transaction.insert(&RUNS, &row);
                    assert_eq!(added.is_ok(), model.add(&run, &pipeline));
                }
                Change::Retime(pipeline, time) => {
                    let pipeline = format!("p{pipeline}");
                    let rows = model.rows.iter_mut().filter(|row| row.2 == pipeline);
                    let expected = rows.map(|row| row.3 = *time).count() as u64;
                    let of = Filter::of("pipeline", &pipeline);
                    let updated = transaction.update(&RUNS, &of, &[("started_ms", (*time).into())]);
                    assert_eq!(updated.unwrap(), expected);
                }
                Change::Remove(run) => {
                    let run = format!("r{run}");
                    model.rows.retain(|row| row.1 != run);
                    transaction.delete(&RUNS, &Filter::of("run", &run)).unwrap();
                }
                Change::RemoveSpan(first, last) => {
                    model.rows.retain(|row| row.0 < *first || row.0 > *last);
                    transaction.delete(&RUNS, &Filter::all().between("id", *first, *last)).unwrap();
                }
                Change::Part(true) => {
                    transaction.begin_part().unwrap();
                    parts.push(model.clone());
                }
                Change::Part(false) => {
                    if let Some(before) = parts.pop() {
                        transaction.undo_part().unwrap();
                        model = before;
                    }
                }
                Change::End(commit) => {
                    commits = *commit;
                    break;
                }
            }
            agree(&*transaction, &model);
        }
        if commits {
            transaction.commit().unwrap();
            committed = model;
        } else {
            drop(transaction);
        }
        place.read(|rows| agree(rows, &committed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_folder_follows_the_model(changes in proptest::collection::vec(change(), 1..40)) {
        follows_the_model(&TestPlace::folder(), &changes);
    }

    #[test]
    fn memory_follows_the_model(changes in proptest::collection::vec(change(), 1..40)) {
        follows_the_model(&TestPlace::memory(), &changes);
    }
}
