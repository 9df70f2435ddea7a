//! Selection of the recorded rows and columns that a command prints.

use anabranch::{Chunk, Columns};
use anabranch_engine::index::fitting;
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_expression::{Expression, ExpressionError};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, FieldRef};

use super::Failure;

/// Selection of rows and columns.
pub(super) struct Selection {
    condition: Option<Expression>,
    pub(super) columns: Columns,
}

impl Selection {
    /// Selects the rows of these columns for which a condition is true.
    pub(super) fn new(
        condition: Option<&str>,
        columns: Columns,
        schema: &StreamSchema,
    ) -> Result<Self, Failure> {
        let fields: Vec<FieldRef> = schema.columns().cloned().collect();
        let compile = |sql: &str| {
            let wrong = |text: String| Failure::Call(format!("--where: {text}"));
            let expression = Expression::compile(sql, &fields).map_err(|e| wrong(e.to_string()))?;
            match expression.data_type() {
                DataType::Boolean => Ok(expression),
                other => Err(wrong(format!(
                    "found an expression of {other}, expected one of bool; write a comparison"
                ))),
            }
        };
        let condition = condition.map(compile).transpose()?;
        Ok(Self { condition, columns })
    }

    /// Returns true if all rows are selected.
    pub(super) fn is_whole(&self) -> bool {
        self.condition.is_none()
    }

    /// Returns the selected rows of a chunk.
    ///
    /// Errors: those of the condition, with the source rows of the row at fault.
    pub(super) fn rows(&self, chunk: &Chunk, origins: &Origins) -> Result<Vec<u32>, Failure> {
        let all = 0..fitting(chunk.rows(), "number of rows");
        let Some(condition) = &self.condition else { return Ok(all.collect()) };
        let columns: Vec<ArrayRef> = chunk.tags().iter().chain(chunk.packets()).cloned().collect();
        let failed = |error: ExpressionError| {
            let row = error.row().map(|row| origins.describe(chunk.provenance(), row));
            Failure::Failed(format!("--where, {}: {error}", row.unwrap_or_default()).into())
        };
        let mask = condition.evaluate(&columns, chunk.rows()).map_err(failed)?;
        let mask = mask.as_boolean();
        Ok(all.filter(|row| mask.is_valid(*row as usize) && mask.value(*row as usize)).collect())
    }

    /// Returns the selected columns of a chunk.
    pub(super) fn select(&self, chunk: Chunk, origins: &Origins) -> Result<RecordBatch, Failure> {
        let failed = |e: anabranch_engine::chunk::ChunkError| Failure::Failed(e.into());
        let chunk =
            if self.is_whole() { chunk } else { chunk.take(&self.rows(&chunk, origins)?).map_err(failed)? };
        chunk.to_batch(self.columns, origins).map_err(failed)
    }
}
