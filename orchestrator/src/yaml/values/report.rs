//! The files that were read and the findings about them, in the order of the report.

use std::path::{Path, PathBuf};

use anabranch_engine::index::{At as _, IndexVec, TypedIndex as _};
use anabranch_engine::typed_index;

use super::diagnostic::{Diagnostic, Note, Severity};

/// Maximum number of findings that are kept; more do not help with a file that is wrong from end to end.
const KEPT: usize = 500;

/// Maximum number of warnings that are kept; they must not crowd out errors.
const WARNINGS_KEPT: usize = 100;

/// A file that was read, or a text of the call in the role of one.
#[derive(Debug)]
pub(crate) struct SourceFile {
    name: String,
    folder: PathBuf,
    text: String,
}

typed_index! {
    /// Number of a file in a [`Report`].
    pub(crate) struct FileId("file of the report");
}

/// Some characters of a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: FileId,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) length: usize,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn whole(file: FileId) -> Self {
        Self { file, line: 0, column: 0, length: 0 }
    }
}

/// A finding before its place is resolved.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    severity: Severity,
    place: Place,
    message: String,
    help: Option<String>,
    notes: Vec<(Place, String)>,
}

impl Finding {
    pub(crate) fn error(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), help: None, notes: Vec::new() }
    }

    pub(crate) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(crate) fn note(mut self, place: Place, message: impl Into<String>) -> Self {
        self.notes.push((place, message.into()));
        self
    }
}

/// Collects files and findings.
#[derive(Debug, Default)]
pub(crate) struct Report {
    files: IndexVec<FileId, SourceFile>,
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    dropped: usize,
}

impl Report {
    /// Adds a file; relative paths in it start from `folder`.
    pub(crate) fn add_file(&mut self, name: String, folder: PathBuf, text: String) -> FileId {
        self.files.push(SourceFile { name, folder, text })
    }

    /// Returns the folder from which relative paths in a file start.
    pub(crate) fn folder(&self, file: FileId) -> &Path {
        &self.files[file].folder
    }

    pub(crate) fn name(&self, file: FileId) -> &str {
        &self.files[file].name
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        let room = if finding.severity == Severity::Error {
            self.errors += 1;
            !self.is_full()
        } else {
            self.warnings += 1;
            self.warnings <= WARNINGS_KEPT
        };
        if room {
            self.findings.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    /// Returns true if further errors are only counted, so that their texts are not needed.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > KEPT
    }

    /// Returns the number of errors so far; a step during which it grows has failed.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Returns the findings sorted by place; those of an aliased part that was checked twice appear once.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort_by_key(|f| (f.place.file, f.place.line, f.place.column, f.severity));
        let lines = Lines::new(&self.files, &findings);
        let mut diagnostics: Vec<Diagnostic> =
            findings.into_iter().map(|f| self.diagnostic(f, &lines)).collect();
        diagnostics.dedup();
        if self.dropped > 0 {
            let message = format!("{} more findings are not shown", self.dropped);
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let last =
                Finding { severity, ..Finding::error(Place::whole(FileId::from_position(0)), message) };
            diagnostics.push(self.diagnostic(last, &lines));
        }
        diagnostics
    }

    fn diagnostic(&self, finding: Finding, lines: &Lines<'_>) -> Diagnostic {
        let place = finding.place;
        let notes = finding.notes.into_iter().map(|(at, message)| Note {
            file: self.name(at.file).to_owned(),
            line: at.line,
            column: at.column,
            message,
        });
        Diagnostic {
            severity: finding.severity,
            file: self.name(place.file).to_owned(),
            line: place.line,
            column: place.column,
            length: place.length,
            message: finding.message,
            help: finding.help,
            notes: notes.collect(),
            source_line: lines.get(place).map(str::to_owned),
        }
    }
}

/// The lines of the findings, looked up in one pass over each file.
struct Lines<'a>(Vec<(FileId, usize, &'a str)>);

impl<'a> Lines<'a> {
    fn new(files: &'a IndexVec<FileId, SourceFile>, findings: &[Finding]) -> Self {
        let mut wanted: Vec<(FileId, usize)> =
            findings.iter().map(|f| (f.place.file, f.place.line)).collect();
        wanted.dedup();
        let mut found = Vec::new();
        for (id, file) in files.enumerated() {
            let mut of_file = wanted.iter().filter(|(f, line)| *f == id && *line > 0).peekable();
            for (at, text) in file.text.split('\n').enumerate() {
                let Some((_, line)) = of_file.peek() else { break };
                if *line == at + 1 {
                    found.push((id, *line, text.trim_end_matches('\r')));
                    of_file.next();
                }
            }
        }
        Self(found)
    }

    fn get(&self, place: Place) -> Option<&'a str> {
        let at = self.0.binary_search_by_key(&(place.file, place.line), |(f, line, _)| (*f, *line)).ok()?;
        Some(self.0.at(at, "line").2)
    }
}
