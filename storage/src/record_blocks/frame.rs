//! Writing provenance: columns of equally many rows, and the items of their lists likewise.

use std::sync::Arc;

use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{
    FlatColumn, ListColumn, OriginColumn, Origins, Positions, ProvenanceColumn, RecordStrings,
};
use anabranch_engine::store::{StoreFault, StoreProblem};
use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, ListArray, StringViewArray, StructArray, UInt32Array, UInt64Array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use serde_json::{Map, Value, json};

use super::lists::{Shape, exact};
use super::{MOST_ITEMS, Numbers};
use crate::block::Columns;
use crate::error::arrow;
use crate::record_blocks::origins::LocalOrigins;

/// Positions in the form that depends on their values alone.
#[derive(Debug, PartialEq)]
enum Form {
    Range(u64),
    Places(Vec<u64>),
    Keys(Vec<u128>),
}

impl Form {
    fn of(values: impl Iterator<Item = u128> + Clone) -> Self {
        let start = u64::try_from(values.clone().next().unwrap_or(0)).ok();
        let follows = |start: u64| {
            let expected = (0..).map(|row: u64| start.checked_add(row).map(u128::from));
            values.clone().map(Some).zip(expected).all(|(value, expected)| value == expected)
        };
        if let Some(start) = start.filter(|start| follows(*start)) {
            return Self::Range(start);
        }
        match values.clone().map(u64::try_from).collect::<Result<_, _>>() {
            Ok(places) => Self::Places(places),
            Err(_) => Self::Keys(values.collect()),
        }
    }
}

/// Table of each row's string; equal keys give equal strings.
type StringKey = (usize, Vec<usize>);

/// State that all frames of a block share.
pub(super) struct BlockContext<'a> {
    pub(super) origins: &'a Origins,
    pub(super) local: &'a mut LocalOrigins,
    /// Items of lists so far.
    pub(super) items: usize,
}

/// Columns of equally many rows: those of the block, or the items of some of its lists.
pub(super) struct FrameWriter {
    rows: usize,
    columns: Columns,
    forms: Vec<Form>,
    seen: Vec<(Positions, usize)>,
    strings: Vec<StringViewArray>,
    known_strings: Vec<(StringKey, usize)>,
    lists: Vec<(Shape, Self)>,
}

impl FrameWriter {
    /// Provenance is added behind these columns.
    pub(super) fn new(rows: usize, columns: Columns) -> Self {
        Self {
            rows,
            columns,
            forms: Vec::new(),
            seen: Vec::new(),
            strings: Vec::new(),
            known_strings: Vec::new(),
            lists: Vec::new(),
        }
    }

    /// Adds a column, the `number`th of its block, and describes it.
    pub(super) fn add(
        &mut self,
        number: usize,
        column: &ProvenanceColumn,
        block: &mut BlockContext<'_>,
    ) -> Result<Value, StoreFault> {
        match column {
            ProvenanceColumn::Flat(flat) => self.flat(number, flat, block),
            ProvenanceColumn::Lists(lists) => self.lists(number, lists, block),
        }
    }

    fn lists(
        &mut self,
        number: usize,
        column: &ListColumn,
        block: &mut BlockContext<'_>,
    ) -> Result<Value, StoreFault> {
        let (shape, items) = exact(column).ok_or_else(|| {
            let message =
                "found lists of provenance that lack items, expected as many as their lengths add up to";
            StoreProblem::Refused(message.to_owned())
        })?;
        let known = match self.lists.iter().position(|(known, _)| *known == shape) {
            Some(known) => known,
            None => self.begin_lists(shape, items.rows(), block)?,
        };
        let (_, frame) = self.lists.at_mut(known, "lists of a known shape have a frame");
        let described = frame.add(number, &items, block)?;
        Ok(json!({ "lists": known, "items": described }))
    }

    fn begin_lists(
        &mut self,
        shape: Shape,
        items: usize,
        block: &mut BlockContext<'_>,
    ) -> Result<usize, StoreFault> {
        block.items = block.items.saturating_add(items);
        if block.items > MOST_ITEMS {
            let message = format!(
                "found a row whose lists have {} items, expected at most {MOST_ITEMS}; batch fewer rows into one",
                block.items
            );
            return Err(StoreProblem::Refused(message).into());
        }
        self.lists.push((shape, Self::new(items, Columns::default())));
        Ok(self.lists.len() - 1)
    }

    fn flat(
        &mut self,
        number: usize,
        column: &FlatColumn,
        block: &mut BlockContext<'_>,
    ) -> Result<Value, StoreFault> {
        let numbers = self.numbers(&column.origins, block);
        let mut described = Map::new();
        match &numbers {
            Numbers::Constant(number) => described.insert("origin".to_owned(), json!(number)),
            Numbers::Each(numbers) => {
                let numbers: ArrayRef = Arc::new(UInt32Array::from(numbers.clone()));
                let name = format!("_origins_{number}");
                self.columns.push(name, &numbers).map_err(arrow)?;
                described.insert("origin".to_owned(), json!("each"))
            }
        };
        if numbers != Numbers::Constant(None) {
            let positions = self.positions(&column.positions, &numbers);
            described.insert("positions".to_owned(), json!(positions));
            if let Some(strings) = self.strings(column, &numbers, positions, block.local)? {
                described.insert("texts".to_owned(), json!(strings));
            }
        }
        Ok(Value::Object(described))
    }

    fn numbers(&self, column: &OriginColumn, block: &mut BlockContext<'_>) -> Numbers {
        if self.rows == 0 {
            // An origin that no item has is none of the recording's.
            return Numbers::Constant(None);
        }
        if let OriginColumn::Constant(id) = column {
            return Numbers::Constant(block.local.number(block.origins, *id));
        }
        let numbers: Vec<Option<u32>> =
            (0..self.rows).map(|row| block.local.number(block.origins, column.get(row))).collect();
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
        let form = Form::of((0..self.rows).map(value));
        let known = self.forms.iter().position(|known| *known == form).unwrap_or_else(|| {
            self.forms.push(form);
            self.forms.len() - 1
        });
        if !blank {
            self.seen.push((positions.clone(), known));
        }
        known
    }

    /// The number of the column that holds the record ids, where some origin has strings.
    fn strings(
        &mut self,
        column: &FlatColumn,
        numbers: &Numbers,
        positions: usize,
        local: &LocalOrigins,
    ) -> Result<Option<usize>, StoreFault> {
        let table = |number: Option<u32>| number.and_then(|number| local.strings(number));
        let address = |number| table(number).map_or(0, |strings| Arc::as_ptr(strings).cast::<()>() as usize);
        let tables: Vec<usize> = match numbers {
            Numbers::Constant(number) => vec![address(*number)],
            Numbers::Each(numbers) => numbers.iter().map(|number| address(*number)).collect(),
        };
        if tables.iter().all(|table| *table == 0) {
            return Ok(None);
        }
        let key = (positions, tables);
        if let Some((_, known)) = self.known_strings.iter().find(|(seen, _)| *seen == key) {
            return Ok(Some(*known));
        }
        let text = |row| match table(numbers.get(row)) {
            Some(strings) => read_string(strings, column.positions.get(row)).map(Some),
            None => Ok(None),
        };
        let strings = (0..self.rows).map(text).collect::<Result<StringViewArray, _>>()?;
        let known = self.strings.iter().position(|known| *known == strings).unwrap_or_else(|| {
            self.strings.push(strings);
            self.strings.len() - 1
        });
        self.known_strings.push((key, known));
        Ok(Some(known))
    }

    /// All columns, and what describes their positions and lists.
    pub(super) fn finish(self) -> Result<(Columns, Map<String, Value>), ArrowError> {
        let mut columns = self.columns;
        let mut positions = Vec::with_capacity(self.forms.len());
        for (number, form) in self.forms.into_iter().enumerate() {
            let name = format!("_positions_{number}");
            positions.push(match form {
                Form::Range(start) => json!({ "range": start }),
                Form::Places(places) => {
                    columns.push(name, &(Arc::new(UInt64Array::from(places)) as ArrayRef))?;
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
        for (number, strings) in self.strings.into_iter().enumerate() {
            columns.push(format!("_texts_{number}"), &(Arc::new(strings) as ArrayRef))?;
        }
        let mut lists = Vec::with_capacity(self.lists.len());
        for (number, (shape, frame)) in self.lists.into_iter().enumerate() {
            let rows = frame.rows;
            let (items, described) = frame.finish()?;
            columns.push(format!("_lists_{number}"), &list_array(shape, items.into_structs(rows)?)?)?;
            lists.push(Value::Object(described));
        }
        let mut described = Map::from_iter([("positions".to_owned(), Value::Array(positions))]);
        if !lists.is_empty() {
            described.insert("lists".to_owned(), Value::Array(lists));
        }
        Ok((columns, described))
    }
}

fn list_array(shape: Shape, items: StructArray) -> Result<ArrayRef, ArrowError> {
    use arrow::array::Array as _;
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(item, shape.offsets, Arc::new(items), shape.nulls)?))
}

fn read_string(strings: &Arc<dyn RecordStrings>, position: u128) -> Result<String, StoreFault> {
    let place = u64::try_from(position).map_err(std::io::Error::other);
    place.and_then(|place| strings.text(place)).map_err(|cause| {
        let message = "the text of a record id could not be read back; run again".to_owned();
        StoreFault::because(StoreProblem::Refused(message), cause)
    })
}
