//! Rows from files of one JSON object per line.

mod lines;
mod objects;
mod shape;

pub(super) use objects::{ObjectColumns, ObjectRows};
pub(super) use shape::TooManyKeys;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use indexmap::IndexMap;

use super::column::{REPEATED_KEY, TypeMismatch};
use super::encoding::TextEncoding;
use super::error::{Place, SourceError};
use super::input::TextInput;
use super::options::{format_methods, option_methods, parsed_formats, places};
use super::stream::StreamId;
use super::{COLUMNS, PREFIX_BYTES, PREFIX_ROWS, PlannedSource, Reader, Source, SourceOptions};
use lines::JsonLineReader;

/// Bytes of text after which a batch is full whatever its rows.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// Rows of files with one JSON object per line.
///
/// Types are inferred from the first 65,536 rows or 16 MiB over all files in order, where `types`
/// says nothing: `bool`, `int64` (`uint64` where needed), `float64`, `string`, `list`, `struct`.
/// Values that have no type in common, integers beyond 64 bits or, beside a fraction, beyond 2^53, and
/// lists and objects of more than 24 levels make a string column of their JSON texts. A key that is
/// absent is null; one that an object has twice is an error. Later values of another type and later
/// keys are errors; a key named under `types` is a column wherever it first occurs. A declared string
/// takes any value as it stands in the file, a declared number also a string that reads as one; no
/// number passes through a float on its way to an integer, decimal or string. Times and binaries, which
/// JSON does not have, are read from strings if `types` or `formats` says so. `NaN`, `Infinity` and
/// `-Infinity` are floats.
///
/// Files compressed by gzip or zstd are known by their content, UTF-16 by its mark. The path `-` is
/// standard input; it, pipes and devices are read once, so that a second run of the same pipeline fails.
///
/// Memory: a batch, and the longest line (64 MiB at most) with 16 bytes for each of its values; 65,536
/// keys at most.
#[derive(Debug, Clone)]
pub struct JsonLines {
    path: PathBuf,
    options: SourceOptions,
    formats: IndexMap<String, String>,
    renamed: IndexMap<String, String>,
}

impl JsonLines {
    /// The file, or the files that a pattern matches, sorted by name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            options: SourceOptions::default(),
            formats: IndexMap::new(),
            renamed: IndexMap::new(),
        }
    }

    option_methods!();
    format_methods!();

    /// Columns for keys of another name, `_id` for one, which no column may bear.
    #[must_use]
    pub fn rename<K: Into<String>, T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = (K, T)>,
    ) -> Self {
        self.renamed = columns.into_iter().map(|(key, column)| (key.into(), column.into())).collect();
        self
    }
}

impl Source for JsonLines {
    fn kind(&self) -> &'static str {
        "jsonl"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn streams(&self) -> Vec<StreamId> {
        TextInput::streams(&self.path)
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let files = TextInput::expand(&self.path)?;
        let formats = parsed_formats(&self.formats)?;
        let mut columns = ObjectColumns::new(&self.options.types, &self.renamed, &formats);
        let (mut rows, mut bytes) = (0, 0);
        for file in &files {
            if rows >= PREFIX_ROWS || bytes >= PREFIX_BYTES {
                break;
            }
            let mut lines = JsonLineReader::new(file, file.peek(TextEncoding::Utf8)?);
            while rows < PREFIX_ROWS && bytes + lines.bytes_read < PREFIX_BYTES {
                let Some(object) = lines.next()? else { break };
                columns.add(object).map_err(|TooManyKeys| too_many_keys(lines.place()))?;
                rows += 1;
            }
            bytes += lines.bytes_read;
        }
        let keys: Vec<String> = columns.keys().cloned().collect();
        if rows > 0 {
            places("rename", self.renamed.keys(), &keys)?;
        }
        if let Some(key) = columns.keys().find(|key| key.starts_with('_') && !self.renamed.contains_key(*key))
        {
            return Err(reserved(&self.path, key));
        }
        let rows = columns.rows(&self.path.display().to_string())?;
        Ok(Box::new(PlannedJson { files: files.into(), rows: Arc::new(rows) }))
    }
}

struct PlannedJson {
    files: Arc<[TextInput]>,
    rows: Arc<ObjectRows>,
}

impl PlannedSource for PlannedJson {
    fn columns(&self) -> &[FieldRef] {
        &self.rows.fields
    }

    fn files(&self) -> Vec<PathBuf> {
        TextInput::paths(&self.files)
    }

    fn keep(&self, folder: &Path) -> Result<(), SourceError> {
        TextInput::keep(&self.files, folder)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let (files, rows) = (Arc::clone(&self.files), Arc::clone(&self.rows));
        Ok(Box::new(JsonReader { files, rows, chunk_rows: chunk_rows.max(1), next_file: 0, open: None }))
    }
}

struct JsonReader {
    files: Arc<[TextInput]>,
    rows: Arc<ObjectRows>,
    chunk_rows: usize,
    next_file: usize,
    open: Option<JsonLineReader>,
}

impl Reader for JsonReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            let lines = match &mut self.open {
                Some(lines) => lines,
                None => match self.files.get(self.next_file) {
                    Some(file) => {
                        self.next_file += 1;
                        let text = file.open(TextEncoding::Utf8)?;
                        self.open.insert(JsonLineReader::new(file, text))
                    }
                    None => return Ok(None),
                },
            };
            let mut builder = self.rows.builder();
            let most_rows = self.rows.batch_rows(self.chunk_rows);
            let full = lines.bytes_read + BATCH_BYTES;
            while builder.rows < most_rows && lines.bytes_read < full {
                let Some(object) = lines.next()? else { break };
                builder.append(object).map_err(|misfit| lines.misfit(&misfit))?;
            }
            if builder.rows > 0 {
                return builder.finish(&lines.name).map(Some);
            }
            self.open = None;
        }
    }
}

/// The error for a value that is not of its column's type, or for a key that is no column.
pub(super) fn misfit_error(place: Place, misfit: &TypeMismatch) -> SourceError {
    let key = misfit.path.join(".").replace(".[]", "[]");
    let column = misfit.path.first().map_or("", String::as_str);
    let (found, expected) = match &misfit.expected {
        Some(expected) if misfit.path.len() == 1 => {
            let (column, expected) = (column.to_owned(), expected.clone());
            return SourceError::Value { place, column, found: misfit.found, expected };
        }
        Some(expected) => (format!("{} at key \"{key}\"", misfit.found), expected.as_str()),
        None if misfit.found == REPEATED_KEY => (format!("key \"{key}\" twice"), "each key once"),
        None => (
            format!("key \"{key}\", which the rows that types were inferred from do not have"),
            "no other keys",
        ),
    };
    let remedy = format!("correct it, or name the type: `types: {{ {column}: string }}` for one");
    SourceError::format(place, found, expected, remedy)
}

/// The error for a key that no column can have as its name.
fn reserved(path: &Path, key: &str) -> SourceError {
    SourceError::format(
        Place::Whole(path.display().to_string()),
        format!("the key \"{key}\", which is reserved as it begins with \"_\""),
        "keys that can be names of columns",
        format!("rename it, as in `rename: {{ \"{key}\": {} }}`", key.trim_start_matches('_')),
    )
}

/// The error for objects of more keys than there may be columns.
pub(super) fn too_many_keys(place: Place) -> SourceError {
    SourceError::format(
        place,
        format!("more than {COLUMNS} keys so far, those within objects included"),
        format!("objects that have at most {COLUMNS} different keys together"),
        "where keys are values, read the column that has them as a string, `types: { NAME: string }`",
    )
}
