//! Columns as other programs read them: plain strings and binaries instead of views.
//!
//! A writer of Parquet takes views for them as they are, which saves a copy.

use std::sync::Arc;

use anabranch_engine::types::{EXTENSION_NAME, convert};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::Format;
use crate::metadata::{is_reserved, without_reserved};

/// Metadata key of an extension's own description.
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
/// Bytes of a value of the extension `arrow.uuid`.
const UUID_BYTES: i32 = 16;

/// Treatment of views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Views {
    Plain,
    Kept,
}

/// The schema that a file gets: nothing in it is the engine's own.
pub(super) fn plain_schema(schema: &Schema, format: Format) -> SchemaRef {
    schema_of(schema, format, Views::Plain)
}

/// The schema of the rows that a file's writer is handed.
pub(super) fn handed_schema(schema: &Schema, format: Format) -> SchemaRef {
    schema_of(schema, format, if format == Format::Parquet { Views::Kept } else { Views::Plain })
}

fn schema_of(schema: &Schema, format: Format, views: Views) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let field = without_reserved(field);
        match (extension(&field), field.data_type()) {
            (Some("arrow.uuid"), DataType::BinaryView) => {
                Arc::new(Field::clone(&field).with_data_type(DataType::FixedSizeBinary(UUID_BYTES)))
            }
            _ => plain_field(&field, format, views),
        }
    });
    let mut metadata = schema.metadata().clone();
    metadata.retain(|name, _| !is_reserved(name));
    Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), metadata))
}

/// The field as other programs expect it. Who knows an extension refuses it on another storage, so
/// that one whose sizes are not known any more is written as its storage.
fn plain_field(field: &FieldRef, format: Format, views: Views) -> FieldRef {
    let plain = Field::clone(field).with_data_type(plain_type(field.data_type(), format, views));
    if !matches!(extension(field), Some("arrow.uuid" | "arrow.fixed_shape_tensor")) {
        return Arc::new(plain);
    }
    let mut metadata = plain.metadata().clone();
    metadata.remove(EXTENSION_NAME);
    metadata.remove(EXTENSION_METADATA);
    Arc::new(plain.with_metadata(metadata))
}

fn extension(field: &Field) -> Option<&str> {
    field.metadata().get(EXTENSION_NAME).map(String::as_str)
}

fn plain_type(data_type: &DataType, format: Format, views: Views) -> DataType {
    use DataType as D;
    match data_type {
        D::Utf8View if views == Views::Plain => D::Utf8,
        D::BinaryView if views == Views::Plain => D::Binary,
        // Parquet has no timestamps of seconds; other readers would see a bare number.
        D::Timestamp(TimeUnit::Second, zone) if format == Format::Parquet => {
            D::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        D::List(item) => D::List(plain_field(item, format, views)),
        D::Struct(fields) => D::Struct(fields.iter().map(|f| plain_field(f, format, views)).collect()),
        D::Map(entries, sorted) => D::Map(plain_field(entries, format, views), *sorted),
        other => other.clone(),
    }
}

/// The batch in another schema of its columns.
pub(super) fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match field.data_type() {
            // There is no direct way from a view.
            sized @ DataType::FixedSizeBinary(_) => convert(&convert(column, &DataType::Binary)?, sized),
            plain => convert(column, plain),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
