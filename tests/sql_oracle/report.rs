//! Findings of a run, and their judgment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::differences::DIFFERENCES;
use crate::forms::FORMS;
use crate::found::Found;
use crate::value::Answer;

/// Kinds of difference that a failure prints.
const PRINTED: usize = 400;

/// Expressions among which every listed difference occurs.
const COMPLETE: usize = 100_000;

/// Counts, and an example of each kind.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) expressions: usize,
    pub(crate) equal: usize,
    pub(crate) inherited: usize,
    listed: BTreeMap<&'static str, usize>,
    /// By form and types of the arguments: how many rows, and an example.
    unlisted: BTreeMap<String, (usize, String)>,
    refused: BTreeMap<&'static str, (usize, String)>,
    computed: BTreeSet<&'static str>,
}

impl Report {
    pub(crate) fn refused(&mut self, forms: &BTreeMap<&'static str, (usize, String)>) {
        for (form, (count, example)) in forms {
            let entry = self.refused.entry(form).or_insert_with(|| (0, example.clone()));
            entry.0 += count;
        }
    }

    pub(crate) fn expression(&mut self, form: &'static str, answers: &[Answer]) {
        self.expressions += 1;
        if answers.iter().any(|answer| !answer.is_error()) {
            self.computed.insert(form);
        }
    }

    pub(crate) fn difference(&mut self, found: &Found<'_>) {
        if let Some(difference) = DIFFERENCES.iter().find(|difference| (difference.applies)(found)) {
            *self.listed.entry(difference.name).or_default() += 1;
            return;
        }
        let entry = self.unlisted.entry(found.kind()).or_insert_with(|| (0, found.to_string()));
        entry.0 += 1;
    }

    /// Fails if anything differs that is not listed, or if a form is never computed.
    pub(crate) fn judge(&self) {
        let listed: usize = self.listed.values().sum();
        println!(
            "{} expressions: {} rows equal, {listed} differ as listed, {} differ in a part",
            self.expressions, self.equal, self.inherited
        );
        for (name, count) in &self.listed {
            println!("{count:7} {name}");
        }
        let mut text = String::new();
        for (kind, (count, example)) in self.unlisted.iter().take(PRINTED) {
            let _ = write!(text, "\n{count:6} rows: {kind}\n       {example}");
        }
        for form in FORMS.iter().filter(|form| !self.computed.contains(form.name)) {
            let reason = self.refused.get(form.name).map_or("DuckDB refuses it", |(_, example)| example);
            let _ = write!(text, "\nform {} is never computed: {reason}", form.name);
        }
        // A short run does not meet the rare ones.
        let rare = self.expressions < COMPLETE;
        for difference in DIFFERENCES
            .iter()
            .filter(|_| !rare)
            .filter(|difference| !self.listed.contains_key(difference.name))
        {
            // Another seed may meet it.
            println!("difference \"{}\" is listed, but did not occur", difference.name);
        }
        assert!(text.is_empty(), "{} kinds of difference that are not listed{text}", self.unlisted.len());
    }
}
