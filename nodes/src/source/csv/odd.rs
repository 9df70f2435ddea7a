//! Remarks about columns that are strings because of few values.

use super::infer::Guess;

/// Values that a remark names at most.
const NAMED: usize = 3;
/// Longest value that a remark names, in bytes.
const NAMED_BYTES: usize = 24;

/// The values of a column that have a type, and the few that have none.
#[derive(Debug, Clone, Default)]
pub(super) struct OddValues {
    /// The type of the others.
    others: Guess,
    typed: usize,
    odd: usize,
    /// Each odd value once, with the line of its first occurrence; none once they are too many.
    values: Option<Vec<(String, u64)>>,
}

impl OddValues {
    pub(super) fn new() -> Self {
        Self { values: Some(Vec::new()), ..Self::default() }
    }

    /// Takes a value into account.
    pub(super) fn add(&mut self, text: &str, line: u64) {
        let Some(values) = &mut self.values else { return };
        if Guess::of(text) == Guess::Text {
            self.odd += 1;
            let known = values.iter().any(|(value, _)| value == text);
            if !known && (values.len() == NAMED || text.len() > NAMED_BYTES || text.is_empty()) {
                self.values = None;
            } else if !known {
                values.push((text.to_owned(), line));
            }
        } else {
            self.typed += 1;
            self.others.add(text);
        }
    }

    /// The remark about a string column; none where its values are strings like others.
    pub(super) fn remark(&self, column: &str) -> Option<String> {
        let values = self.values.as_ref().filter(|values| !values.is_empty())?;
        let typed = !matches!(self.others, Guess::Text | Guess::Special | Guess::Unknown);
        if !typed || self.odd >= self.typed {
            return None;
        }
        let named: Vec<String> =
            values.iter().map(|(value, line)| format!("\"{value}\" in line {line}")).collect();
        let texts: Vec<&str> = values.iter().map(|(value, _)| value.as_str()).collect();
        Some(format!(
            "column \"{column}\" is string because of {}; add null_values: [{}] if they stand for nothing",
            named.join(", "),
            texts.join(", ")
        ))
    }
}
