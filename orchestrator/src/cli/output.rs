//! Standard output for results, standard error for everything else.

use std::io::{self, IsTerminal as _, Write as _};

use anabranch_engine::index::At as _;
use serde_json::Value;

use super::arguments::OutputFormat;

/// Output of a command.
#[derive(Debug)]
pub(super) struct Output {
    format: OutputFormat,
}

impl Output {
    pub(super) fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Prints a result for people, without a line end added, or the document for programs.
    pub(super) fn text_or_json(&self, text: &str, document: impl FnOnce() -> Value) -> io::Result<()> {
        if self.is_json() {
            return self.document(&document());
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints a JSON document, whatever the format.
    pub(super) fn document(&self, document: &Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_json() {
            writeln!(out, "{document}")?;
        } else {
            writeln!(out, "{document:#}")?;
        }
        out.flush()
    }

    /// Prints a JSON document if that is the format.
    pub(super) fn json_only(&self, document: &Value) -> io::Result<()> {
        if self.is_json() { self.document(document) } else { Ok(()) }
    }
}

/// Prints a remark on standard error.
pub(super) fn note(text: &str) {
    // A closed standard error loses the remark.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns true if standard error is a terminal.
pub(super) fn notes_are_seen() -> bool {
    io::stderr().is_terminal()
}

/// Formats rows of cells with aligned columns; numbers are aligned to the right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.at(column, "cell of a row").chars().count());
        cells.fold(header.at(column, "column").chars().count(), usize::max)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit());
    let right: Vec<bool> = (0..header.len())
        .map(|column| rows.iter().any(|row| number(row.at(column, "cell of a row"))))
        .zip(0..)
        .map(|(numeric, column)| numeric && column > 1)
        .collect();
    let line = |cells: &[&str]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths.iter().zip(&right))
            .map(|(cell, (width, right))| {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *right { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
            })
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(header);
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_at_the_right() {
        let rows = vec![
            vec!["flights".into(), "source".into(), String::new(), "1000".into()],
            vec!["é".into(), "join".into(), "7".into(), "12".into()],
        ];
        let expected = "node     kind    in   out\nflights  source      1000\né        join     7    12\n";
        assert_eq!(table(&["node", "kind", "in", "out"], &rows), expected);
    }
}
