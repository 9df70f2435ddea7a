//! Reading blocks of records.

use std::sync::Arc;

use anabranch_engine::provenance::{OriginColumn, OriginId, Positions, ProvenanceColumn};
use anabranch_engine::store::ResultRef;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{UInt32Type, UInt64Type};
use serde_json::Value;

use super::Numbers;
use crate::block::{DESCRIPTION, decode};
use crate::recordings::origins::StoredOrigins;

/// Why provenance could not be read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What is wrong with the block.
    Damaged(String),
    /// Record ids could not be kept.
    Disk(std::io::Error),
}

impl<T: Into<String>> From<T> for Fault {
    fn from(found: T) -> Self {
        Self::Damaged(found.into())
    }
}

/// A block of records read back.
#[derive(Debug)]
pub(crate) struct RecordBlock {
    batch: RecordBatch,
    description: Value,
}

impl RecordBlock {
    /// Reads a block; the error says what is wrong with it.
    pub(crate) fn read(data: Vec<u8>, hash: &[u8]) -> Result<Self, String> {
        if blake3::hash(&data).as_bytes() != hash {
            return Err("its hash does not match".to_owned());
        }
        let batch = decode(data).map_err(|e| e.to_string())?;
        let description = batch.schema_ref().metadata().get(DESCRIPTION).ok_or("it has no description")?;
        let description = serde_json::from_str(description).map_err(|e| e.to_string())?;
        Ok(Self { batch, description })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The tags and kept packet columns, in that order.
    pub(crate) fn data(&self, count: usize) -> Result<&[ArrayRef], String> {
        self.batch.columns().get(..count).ok_or("it lacks columns".to_owned())
    }

    /// The versions that the rows refer to.
    pub(crate) fn references(&self) -> Result<Vec<ResultRef>, String> {
        let blocks = self.batch.column_by_name("_result_block");
        let blocks = blocks.and_then(|c| c.as_primitive_opt::<UInt64Type>()).ok_or("it has no references")?;
        let rows = self.batch.column_by_name("_result_row");
        let rows = rows.and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or("it has no references")?;
        let pairs = blocks.values().iter().zip(rows.values());
        Ok(pairs.map(|(block, row)| ResultRef { block: *block, row: *row }).collect())
    }

    /// Provenance of the system tags and kept packet columns, in that order.
    pub(crate) fn provenance(&self, origins: &StoredOrigins) -> Result<Vec<ProvenanceColumn>, Fault> {
        let list = |name: &str| -> Result<&Vec<Value>, String> {
            self.description.get(name).and_then(Value::as_array).ok_or(format!("it has no {name}"))
        };
        let positions: Vec<Positions> = list("positions")?
            .iter()
            .enumerate()
            .map(|(number, described)| self.positions(number, described))
            .collect::<Result<_, _>>()?;
        let mut kept = Vec::new();
        let columns = list("columns")?.iter().enumerate();
        columns
            .map(|(number, described)| self.column(number, described, &positions, origins, &mut kept))
            .collect()
    }

    fn positions(&self, number: usize, described: &Value) -> Result<Positions, String> {
        if let Some(start) = described.get("range").and_then(Value::as_u64) {
            return Ok(Positions::range(start, self.rows()));
        }
        let name = format!("_positions_{number}");
        let column = self.batch.column_by_name(&name).ok_or(format!("it has no {name}"))?;
        if let Some(places) = column.as_primitive_opt::<UInt64Type>() {
            return Ok(Positions::places(places.values().to_vec()));
        }
        let keys = column.as_fixed_size_binary_opt().ok_or(format!("{name} has another type"))?;
        let keys = keys.value_data().as_chunks::<16>().0.iter();
        Ok(Positions::keys(keys.map(|key| u128::from_le_bytes(*key)).collect()))
    }

    fn column(
        &self,
        number: usize,
        described: &Value,
        positions: &[Positions],
        origins: &StoredOrigins,
        kept: &mut Vec<(u64, u64, usize)>,
    ) -> Result<ProvenanceColumn, Fault> {
        let origin = described.get("origin").ok_or("a column has no origin")?;
        if origin.is_null() {
            return Ok(ProvenanceColumn::null(self.rows()));
        }
        let value = |name: &str| described.get(name).and_then(Value::as_u64);
        let group = value("positions").ok_or("a column has no positions")?;
        let positions = usize::try_from(group).ok().and_then(|at| positions.get(at));
        let positions = positions.ok_or("a column has no positions")?.clone();
        let numbers = match origin.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Numbers::Constant(Some(number)),
            None => self.each(number)?,
        };
        if let Some(texts) = value("texts") {
            let table = match &numbers {
                Numbers::Constant(Some(number)) => origins.texts(*number),
                _ => None,
            };
            let once = table.map(|table| (group, texts, Arc::as_ptr(table) as usize));
            if once.is_none_or(|once| !kept.contains(&once)) {
                self.keep_texts(texts, &numbers, &positions, origins)?;
                kept.extend(once);
            }
        }
        let id = |number: u32| origins.id(number).ok_or("an origin is not in the recording's table");
        let origins = match &numbers {
            Numbers::Constant(number) => OriginColumn::Constant(number.map_or(Ok(OriginId::NULL), id)?),
            Numbers::Each(numbers) => {
                let ids = numbers.iter().map(|number| number.map_or(Ok(OriginId::NULL), id));
                OriginColumn::compact(ids.collect::<Result<_, _>>()?)
            }
        };
        Ok(ProvenanceColumn::of(origins, positions))
    }

    fn each(&self, number: usize) -> Result<Numbers, String> {
        let name = format!("_origins_{number}");
        let column = self.batch.column_by_name(&name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
        Ok(Numbers::Each(column.ok_or(format!("it has no {name}"))?.iter().collect()))
    }

    fn keep_texts(
        &self,
        number: u64,
        numbers: &Numbers,
        positions: &Positions,
        origins: &StoredOrigins,
    ) -> Result<(), Fault> {
        let name = format!("_texts_{number}");
        let texts = self.batch.column_by_name(&name).and_then(|c| c.as_string_view_opt());
        let texts = texts.ok_or(format!("it has no {name}"))?;
        for row in (0..texts.len()).filter(|row| texts.is_valid(*row)) {
            let (Some(table), Ok(place)) =
                (numbers.get(row).and_then(|n| origins.texts(n)), u64::try_from(positions.get(row)))
            else {
                continue;
            };
            table.keep(place, texts.value(row)).map_err(Fault::Disk)?;
        }
        Ok(())
    }
}
