//! The origin table of a run: the strings of provenance, each kept once.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewArray, StringViewBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;

use super::{FlatColumn, ListColumn, Provenance, ProvenanceColumn, RecordStrings, output_key};
use crate::index::fitting;

/// Number of an origin in its run's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginId(pub u32);

impl OriginId {
    /// No origin: the row has no such provenance.
    pub const NULL: Self = Self(u32::MAX);
}

/// The way from a position within a source to its record id.
#[derive(Debug, Clone)]
pub enum RecordIds {
    /// `row_<n>`.
    Ordinal,
    /// The string at that position of a table.
    Strings(Arc<dyn RecordStrings>),
}

/// The origin behind an [`OriginId`].
#[derive(Debug, Clone)]
pub enum Origin {
    /// A source's system tags: the source id, and how positions become record ids.
    Source {
        /// The source id.
        source: Arc<str>,
        /// Its record ids.
        records: RecordIds,
    },
    /// A packet column of a source: the token is `<source>::<record>::<column>`.
    Column {
        /// The source id.
        source: Arc<str>,
        /// Its record ids.
        records: RecordIds,
        /// The column's name in the source.
        column: Arc<str>,
    },
    /// An output of a function: the token is `<function>::<fingerprint>::<key>::<output>`.
    Output {
        /// The function's name.
        function: Arc<str>,
        /// First 12 hex digits of its fingerprint.
        fingerprint: Arc<str>,
        /// The output's name.
        output: Arc<str>,
        /// The recording whose rows the positions name, in the run's store; see
        /// [`output_position`](super::output_position). Nothing where the node does not record.
        recording: Option<u64>,
    },
}

/// The origin table of a run; grows only while nodes start.
///
/// Shared by all nodes of a run: written a few times at the start, read when text is wanted, so
/// a lock is never contended.
#[derive(Debug, Default)]
pub struct Origins(RwLock<Vec<Origin>>);

impl Origins {
    /// Adds an origin.
    pub fn add(&self, origin: Origin) -> OriginId {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.push(origin);
        OriginId(fitting(table.len() - 1, "origin"))
    }

    /// Returns the origin behind a number.
    #[must_use]
    pub fn get(&self, id: OriginId) -> Option<Origin> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id.0 as usize).cloned()
    }

    /// Source ids and record ids of a system tag column; lists of them where the column has lists.
    ///
    /// Errors: a record id string that could not be read back from disk.
    pub fn pairs(&self, column: &ProvenanceColumn) -> std::io::Result<(ArrayRef, ArrayRef)> {
        match column {
            ProvenanceColumn::Flat(flat) => self.flat_pairs(flat),
            ProvenanceColumn::Lists(lists) => {
                let (offsets, items) = lists.parts();
                let (sources, records) = self.pairs(&items)?;
                Ok((list_array(&offsets, sources, lists)?, list_array(&offsets, records, lists)?))
            }
        }
    }

    fn flat_pairs(&self, column: &FlatColumn) -> std::io::Result<(ArrayRef, ArrayRef)> {
        let mut sources = StringViewBuilder::new();
        let mut records = StringViewBuilder::new();
        let mut reader = TextReader::new(self);
        let mut text = String::new();
        for row in 0..column.positions.len() {
            if let Some(Origin::Source { source, records: ids }) = reader.origin(column.origins.get(row)) {
                sources.append_value(source);
                text.clear();
                ids.write(&mut text, column.positions.get(row))?;
                records.append_value(&text);
            } else {
                sources.append_null();
                records.append_null();
            }
        }
        Ok((Arc::new(sources.finish()), Arc::new(records.finish())))
    }

    /// The source rows behind a row, for a message: `row_17 of source "flights"`, at most four of them.
    ///
    /// A record id that cannot be read back from disk is left out.
    #[must_use]
    pub fn describe(&self, provenance: &Provenance, row: usize) -> String {
        const SHOWN: usize = 4;
        let (records, more) = self.records(provenance, row, SHOWN);
        let rows: Vec<String> =
            records.iter().map(|(source, record)| format!("{record} of source \"{source}\"")).collect();
        let mut text = if rows.is_empty() { "a row".to_owned() } else { rows.join(", ") };
        if more > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, " and {more} more");
        }
        text
    }

    /// Source id and record id of the source rows behind a row, the first `most` of them, out of lists at any
    /// depth; and how many there are beside.
    ///
    /// A record id that cannot be read back from disk is left out.
    #[must_use]
    pub fn records(
        &self,
        provenance: &Provenance,
        row: usize,
        most: usize,
    ) -> (Vec<(String, String)>, usize) {
        let (mut records, mut all) = (Vec::new(), 0);
        for column in &provenance.tags {
            let mut flat = Vec::new();
            all += items(&column.slice(row, 1), most.saturating_sub(records.len()), &mut flat);
            for column in flat {
                let column = ProvenanceColumn::Flat(column);
                // Null has no origin.
                if let Ok((sources, ids)) = self.pairs(&column) {
                    all -= sources.null_count();
                    records.extend(strings(&sources).into_iter().zip(strings(&ids)));
                }
            }
        }
        let more = all.saturating_sub(records.len());
        (records, more)
    }

    /// The source info tokens of a packet column; lists of them where the column has lists.
    ///
    /// Errors: as [`Origins::pairs`].
    pub fn tokens(&self, column: &ProvenanceColumn) -> std::io::Result<ArrayRef> {
        match column {
            ProvenanceColumn::Flat(flat) => Ok(Arc::new(self.flat_tokens(flat)?)),
            ProvenanceColumn::Lists(lists) => {
                let (offsets, items) = lists.parts();
                list_array(&offsets, self.tokens(&items)?, lists)
            }
        }
    }

    fn flat_tokens(&self, column: &FlatColumn) -> std::io::Result<StringViewArray> {
        let mut tokens = StringViewBuilder::new();
        let mut reader = TextReader::new(self);
        let mut text = String::new();
        for row in 0..column.positions.len() {
            text.clear();
            let Some(origin) = reader.origin(column.origins.get(row)) else {
                tokens.append_null();
                continue;
            };
            write_token(&mut text, origin, column.positions.get(row))?;
            tokens.append_value(&text);
        }
        Ok(tokens.finish())
    }
}

/// The first `most` items of a column, out of lists at any depth; gives how many items there are.
fn items(column: &ProvenanceColumn, most: usize, into: &mut Vec<FlatColumn>) -> usize {
    match column {
        ProvenanceColumn::Flat(flat) => {
            let count = flat.positions.len();
            if let ProvenanceColumn::Flat(first) = column.slice(0, most.min(count)) {
                into.push(first);
            }
            count
        }
        ProvenanceColumn::Lists(lists) => {
            let (mut count, mut left) = (0, most);
            for row in 0..lists.rows() {
                let range = lists.range(row);
                let found = items(&lists.items.slice(range.start, range.len()), left, into);
                count += found;
                left = left.saturating_sub(found);
            }
            count
        }
    }
}

/// The strings of a column; nulls are left out.
fn strings(array: &ArrayRef) -> Vec<String> {
    let texts = array.as_string_view_opt().into_iter().flatten();
    texts.flatten().map(str::to_owned).collect()
}

fn list_array(offsets: &OffsetBuffer<i32>, items: ArrayRef, lists: &ListColumn) -> std::io::Result<ArrayRef> {
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let array = ListArray::try_new(item, offsets.clone(), items, lists.nulls.clone());
    Ok(Arc::new(array.map_err(std::io::Error::other)?))
}

/// Keeps the origin of the last row, which is nearly always the next one's too.
struct TextReader<'a> {
    table: &'a Origins,
    last: Option<(OriginId, Origin)>,
}

impl<'a> TextReader<'a> {
    fn new(table: &'a Origins) -> Self {
        Self { table, last: None }
    }

    fn origin(&mut self, id: OriginId) -> Option<&Origin> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            self.last = self.table.get(id).map(|origin| (id, origin));
        }
        self.last.as_ref().map(|(_, origin)| origin)
    }
}

impl RecordIds {
    /// The string of the record id at a position.
    ///
    /// Errors: a string that could not be read back from disk.
    pub fn text(&self, position: u128) -> std::io::Result<String> {
        let mut text = String::new();
        self.write(&mut text, position)?;
        Ok(text)
    }

    fn write(&self, text: &mut String, position: u128) -> std::io::Result<()> {
        match self {
            Self::Ordinal => {
                // Writing to a string cannot fail.
                let _ = write!(text, "row_{position}");
            }
            Self::Strings(texts) => {
                let place = u64::try_from(position).map_err(std::io::Error::other)?;
                text.push_str(&texts.text(place)?);
            }
        }
        Ok(())
    }
}

fn write_token(text: &mut String, origin: &Origin, position: u128) -> std::io::Result<()> {
    match origin {
        Origin::Source { source, records } => {
            text.push_str(source);
            text.push_str("::");
            records.write(text, position)?;
        }
        Origin::Column { source, records, column } => {
            text.push_str(source);
            text.push_str("::");
            records.write(text, position)?;
            text.push_str("::");
            text.push_str(column);
        }
        Origin::Output { function, fingerprint, output, .. } => {
            let key = output_key(position);
            // Writing to a string cannot fail.
            let _ = write!(text, "{function}::{fingerprint}::{key:020x}::{output}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::Positions;
    use arrow::array::AsArray;

    #[test]
    fn texts_are_written_from_numbers() {
        let origins = Origins::default();
        let tag = origins.add(Origin::Source { source: "flights".into(), records: RecordIds::Ordinal });
        let column = origins.add(Origin::Column {
            source: "flights".into(),
            records: RecordIds::Ordinal,
            column: "distance".into(),
        });
        let output = origins.add(Origin::Output {
            function: "speed".into(),
            fingerprint: "0123456789ab".into(),
            output: "mph".into(),
            recording: None,
        });
        let places = Positions::places(vec![7, 0]);
        let (sources, records) = origins.pairs(&ProvenanceColumn::constant(tag, places.clone())).unwrap();
        assert_eq!(
            sources.as_ref(),
            &StringViewArray::from(vec!["flights", "flights"]) as &dyn arrow::array::Array
        );
        assert_eq!(
            records.as_ref(),
            &StringViewArray::from(vec!["row_7", "row_0"]) as &dyn arrow::array::Array
        );
        let tokens = origins.tokens(&ProvenanceColumn::constant(column, places)).unwrap();
        assert_eq!(tokens.as_string_view().value(0), "flights::row_7::distance");
        let key = Positions::keys(vec![crate::provenance::output_position(0xab, Some(3))]);
        let tokens = origins.tokens(&ProvenanceColumn::constant(output, key)).unwrap();
        assert_eq!(tokens.as_string_view().value(0), "speed::0123456789ab::000000000000000000ab::mph");
    }
}
