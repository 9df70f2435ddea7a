//! SQL expressions over the columns of one row.
//!
//! An expression is deterministic and looks at its own row only: an allow-list of Polars SQL.
//! Everything else is refused when it is compiled, with the reason.
//!
//! ```text
//! text --parse--> tree (allow-list) --types--> kernels (Arrow), or
//!                                              fallback (Polars), which defines every answer
//! ```
//!
//! Common expressions become Arrow kernels that agree with Polars to the bit; a property test
//! holds both to one answer. Rules that may surprise, all of them of Polars: `/` is a true
//! division and `//` rounds down; whole numbers wrap at their width, a literal takes the smallest
//! type that fits; a whole division by zero with `%` is null; NaN equals itself and is above all
//! numbers; `IS TRUE` of null is null; a division by a literal multiplies by its inverse; `STRPOS`
//! counts bytes and gives 0 for null.

mod convert;
mod error;
mod fallback;
mod functions;
mod kernels;
mod names;
mod parameters;
mod parse;
mod resolve;
mod temporal;
mod tree;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};

pub use error::ExpressionError;
pub use parameters::{Literal, bind_parameters};

use fallback::Fallback;
use kernels::Kernel;

/// Revision of the answers that expressions give. Part of the fingerprint of every `sql`
/// function; raised when a golden SQL vector changes, not with a version of a library.
pub const SEMANTICS_REVISION: u32 = 1;

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
    data_type: DataType,
    program: Program,
    /// Absent where the column alone is the expression.
    fallback: Option<Fallback>,
}

#[derive(Debug)]
enum Program {
    /// A column as it is, of any type.
    Column,
    /// One value for all rows.
    Constant(ArrayRef),
    Kernel(Kernel),
    Fallback,
}

impl Expression {
    /// Compiles an expression for columns of canonical types ([`anabranch_engine::types::canonical`]).
    ///
    /// Errors: anything but one expression, a name that is no column, anything that is not on the
    /// allow-list, types that do not go together, a nested column used in more than a mention of it.
    pub fn compile(sql: &str, columns: &[FieldRef]) -> Result<Self, ExpressionError> {
        let mut tree = parse::parse(sql)?;
        let text = tree.text();
        let mentioned = positions(&tree.columns, columns)?;
        let fields: Vec<FieldRef> =
            mentioned.iter().filter_map(|position| columns.get(*position).cloned()).collect();
        resolve::resolve(&mut tree.root, &fields)?;
        let inputs: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let (program, data_type, fallback) = program(&tree, inputs)?;
        let types = columns.iter().map(|field| field.data_type().clone()).collect();
        let shared =
            Arc::new(Compiled { sql: text, columns: mentioned, types, data_type, program, fallback });
        Ok(Self { shared })
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
        &self.shared.data_type
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
        match (&self.shared.program, mentioned.as_slice()) {
            (Program::Column, [column]) => Ok(Arc::clone(column)),
            (Program::Constant(value), _) => repeat(value, rows),
            (Program::Kernel(kernel), _) => match kernel.evaluate(&mentioned) {
                Ok(result) => Ok(result),
                // Polars defines the answer.
                Err(_) => self.fallback(&mentioned, rows),
            },
            _ => self.fallback(&mentioned, rows),
        }
    }

    /// Computes it by Polars alone; for the test that holds kernels and Polars to one answer.
    #[doc(hidden)]
    pub fn evaluate_by_fallback(
        &self,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, ExpressionError> {
        let mentioned = self.mentioned(columns, rows)?;
        self.fallback(&mentioned, rows)
    }

    /// Whether Polars is not needed; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn has_kernel(&self) -> bool {
        !matches!(self.shared.program, Program::Fallback)
    }

    fn fallback(&self, mentioned: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        match (&self.shared.fallback, mentioned) {
            (Some(fallback), _) => fallback.evaluate(mentioned, rows),
            (None, [column]) => Ok(Arc::clone(column)),
            (None, _) => Ok(new_empty_array(&self.shared.data_type)),
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
            let (Some(column), Some(data_type)) = (columns.get(*position), expected.get(*position)) else {
                continue;
            };
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
    parse::parse(sql).map(|tree| tree.text())
}

/// The names of the columns that an expression mentions, in order of first mention.
pub fn mentioned(sql: &str) -> Result<Vec<String>, ExpressionError> {
    parse::parse(sql).map(|tree| tree.columns)
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

/// Chooses the way of computing and learns the result's type from Polars.
fn program(
    tree: &tree::Tree,
    inputs: Vec<DataType>,
) -> Result<(Program, DataType, Option<Fallback>), ExpressionError> {
    if let (tree::Node::Column(_), [data_type]) = (&tree.root, inputs.as_slice()) {
        return Ok((Program::Column, data_type.clone(), None));
    }
    let kernel = kernels::bind(&tree.root, &inputs);
    let fallback = Fallback::compile(tree, inputs)?;
    let data_type = fallback.data_type().clone();
    let program = if tree.columns.is_empty() {
        Program::Constant(fallback.evaluate(&[], 1)?)
    } else {
        // A kernel of another type would be a mistake of ours; Polars decides.
        kernel.filter(|kernel| *kernel.data_type() == data_type).map_or(Program::Fallback, Program::Kernel)
    };
    Ok((program, data_type, Some(fallback)))
}

fn repeat(value: &ArrayRef, rows: usize) -> Result<ArrayRef, ExpressionError> {
    let zeros = UInt32Array::from(vec![0; rows]);
    take(value, &zeros, None).map_err(|_| ExpressionError::Columns {
        found: format!("{rows} rows"),
        expected: "a number of rows that memory holds".to_owned(),
    })
}
