//! Rows as lines of JSON.

use anabranch_engine::index::{At as _, holds};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};

use super::{JsonOptions, NonFinite, Numbers};
use crate::source::text::TextForm;

/// Bytes of memory for text that stay from batch to batch.
pub(super) const KEPT_BYTES: usize = 16 << 20;

/// Makes lines of JSON. Memory: the text of one batch.
#[derive(Debug)]
pub struct JsonText {
    line: Line,
    /// `"name":` of each column.
    keys: Vec<String>,
}

/// Text being made, and how values are put into it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) text: String,
    style: Style,
    /// Values so far that are `NaN` or infinite.
    non_finite: u64,
}

/// The JSON forms of values that have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    floats: Floats,
    decimals: Digits,
    integers: Digits,
}

/// Forms of `NaN` and infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Floats {
    #[default]
    Null,
    /// `"NaN"`, `"Infinity"`, `"-Infinity"`.
    String,
    /// Bare words, which JSON does not have and Python reads.
    Word,
}

/// Forms of decimals and 64-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Digits {
    #[default]
    Bare,
    Quoted,
}

impl JsonText {
    /// For rows of these columns, with decimals as strings.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        Self::styled(schema, Style { decimals: Digits::Quoted, ..Style::default() })
    }

    /// For rows of a file.
    pub(super) fn of_file(schema: &Schema, options: JsonOptions) -> Self {
        let digits = if options.exact == Numbers::String { Digits::Quoted } else { Digits::Bare };
        let floats = if options.nan == NonFinite::String { Floats::String } else { Floats::Null };
        Self::styled(schema, Style { floats, decimals: digits, integers: digits })
    }

    /// [`JsonText::new`] with `NaN`, `Infinity` and `-Infinity`, which JSON does not have and Python reads.
    pub(crate) fn with_all_floats(schema: &Schema) -> Self {
        let style = Style { floats: Floats::Word, decimals: Digits::Quoted, ..Style::default() };
        Self::styled(schema, style)
    }

    fn styled(schema: &Schema, style: Style) -> Self {
        let keys = schema.fields().iter().map(|f| key(f.name())).collect();
        Self { line: Line { style, ..Line::default() }, keys }
    }

    /// One object per row, each on a line.
    pub fn rows(&mut self, batch: &RecordBatch) -> &[u8] {
        self.line.text.clear();
        self.line.text.shrink_to(KEPT_BYTES);
        let forms: Vec<Option<JsonForm<'_>>> =
            batch.columns().iter().map(|c| JsonForm::of(c.as_ref())).collect();
        for row in 0..batch.num_rows() {
            push_object(&self.keys, &forms, row, &mut self.line);
            self.line.text.push('\n');
        }
        self.line.text.as_bytes()
    }

    /// Values so far that are `NaN` or infinite, for which JSON has no number.
    pub(super) fn non_finite(&self) -> u64 {
        self.line.non_finite
    }

    /// The first row of a batch with a value that is `NaN` or infinite, and its column.
    pub(super) fn first_non_finite(batch: &RecordBatch) -> Option<(usize, usize)> {
        let mut line = Line::default();
        let forms: Vec<_> = batch.columns().iter().filter_map(|c| JsonForm::of(c.as_ref())).collect();
        let mut places = (0..batch.num_rows()).flat_map(|row| (0..forms.len()).map(move |at| (row, at)));
        places.find(|(row, at)| {
            line.text.clear();
            forms.at(*at, "a place is below the number of forms").push(*row, &mut line);
            line.non_finite > 0
        })
    }
}

fn key(name: &str) -> String {
    let mut key = String::new();
    push_string(name, &mut key);
    key.push(':');
    key
}

/// Puts items between two marks, with commas between them.
fn push_items<T>(
    (begin, end): (char, char),
    items: impl Iterator<Item = T>,
    line: &mut Line,
    mut push: impl FnMut(T, &mut Line),
) {
    line.text.push(begin);
    for (at, item) in items.enumerate() {
        if at > 0 {
            line.text.push(',');
        }
        push(item, line);
    }
    line.text.push(end);
}

fn push_object(keys: &[String], forms: &[Option<JsonForm<'_>>], row: usize, line: &mut Line) {
    push_items(('{', '}'), keys.iter().zip(forms), line, |(key, form), line| {
        line.text.push_str(key);
        match form {
            Some(form) => form.push(row, line),
            None => line.text.push_str("null"),
        }
    });
}

/// The JSON values of an array.
pub(crate) struct JsonForm<'a> {
    array: &'a dyn Array,
    shape: JsonShape<'a>,
}

enum JsonShape<'a> {
    /// As it is: short integers, true and false.
    Bare(TextForm<'a>),
    Float(TextForm<'a>),
    /// 64-bit integers, which many readers take for floats.
    Integer(TextForm<'a>),
    Decimal(TextForm<'a>),
    /// In quotes: strings and what has no JSON form.
    Quoted(TextForm<'a>),
    List {
        offsets: &'a [i32],
        items: Box<JsonForm<'a>>,
    },
    Struct {
        keys: Vec<String>,
        columns: Vec<Option<JsonForm<'a>>>,
    },
    Map {
        offsets: &'a [i32],
        keys: Box<JsonForm<'a>>,
        values: Box<JsonForm<'a>>,
    },
}

impl<'a> JsonForm<'a> {
    /// The JSON values of an array in canonical form; none if its type has no JSON form.
    fn of(array: &'a dyn Array) -> Option<Self> {
        let data_type = array.data_type();
        let nested = |array: &'a ArrayRef| Self::of(array.as_ref());
        let shape = match data_type {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                JsonShape::List { offsets: list.value_offsets(), items: Box::new(nested(list.values())?) }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let columns = columns.map(|c| nested(c).map(Some)).collect::<Option<_>>()?;
                JsonShape::Struct { keys: fields.iter().map(|f| key(f.name())).collect(), columns }
            }
            DataType::Map(..) => {
                let map = array.as_map();
                if !matches!(map.keys().data_type(), DataType::Utf8 | DataType::Utf8View) {
                    return None;
                }
                let (keys, values) = (Box::new(nested(map.keys())?), Box::new(nested(map.values())?));
                JsonShape::Map { offsets: map.value_offsets(), keys, values }
            }
            DataType::Boolean => JsonShape::Bare(TextForm::of(array)?),
            DataType::Int64 | DataType::UInt64 => JsonShape::Integer(TextForm::of(array)?),
            DataType::Decimal128(..) | DataType::Decimal256(..) => JsonShape::Decimal(TextForm::of(array)?),
            _ if data_type.is_integer() => JsonShape::Bare(TextForm::of(array)?),
            _ if data_type.is_floating() => JsonShape::Float(TextForm::of(array)?),
            _ => JsonShape::Quoted(TextForm::of(array)?),
        };
        Some(Self { array, shape })
    }

    /// True if values of a type have a JSON form.
    pub(crate) fn exists_for(data_type: &DataType) -> bool {
        let empty = arrow::array::new_empty_array(data_type);
        JsonForm::of(empty.as_ref()).is_some()
    }

    pub(crate) fn push(&self, row: usize, line: &mut Line) {
        if row >= self.array.len() || self.array.is_null(row) {
            line.text.push_str("null");
            return;
        }
        match &self.shape {
            JsonShape::Bare(form) => {
                form.write(row, &mut line.text);
            }
            JsonShape::Integer(form) => push_digits(form, row, line.style.integers, line),
            JsonShape::Decimal(form) => push_digits(form, row, line.style.decimals, line),
            JsonShape::Float(form) => push_float(form, row, line),
            JsonShape::Quoted(form) => {
                let mut text = String::new();
                form.write(row, &mut text);
                push_string(&text, &mut line.text);
            }
            JsonShape::List { offsets, items } => {
                push_items(('[', ']'), range(offsets, row), line, |item, line| items.push(item, line));
            }
            JsonShape::Struct { keys, columns } => push_object(keys, columns, row, line),
            JsonShape::Map { offsets, keys, values } => {
                push_items(('{', '}'), range(offsets, row), line, |entry, line| {
                    keys.push(entry, line);
                    line.text.push(':');
                    values.push(entry, line);
                });
            }
        }
    }
}

fn push_digits(form: &TextForm<'_>, row: usize, digits: Digits, line: &mut Line) {
    let quote = if digits == Digits::Quoted { "\"" } else { "" };
    line.text.push_str(quote);
    form.write(row, &mut line.text);
    line.text.push_str(quote);
}

fn push_float(form: &TextForm<'_>, row: usize, line: &mut Line) {
    let start = line.text.len();
    form.write(row, &mut line.text);
    let word = match line.text.get(start..) {
        Some("NaN") => "NaN",
        Some("inf") => "Infinity",
        Some("-inf") => "-Infinity",
        _ => return,
    };
    line.non_finite += 1;
    line.text.truncate(start);
    match line.style.floats {
        Floats::Null => line.text.push_str("null"),
        Floats::Word => line.text.push_str(word),
        Floats::String => push_string(word, &mut line.text),
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let place = |row: usize| {
        let offset = *offsets.at(row, "a list has an offset before and behind each row");
        usize::try_from(offset).unwrap_or_else(|_| panic!("offsets are not negative: found {offset}"))
    };
    place(row)..place(row + 1)
}

/// Invariant of the place behind an escaped character.
const ESCAPED: &str = "characters that are escaped have one byte";

fn push_string(text: &str, line: &mut String) {
    use std::fmt::Write as _;
    // So that a large text is not copied as it grows.
    line.reserve(text.len() + 2);
    line.push('"');
    let mut plain = 0;
    for (at, byte) in
        text.bytes().enumerate().filter(|(_, byte)| *byte < b' ' || matches!(byte, b'"' | b'\\'))
    {
        line.push_str(holds(text.get(plain..at), ESCAPED));
        plain = at + 1;
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            control => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{control:04x}");
            }
        }
    }
    line.push_str(holds(text.get(plain..), ESCAPED));
    line.push('"');
}
