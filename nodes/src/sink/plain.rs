//! Columns as other programs read them: plain strings and binaries instead of views.

use std::sync::Arc;

use anabranch_engine::types::convert;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::Format;

/// The schema that a file gets.
pub(super) fn plain_schema(schema: &Schema, format: Format) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(|f| plain_field(f, format)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn plain_field(field: &FieldRef, format: Format) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(plain_type(field.data_type(), format)))
}

fn plain_type(data_type: &DataType, format: Format) -> DataType {
    use DataType as D;
    match data_type {
        D::Utf8View => D::Utf8,
        D::BinaryView => D::Binary,
        // Parquet has no timestamps of seconds; other readers would see a bare number.
        D::Timestamp(TimeUnit::Second, zone) if format == Format::Parquet => {
            D::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        D::List(item) => D::List(plain_field(item, format)),
        D::Struct(fields) => D::Struct(fields.iter().map(|f| plain_field(f, format)).collect()),
        D::Map(entries, sorted) => D::Map(plain_field(entries, format), *sorted),
        other => other.clone(),
    }
}

/// The batch in its file's schema.
pub(super) fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> =
        columns.map(|(column, field)| convert(column, field.data_type())).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
