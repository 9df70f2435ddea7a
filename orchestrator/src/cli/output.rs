//! Standard output for results, standard error for everything else.

use std::io::{self, IsTerminal as _, Write as _};

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
