//! Rows from CSV files.

mod infer;
mod reader;
mod records;

pub(crate) use infer::Guess;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::datatypes::{Field, FieldRef};

use super::cast::nullable;
use super::column::column_builder;
use super::error::{Place, SourceError};
use super::options::option_methods;
use super::paths::{SourceFile, expand};
use super::{PlannedSource, Reader, Source, SourceOptions};
use reader::{CsvReader, OpenFile};
use records::Dialect;

/// Rows that types are inferred from at most.
pub(super) const PREFIX_ROWS: usize = 65_536;
/// Bytes that types are inferred from at most.
pub(super) const PREFIX_BYTES: u64 = 16 * 1024 * 1024;

/// Rows of CSV files.
///
/// Types are inferred from the first 65,536 rows or 16 MiB over all files in order, where `types`
/// says nothing: `bool` (true, false), `int64`, `float64`, `date` (YYYY-MM-DD), `timestamp`,
/// `timestamp_utc` (with `Z` or an offset), else `string`. A quoted field is a string; leading
/// zeros do not keep a column from being a number; a whole number beyond 64 bits does. A column
/// without values is a string. A later value that is not of its column's type is an error.
///
/// Missing values are fields equal to one of `null_values` and not quoted; by default the empty
/// field. An empty field is missing in any case where the column is not a string. A line without
/// any character is skipped, unless the file has one column only.
///
/// Example:
/// ```no_run
/// use anabranch_nodes::source::{Csv, Source};
///
/// let penguins = Csv::new("data/penguins.csv").tags(["species", "island"]).null_values(["NA"]);
/// assert_eq!(penguins.plan()?.columns().len(), 8);
/// # Ok::<(), anabranch_nodes::source::SourceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Csv {
    path: PathBuf,
    options: SourceOptions,
    delimiter: u8,
    quote: u8,
    header: bool,
    null_values: Vec<String>,
}

impl Csv {
    /// The file, or the files that a pattern matches, sorted by name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            options: SourceOptions::default(),
            delimiter: b',',
            quote: b'"',
            header: true,
            null_values: vec![String::new()],
        }
    }

    option_methods!();

    /// The ASCII character between fields; a comma by default.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The ASCII character around fields; `"` by default.
    #[must_use]
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self
    }

    /// Whether the first line names the columns (the default); else they are `column_1` and so on.
    #[must_use]
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// Texts that stand for a missing value, instead of the empty field.
    #[must_use]
    pub fn null_values<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        self.null_values = texts.into_iter().map(Into::into).collect();
        self
    }

    /// The path or pattern.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn dialect(&self) -> Result<Dialect, SourceError> {
        let usable = |c: u8| c.is_ascii() && !matches!(c, b'\n' | b'\r' | 0);
        for (option, character) in [("delimiter", self.delimiter), ("quote", self.quote)] {
            if !usable(character) || self.delimiter == self.quote {
                return Err(SourceError::Option {
                    option,
                    found: format!("byte {character}"),
                    expected: "one ASCII character, no line end, delimiter and quote different".into(),
                    remedy: "choose another".into(),
                });
            }
        }
        Ok(Dialect { delimiter: self.delimiter, quote: self.quote })
    }
}

impl Source for Csv {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let format = Arc::new(CsvFormat {
            dialect: self.dialect()?,
            header: self.header,
            null_values: self.null_values.clone(),
            files: expand(&self.path)?,
        });
        let names = format.names()?;
        let guesses = format.guess(&names)?;
        let mut columns: Vec<FieldRef> = Vec::with_capacity(names.len());
        for (name, guess) in names.iter().zip(guesses) {
            let data_type = match self.options.types.get(name) {
                Some(data_type) => nullable(data_type).map_err(|cause| SourceError::Type {
                    path: self.path.display().to_string(),
                    column: name.clone(),
                    cause,
                })?,
                None => guess.data_type(),
            };
            if data_type.is_nested() || column_builder(&data_type, false).is_none() {
                return Err(SourceError::Option {
                    option: "types",
                    found: format!("{} for column \"{name}\"", logical_type(&data_type)),
                    expected: "a type that a CSV field can hold".into(),
                    remedy: "read it as a string, or keep the data as parquet, arrow or jsonl".into(),
                });
            }
            columns.push(Arc::new(Field::new(name, data_type, true)));
        }
        Ok(Box::new(PlannedCsv { format, columns }))
    }
}

/// Files and how to read them.
#[derive(Debug)]
struct CsvFormat {
    dialect: Dialect,
    header: bool,
    null_values: Vec<String>,
    files: Vec<SourceFile>,
}

impl CsvFormat {
    /// Names of the columns; every file has to have the same.
    fn names(&self) -> Result<Vec<String>, SourceError> {
        let mut first: Option<Vec<String>> = None;
        for file in &self.files {
            let names = OpenFile::open(file, self, None)?.names;
            match &first {
                _ if names.is_empty() => {}
                None => first = Some(names),
                Some(expected) => self.compare(file, &names, expected)?,
            }
        }
        first.ok_or_else(|| SourceError::Format {
            place: Place::Whole(self.first_name()),
            found: "no line".into(),
            expected: if self.header { "a line of column names" } else { "at least one row" }.into(),
            remedy: "check that the file is written whole".into(),
            cause: None,
        })
    }

    fn first_name(&self) -> String {
        self.files.first().map_or_else(String::new, |f| f.name.clone())
    }

    /// Whether a file's columns are those of the first.
    fn compare(&self, file: &SourceFile, names: &[String], expected: &[String]) -> Result<(), SourceError> {
        let (longer, at) =
            if names.len() > expected.len() { (names, expected.len()) } else { (expected, names.len()) };
        let differs = names.iter().zip(expected).position(|(a, b)| a != b);
        let at = match differs {
            None if names.len() == expected.len() => return Ok(()),
            differs => differs.unwrap_or(at),
        };
        let describe = |names: &[String]| {
            names.get(at).map_or("absent".to_owned(), |n| format!("\"{n}\" at place {}", at + 1))
        };
        Err(SourceError::Differs {
            path: file.name.as_str().into(),
            column: expected.get(at).or_else(|| longer.get(at)).map_or("", String::as_str).into(),
            found: describe(names).into(),
            expected: describe(expected).into(),
            first: self.first_name().into(),
        })
    }

    /// The types of the columns, from the prefix.
    fn guess(&self, names: &[String]) -> Result<Vec<Guess>, SourceError> {
        let mut guesses = vec![Guess::default(); names.len()];
        let (mut rows, mut bytes) = (0, 0);
        for file in &self.files {
            let mut open = OpenFile::open(file, self, Some(names.len()))?;
            while rows < PREFIX_ROWS && bytes + open.records.bytes_read() < PREFIX_BYTES {
                let Some(record) = open.next()? else { break };
                for (field, guess) in record.fields().zip(&mut guesses) {
                    let missing = !field.quoted && self.is_missing(&field.text);
                    if !missing {
                        guess.add(&field.text, field.quoted);
                    }
                }
                rows += 1;
            }
            bytes += open.records.bytes_read();
        }
        Ok(guesses)
    }

    /// Whether an unquoted field has no value, as far as types are concerned.
    fn is_missing(&self, text: &str) -> bool {
        text.is_empty() || self.is_null(text)
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_values.iter().any(|null| null == text)
    }
}

struct PlannedCsv {
    format: Arc<CsvFormat>,
    columns: Vec<FieldRef>,
}

impl PlannedSource for PlannedCsv {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn files(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.format.files)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(CsvReader::new(Arc::clone(&self.format), &self.columns, chunk_rows)))
    }
}
