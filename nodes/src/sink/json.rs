//! Rows as lines of JSON.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};

use crate::source::text::TextForm;

/// Makes lines of JSON, as the sink of that format writes them. Memory: the text of one batch.
#[derive(Debug)]
pub struct JsonText {
    lines: String,
    /// `"name":` of each column.
    keys: Vec<String>,
    all_floats: bool,
}

impl JsonText {
    /// For rows of these columns.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let keys = schema.fields().iter().map(|f| key(f.name())).collect();
        Self { lines: String::new(), keys, all_floats: false }
    }

    /// The same with `NaN`, `Infinity` and `-Infinity`, which JSON does not have and Python reads.
    pub(crate) fn with_all_floats(schema: &Schema) -> Self {
        Self { all_floats: true, ..Self::new(schema) }
    }

    /// One object per row, each on a line.
    pub fn rows(&mut self, batch: &RecordBatch) -> &[u8] {
        self.lines.clear();
        let forms: Vec<Option<JsonForm<'_>>> =
            batch.columns().iter().map(|c| JsonForm::of(c.as_ref(), self.all_floats)).collect();
        for row in 0..batch.num_rows() {
            push_object(&self.keys, &forms, row, &mut self.lines);
            self.lines.push('\n');
        }
        self.lines.as_bytes()
    }
}

fn key(name: &str) -> String {
    let mut key = String::new();
    push_string(name, &mut key);
    key.push(':');
    key
}

fn push_object(keys: &[String], forms: &[Option<JsonForm<'_>>], row: usize, line: &mut String) {
    line.push('{');
    for (at, (key, form)) in keys.iter().zip(forms).enumerate() {
        if at > 0 {
            line.push(',');
        }
        line.push_str(key);
        match form {
            Some(form) => form.push(row, line),
            None => line.push_str("null"),
        }
    }
    line.push('}');
}

/// The JSON values of an array.
pub(crate) struct JsonForm<'a> {
    array: &'a dyn Array,
    all_floats: bool,
    shape: Shape<'a>,
}

enum Shape<'a> {
    /// As it is: numbers, true and false; `NaN` and infinities are null.
    Bare(TextForm<'a>),
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
    fn of(array: &'a dyn Array, all_floats: bool) -> Option<Self> {
        let data_type = array.data_type();
        let nested = |array: &'a ArrayRef| Self::of(array.as_ref(), all_floats);
        let shape = match data_type {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Shape::List { offsets: list.value_offsets(), items: Box::new(nested(list.values())?) }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let columns = columns.map(|c| nested(c).map(Some)).collect::<Option<_>>()?;
                Shape::Struct { keys: fields.iter().map(|f| key(f.name())).collect(), columns }
            }
            DataType::Map(..) => {
                let map = array.as_map();
                if !matches!(map.keys().data_type(), DataType::Utf8 | DataType::Utf8View) {
                    return None;
                }
                let (keys, values) = (Box::new(nested(map.keys())?), Box::new(nested(map.values())?));
                Shape::Map { offsets: map.value_offsets(), keys, values }
            }
            DataType::Boolean => Shape::Bare(TextForm::of(array)?),
            _ if data_type.is_integer() || data_type.is_floating() => Shape::Bare(TextForm::of(array)?),
            _ => Shape::Quoted(TextForm::of(array)?),
        };
        Some(Self { array, all_floats, shape })
    }

    /// Whether values of a type have a JSON form.
    pub(crate) fn exists_for(data_type: &DataType) -> bool {
        let empty = arrow::array::new_empty_array(data_type);
        JsonForm::of(empty.as_ref(), false).is_some()
    }

    pub(crate) fn push(&self, row: usize, line: &mut String) {
        if row >= self.array.len() || self.array.is_null(row) {
            line.push_str("null");
            return;
        }
        match &self.shape {
            Shape::Bare(form) => {
                let start = line.len();
                form.write(row, line);
                let word = match line.get(start..) {
                    Some("NaN" | "inf" | "-inf") if !self.all_floats => "null",
                    Some("inf") => "Infinity",
                    Some("-inf") => "-Infinity",
                    _ => return,
                };
                line.truncate(start);
                line.push_str(word);
            }
            Shape::Quoted(form) => {
                let mut text = String::new();
                form.write(row, &mut text);
                push_string(&text, line);
            }
            Shape::List { offsets, items } => {
                line.push('[');
                for (at, item) in range(offsets, row).enumerate() {
                    if at > 0 {
                        line.push(',');
                    }
                    items.push(item, line);
                }
                line.push(']');
            }
            Shape::Struct { keys, columns } => push_object(keys, columns, row, line),
            Shape::Map { offsets, keys, values } => {
                line.push('{');
                for (at, entry) in range(offsets, row).enumerate() {
                    if at > 0 {
                        line.push(',');
                    }
                    keys.push(entry, line);
                    line.push(':');
                    values.push(entry, line);
                }
                line.push('}');
            }
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let place = |at: usize| offsets.get(at).and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
    place(row)..place(row + 1)
}

fn push_string(text: &str, line: &mut String) {
    use std::fmt::Write as _;
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}
