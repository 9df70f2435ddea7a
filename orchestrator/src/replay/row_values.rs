//! Rows as JSON values, in the form in which rows are written as JSON lines.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::holds;
use anabranch_engine::provenance::Origins;
use anabranch_nodes::sink::JsonText;
use arrow::array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema};
use arrow::error::ArrowError;
use serde_json::{Map, Value};

/// Values of one row by column.
pub type RowValues = Map<String, Value>;

/// Converts the rows of a batch.
#[must_use]
pub fn row_values(batch: &RecordBatch) -> Vec<RowValues> {
    let mut text = JsonText::new(batch.schema_ref());
    let lines = text.rows(batch).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| holds(serde_json::from_slice(line).ok(), "rows are written as JSON")).collect()
}

/// Converts the rows of some columns.
pub(crate) fn column_values(
    fields: &[FieldRef],
    columns: &[ArrayRef],
    rows: usize,
) -> Result<Vec<RowValues>, ArrowError> {
    let schema = Schema::new(
        fields.iter().map(anabranch_engine::list_alignment::without_alignment).collect::<Vec<_>>(),
    );
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(row_values(&RecordBatch::try_new_with_options(schema.into(), columns.to_vec(), &options)?))
}

/// Converts the values of an array.
pub(crate) fn array_values(array: ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let (rows, field) = (array.len(), Field::new("x", array.data_type().clone(), true));
    let rows = column_values(&[field.into()], &[array], rows)?;
    Ok(rows.into_iter().map(|mut row| row.remove("x").unwrap_or(Value::Null)).collect())
}

/// Returns source and record of each system tag for each row; lists of them for system tags in lists.
pub(crate) fn record_values(
    chunk: &Chunk,
    origins: &Origins,
) -> Result<Vec<Vec<(Value, Value)>>, ChunkError> {
    let mut rows = vec![Vec::new(); chunk.rows()];
    for column in &chunk.provenance().tags {
        let (sources, records) = origins.pairs(column)?;
        let pairs = array_values(sources)?.into_iter().zip(array_values(records)?);
        for (row, pair) in rows.iter_mut().zip(pairs) {
            row.push(pair);
        }
    }
    Ok(rows)
}
