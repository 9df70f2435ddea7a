//! Revisions of code whose answers are not named by a content hash.

use std::collections::BTreeSet;
use std::fmt;

/// The revisions of expressions and of source reading that made the rows of a node: its own, and
/// those of all nodes above it.
///
/// A content hash names a condition, not the answers that a version of this program gives to it.
/// A recording keeps both, and stands for a node only where both are equal. Rows of a derived
/// source may have been made under an earlier revision, so there may be several of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Revisions of expressions.
    pub expressions: BTreeSet<u32>,
    /// Revisions of source reading.
    pub reading: BTreeSet<u32>,
}

impl Revisions {
    /// Of an expression that is answered by this revision.
    #[must_use]
    pub fn of_expressions(revision: u32) -> Self {
        Self { expressions: BTreeSet::from([revision]), reading: BTreeSet::new() }
    }

    /// Of a source that is read by this revision.
    #[must_use]
    pub fn of_reading(revision: u32) -> Self {
        Self { expressions: BTreeSet::new(), reading: BTreeSet::from([revision]) }
    }

    /// Adds those of a node above.
    pub fn add(&mut self, above: &Self) {
        self.expressions.extend(&above.expressions);
        self.reading.extend(&above.reading);
    }

    /// Reads what [`fmt::Display`] has written; none where the string is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (expressions, reading) = text.split_once(';')?;
        let numbers = |list: &str, name: &str| {
            let list = list.strip_prefix(name)?.strip_prefix('=')?;
            let list = list.split(',').filter(|number| !number.is_empty());
            list.map(|number| number.parse().ok()).collect::<Option<BTreeSet<u32>>>()
        };
        Some(Self {
            expressions: numbers(expressions, "expressions")?,
            reading: numbers(reading, "reading")?,
        })
    }
}

/// As it is stored: `expressions=2;reading=1,2`.
impl fmt::Display for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |numbers: &BTreeSet<u32>| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        write!(f, "expressions={};reading={}", list(&self.expressions), list(&self.reading))
    }
}

#[cfg(test)]
mod tests {
    use super::Revisions;

    #[test]
    fn revisions_are_read_as_they_were_written() {
        let mut both = Revisions::of_expressions(2);
        assert_eq!(both.to_string(), "expressions=2;reading=");
        both.add(&Revisions::of_reading(3));
        both.add(&Revisions::of_reading(1));
        assert_eq!(both.to_string(), "expressions=2;reading=1,3");
        for revisions in [Revisions::default(), Revisions::of_reading(7), both] {
            assert_eq!(Revisions::parse(&revisions.to_string()), Some(revisions));
        }
        for text in ["", "expressions=2", "expressions=two;reading=", "reading=1;expressions=1"] {
            assert_eq!(Revisions::parse(text), None, "{text}");
        }
    }
}
