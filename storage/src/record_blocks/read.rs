//! Reading blocks of records.

use std::sync::Arc;

use anabranch_engine::provenance::{ListColumn, OriginColumn, OriginId, Positions, ProvenanceColumn};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{Fields, UInt32Type, UInt64Type};
use serde_json::Value;

use super::{MOST_ITEMS, Numbers, references};
use crate::block::{BLOCK_ROWS, DESCRIPTION, decode};
use crate::record_blocks::origins::StoredOrigins;
use crate::results::result_ref::ResultRef;

/// Reason why provenance could not be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// Damage of the block.
    Damaged(String),
    /// Record ids could not be kept.
    Disk(std::io::Error),
}

impl<T: Into<String>> From<T> for ReadFault {
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
    /// Reads a block; the error describes the damage.
    pub(crate) fn read(data: Vec<u8>, hash: &[u8]) -> Result<Self, String> {
        if blake3::hash(&data).as_bytes() != hash {
            return Err("its hash does not match".to_owned());
        }
        let batch = decode(data).map_err(|e| e.to_string())?;
        if batch.num_rows() > BLOCK_ROWS {
            return Err(format!("it has {} rows, expected at most {BLOCK_ROWS}", batch.num_rows()));
        }
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
        if let Some(spans) = array(&self.description, "references")? {
            return references::read(spans, self.rows());
        }
        let blocks = self.batch.column_by_name("_result_block");
        let blocks = blocks.and_then(|c| c.as_primitive_opt::<UInt64Type>()).ok_or("it has no references")?;
        let rows = self.batch.column_by_name("_result_row");
        let rows = rows.and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or("it has no references")?;
        let pairs = blocks.values().iter().zip(rows.values());
        Ok(pairs.map(|(block, row)| ResultRef { block: *block, row: *row }).collect())
    }

    /// Names of the columns that a function took, whose provenance stands behind that of the kept ones.
    pub(crate) fn taken(&self) -> Result<Vec<String>, String> {
        let names = array(&self.description, "taken")?.into_iter().flatten();
        names
            .map(|name| name.as_str().map(str::to_owned).ok_or("a taken column has no name".to_owned()))
            .collect()
    }

    /// Provenance of the system tags, kept packet columns and taken columns, in that order.
    pub(crate) fn provenance(&self, origins: &StoredOrigins) -> Result<Vec<ProvenanceColumn>, ReadFault> {
        let mut room = MOST_ITEMS;
        let (fields, columns) = (self.batch.schema_ref().fields(), self.batch.columns());
        let mut frame = Frame::read(fields, columns, self.rows(), &self.description, &mut room)?;
        let described = array(&self.description, "columns")?.ok_or("it has no columns")?.iter().enumerate();
        described.map(|(number, described)| frame.column(number, described, origins)).collect()
    }
}

/// Columns of equally many rows: those of the block, or the items of some of its lists.
struct Frame<'a> {
    fields: &'a Fields,
    columns: &'a [ArrayRef],
    rows: usize,
    positions: Vec<Positions>,
    lists: Vec<(&'a ListArray, Self)>,
    /// Strings that have been kept: positions, strings, table.
    kept: Vec<(u64, u64, usize)>,
}

impl<'a> Frame<'a> {
    /// Finds positions and lists. `room` is how many items there may still be.
    ///
    /// Descriptions of lists within lists are no deeper than JSON may be.
    fn read(
        fields: &'a Fields,
        columns: &'a [ArrayRef],
        rows: usize,
        described: &Value,
        room: &mut usize,
    ) -> Result<Self, String> {
        let (positions, lists, kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut frame = Self { fields, columns, rows, positions, lists, kept };
        let positions = array(described, "positions")?.ok_or("it has no positions")?.iter().enumerate();
        frame.positions = positions
            .map(|(number, described)| frame.read_positions(number, described))
            .collect::<Result<_, _>>()?;
        for (number, described) in array(described, "lists")?.into_iter().flatten().enumerate() {
            let name = format!("_lists_{number}");
            let lists = frame.find(&name).and_then(|c| c.as_list_opt::<i32>());
            let lists = lists.ok_or_else(|| format!("it has no {name}"))?;
            let items = lists.values().as_struct_opt().ok_or_else(|| format!("{name} has another type"))?;
            *room = room.checked_sub(items.len()).ok_or("it has too many items in lists")?;
            let items = Self::read(items.fields(), items.columns(), items.len(), described, room)?;
            frame.lists.push((lists, items));
        }
        Ok(frame)
    }

    fn find(&self, name: &str) -> Option<&'a ArrayRef> {
        let column = self.fields.iter().zip(self.columns).find(|(field, _)| field.name() == name);
        column.map(|(_, column)| column)
    }

    fn read_positions(&self, number: usize, described: &Value) -> Result<Positions, String> {
        if let Some(start) = described.get("range").and_then(Value::as_u64) {
            start.checked_add(self.rows as u64).ok_or("a range of positions has no end")?;
            return Ok(Positions::range(start, self.rows));
        }
        let name = format!("_positions_{number}");
        let column = self.find(&name).ok_or_else(|| format!("it has no {name}"))?;
        if let Some(places) = column.as_primitive_opt::<UInt64Type>() {
            return Ok(Positions::places(places.values().to_vec()));
        }
        let keys = column.as_fixed_size_binary_opt().filter(|keys| keys.value_length() == 16);
        let keys = keys.ok_or_else(|| format!("{name} has another type"))?;
        let keys = keys.value_data().as_chunks::<16>().0.iter();
        Ok(Positions::keys(keys.map(|key| u128::from_le_bytes(*key)).collect()))
    }

    fn column(
        &mut self,
        number: usize,
        described: &Value,
        origins: &StoredOrigins,
    ) -> Result<ProvenanceColumn, ReadFault> {
        let Some(group) = described.get("lists") else { return self.flat(number, described, origins) };
        let group = group.as_u64().and_then(|group| usize::try_from(group).ok());
        let (lists, items) =
            group.and_then(|group| self.lists.get_mut(group)).ok_or("a column has no lists")?;
        let described = described.get("items").ok_or("a column has no items")?;
        let items = Arc::new(items.column(number, described, origins)?);
        let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
        Ok(ProvenanceColumn::Lists(ListColumn { offsets, nulls, items }))
    }

    fn flat(
        &mut self,
        number: usize,
        described: &Value,
        origins: &StoredOrigins,
    ) -> Result<ProvenanceColumn, ReadFault> {
        let origin = described.get("origin").ok_or("a column has no origin")?;
        if origin.is_null() {
            return Ok(ProvenanceColumn::null(self.rows));
        }
        let value = |name: &str| described.get(name).and_then(Value::as_u64);
        let group = value("positions").ok_or("a column has no positions")?;
        let positions = usize::try_from(group).ok().and_then(|at| self.positions.get(at));
        let positions = positions.ok_or("a column has no positions")?.clone();
        let numbers = match origin.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Numbers::Constant(Some(number)),
            None => self.each(number)?,
        };
        if let Some(strings) = value("texts") {
            let table = match &numbers {
                Numbers::Constant(Some(number)) => origins.strings(*number),
                _ => None,
            };
            let once = table.map(|table| (group, strings, Arc::as_ptr(table) as usize));
            if once.is_none_or(|once| !self.kept.contains(&once)) {
                self.keep_strings(strings, &numbers, &positions, origins)?;
                self.kept.extend(once);
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
        let column = self.find(&name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
        Ok(Numbers::Each(column.ok_or_else(|| format!("it has no {name}"))?.iter().collect()))
    }

    fn keep_strings(
        &self,
        number: u64,
        numbers: &Numbers,
        positions: &Positions,
        origins: &StoredOrigins,
    ) -> Result<(), ReadFault> {
        let name = format!("_texts_{number}");
        let strings = self.find(&name).and_then(|c| c.as_string_view_opt());
        let strings = strings.ok_or_else(|| format!("it has no {name}"))?;
        for row in (0..strings.len()).filter(|row| strings.is_valid(*row)) {
            let (Some(table), Ok(place)) =
                (numbers.get(row).and_then(|n| origins.strings(n)), u64::try_from(positions.get(row)))
            else {
                return Err(format!("{name} has a record id of no source").into());
            };
            table.keep(place, strings.value(row)).map_err(ReadFault::Disk)?;
        }
        Ok(())
    }
}

/// The list under a name, if it is there.
fn array<'a>(described: &'a Value, name: &str) -> Result<Option<&'a Vec<Value>>, String> {
    match described.get(name) {
        None => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        Some(_) => Err(format!("its {name} are no list")),
    }
}
