//! System tags and source info of every output row point at the right source rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anabranch::{
    Columns, Csv, Filter, Format, Function, Join, Map, Parquet, Pipeline, RunOptions, WriteSpec,
};
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::ipc::reader::FileReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use support::store;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/data").join(name)
}

/// Rows of a CSV file without quotes, each a map from column to text; `NA` is left out.
fn csv(name: &str) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells = header.iter().zip(line.split(',')).filter(|(_, cell)| *cell != "NA");
        cells.map(|(column, cell)| ((*column).to_owned(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

fn flights() -> RecordBatch {
    let file = File::open(data("flights.parquet")).unwrap();
    let batches: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

struct Output {
    batch: RecordBatch,
}

impl Output {
    fn text(&self, column: &str, row: usize) -> Option<String> {
        let array = self.batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
        let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).unwrap();
        array.is_valid(row).then(|| formatter.value(row).to_string())
    }

    /// The record id of a source in a row, found by the source's id whatever the suffixes are.
    fn record(&self, source: &str, row: usize) -> String {
        let schema = self.batch.schema();
        for field in schema.fields().iter().filter(|f| f.name().starts_with("_tag_source_id::")) {
            if self.text(field.name(), row).as_deref() == Some(source) {
                let record = field.name().replacen("_tag_source_id", "_tag_record_id", 1);
                return self.text(&record, row).unwrap();
            }
        }
        panic!("row {row} has no record of {source}");
    }
}

fn run(pipeline: &Pipeline, node: &str) -> Output {
    let (folder, store) = store();
    let path = folder.path().join("rows.arrow");
    let spec = WriteSpec { columns: Columns::All, ..WriteSpec::new(Format::Arrow, &path) };
    let outputs = vec![(pipeline.node(node).unwrap(), spec)];
    pipeline.run_with(&store, &RunOptions { outputs, ..RunOptions::default() }).unwrap();
    let reader = FileReader::try_new(File::open(&path).unwrap(), None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    Output { batch: concat_batches(&schema, &batches).unwrap() }
}

/// Flights with planes (which have record ids of their own) and airlines, then a filter and a function.
fn pipeline() -> Pipeline {
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
    p.function("speed", long, speed).unwrap();
    p
}

#[test]
fn every_row_of_a_join_of_three_sources_leads_back_to_its_source_rows() {
    let output = run(&pipeline(), "speed");
    let (flights, planes, airlines) = (flights(), csv("planes.csv"), csv("airlines.csv"));
    let planes: HashMap<String, &HashMap<String, String>> =
        planes.iter().map(|row| (format!("tailnum={}", row["tailnum"]), row)).collect();
    let from_flights = |column: &str, at: usize| {
        let array = flights.column_by_name(column).unwrap();
        let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).unwrap();
        array.is_valid(at).then(|| formatter.value(at).to_string())
    };
    let rows = output.batch.num_rows();
    assert!(rows > 5_000, "only {rows} rows");
    for row in 0..rows {
        let flight = output.record("flights", row);
        let at: usize = flight.strip_prefix("row_").unwrap().parse().unwrap();
        for column in ["year", "carrier", "flight", "tailnum", "dep_time", "air_time", "distance", "dest"] {
            assert_eq!(output.text(column, row), from_flights(column, at), "row {row}, {column}");
        }
        for column in ["dep_time", "distance", "dest"] {
            let token = output.text(&format!("_source_{column}"), row).unwrap();
            assert_eq!(token, format!("flights::{flight}::{column}"));
        }
        let plane = output.record("registry", row);
        let source = planes[&plane];
        for (column, original) in [("built", "year"), ("seats", "seats"), ("model", "model")] {
            assert_eq!(output.text(column, row).as_ref(), source.get(original), "row {row}, {column}");
            // A rename keeps the token's text.
            let token = output.text(&format!("_source_{column}"), row).unwrap();
            assert_eq!(token, format!("registry::{plane}::{original}"));
        }
        let airline = output.record("airlines", row);
        let at: usize = airline.strip_prefix("row_").unwrap().parse().unwrap();
        assert_eq!(output.text("carrier", row).as_ref(), airlines[at].get("carrier"));
        assert_eq!(output.text("name", row).as_ref(), airlines[at].get("name"));
        assert_eq!(output.text("_source_name", row).unwrap(), format!("airlines::{airline}::name"));
    }
}

#[test]
fn a_computed_value_names_its_function_and_its_key_and_equal_packets_name_the_same() {
    let output = run(&pipeline(), "speed");
    let tokens: &StringArray = output.batch.column_by_name("_source_mph").unwrap().as_string();
    let mut keys: HashMap<(Option<String>, Option<String>), String> = HashMap::new();
    for row in 0..output.batch.num_rows() {
        let parts: Vec<&str> = tokens.value(row).split("::").collect();
        let [name, fingerprint, key, column] = parts[..] else { panic!("{}", tokens.value(row)) };
        assert_eq!((name, column), ("speed", "mph"));
        assert_eq!((fingerprint.len(), key.len()), (12, 20));
        let packet = (output.text("distance", row), output.text("air_time", row));
        assert_eq!(keys.entry(packet).or_insert_with(|| key.to_owned()), key);
    }
    let distinct: std::collections::HashSet<&String> = keys.values().collect();
    assert_eq!(distinct.len(), keys.len(), "two packets have one key");
}

#[test]
fn system_tags_are_named_by_source_input_and_position() {
    let p = pipeline();
    let hash = |name: &str| p.pipeline_hash(p.node(name).unwrap()).unwrap();
    let mut inputs = [("flights", "flights"), ("planes", "fleet"), ("airlines", "airlines")];
    inputs.sort_by_key(|(_, input)| hash(input));
    let expected: Vec<String> = inputs
        .iter()
        .enumerate()
        .map(|(at, (source, input))| format!("{}::{}:{at}", hash(source).short(), hash(input).short()))
        .collect();
    let contract = p.contract(p.node("speed").unwrap()).unwrap();
    let stems: Vec<String> = contract.schema.system_tags().iter().map(|tag| tag.stem().to_string()).collect();
    assert_eq!(stems, expected);
}
