//! Rows from CSV files.

mod header;
mod infer;
mod odd;
mod reader;
mod records;

pub(crate) use infer::Guess;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use indexmap::IndexMap;

use super::encoding::TextEncoding;
use super::error::{Place, SourceError};
use super::input::TextInput;
use super::options::{format_methods, option_methods, parsed_formats, places, unreadable_type};
use super::stream::StreamId;
use super::text::TimeFormat;
use super::{PREFIX_BYTES, PREFIX_ROWS, PlannedSource, Reader, Source, SourceOptions};
use crate::source::column::ColumnReading;
use header::{arranged, checked_names};
use odd::OddValues;
use reader::{CsvReader, OpenCsvFile};
use records::CsvDialect;

/// Rows of CSV files.
///
/// Types are inferred from the first 65,536 rows or 16 MiB over all files in order, where `types`
/// says nothing: `bool` (true, false), `int64` (`uint64` where needed), `float64`, `date`
/// (YYYY-MM-DD), `timestamp`, `timestamp_utc` (with `Z` or an offset), else `string`. Quotes make no
/// difference, but a quoted empty field is an empty string. Leading zeros do not keep a column from
/// being a number; a whole number beyond 64 bits, or beyond 2^53 beside a fraction, does. A column
/// without values is a string. A later value that is not of its column's type is an error.
///
/// Missing values are fields equal to one of `null_values` and not quoted; by default the empty
/// field. An empty field is missing in any case where the column is not a string. A line without
/// any character is skipped, unless the file has one column only. Lines end in a line feed, a
/// carriage return, or both.
///
/// Files compressed by gzip or zstd are known by their content. The path `-` is standard input; it,
/// pipes and devices are read once, so that a second run of the same pipeline fails.
///
/// Memory: a batch, and the longest record (64 MiB at most); 65,536 columns at most.
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
    /// The file, or the pattern that matches the files.
    pub path: PathBuf,
    /// Options that all sources have.
    pub options: SourceOptions,
    /// The ASCII character between fields; a comma by default.
    pub delimiter: u8,
    /// The ASCII character around fields; `"` by default.
    pub quote: u8,
    /// True if the first line names the columns (the default); else they are `column_1` and so on.
    pub header: bool,
    /// Texts that stand for a missing value, instead of the empty field.
    pub null_values: Vec<String>,
    /// Text that lines which are left out begin with, `#` for one.
    pub comment: Option<String>,
    /// Number of lines at the beginning of each file that are left out, before the header; quotes in
    /// them mean nothing.
    pub skip_rows: u64,
    /// The encoding of the files.
    pub encoding: Option<String>,
    /// Treatment of lines with fewer fields than there are columns; an error by default.
    pub ragged: Ragged,
    /// Names of the columns by their position, in place of those of the header.
    pub columns: Option<Vec<String>>,
    /// Formats of dates and times by column.
    pub formats: IndexMap<String, String>,
}

/// Treatment of lines with fewer fields than there are columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ragged {
    /// An error that names the line.
    #[default]
    Error,
    /// The missing fields are null.
    Null,
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
            comment: None,
            skip_rows: 0,
            encoding: None,
            ragged: Ragged::Error,
            columns: None,
            formats: IndexMap::new(),
        }
    }

    option_methods!();
    format_methods!();

    /// Texts that stand for a missing value, instead of the empty field.
    #[must_use]
    pub fn null_values<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        self.null_values = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Text that lines which are left out begin with, `#` for one.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The encoding of the files: `utf-8` (the default), `utf-16`, `latin1`, `windows-1252` and the
    /// other names of the web's encodings. A byte order mark of UTF-16 is followed in any case.
    #[must_use]
    pub fn encoding(mut self, name: impl Into<String>) -> Self {
        self.encoding = Some(name.into());
        self
    }

    /// Names of the columns by their position, in place of those of the header.
    #[must_use]
    pub fn columns<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    fn dialect(&self) -> Result<CsvDialect, SourceError> {
        let usable = |c: u8| c.is_ascii() && !matches!(c, b'\n' | b'\r' | 0);
        for (option, character) in [("delimiter", self.delimiter), ("quote", self.quote)] {
            if !usable(character) || self.delimiter == self.quote {
                let expected = "one ASCII character, no line end, delimiter and quote different";
                let found = format!("byte {character}");
                return Err(SourceError::option(option, found, expected, "choose another"));
            }
        }
        let comment = self.comment.as_deref();
        if comment.is_some_and(|text| text.is_empty() || text.contains(['\n', '\r'])) {
            let found = "an empty text, or one of several lines";
            let expected = "what lines to leave out begin with, as in \"#\"";
            return Err(SourceError::option("comment", found, expected, "choose another"));
        }
        Ok(CsvDialect {
            delimiter: self.delimiter,
            quote: self.quote,
            comment: comment.map(|text| text.as_bytes().into()),
            skip_lines: self.skip_rows,
        })
    }

    /// A column and how it is read.
    fn column(
        &self,
        name: &str,
        guess: Guess,
        format: Option<&TimeFormat>,
    ) -> Result<(FieldRef, ColumnReading), SourceError> {
        let path = self.path.display().to_string();
        let inferred = (guess.data_type(), false);
        let (data_type, reading) = ColumnReading::of((&path, name), &self.options.types, format, inferred)?;
        if data_type.is_nested() || reading.builder(&data_type).is_none() {
            let remedy = "read it as a string, or keep the data as parquet, arrow or jsonl";
            return Err(unreadable_type(name, &data_type, "a type that a CSV field can hold", remedy));
        }
        Ok((Arc::new(Field::new(name, data_type, true)), reading))
    }
}

impl Source for Csv {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn streams(&self) -> Vec<StreamId> {
        TextInput::streams(&self.path)
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let mut format = CsvFormat {
            dialect: self.dialect()?,
            encoding: self.encoding.as_deref().map_or(Ok(TextEncoding::Utf8), TextEncoding::named)?,
            header: self.header,
            ragged: self.ragged,
            null_values: self.null_values.clone(),
            files: TextInput::expand(&self.path)?,
            header_names: Vec::new(),
            readings: Vec::new(),
        };
        format.header_names = format.names()?;
        let names = checked_names(&format.header_names, self.columns.as_deref(), &format.first_name())?;
        let formats = parsed_formats(&self.formats)?;
        places("formats", formats.keys(), &names)?;
        let guesses = format.guess()?;
        let mut columns: Vec<FieldRef> = Vec::with_capacity(names.len());
        let mut notes = Vec::new();
        for (name, (guess, odd)) in names.iter().zip(guesses) {
            if guess == Guess::Text && !formats.contains_key(name) && !self.options.types.contains_key(name) {
                notes.extend(odd.remark(name));
            }
            let (column, reading) = self.column(name, guess, formats.get(name))?;
            columns.push(column);
            format.readings.push(reading);
        }
        Ok(Box::new(PlannedCsv { format: Arc::new(format), columns, notes }))
    }
}

/// Files and how to read them.
#[derive(Debug)]
struct CsvFormat {
    dialect: CsvDialect,
    encoding: TextEncoding,
    header: bool,
    ragged: Ragged,
    null_values: Vec<String>,
    files: Vec<TextInput>,
    /// The names in the header of the first file that has one.
    header_names: Vec<String>,
    /// Way in which each column is read.
    readings: Vec<ColumnReading>,
}

impl CsvFormat {
    /// Names of the columns in the first file that has any; the others are held against them.
    fn names(&self) -> Result<Vec<String>, SourceError> {
        let mut first: Option<Vec<String>> = None;
        for file in &self.files {
            let names = OpenCsvFile::begin(file.name(), file.peek(self.encoding)?, self, None)?.names;
            match &first {
                _ if names.is_empty() => {}
                None => first = Some(names),
                Some(expected) => {
                    arranged(file.name(), &names, &self.first_name(), expected)?;
                }
            }
        }
        first.ok_or_else(|| {
            let expected = if self.header { "a line of column names" } else { "at least one row" };
            let place = Place::Whole(self.first_name());
            SourceError::format(place, "no line", expected, "check that the file is written whole")
        })
    }

    fn first_name(&self) -> String {
        self.files.first().map_or_else(String::new, |f| f.name().to_owned())
    }

    /// Returns a file's fields their columns.
    fn arrange(&self, file: &TextInput, open: &mut OpenCsvFile) -> Result<(), SourceError> {
        if self.header && !open.names.is_empty() {
            open.order = arranged(file.name(), &open.names, &self.first_name(), &self.header_names)?;
        }
        Ok(())
    }

    /// The types of the columns, from the prefix.
    fn guess(&self) -> Result<Vec<(Guess, OddValues)>, SourceError> {
        let mut guesses = vec![(Guess::default(), OddValues::new()); self.header_names.len()];
        let (mut rows, mut bytes) = (0, 0);
        for file in &self.files {
            if rows >= PREFIX_ROWS || bytes >= PREFIX_BYTES {
                break;
            }
            let (text, columns) = (file.peek(self.encoding)?, self.header_names.len());
            let mut open = OpenCsvFile::begin(file.name(), text, self, Some(columns))?;
            self.arrange(file, &mut open)?;
            let order: Vec<usize> = (0..guesses.len()).map(|field| open.column_of(field)).collect();
            while rows < PREFIX_ROWS && bytes + open.records.bytes_read < PREFIX_BYTES {
                let Some(record) = open.next()? else { break };
                for (field, place) in record.fields().zip(&order) {
                    let missing = !field.quoted && (field.text.is_empty() || self.is_null(&field.text));
                    if let Some((guess, odd)) = guesses.get_mut(*place).filter(|_| !missing) {
                        guess.add(&field.text);
                        odd.add(&field.text, record.line);
                    }
                }
                rows += 1;
            }
            bytes += open.records.bytes_read;
        }
        Ok(guesses)
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_values.iter().any(|null| null == text)
    }
}

struct PlannedCsv {
    format: Arc<CsvFormat>,
    columns: Vec<FieldRef>,
    notes: Vec<String>,
}

impl PlannedSource for PlannedCsv {
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn files(&self) -> Vec<PathBuf> {
        TextInput::paths(&self.format.files)
    }

    fn keep(&self, folder: &Path) -> Result<(), SourceError> {
        TextInput::keep(&self.format.files, folder)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(CsvReader::new(Arc::clone(&self.format), &self.columns, chunk_rows)))
    }
}
