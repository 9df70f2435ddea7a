//! SQL expressions over the columns of one row.
//!
//! An expression is deterministic and looks at its own row only: an allow-list of SQL. Everything
//! else is refused when it is compiled, with the reason. It answers as a careful SQL database does
//! (the standard, and DuckDB where that leaves a choice): exactly, or with an error.
//!
//! ```text
//! text --parse--> tree (allow-list) --plan--> typed steps --evaluate--> Arrow columns
//! ```
//!
//! A number that is written in an expression is exact until its other side is known. Integers,
//! decimals and floats compare by value; an overflow is an error of its row. A row that fails does
//! not fail the others: CASE, AND, OR and COALESCE drop errors of what no row takes.

#![expect(clippy::expect_used, reason = "each states an invariant in its sentence")]

mod error;
mod exact;
mod kernels;
mod plan;
mod syntax;
mod temporal;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};

pub use error::ExpressionError;
pub use syntax::functions::reference;
pub use syntax::parameters::{Literal, bind_parameters};

use kernels::steps::Typed;
use syntax::parse::parse;

/// Revision of the answers that expressions give. Part of the fingerprint of every `sql`
/// function; raised when a golden SQL vector changes, not with a version of a library.
pub const SEMANTICS_REVISION: u32 = 2;

/// A compiled expression; cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use anabranch_expression::Expression;
/// use arrow::array::{ArrayRef, AsArray, Int64Array};
/// use arrow::datatypes::{DataType, Field};
///
/// let distance = Arc::new(Field::new("distance", DataType::Int64, true));
/// let long = Expression::compile("distance >= 1000", &[distance])?;
/// assert_eq!(long.data_type(), &DataType::Boolean);
///
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(999), Some(1000), None]));
/// let answer = long.evaluate(&[column], 3)?;
/// assert_eq!(answer.as_boolean().iter().collect::<Vec<_>>(), [Some(false), Some(true), None]);
/// # Ok::<(), anabranch_expression::ExpressionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Expression {
    shared: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    sql: String,
    /// Positions of the mentioned columns among those given, in order of first mention.
    columns: Vec<usize>,
    /// Types of all columns given.
    types: Vec<DataType>,
    root: Typed,
}

impl Expression {
    /// Compiles an expression for columns of canonical types ([`anabranch_engine::types::canonical`]).
    ///
    /// Errors: anything but one expression, a name that is no column, anything that is not on the
    /// allow-list, types that do not go together, a nested column used in more than a mention of it.
    pub fn compile(sql: &str, columns: &[FieldRef]) -> Result<Self, ExpressionError> {
        let tree = parse(sql)?;
        let text = tree.text();
        let mentioned = positions(&tree.columns, columns)?;
        let fields = at_positions(&mentioned, columns);
        let root = plan::plan(&tree, &fields)?;
        let types = columns.iter().map(|field| field.data_type().clone()).collect();
        Ok(Self { shared: Arc::new(Compiled { sql: text, columns: mentioned, types, root }) })
    }

    /// The canonical text. Spellings that differ in white space, the case of keywords or needless
    /// parentheses have one; part of identities, so it does not depend on a library's version.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.shared.sql
    }

    /// Positions of the columns that it mentions, in order of first mention.
    #[must_use]
    pub fn columns(&self) -> &[usize] {
        &self.shared.columns
    }

    /// The type of its result, in canonical form.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        &self.shared.root.data_type
    }

    /// Computes it for each row.
    ///
    /// `columns` are all columns given to [`Expression::compile`], in that order, each of `rows`
    /// rows. The result has as many rows and the type [`Expression::data_type`]; a row's answer
    /// depends on that row only. Nothing is copied where the expression is a column. May be
    /// called from any thread.
    ///
    /// Errors: other columns, or a row that cannot be computed (a cast that fails, say).
    pub fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        let mentioned = self.mentioned(columns, rows)?;
        let computed = self
            .shared
            .root
            .evaluate(&mentioned, rows)
            .and_then(|(value, errors)| Ok((value.into_rows(rows)?, errors)));
        let (array, errors) = computed.map_err(|error| ExpressionError::Arrow(error.to_string()))?;
        match errors.first() {
            None => Ok(array),
            Some((row, reason)) => {
                let (found, remedy) = reason.found_and_remedy();
                Err(ExpressionError::Compute { row, found, remedy })
            }
        }
    }

    fn mentioned(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>, ExpressionError> {
        let expected = &self.shared.types;
        if columns.len() != expected.len() {
            return Err(ExpressionError::Columns {
                found: format!("{} columns", columns.len()),
                expected: format!("{}", expected.len()),
            });
        }
        let mut mentioned = Vec::with_capacity(self.shared.columns.len());
        for position in &self.shared.columns {
            let given = columns.get(*position).zip(expected.get(*position));
            let (column, data_type) = given.expect("positions are those of the columns given");
            if column.data_type() != data_type || column.len() != rows {
                return Err(ExpressionError::Columns {
                    found: format!("column {position} of {} with {} rows", column.data_type(), column.len()),
                    expected: format!("{data_type} with {rows} rows"),
                });
            }
            mentioned.push(Arc::clone(column));
        }
        Ok(mentioned)
    }
}

/// The canonical text of an expression; see [`Expression::sql`].
pub fn canonical_sql(sql: &str) -> Result<String, ExpressionError> {
    parse(sql).map(|tree| tree.text())
}

/// The names of the columns that an expression mentions, in order of first mention.
pub fn mentioned(sql: &str) -> Result<Vec<String>, ExpressionError> {
    parse(sql).map(|tree| tree.columns)
}

fn at_positions(positions: &[usize], columns: &[FieldRef]) -> Vec<FieldRef> {
    let field = |at: &usize| columns.get(*at).cloned().expect("positions are those of columns");
    positions.iter().map(field).collect()
}

fn positions(names: &[String], columns: &[FieldRef]) -> Result<Vec<usize>, ExpressionError> {
    let position = |name: &String| {
        columns.iter().position(|field| field.name() == name).ok_or_else(|| ExpressionError::UnknownColumn {
            column: name.clone(),
            available: columns.iter().map(|field| field.name().clone()).collect(),
        })
    };
    names.iter().map(position).collect()
}
