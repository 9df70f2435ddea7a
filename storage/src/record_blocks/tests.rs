//! Reading of blocks that are not as they were written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::list_alignment::{ListAlignment, with_alignment};
use anabranch_engine::provenance::{
    Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds, StringTable,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::store::{InputLineage, StoreFault};
use arrow::array::{
    Array as _, ArrayRef, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::block::{DESCRIPTION, decode};
use crate::record_blocks::cut::BlockRows;
use crate::record_blocks::origins::{LocalOrigins, StoredOrigins};

/// A block of three rows with lists of 2, 0 and 1 items, whose origins have strings.
struct Written {
    data: Vec<u8>,
    origins: String,
}

fn written() -> Written {
    let mut local = LocalOrigins::default();
    let data = write(&[2, 0, 1], &Positions::places(vec![7, 3, 5]), &mut local).unwrap();
    Written { data, origins: local.to_json() }
}

/// The block of three rows with such lists in a tag pair and in a packet column.
fn write(lengths: &[usize; 3], places: &Positions, local: &mut LocalOrigins) -> Result<Vec<u8>, StoreFault> {
    let origins = Origins::default();
    let strings = StringTable::new(&std::env::temp_dir(), 1 << 20);
    (0..10).for_each(|n| strings.push(format!("tail={n}")).unwrap());
    let records = RecordIds::Strings(Arc::new(strings));
    let tag = origins.add(Origin::Source { source: "planes".into(), records: records.clone() });
    let column = origins.add(Origin::Column { source: "planes".into(), records, column: "x".into() });
    let alignment = ListAlignment::parse("-,");
    let field: FieldRef = Arc::new(Field::new("x", DataType::Int64, true));
    let schema = StreamSchema::new(
        vec![],
        vec![with_alignment(&field, &ListAlignment::default(), &alignment)],
        vec![SystemTag::of_source("aa").with_alignment(alignment)],
    );
    let offsets = OffsetBuffer::from_lengths(*lengths);
    let lists = |id| ProvenanceColumn::constant(id, places.clone()).into_lists(offsets.clone());
    let provenance = Provenance { tags: vec![lists(tag)], sources: vec![lists(column)] };
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let chunk = Chunk::new(Arc::new(schema.unwrap()), 3, vec![], vec![values], provenance).unwrap();
    let kept = KeptColumns { packets: vec![true], references: false };
    encode(&BlockRows { chunk, references: vec![], taken: InputLineage::default() }, &kept, &origins, local)
}

impl Written {
    /// Reads a block and writes all its strings; the error describes the damage.
    fn read(&self, data: Vec<u8>) -> Result<Vec<ArrayRef>, String> {
        let hash = *blake3::hash(&data).as_bytes();
        let block = RecordBlock::read(data, &hash)?;
        let origins = Origins::default();
        let stored = StoredOrigins::read(&self.origins, &origins, &std::env::temp_dir()).unwrap();
        let columns = block.provenance(&stored).map_err(|fault| match fault {
            ReadFault::Damaged(found) => found,
            ReadFault::Disk(cause) => cause.to_string(),
        })?;
        let rows = block.rows();
        assert!(columns.iter().all(|column| column.slice(rows / 2, rows).rows() == rows - rows / 2));
        columns.iter().map(|column| origins.tokens(column).map_err(|e| e.to_string())).collect()
    }

    fn described(&self, description: &str) -> Result<Vec<ArrayRef>, String> {
        let batch = decode(self.data.clone()).unwrap();
        let schema = Schema::new(batch.schema().fields().clone())
            .with_metadata([(DESCRIPTION.to_owned(), description.to_owned())]);
        self.read(bytes(&RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap()))
    }
}

fn bytes(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn description() -> Value {
    let column = |origin: u32| json!({"lists": 0, "items": {"origin": origin, "positions": 0, "texts": 0}});
    json!({"columns": [column(0), column(1)], "lists": [{"positions": ["places"]}], "positions": []})
}

#[test]
fn lists_are_written_once_for_all_columns_that_share_them() {
    let written = written();
    let batch = decode(written.data.clone()).unwrap();
    let found: Value = serde_json::from_str(&batch.schema().metadata()[DESCRIPTION]).unwrap();
    assert_eq!(found, description());
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["x", "_lists_0"]);
    let tokens = written.described(&description().to_string()).unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens, written.read(written.data.clone()).unwrap());
}

#[test]
fn a_description_that_does_not_go_with_the_columns_says_what_is_missing() {
    let written = written();
    let range = |start: u64, items: u64| {
        json!({"positions": [], "lists": [{"positions": [{"range": start}]}],
               "columns": [{"lists": 0, "items": {"origin": items, "positions": 0}}]})
    };
    let deep =
        |depth: usize| format!("{}{{}}{}", "{\"positions\":[],\"lists\":[".repeat(depth), "]}".repeat(depth));
    let cases = [
        (json!([]).to_string(), "it has no positions"),
        (json!({"positions": 7}).to_string(), "its positions are no list"),
        (json!({"positions": []}).to_string(), "it has no columns"),
        (json!({"positions": [], "columns": [], "lists": {}}).to_string(), "its lists are no list"),
        (json!({"positions": [], "columns": [], "lists": [7]}).to_string(), "it has no positions"),
        (json!({"positions": [], "columns": [{}]}).to_string(), "a column has no origin"),
        (json!({"positions": [], "columns": [{"lists": 0}]}).to_string(), "a column has no lists"),
        (range(u64::MAX - 2, 0).to_string(), "a range of positions has no end"),
        (range(0, 9).to_string(), "an origin is not in the recording's table"),
        (deep(2), "it has no _lists_0"),
        (deep(100_000), "recursion limit exceeded"),
    ];
    for (description, expected) in cases {
        let found = written.described(&description).unwrap_err();
        assert!(found.contains(expected), "{found}, expected {expected}");
    }
    // What is described well is read, though no record id was kept for its places.
    let found = written.described(&range(7, 0).to_string()).unwrap_err();
    assert!(found.contains("no record id of this place"), "{found}");
}

#[test]
fn lengths_that_do_not_go_with_the_items_are_damage() {
    let written = written();
    let offsets = |offsets: [i32; 4]| offsets.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let right = offsets([0, 2, 2, 3]);
    let at = written.data.windows(16).position(|bytes| bytes == right).unwrap();
    let with = |wrong: [i32; 4]| {
        let mut data = written.data.clone();
        data[at..at + 16].copy_from_slice(&offsets(wrong));
        written.read(data)
    };
    assert!(with([0, 2, 2, 3]).is_ok());
    for wrong in [[0, 2, 1, 3], [0, 2, 2, 4], [0, 9, 2, 3], [-1, 0, 2, 3], [0, 2, 2, i32::MAX], [0, -2, 2, 3]]
    {
        assert!(with(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn more_rows_or_items_than_a_block_has_are_damage() {
    let structs = |length: usize| {
        let items = StructArray::new_empty_fields(length, None);
        let item = Arc::new(Field::new("item", DataType::Struct(Fields::empty()), true));
        let offsets = OffsetBuffer::from_lengths([length, 0, 0]);
        ListArray::new(item, offsets, Arc::new(items), None)
    };
    let written = written();
    let described = json!({"positions": [], "lists": [{"positions": [{"range": 0}]}], "columns": []});
    let metadata = [(DESCRIPTION.to_owned(), described.to_string())];
    for (items, fits) in [(MOST_ITEMS, true), (MOST_ITEMS + 1, false)] {
        let lists: ArrayRef = Arc::new(structs(items));
        let field = Field::new("_lists_0", lists.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]).with_metadata(metadata.clone()));
        let found = written.read(bytes(&RecordBatch::try_new(schema, vec![lists]).unwrap()));
        assert_eq!(found.err(), (!fits).then(|| "it has too many items in lists".to_owned()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1 << 40));
    let schema = Arc::new(Schema::empty().with_metadata(metadata));
    let batch = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    assert!(written.read(bytes(&batch)).unwrap_err().contains("expected at most 8192"));
}

#[test]
fn lists_that_no_block_can_have_are_refused_before_they_are_written() {
    let refused = |lengths, items| {
        let places = Positions::range(0, items);
        write(lengths, &places, &mut LocalOrigins::default()).unwrap_err().to_string()
    };
    let found = refused(&[MOST_ITEMS, 0, 1], MOST_ITEMS + 1);
    assert!(
        found.contains("67108865 items, expected at most 67108864; batch fewer rows into one"),
        "{found}"
    );
    let found = refused(&[2, 0, 2], 3);
    assert!(found.contains("found lists of provenance that lack items"), "{found}");
}

/// Any JSON out of the words that descriptions are made of.
fn any_description() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("places")),
        Just(json!("keys")),
        Just(json!("each")),
        (0..3_u64).prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!({ "range": n })),
        (0..3_u64, 0..2_u64, 0..2_u64).prop_map(
            |(origin, group, strings)| json!({"origin": origin, "positions": group, "texts": strings})
        ),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let key = prop_oneof![
            Just("positions"),
            Just("columns"),
            Just("lists"),
            Just("items"),
            Just("origin"),
            Just("texts"),
            Just("range")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_description_makes_reading_panic(parts in proptest::collection::vec(any_description(), 4)) {
        let written = written();
        let mut whole = description();
        for (key, part) in ["positions", "columns", "lists"].iter().zip(&parts) {
            let mut one = description();
            one[*key] = part.clone();
            let _ = written.described(&one.to_string());
            whole[*key] = part.clone();
        }
        let _ = written.described(&whole.to_string());
        let mut inner = description();
        inner["columns"][0]["items"] = parts[3].clone();
        inner["lists"][0]["positions"] = json!([parts[0]]);
        let _ = written.described(&inner.to_string());
    }

    #[test]
    fn no_changed_byte_makes_reading_panic(at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let written = written();
        let mut data = written.data.clone();
        let at = at.index(data.len());
        data[at] ^= bits;
        let _ = written.read(data);
    }
}
