//! Every recorded row leads back to its source rows, through all calls between, from the store alone.

#![allow(
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anabranch::{
    Batch, Call, Csv, Filter, Function, Join, Lineage, Map, Parquet, Pipeline, Rows, SourceState, Store,
    TracedRow, Which,
};
use serde_json::Value;
use support::store;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/data").join(name)
}

fn traced(store: &Store, pipeline: &str, node: &str) -> Vec<TracedRow> {
    let mut tracer = store.trace(pipeline, node, &Which::Last).unwrap();
    let rows = tracer.recording().rows;
    let found: Vec<TracedRow> = (0..rows).map(|row| tracer.row(row).unwrap().unwrap()).collect();
    assert!(tracer.row(rows).unwrap().is_none(), "a row beyond the end");
    found
}

fn from<'a>(row: &'a TracedRow, column: &str) -> &'a Lineage {
    &row.columns.iter().find(|(name, _)| name == column).unwrap().1
}

fn input<'a>(call: &'a Call, column: &str) -> &'a Lineage {
    &call.inputs.as_ref().unwrap().iter().find(|(name, _)| name == column).unwrap().1
}

fn call<'a>(row: &'a TracedRow, lineage: &Lineage) -> &'a Call {
    let Lineage::Output { call, .. } = lineage else { panic!("{lineage:?} is no output") };
    &row.calls[*call]
}

fn value(source: &str, record: &str, column: &str) -> Lineage {
    Lineage::Value { source: source.to_owned(), record: record.to_owned(), column: column.to_owned() }
}

/// Flights with planes and airlines; a function, a function of it that keeps nothing.
fn flights() -> Pipeline {
    let mut p = Pipeline::new("lineage");
    let tags = ["year", "month", "day", "carrier", "flight", "tailnum"];
    let flights = p.source("flights", Parquet::new(data("flights.parquet")).tags(tags)).unwrap();
    let planes = Csv::new(data("planes.csv")).tags(["tailnum"]).record_id(["tailnum"]).null_values(["NA"]);
    let planes = p.source("planes", planes.source_id("registry")).unwrap();
    let airlines = p.source("airlines", Csv::new(data("airlines.csv")).tags(["carrier"])).unwrap();
    let fleet = p.operator("fleet", Map::packets([("year", "built")]), [planes]).unwrap();
    let flown = p.operator("flown", Join::new(), [flights, fleet, airlines]).unwrap();
    let long = p.operator("long", Filter::predicate("air_time > 60"), [flown]).unwrap();
    let speed = Function::sql("speed", [("mph", "distance / (air_time / 60.0)")]).keep(true);
    let speed = p.function("speed", long, speed).unwrap();
    let renamed = p.operator("renamed", Map::packets([("mph", "pace")]), [speed]).unwrap();
    let score = Function::sql("score", [("score", "pace * COALESCE(seats, 0)")]);
    p.function("score", renamed, score).unwrap();
    p
}

#[test]
fn every_row_of_a_function_of_a_function_leads_to_the_source_values_that_give_it() {
    let (_folder, store) = store();
    let p = flights();
    p.run(&store).unwrap();
    let rows = traced(&store, "lineage", "score");
    assert!(rows.len() > 5_000, "only {} rows", rows.len());
    let sources = p.source_values(&rows);
    assert!(sources.iter().all(|found| found.state == SourceState::Same), "unchanged sources are the same");
    let known: HashMap<Lineage, f64> = sources
        .iter()
        .map(|found| {
            let number = found.value.as_ref().and_then(Value::as_f64).unwrap_or(0.0);
            (value(&found.source, &found.record, &found.column), number)
        })
        .collect();
    for row in &rows {
        let score = call(row, from(row, "score"));
        assert_eq!((score.function.as_str(), score.node.as_deref()), ("score", Some("score")));
        let speed = call(row, input(score, "pace"));
        assert_eq!((speed.function.as_str(), speed.node.as_deref()), ("speed", Some("speed")));
        // The source rows of the values are those of the row's own system tags.
        let flight = row.records.iter().find_map(|record| match record {
            Lineage::Record { source, record } if source == "flights" => Some(record.as_str()),
            _ => None,
        });
        let flight = flight.unwrap();
        assert_eq!(*input(speed, "distance"), value("flights", flight, "distance"));
        assert_eq!(*input(speed, "air_time"), value("flights", flight, "air_time"));
        let tail = row.tags["tailnum"].as_str().unwrap();
        assert_eq!(*input(score, "seats"), value("registry", &format!("tailnum={tail}"), "seats"));
        // And they give the very values that are recorded.
        let number = |lineage: &Lineage| known[lineage];
        let mph = number(input(speed, "distance")) / (number(input(speed, "air_time")) / 60.0);
        let close = |found: &Value, expected: f64| {
            let found = found.as_f64().unwrap();
            assert!((found - expected).abs() <= expected.abs() * 1e-12, "{found}, expected {expected}");
        };
        close(&speed.outputs["mph"], mph);
        close(&row.values["score"], mph * number(input(score, "seats")));
    }
}

#[test]
fn rows_with_equal_packets_lead_each_to_its_own_source_row() {
    let (_folder, store) = store();
    let mut p = Pipeline::new("equal");
    let rows = (0..6).map(|n| [("id", n.into()), ("pair", (n / 2).into()), ("x", 7.into())]);
    let rows = p.source("rows", Rows::new(rows).tags(["id", "pair"])).unwrap();
    let double = p.function("double", rows, Function::sql("double", [("y", "x * 2")])).unwrap();
    let left = p.operator("left", Map::packets([("y", "a")]).and_tags([("id", "one")]), [double]).unwrap();
    let right = p.operator("right", Map::packets([("y", "b")]).and_tags([("id", "two")]), [double]).unwrap();
    let both = p.operator("both", Join::new(), [left, right]).unwrap();
    p.function("sum", both, Function::sql("sum", [("s", "a - b")])).unwrap();
    p.run(&store).unwrap();
    let found = traced(&store, "equal", "sum");
    assert_eq!(found.len(), 12);
    for row in &found {
        let sum = call(row, from(row, "s"));
        for (column, tag) in [("a", "one"), ("b", "two")] {
            let double = call(row, input(sum, column));
            let expected = value("rows", &format!("row_{}", row.tags[tag]), "x");
            assert_eq!(*input(double, "x"), expected, "{column} of {:?}", row.tags);
        }
    }
}

#[test]
fn lineage_goes_into_lists_item_by_item() {
    let (_folder, store) = store();
    let mut p = Pipeline::new("lists");
    let rows = (0..7).map(|n| [("id", n.into()), ("x", (n % 2).into())]);
    let rows = p.source("rows", Rows::new(rows).tags(["id"])).unwrap();
    let double = p.function("double", rows, Function::sql("double", [("y", "x * 2")])).unwrap();
    let batched = p.operator("batched", Batch::new().size(3), [double]).unwrap();
    let keep = Function::new("count").version("1").takes(["y"]).gives::<i64>("n");
    let count = keep.call_chunk(|columns, rows| {
        let lengths = columns[0].as_any().downcast_ref::<arrow::array::ListArray>().unwrap();
        let counts: arrow::array::Int64Array =
            (0..rows).map(|row| Some(i64::from(lengths.value_length(row)))).collect();
        Ok(anabranch::ChunkOutput { columns: vec![std::sync::Arc::new(counts)], keep: None })
    });
    p.function("count", batched, count).unwrap();
    p.run(&store).unwrap();
    let found = traced(&store, "lists", "count");
    let mut next = 0;
    for row in &found {
        let Lineage::List(items) = input(call(row, from(row, "n")), "y") else { panic!("no list") };
        assert_eq!(items.len() as u64, row.values["n"].as_u64().unwrap());
        for item in items {
            assert_eq!(*input(call(row, item), "x"), value("rows", &format!("row_{next}"), "x"));
            next += 1;
        }
    }
    assert_eq!(next, 7);
}

#[test]
fn lineage_is_there_without_the_source_and_tells_what_has_changed_in_it() {
    let (folder, store) = store();
    let path = folder.path().join("rows.csv");
    let write =
        |third: &str| std::fs::write(&path, format!("id,x,z\n1,10,1\n2,20,2\n3,{third},3\n")).unwrap();
    let pipeline = || {
        let mut p = Pipeline::new("changing");
        let rows = p.source("rows", Csv::new(&path).tags(["id"]).record_id(["id"])).unwrap();
        p.function("double", rows, Function::sql("double", [("y", "x * 2")])).unwrap();
        p
    };
    write("30");
    pipeline().run(&store).unwrap();
    let rows = traced(&store, "changing", "double");
    let states = |p: &Pipeline| -> Vec<(String, SourceState)> {
        p.source_values(&rows).into_iter().map(|found| (found.record, found.state)).collect()
    };
    let each = |third: SourceState| {
        let same = |id: &str| (format!("id={id}"), SourceState::Same);
        vec![same("1"), same("2"), ("id=3".to_owned(), third)]
    };
    assert_eq!(states(&pipeline()), each(SourceState::Same));
    write("31");
    assert_eq!(states(&pipeline()), each(SourceState::MaybeChanged));
    std::fs::write(&path, "id,x,z\n1,10,1\n2,20,2\n").unwrap();
    assert_eq!(states(&pipeline()), each(SourceState::Gone));
    let p = pipeline();
    std::fs::remove_file(&path).unwrap();
    assert!(p.source_values(&rows).iter().all(|found| found.state == SourceState::Unreadable));
    // The ids come from the store alone.
    let again = traced(&store, "changing", "double");
    assert_eq!(again.len(), 3);
    assert_eq!(*input(call(&again[2], from(&again[2], "y")), "x"), value("rows", "id=3", "x"));
}

#[test]
fn an_older_run_is_traced_as_it_was_after_a_refresh() {
    let (_folder, store) = store();
    let run = |offset: i64| {
        let mut p = Pipeline::new("older");
        let rows = (0..4).map(|n| [("id", n.into()), ("x", (n + offset).into())]);
        let rows = p.source("rows", Rows::new(rows).tags(["id"])).unwrap();
        let double = p.function("double", rows, Function::sql("double", [("y", "x * 2")])).unwrap();
        p.function("more", double, Function::sql("more", [("z", "y + 1")])).unwrap();
        p.run(&store).unwrap().run_id
    };
    let first = run(0);
    run(100);
    let mut tracer = store.trace("older", "more", &Which::Run(first.clone())).unwrap();
    for number in 0..4 {
        let row = tracer.row(number).unwrap().unwrap();
        let more = call(&row, from(&row, "z"));
        let double = call(&row, input(more, "y"));
        assert_eq!(double.run.as_deref(), Some(first.as_str()));
        assert_eq!(double.outputs["y"].as_u64().unwrap(), number * 2);
    }
}
