//! Rows as CSV text.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};

use super::json::KEPT_BYTES;
use crate::source::Guess;
use crate::source::text::TextForm;

/// Makes CSV text. Memory: the text of one batch.
#[derive(Debug, Default)]
pub(super) struct CsvText {
    lines: String,
    value: String,
}

impl CsvText {
    /// The line of column names.
    pub(super) fn header(&mut self, schema: &Schema) -> &[u8] {
        self.lines.clear();
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                self.lines.push(',');
            }
            push_field(field.name(), is_misread(field.name()), &mut self.lines);
        }
        self.lines.push('\n');
        self.lines.as_bytes()
    }

    /// One line per row. Columns are of types that have a text form.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> &[u8] {
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES);
        self.value.shrink_to(KEPT_BYTES);
        let forms: Vec<(Option<TextForm<'_>>, bool)> =
            batch.columns().iter().map(|c| (TextForm::of(c.as_ref()), is_text(c.data_type()))).collect();
        for row in 0..batch.num_rows() {
            for (at, (form, is_text)) in forms.iter().enumerate() {
                if at > 0 {
                    self.lines.push(',');
                }
                self.value.clear();
                if form.as_ref().is_some_and(|form| form.write(row, &mut self.value)) {
                    // In quotes it is read back as what it is.
                    let misread =
                        *is_text && (is_misread(&self.value) || Guess::of(&self.value) != Guess::Text);
                    push_field(&self.value, misread, &mut self.lines);
                }
            }
            self.lines.push('\n');
        }
        self.lines.as_bytes()
    }
}

/// True if readers take a bare text for nothing, for a sign of null or for a comment, or trim it.
fn is_misread(text: &str) -> bool {
    const NULLS: [&str; 6] = ["NA", "N/A", "NULL", "NONE", "NIL", "\\N"];
    text.is_empty()
        || text.starts_with('#')
        || text.trim().len() < text.len()
        || NULLS.iter().any(|null| null.eq_ignore_ascii_case(text))
}

fn is_text(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(data_type, D::Utf8 | D::Utf8View | D::Binary | D::BinaryView)
}

fn push_field(value: &str, quoted: bool, line: &mut String) {
    if quoted || value.contains([',', '"', '\n', '\r']) {
        line.push('"');
        line.push_str(&value.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(value);
    }
}
