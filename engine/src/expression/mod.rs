//! SQL expressions over the columns of one row.

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("not yet")]
pub struct ExpressionError;
