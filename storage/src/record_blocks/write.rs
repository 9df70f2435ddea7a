//! Writing blocks of records.

use std::sync::Arc;

use anabranch_engine::provenance::Origins;
use anabranch_engine::store::StoreFault;
use arrow::array::{ArrayRef, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use serde_json::Value;

use super::KeptColumns;
use super::frame::{BlockContext, FrameWriter};
use super::references::spans;
use crate::block::Columns;
use crate::error::arrow;
use crate::record_blocks::cut::BlockRows;
use crate::record_blocks::origins::LocalOrigins;
use crate::results::result_ref::ResultRef;

/// The bytes of a block.
pub(crate) fn encode(
    rows: &BlockRows,
    kept: &KeptColumns,
    origins: &Origins,
    local: &mut LocalOrigins,
) -> Result<Vec<u8>, StoreFault> {
    let chunk = &rows.chunk;
    let spans = if kept.references { spans(&rows.references) } else { None };
    let each = kept.references && spans.is_none();
    let columns = data(rows, kept, each).map_err(arrow)?;
    let mut block = BlockContext { origins, local, items: 0 };
    let mut frame = FrameWriter::new(chunk.rows(), columns);
    let provenance = chunk.provenance();
    let sources = provenance.sources.iter().zip(&kept.packets).filter(|(_, kept)| **kept);
    let provenance =
        provenance.tags.iter().chain(sources.map(|(source, _)| source)).chain(&rows.taken.sources);
    let described = provenance.enumerate().map(|(number, column)| frame.add(number, column, &mut block));
    let described = described.collect::<Result<Vec<Value>, StoreFault>>()?;
    let (columns, mut description) = frame.finish().map_err(arrow)?;
    if !rows.taken.names.is_empty() {
        description.insert("taken".to_owned(), Value::from(rows.taken.names.to_vec()));
    }
    description.insert("columns".to_owned(), Value::Array(described));
    description.extend(spans.map(|spans| ("references".to_owned(), spans)));
    columns.encode(chunk.rows(), Some(Value::Object(description).to_string())).map_err(arrow)
}

/// Tags, kept packet columns and, where they are written for each row, references.
fn data(rows: &BlockRows, kept: &KeptColumns, references: bool) -> Result<Columns, ArrowError> {
    let chunk = &rows.chunk;
    let mut columns = Columns::default();
    for (field, tag) in chunk.schema().tags().iter().zip(chunk.tags()) {
        columns.push(field.name(), tag)?;
    }
    let packets = chunk.schema().packets().iter().zip(chunk.packets()).zip(&kept.packets);
    for ((field, packet), _) in packets.filter(|(_, kept)| **kept) {
        columns.push(field.name(), packet)?;
    }
    if references {
        let blocks: UInt64Array = rows.references.iter().map(|reference| reference.block).collect();
        let places: UInt32Array = rows.references.iter().map(|reference: &ResultRef| reference.row).collect();
        columns.push("_result_block", &(Arc::new(blocks) as ArrayRef))?;
        columns.push("_result_row", &(Arc::new(places) as ArrayRef))?;
    }
    Ok(columns)
}
