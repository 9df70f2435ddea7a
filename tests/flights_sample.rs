//! The join of the sample of flights gives exactly the rows that `DuckDB` gives for it.
//!
//! `bench/flights_join.py --digest` has made the expected digest from `DuckDB`'s rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::path::{Path, PathBuf};

use anabranch::{Columns, Csv, DropColumns, Join, Map, Parquet, Pipeline};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use support::store;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/data").join(name)
}

fn pipeline() -> Pipeline {
    let mut p = Pipeline::new("sample");
    let tags = ["year", "month", "day", "hour", "origin", "carrier", "tailnum"];
    let flights = p.source("flights", Parquet::new(data("flights.parquet")).tags(tags)).unwrap();
    let planes = Csv::new(data("planes.csv")).tags(["tailnum"]).null_values(["NA"]);
    let planes = p.source("planes", planes).unwrap();
    let weather = Csv::new(data("weather.csv")).tags(["origin", "year", "month", "day", "hour"]);
    let weather = p.source("weather", weather.null_values(["NA"])).unwrap();
    let airlines = p.source("airlines", Csv::new(data("airlines.csv")).tags(["carrier"])).unwrap();
    let fleet = p.operator("fleet", Map::packets([("year", "built")]), [planes]).unwrap();
    let sky = p.operator("sky", DropColumns::new().packets(["time_hour"]), [weather]).unwrap();
    let lines = p.operator("lines", Map::packets([("name", "airline")]), [airlines]).unwrap();
    let flown = p.operator("flown", Join::new(), [flights, fleet, sky, lines]).unwrap();
    // Something that is recorded.
    let same = anabranch::Function::sql("same", [("same", "distance")]).keep(true);
    p.function("same", flown, same).unwrap();
    p
}

/// 64-bit FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn the_join_of_the_sample_equals_duckdbs() {
    let p = pipeline();
    let (_folder, store) = store();
    p.run(&store).unwrap();
    let mut replay = store.replay(&p, p.node("same").unwrap()).unwrap();
    let options = FormatOptions::new().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S"));
    let (mut total, mut rows, mut width) = (0_u64, 0, 0);
    while let Some(chunk) = replay.next() {
        let batch = chunk.unwrap().to_batch(Columns::Data, replay.origins()).unwrap();
        let schema = batch.schema();
        let mut names: Vec<&str> =
            schema.fields().iter().map(|f| f.name().as_str()).filter(|n| *n != "same").collect();
        names.sort_unstable();
        width = names.len();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = names
                .iter()
                .map(|name| {
                    let column = batch.column_by_name(name).unwrap();
                    match column.data_type() {
                        _ if column.is_null(row) => String::new(),
                        DataType::Float64 => {
                            format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits())
                        }
                        _ => {
                            ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string()
                        }
                    }
                })
                .collect();
            total = total.wrapping_add(hash(&cells.join("|")));
        }
        rows += batch.num_rows();
    }
    let expected = include_str!("fixtures/flights_join.txt");
    assert_eq!(format!("{rows} rows, {width} columns, digest {total:016x}\n"), expected);
}
