//! Record ids made of columns.

use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{RecordStrings, StringTable};
use arrow::array::RecordBatch;

use super::error::SourceError;
use super::node::Scratch;
use super::repeats::{Repeat, Repeats};
use super::text::TextForm;

/// Makes the record ids of a source, keeps their texts and sees that none is repeated.
///
/// A record id is `<column>=<value>` for each record id column, joined by `,`; values are in the
/// text forms of [`super::text`], and a `\` stands before every `\`, `,`, `=` and `:` of names and
/// values.
///
/// Memory: half of the scratch memory for texts, half to find repeated ones.
#[derive(Debug)]
pub(super) struct RecordIdColumns {
    names: Vec<String>,
    escaped_names: Vec<String>,
    places: Vec<usize>,
    directory: String,
    texts: Arc<StringTable>,
    repeats: Repeats,
}

impl RecordIdColumns {
    pub(super) fn new(names: &[String], places: &[usize], scratch: &Scratch) -> Self {
        let escape = |name: &String| {
            let mut escaped = String::new();
            push_escaped(name, &mut escaped);
            escaped
        };
        Self {
            names: names.to_vec(),
            escaped_names: names.iter().map(escape).collect(),
            places: places.to_vec(),
            directory: scratch.directory.display().to_string(),
            texts: Arc::new(StringTable::new(&scratch.directory, scratch.memory_bytes / 2)),
            repeats: Repeats::new(&scratch.directory, scratch.memory_bytes / 2),
        }
    }

    /// The texts, by position in the source.
    pub(super) fn texts(&self) -> Arc<dyn RecordStrings> {
        Arc::<StringTable>::clone(&self.texts)
    }

    /// Takes the record ids of further rows, the first of which stands at `first_row`.
    pub(super) fn add(&mut self, batch: &RecordBatch, first_row: u64) -> Result<(), SourceError> {
        let form = |place: &usize| {
            let column = batch.columns().at(*place, "a column of the record id is in the batch");
            TextForm::of(column.as_ref())
                .unwrap_or_else(|| panic!("columns of record ids have strings for their values"))
        };
        let forms: Vec<TextForm<'_>> = self.places.iter().map(form).collect();
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            let position = first_row + row as u64;
            let mut text = String::new();
            for (at, (form, name)) in forms.iter().zip(&self.escaped_names).enumerate() {
                value.clear();
                if !form.write(row, &mut value) {
                    let column = self.names.at(at, "a column of the record id has a name").clone();
                    return Err(SourceError::NullRecordId { column, row: position });
                }
                if at > 0 {
                    text.push(',');
                }
                text.push_str(name);
                text.push('=');
                push_escaped(&value, &mut text);
            }
            self.push(text, position)?;
        }
        Ok(())
    }

    fn push(&mut self, text: String, position: u64) -> Result<(), SourceError> {
        let repeat = self.repeats.add(hash(&text), position).map_err(|e| self.fault(e))?;
        self.texts.push(text).map_err(|e| self.fault(e))?;
        match repeat {
            Some(repeat) => self.confirm(repeat),
            None => Ok(()),
        }
    }

    /// Looks for repeated record ids among those that have left memory.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        let texts = &self.texts;
        let same = |repeat: &Repeat| Ok(texts.text(repeat.first)? == texts.text(repeat.second)?);
        match self.repeats.finish(same).map_err(|e| self.fault(e))? {
            Some(repeat) => self.confirm(repeat),
            None => Ok(()),
        }
    }

    /// Equal hashes are a repeated record id only if the texts are equal.
    fn confirm(&self, repeat: Repeat) -> Result<(), SourceError> {
        let record = self.texts.text(repeat.second).map_err(|e| self.fault(e))?;
        if self.texts.text(repeat.first).map_err(|e| self.fault(e))? != record {
            return Ok(());
        }
        let (first, second) = (repeat.first, repeat.second);
        Err(SourceError::RepeatedRecordId { columns: self.names.clone(), record, first, second })
    }

    fn fault(&self, cause: std::io::Error) -> SourceError {
        SourceError::RecordIds { directory: self.directory.clone(), cause }
    }
}

/// The first 128 bits of BLAKE3.
fn hash(text: &str) -> u128 {
    let mut structure = Structure::new("record id");
    structure.text(text);
    structure.finish().0.iter().take(16).fold(0, |bits, byte| (bits << 8) | u128::from(*byte))
}

fn push_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        if matches!(character, '\\' | ',' | '=' | ':') {
            out.push('\\');
        }
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};

    fn ids(memory_bytes: usize, columns: Vec<(&str, ArrayRef)>) -> Result<Vec<String>, SourceError> {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let places: Vec<usize> = (0..names.len()).collect();
        let scratch = Scratch { directory: std::env::temp_dir(), memory_bytes };
        let mut made = RecordIdColumns::new(&names, &places, &scratch);
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        for row in 0..batch.num_rows() {
            made.add(&batch.slice(row, 1), row as u64)?;
        }
        made.finish()?;
        Ok((0..batch.num_rows() as u64).map(|at| made.texts.text(at).unwrap()).collect())
    }

    #[test]
    fn names_and_values_are_escaped_and_joined() {
        let a: ArrayRef = Arc::new(StringViewArray::from(vec!["x,y=z", "a:\\"]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![1, -2]));
        let ids = ids(1 << 20, vec![("a:b", a), ("n", b)]).unwrap();
        assert_eq!(ids, [r"a\:b=x\,y\=z,n=1", r"a\:b=a\:\\,n=-2"]);
    }

    #[test]
    fn a_null_is_refused_with_its_row() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let error = ids(1 << 20, vec![("a", a)]).unwrap_err();
        assert!(matches!(&error, SourceError::NullRecordId { column, row: 2 } if column == "a"), "{error}");
    }

    #[test]
    fn a_repeated_record_id_is_found_in_memory_and_from_disk() {
        for (memory, first, second) in [(1 << 24, 7, 30_001), (4_096, 7, 30_001), (4_096, 30_000, 30_001)] {
            let mut values: Vec<i64> = (0..40_000).collect();
            values[second] = values[first];
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            let error = ids(memory, vec![("id", column)]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("\"id={first}\" at row {first} and at row {second}")), "{text}");
        }
        let unlike: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40_000));
        assert_eq!(ids(4_096, vec![("id", unlike)]).unwrap().len(), 40_000);
    }
}
