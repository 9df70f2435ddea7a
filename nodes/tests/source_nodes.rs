//! A source as a stream: roles of columns, provenance, record ids.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::chunk::Columns;
use anabranch_engine::identity::{Digest, PipelineHash};
use anabranch_engine::provenance::Origins;
use anabranch_nodes::source::{
    Csv, PlannedSource, Reader, Rows, Scratch, Source, SourceError, SourceNode, SourceOptions, StreamColumns,
};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::FieldRef;
use serde_json::json;

const HASH: PipelineHash = PipelineHash(Digest([0xab; 32]));

fn penguins() -> Csv {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/penguins.csv");
    Csv::new(path).null_values(["NA"])
}

fn scratch(memory_bytes: usize) -> Scratch {
    Scratch { directory: std::env::temp_dir(), memory_bytes }
}

fn node(source: &dyn Source) -> Result<SourceNode, SourceError> {
    SourceNode::new(source.plan()?, source.options(), "birds", &HASH)
}

/// All rows with their provenance.
fn stream(source: &dyn Source, chunk_rows: usize) -> Result<Vec<RecordBatch>, SourceError> {
    let origins = Arc::new(Origins::default());
    let mut reader = node(source)?.start(&origins, chunk_rows, &scratch(1 << 20))?;
    let mut batches = Vec::new();
    while let Some(chunk) = reader.next()? {
        batches.push(chunk.to_batch(Columns::All, &origins).unwrap());
    }
    assert_eq!(reader.rows, batches.iter().map(|b| b.num_rows() as u64).sum::<u64>());
    Ok(batches)
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string_view();
    column.iter().map(|t| t.unwrap().to_owned()).collect()
}

#[test]
fn tags_stand_as_listed_and_packets_as_in_the_file() {
    let source = penguins().tags(["year", "species"]);
    let columns = StreamColumns::new(source.options(), source.plan().unwrap().columns()).unwrap();
    let names = |fields: &[FieldRef]| fields.iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(names(&columns.tags), ["year", "species"]);
    assert_eq!(names(&columns.packets)[..2], ["island", "bill_length_mm"]);
    let node = node(&source).unwrap();
    assert_eq!(node.schema.system_tags()[0].source_column(), "_tag_source_id::abababababab");
    assert_eq!(&*node.source_id, "birds");
}

#[test]
fn rows_carry_their_position_in_the_source_over_all_chunks() {
    let batches = stream(&penguins().tags(["species"]).source_id("antarctica"), 100).unwrap();
    assert_eq!(batches.len(), 4);
    let last = batches.last().unwrap();
    assert_eq!(texts(last, "_tag_source_id::abababababab")[0], "antarctica");
    assert_eq!(texts(last, "_tag_record_id::abababababab")[43], "row_343");
    assert_eq!(texts(last, "_source_year")[0], "antarctica::row_300::year");
}

#[test]
fn record_ids_are_made_of_columns() {
    let rows = Rows::new([[("id", json!("a,b")), ("x", json!(1.5))], [("id", json!("c")), ("x", json!(2))]])
        .record_id(["x", "id"]);
    let batches = stream(&rows, 1).unwrap();
    assert_eq!(texts(&batches[0], "_tag_record_id::abababababab"), [r"x=1.5,id=a\,b"]);
    assert_eq!(texts(&batches[1], "_source_x"), ["birds::x=2.0,id=c::x"]);
}

#[test]
fn a_repeated_record_id_is_an_error_before_the_end_is_said() {
    let error = stream(&penguins().record_id(["species", "year"]), 100).unwrap_err();
    let text = error.to_string();
    let expected = "found \"species=Adelie,year=2007\" at row 0 and at row 1 (counted from 0) with record_id \"species\", \"year\"";
    assert!(text.contains(expected), "{text}");
    let mut ids: Vec<i64> = (0..30_000).collect();
    ids[29_999] = 5;
    let column: ArrayRef = Arc::new(Int64Array::from(ids));
    let rows =
        Rows::from_batches(vec![RecordBatch::try_from_iter([("id", column)]).unwrap()]).record_id(["id"]);
    let origins = Origins::default();
    let mut reader = node(&rows).unwrap().start(&origins, 1_000, &scratch(0)).unwrap();
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end was said"),
            Err(error) => break error,
        }
    };
    assert_eq!(reader.rows, 30_000, "only the runs on disk can tell");
    assert!(matches!(error, SourceError::RepeatedRecordId { first: 5, second: 29_999, .. }), "{error}");
}

#[test]
fn options_that_name_no_column_are_refused_with_the_nearest_name() {
    let fails = |source: Csv| node(&source).unwrap_err().to_string();
    let tags = fails(penguins().tags(["specis"]));
    assert!(
        tags.starts_with("tags: found no column \"specis\"") && tags.contains("did you mean \"species\"?")
    );
    assert!(fails(penguins().record_id(["yaer"])).starts_with("record_id: found no column"));
    let types = fails(penguins().types([("mass", arrow::datatypes::DataType::Int64)]));
    assert!(types.starts_with("types: found no column \"mass\""), "{types}");
    let twice = fails(penguins().tags(["year", "year"]));
    assert!(twice.contains("two columns named \"year\""), "{twice}");
}

#[test]
fn reserved_and_repeated_names_are_refused() {
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("_id", column())]).unwrap();
    let error = node(&Rows::from_batches(vec![batch])).unwrap_err().to_string();
    assert!(
        error.contains("column \"_id\" begins with \"_\"") && error.contains("rename the column"),
        "{error}"
    );
    let batch = RecordBatch::try_from_iter([("a", column()), ("a", column())]).unwrap();
    let error = node(&Rows::from_batches(vec![batch])).unwrap_err().to_string();
    assert!(error.contains("two columns named \"a\""), "{error}");
}

#[test]
fn a_list_makes_no_record_id() {
    let rows = Rows::new([[("l", json!([1]))]]).record_id(["l"]);
    let error = node(&rows).unwrap_err().to_string();
    assert!(error.contains("column \"l\" of type list<int64>, expected columns of scalar types"), "{error}");
}

/// A user's own source that does not keep its word.
#[derive(Debug)]
struct Liar(SourceOptions);

impl Source for Liar {
    fn kind(&self) -> &'static str {
        "liar"
    }

    fn options(&self) -> &SourceOptions {
        &self.0
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        Rows::new([[("a", json!(1))]])
            .plan()
            .map(|planned| Box::new(LiarPlan(planned)) as Box<dyn PlannedSource>)
    }
}

struct LiarPlan(Box<dyn PlannedSource>);

impl PlannedSource for LiarPlan {
    fn columns(&self) -> &[FieldRef] {
        self.0.columns()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        Rows::new([[("a", json!("x"))]]).plan()?.open(chunk_rows)
    }
}

#[test]
fn a_source_that_breaks_its_word_is_an_error() {
    assert!(matches!(stream(&Liar(SourceOptions::default()), 10), Err(SourceError::Chunk(_))));
}
