//! Errors of expressions.

use anabranch_engine::names::{list, suggestion};

/// Reason why an expression cannot be read, compiled or computed.
///
/// Names of columns, functions and parameters may stand in a message; values of rows never do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// The text is not one SQL expression.
    #[error(
        "line {line}, column {column} of the expression: {found}; give one SQL expression and nothing else"
    )]
    Syntax {
        /// Line of the expression, from 1.
        line: u64,
        /// Column of that line, from 1.
        column: u64,
        /// The text that was found there.
        found: String,
    },
    /// A name that is no column of the input.
    #[error(
        "found no column \"{column}\", expected one of {}{}",
        list(available),
        suggestion(column, available)
    )]
    UnknownColumn {
        /// The name looked for.
        column: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// Something that is valid SQL and not on the list of what an expression may use.
    #[error("{name} cannot stand in an expression: it {reason}")]
    NotAllowed {
        /// The function, operator or clause.
        name: String,
        /// The reason why it is not on the list, and the alternative.
        reason: String,
    },
    /// Types that do not go together, or that an expression cannot work on.
    #[error("{place}: found {found}, expected {expected}; {remedy}")]
    Type {
        /// The part of the expression.
        place: String,
        /// The operands or values that were found.
        found: String,
        /// The operands or values that were expected.
        expected: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// More text or a deeper nesting than is read.
    #[error("expression has {found}, expected at most {limit}; compute parts of it in a function before")]
    TooLarge {
        /// The amount that was found.
        found: String,
        /// The largest amount that is read.
        limit: usize,
    },
    /// A parameter that is not defined.
    #[error("found no parameter \"{name}\", expected one of {}{}", list(known), suggestion(name, known))]
    UnknownParameter {
        /// The name looked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A parameter where no literal can stand.
    #[error("parameter \"{name}\" at byte {position} of the expression: {found}; {remedy}")]
    Parameter {
        /// The parameter's name, as far as it could be read.
        name: String,
        /// Start of the parameter, in bytes from 0.
        position: usize,
        /// The operands or values that were found.
        found: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// A value that the expression could not compute on.
    #[error("{found}; {remedy}")]
    Compute {
        /// Position of the first such row among those given, from 0.
        row: usize,
        /// The event.
        found: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// A step that Arrow could not compute; a mistake of this crate, or memory that ended.
    #[error("expression could not be computed: {0}")]
    Arrow(String),
    /// Columns that are not those the expression was compiled for.
    #[error("expression was given {found}, expected {expected}")]
    Columns {
        /// The columns that were given.
        found: String,
        /// The columns for which it was compiled.
        expected: String,
    },
}

impl ExpressionError {
    /// The row that could not be computed, among those given.
    #[must_use]
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Compute { row, .. } => Some(*row),
            _ => None,
        }
    }

    /// A refusal with its reason, which begins with a verb: `looks at more than one row`.
    pub(crate) fn not_allowed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::NotAllowed { name: name.into(), reason: reason.into() }
    }

    /// A wrong number of arguments of a function.
    pub(crate) fn arguments(function: impl Into<String>, found: usize, expected: &'static str) -> Self {
        let (place, found) = (function.into(), format!("{found} arguments"));
        Self::Type { place, found, expected, remedy: "add or remove arguments" }
    }
}
