//! Writing blocks of records.

use std::sync::Arc;

use anabranch_engine::provenance::{
    FlatColumn, OriginColumn, Origins, Positions, ProvenanceColumn, RecordTexts,
};
use anabranch_engine::store::{ResultRef, StoreError, StoreErrorKind};
use arrow::array::{ArrayRef, FixedSizeBinaryArray, StringViewArray, UInt32Array, UInt64Array};
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use serde_json::{Map, Value, json};

use super::{Kept, Numbers};
use crate::block::Columns;
use crate::error::{arrow, because, failure};
use crate::recordings::cut::Rows;
use crate::recordings::origins::LocalOrigins;

const OPERATION: &str = "record rows";

/// The bytes of a block.
pub(crate) fn encode(
    rows: &Rows,
    kept: &Kept,
    origins: &Origins,
    local: &mut LocalOrigins,
) -> Result<Vec<u8>, StoreError> {
    let failed = |e| arrow(OPERATION, e);
    let chunk = &rows.chunk;
    let mut columns = Columns::default();
    for (field, tag) in chunk.schema().tags().iter().zip(chunk.tags()) {
        columns.push(field.name(), tag).map_err(failed)?;
    }
    let packets = chunk.schema().packets().iter().zip(chunk.packets()).zip(&kept.packets);
    for ((field, packet), _) in packets.filter(|(_, kept)| **kept) {
        columns.push(field.name(), packet).map_err(failed)?;
    }
    if kept.references {
        push_references(&mut columns, &rows.references).map_err(failed)?;
    }
    let mut writer = ProvenanceWriter::new(origins, local, chunk.rows());
    let provenance = chunk.provenance();
    let sources = provenance.sources.iter().zip(&kept.packets).filter(|(_, kept)| **kept);
    for column in provenance.tags.iter().chain(sources.map(|(source, _)| source)) {
        writer.add(column, &mut columns)?;
    }
    let description = writer.finish(&mut columns).map_err(failed)?;
    columns.encode(chunk.rows(), Some(description)).map_err(failed)
}

fn push_references(columns: &mut Columns, references: &[ResultRef]) -> Result<(), ArrowError> {
    let blocks: UInt64Array = references.iter().map(|reference| reference.block).collect();
    let rows: UInt32Array = references.iter().map(|reference| reference.row).collect();
    columns.push("_result_block", &(Arc::new(blocks) as ArrayRef))?;
    columns.push("_result_row", &(Arc::new(rows) as ArrayRef))
}

/// Positions in the form that depends on their values alone.
#[derive(Debug, PartialEq)]
enum Form {
    Range(u64),
    Places(Vec<u64>),
    Keys(Vec<u128>),
}

impl Form {
    fn of(values: Vec<u128>) -> Self {
        let Ok(places) = values.iter().map(|v| u64::try_from(*v)).collect::<Result<Vec<u64>, _>>() else {
            return Self::Keys(values);
        };
        let start = places.first().copied().unwrap_or(0);
        let consecutive = (0..).zip(&places).all(|(row, place)| start.checked_add(row) == Some(*place));
        if consecutive { Self::Range(start) } else { Self::Places(places) }
    }
}

/// Which table each row's text is from; equal keys give equal texts.
type TextKey = (usize, Vec<usize>);

struct ProvenanceWriter<'a> {
    origins: &'a Origins,
    local: &'a mut LocalOrigins,
    rows: usize,
    described: Vec<Value>,
    forms: Vec<Form>,
    seen: Vec<(Positions, usize)>,
    texts: Vec<StringViewArray>,
    seen_texts: Vec<(TextKey, usize)>,
}

impl<'a> ProvenanceWriter<'a> {
    fn new(origins: &'a Origins, local: &'a mut LocalOrigins, rows: usize) -> Self {
        Self {
            origins,
            local,
            rows,
            described: Vec::new(),
            forms: Vec::new(),
            seen: Vec::new(),
            texts: Vec::new(),
            seen_texts: Vec::new(),
        }
    }

    fn add(&mut self, column: &ProvenanceColumn, columns: &mut Columns) -> Result<(), StoreError> {
        let column = column.flat().ok_or_else(|| {
            failure(StoreErrorKind::System, OPERATION, "found lists of provenance, expected one origin a row")
        })?;
        let numbers = self.numbers(&column.origins);
        let mut described = Map::new();
        match &numbers {
            Numbers::Constant(number) => described.insert("origin".to_owned(), json!(number)),
            Numbers::Each(numbers) => {
                let name = format!("_origins_{}", self.described.len());
                let numbers: ArrayRef = Arc::new(UInt32Array::from(numbers.clone()));
                columns.push(name, &numbers).map_err(|e| arrow(OPERATION, e))?;
                described.insert("origin".to_owned(), json!("each"))
            }
        };
        if numbers != Numbers::Constant(None) {
            let positions = self.positions(&column.positions, &numbers);
            described.insert("positions".to_owned(), json!(positions));
            if let Some(texts) = self.texts(column, &numbers, positions)? {
                described.insert("texts".to_owned(), json!(texts));
            }
        }
        self.described.push(Value::Object(described));
        Ok(())
    }

    fn numbers(&mut self, column: &OriginColumn) -> Numbers {
        if let OriginColumn::Constant(id) = column {
            return Numbers::Constant(self.local.number(self.origins, *id));
        }
        let numbers: Vec<Option<u32>> =
            (0..self.rows).map(|row| self.local.number(self.origins, column.get(row))).collect();
        match numbers.split_first() {
            Some((first, rest)) if rest.iter().any(|number| number != first) => Numbers::Each(numbers),
            first => Numbers::Constant(first.and_then(|(first, _)| *first)),
        }
    }

    fn positions(&mut self, positions: &Positions, numbers: &Numbers) -> usize {
        let blank = matches!(numbers, Numbers::Each(numbers) if numbers.contains(&None));
        if !blank && let Some((_, known)) = self.seen.iter().find(|(seen, _)| seen.same(positions)) {
            return *known;
        }
        let value = |row| if numbers.get(row).is_some() { positions.get(row) } else { 0 };
        let form = Form::of((0..self.rows).map(value).collect());
        let known = self.forms.iter().position(|known| *known == form).unwrap_or_else(|| {
            self.forms.push(form);
            self.forms.len() - 1
        });
        if !blank {
            self.seen.push((positions.clone(), known));
        }
        known
    }

    /// The number of the column that holds the record ids, where some origin has texts.
    fn texts(
        &mut self,
        column: &FlatColumn,
        numbers: &Numbers,
        positions: usize,
    ) -> Result<Option<usize>, StoreError> {
        let table = |number: Option<u32>| number.and_then(|number| self.local.texts(number));
        let address = |number| table(number).map_or(0, |texts| Arc::as_ptr(texts).cast::<()>() as usize);
        let tables: Vec<usize> = match numbers {
            Numbers::Constant(number) => vec![address(*number)],
            Numbers::Each(numbers) => numbers.iter().map(|number| address(*number)).collect(),
        };
        if tables.iter().all(|table| *table == 0) {
            return Ok(None);
        }
        let key = (positions, tables);
        if let Some((_, known)) = self.seen_texts.iter().find(|(seen, _)| *seen == key) {
            return Ok(Some(*known));
        }
        let text = |row| match table(numbers.get(row)) {
            Some(texts) => read_text(texts, column.positions.get(row)).map(Some),
            None => Ok(None),
        };
        let texts = (0..self.rows).map(text).collect::<Result<StringViewArray, _>>()?;
        let known = self.texts.iter().position(|known| *known == texts).unwrap_or_else(|| {
            self.texts.push(texts);
            self.texts.len() - 1
        });
        self.seen_texts.push((key, known));
        Ok(Some(known))
    }

    fn finish(self, columns: &mut Columns) -> Result<String, ArrowError> {
        let mut described = Vec::with_capacity(self.forms.len());
        for (number, form) in self.forms.iter().enumerate() {
            let name = format!("_positions_{number}");
            described.push(match form {
                Form::Range(start) => json!({ "range": start }),
                Form::Places(places) => {
                    columns.push(name, &(Arc::new(UInt64Array::from(places.clone())) as ArrayRef))?;
                    json!("places")
                }
                Form::Keys(keys) => {
                    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
                    let keys = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), None)?;
                    columns.push(name, &(Arc::new(keys) as ArrayRef))?;
                    json!("keys")
                }
            });
        }
        for (number, texts) in self.texts.into_iter().enumerate() {
            columns.push(format!("_texts_{number}"), &(Arc::new(texts) as ArrayRef))?;
        }
        Ok(json!({ "positions": described, "columns": self.described }).to_string())
    }
}

fn read_text(texts: &Arc<dyn RecordTexts>, position: u128) -> Result<String, StoreError> {
    let place = u64::try_from(position).map_err(std::io::Error::other);
    place.and_then(|place| texts.text(place)).map_err(|cause| {
        let message = "the text of a record id could not be read back; run again";
        because(failure(StoreErrorKind::System, OPERATION, message), cause)
    })
}
