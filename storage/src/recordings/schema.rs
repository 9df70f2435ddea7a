//! Stream schemas as Arrow IPC schemas.
//!
//! Fields are the tags, then the packet columns, with their metadata. The schema's own metadata
//! says how many are tags and names the system tags.

use std::sync::Arc;

use anabranch_engine::schema::{StreamSchema, SystemTag};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

const TAGS: &str = "anabranch:tags";
const SYSTEM_TAGS: &str = "anabranch:system_tags";

/// The bytes of a schema: an IPC stream without batches.
pub(crate) fn encode(schema: &StreamSchema) -> Result<Vec<u8>, ArrowError> {
    let stems: Vec<&str> = schema.system_tags().iter().map(SystemTag::stem).collect();
    let metadata = [
        (TAGS.to_owned(), schema.tags().len().to_string()),
        (SYSTEM_TAGS.to_owned(), serde_json::Value::from(stems).to_string()),
    ];
    let fields: Vec<FieldRef> = schema.columns().cloned().collect();
    let schema = Schema::new(fields).with_metadata(metadata);
    StreamWriter::try_new(Vec::new(), &schema)?.into_inner()
}

/// Reads a schema back; the error says what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Arc<StreamSchema>, String> {
    let reader = StreamReader::try_new(bytes, None).map_err(|e| e.to_string())?;
    let schema = reader.schema();
    let value = |key: &str| schema.metadata().get(key).cloned().ok_or(format!("its schema has no {key}"));
    let tags: usize = value(TAGS)?.parse().map_err(|_| "its number of tags is no number".to_owned())?;
    let stems: Vec<String> = serde_json::from_str(&value(SYSTEM_TAGS)?).map_err(|e| e.to_string())?;
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let (tags, packets) = fields.split_at_checked(tags).ok_or("its schema has fewer columns than tags")?;
    let system_tags = stems.iter().map(|stem| SystemTag::from_stem(stem)).collect();
    let schema =
        StreamSchema::new(tags.to_vec(), packets.to_vec(), system_tags).map_err(|e| e.to_string())?;
    Ok(Arc::new(schema))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn damage_is_an_error() {
        let empty = encode(&StreamSchema::new(vec![], vec![], vec![]).unwrap()).unwrap();
        assert!(decode(&empty[..empty.len() / 2]).is_err());
        assert!(decode(&[]).is_err());
    }
}
