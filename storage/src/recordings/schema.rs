//! Stream schemas as Arrow IPC schemas.
//!
//! Fields are the tags, then the packet columns, with their metadata. The schema's own metadata
//! gives the number of tags, names the system tags, and has their levels of lists where there are any.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_engine::list_alignment::ListAlignment;
use anabranch_engine::schema::{StreamSchema, SystemTag};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::block::guarded;

const TAGS: &str = "anabranch:tags";
const SYSTEM_TAGS: &str = "anabranch:system_tags";
const SYSTEM_TAG_LISTS: &str = "anabranch:system_tag_lists";

/// Greatest depth of provenance in lists. Each level is two fields within each other in a block's own
/// schema, whose depth a reader of Arrow IPC bounds.
const MOST_DEPTH: usize = 12;

/// The bytes of a schema: an IPC stream without batches.
pub(crate) fn encode(schema: &StreamSchema) -> Result<Vec<u8>, ArrowError> {
    let stems: Vec<String> = schema.system_tags().iter().map(|tag| tag.stem().to_string()).collect();
    let mut metadata = BTreeMap::from([
        (TAGS.to_owned(), schema.tags().len().to_string()),
        (SYSTEM_TAGS.to_owned(), serde_json::Value::from(stems).to_string()),
    ]);
    if schema.system_tags().iter().any(|tag| tag.alignment().depth() > 0) {
        let lists: Vec<String> = schema.system_tags().iter().map(|tag| tag.alignment().to_string()).collect();
        metadata.insert(SYSTEM_TAG_LISTS.to_owned(), serde_json::Value::from(lists).to_string());
    }
    let fields: Vec<FieldRef> = schema.columns().cloned().collect();
    let schema = Schema::new(fields).with_metadata(metadata);
    StreamWriter::try_new(Vec::new(), &schema)?.into_inner()
}

/// Reads a schema back; the error describes the damage.
pub(crate) fn decode(bytes: &[u8]) -> Result<Arc<StreamSchema>, String> {
    let schema = guarded(|| StreamReader::try_new(bytes, None).map(|reader| reader.schema()));
    let schema = schema.map_err(|e| e.to_string())?;
    let value = |key: &str| schema.metadata().get(key).cloned().ok_or(format!("its schema has no {key}"));
    let tags: usize = value(TAGS)?.parse().map_err(|_| "its number of tags is no number".to_owned())?;
    let stems: Vec<String> = serde_json::from_str(&value(SYSTEM_TAGS)?).map_err(|e| e.to_string())?;
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let (tags, packets) = fields.split_at_checked(tags).ok_or("its schema has fewer columns than tags")?;
    let mut system_tags: Vec<SystemTag> = stems.iter().map(|stem| SystemTag::from_stem(stem)).collect();
    if let Some(lists) = schema.metadata().get(SYSTEM_TAG_LISTS) {
        let lists: Vec<String> = serde_json::from_str(lists).map_err(|e| e.to_string())?;
        if lists.len() != system_tags.len() {
            return Err(format!("its schema has lists of {} system tags, not of all", lists.len()));
        }
        let levels = lists.iter().map(|levels| ListAlignment::parse(levels));
        system_tags =
            system_tags.iter().zip(levels).map(|(tag, levels)| tag.with_alignment(levels)).collect();
    }
    let schema =
        StreamSchema::new(tags.to_vec(), packets.to_vec(), system_tags).map_err(|e| e.to_string())?;
    check_depth(&schema)?;
    Ok(Arc::new(schema))
}

/// Checks that a block can have the provenance of such rows; the error gives the depth that was found.
pub(crate) fn check_depth(schema: &StreamSchema) -> Result<(), String> {
    let pairs = schema.system_tags().iter().map(|tag| tag.alignment().depth());
    match pairs.chain(schema.source_depths().iter().copied()).max() {
        Some(depth) if depth > MOST_DEPTH => {
            Err(format!("found provenance in {depth} levels of lists, expected at most {MOST_DEPTH}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::list_alignment::with_alignment;
    use anabranch_engine::types::EXTENSION_NAME;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn roles_stems_nullability_and_extension_names_come_back() {
        let point =
            Field::new("point", DataType::BinaryView, true).with_metadata([(EXTENSION_NAME, "geo.point")]);
        let nested = DataType::List(Arc::new(point.clone().with_name("item")));
        let schema = StreamSchema::new(
            vec![Arc::new(Field::new("k", DataType::Int64, false))],
            vec![Arc::new(point), Arc::new(Field::new("many", nested, true))],
            vec![SystemTag::of_source("0123456789ab").suffixed("ba9876543210", 1)],
        )
        .unwrap();
        assert_eq!(*decode(&encode(&schema).unwrap()).unwrap(), schema);
        let empty = StreamSchema::new(vec![], vec![], vec![]).unwrap();
        assert_eq!(*decode(&encode(&empty).unwrap()).unwrap(), empty);
    }

    #[test]
    fn levels_of_lists_come_back_and_are_written_only_where_there_are_any() {
        let levels = |text: &str| ListAlignment::parse(text);
        let plain: FieldRef = Arc::new(Field::new("x", DataType::Int64, true));
        let listed = with_alignment(&plain, &levels("-,"), &levels("00000000000000ab,-,"));
        let tags = [SystemTag::of_source("aa"), SystemTag::of_source("bb").with_alignment(levels("-,0f,"))];
        let schema = StreamSchema::new(vec![], vec![listed], tags.to_vec()).unwrap();
        let found = decode(&encode(&schema).unwrap()).unwrap();
        assert_eq!(*found, schema);
        assert_eq!(found.system_tags()[1].alignment().depth(), 2);
        assert_eq!(found.source_depths(), [2]);
        let flat = StreamSchema::new(vec![], vec![plain], vec![SystemTag::of_source("aa")]).unwrap();
        let bytes = encode(&flat).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(SYSTEM_TAGS) && !text.contains(SYSTEM_TAG_LISTS));
    }

    #[test]
    fn damage_is_an_error() {
        let empty = encode(&StreamSchema::new(vec![], vec![], vec![]).unwrap()).unwrap();
        assert!(decode(&empty[..empty.len() / 2]).is_err());
        assert!(decode(&[]).is_err());
    }

    #[test]
    fn lists_of_other_tags_and_lists_deeper_than_any_block_are_an_error() {
        let pair = |depth: usize| {
            SystemTag::of_source("aa").with_alignment(ListAlignment::parse(&"-,".repeat(depth)))
        };
        let packet = |depth: usize| {
            let plain = Arc::new(Field::new("x", DataType::Int64, true));
            with_alignment(&plain, &ListAlignment::default(), &ListAlignment::parse(&"-,".repeat(depth)))
        };
        for (deep, packets) in [(12, 12), (13, 0), (0, 13), (1_000_000, 0), (0, 1_000_000)] {
            let schema = StreamSchema::new(vec![], vec![packet(packets)], vec![pair(deep)]).unwrap();
            let found = decode(&encode(&schema).unwrap());
            assert_eq!(found.is_ok(), deep.max(packets) <= MOST_DEPTH, "{deep} {packets}");
            let error = found.err().unwrap_or_default();
            assert!(error.is_empty() || error.ends_with("levels of lists, expected at most 12"), "{error}");
        }
        let metadata = [(TAGS, "0"), (SYSTEM_TAGS, "[\"aa\"]"), (SYSTEM_TAG_LISTS, "[]")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let schema = Schema::empty().with_metadata(metadata);
        let bytes = StreamWriter::try_new(Vec::new(), &schema).unwrap().into_inner().unwrap();
        assert!(decode(&bytes).unwrap_err().contains("lists of 0 system tags, not of all"));
    }
}
