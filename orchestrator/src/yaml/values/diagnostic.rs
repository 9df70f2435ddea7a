//! Findings about a pipeline file, with their places.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// Characters of a source line that a message shows.
const SHOWN_WIDTH: usize = 160;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline can run, but perhaps not as intended.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A second place that belongs to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Description of the place.
    pub message: String,
}

/// One finding about a pipeline file.
///
/// `Display` prints the text form: place and message, the line, a caret with the help, the notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Severity.
    pub severity: Severity,
    /// The file, as it was named; `--set` and `--params` for findings about the command line.
    pub file: String,
    /// Line, from 1; 0 where the finding is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 where the finding is about the file as a whole.
    pub column: usize,
    /// Number of characters at fault.
    pub length: usize,
    /// The values found and expected.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
    /// Other places that belong to it.
    pub notes: Vec<Note>,
    /// The text of the line.
    pub source_line: Option<String>,
}

impl Diagnostic {
    /// Returns the form for programs: an object with the fields of this type.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!(self)
    }

    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
        let excerpt = Excerpt::new(line, self.column, self.length);
        write!(f, "\n{:>5} | {}\n      | {}{}", self.line, excerpt.text, excerpt.indent, excerpt.carets)?;
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}: {}", self.file, self.severity, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.severity, self.message)?;
        }
        match (&self.source_line, &self.help) {
            (Some(line), _) => self.write_excerpt(f, line)?,
            (None, Some(help)) => write!(f, "\n      = {help}")?,
            (None, None) => {}
        }
        for note in &self.notes {
            write!(f, "\n      = {}:{}:{}: {}", note.file, note.line, note.column, note.message)?;
        }
        Ok(())
    }
}

/// Returns the part of a line around the characters at fault, safe to print.
struct Excerpt {
    text: String,
    indent: String,
    carets: String,
}

impl Excerpt {
    fn new(line: &str, column: usize, length: usize) -> Self {
        let at = column.saturating_sub(1);
        let skipped = if at < SHOWN_WIDTH * 3 / 4 { 0 } else { at - SHOWN_WIDTH / 2 };
        let mut text = String::new();
        let mut characters = line.chars().skip(skipped);
        if skipped > 0 {
            text.push('…');
            characters.next();
        }
        text.extend(characters.by_ref().take(SHOWN_WIDTH).map(printable));
        if characters.next().is_some() {
            text.push('…');
        }
        let room = text.chars().count().saturating_sub(at - skipped).max(1);
        Self { text, indent: " ".repeat(at - skipped), carets: "^".repeat(length.clamp(1, room)) }
    }
}

/// Replaces tabs, which count as one column, and characters that must not reach a terminal: control characters, and
/// marks that would show a line in another order than it is read.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic() -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "pipeline.yaml".into(),
            line: 12,
            column: 5,
            length: 5,
            message: "unknown key \"imput\" in node \"speed\"".into(),
            help: Some("did you mean \"input\"?".into()),
            notes: Vec::new(),
            source_line: Some("    imput: long".into()),
        }
    }

    #[test]
    fn the_text_form_shows_the_line_with_a_caret_and_the_help() {
        let expected = "pipeline.yaml:12:5: error: unknown key \"imput\" in node \"speed\"\n   12 |     imput: long\n      |     ^^^^^ did you mean \"input\"?";
        assert_eq!(diagnostic().to_string(), expected);
    }

    #[test]
    fn the_form_for_programs_has_every_field() {
        let json = diagnostic().to_json();
        assert_eq!(json["line"], 12);
        assert_eq!(json["severity"], "error");
        assert_eq!(json["help"], "did you mean \"input\"?");
    }

    #[test]
    fn a_long_line_is_shown_in_part_with_the_caret_under_the_fault() {
        let mut wide = diagnostic();
        wide.source_line = Some(format!("{}imput: {}", "x".repeat(5_000), "y".repeat(5_000)));
        wide.column = 5_001;
        let text = wide.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].chars().count() < 180, "{}", lines[1]);
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        let shown: String = lines[1].chars().skip(caret).take(5).collect();
        assert_eq!(shown, "imput");
    }

    #[test]
    fn control_characters_of_the_file_do_not_reach_the_terminal() {
        let mut hostile = diagnostic();
        hostile.source_line = Some("    \u{1b}[2Jx\u{202e}y\tz".into());
        let text = hostile.to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\t'), "{text}");
    }
}
