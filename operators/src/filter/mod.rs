//! filter: keep the rows that satisfy a condition.

mod equals;
mod number;

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::{At as _, row_number};

use anabranch_engine::identity::{Revisions, Structure};
use anabranch_engine::operator::{
    BindError, Bound, Contract, Input, Item, Machine, Operator, OperatorError, Step, UnknownValues,
    unknown_column,
};
use anabranch_engine::provenance::Origins;
use anabranch_engine::types::logical_type;
use anabranch_expression::{Expression, ExpressionError, Literal, SEMANTICS_REVISION, canonical_sql};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, FieldRef};
use indexmap::IndexMap;

use crate::bound::{bound, only_input};
use crate::coalescer::Coalescer;
use crate::input_queue::InputQueue;
use equals::Equals;

/// Keeps the rows where an SQL expression is true and every named column has the given value.
///
/// The expression sees all tag and packet columns; where it gives null the row goes. A value
/// equals a column's as keys do: NaN is NaN, 0.0 is -0.0, numbers compare by value; only a null
/// asked for matches null. A string is read as the column's type where that is a date, time,
/// timestamp, decimal or truth value.
///
/// Schema and nullability stay. Order: as the input. Memory: less than `chunk_rows` rows of output
/// beside the chunk at work; a chunk of which all rows stay passes by reference.
///
/// Errors: neither condition given; an expression that cannot be compiled or is no truth value; a
/// column that the input lacks; a value that a column's type does not have.
///
/// Example:
/// ```
/// use anabranch_expression::Literal;
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Filter;
///
/// let filter = Filter::predicate("distance >= 1000").and_equals([("carrier", Literal::String("UA".into()))]);
/// assert_eq!(filter.kind(), "filter");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// An SQL expression that has to be true.
    pub predicate: Option<String>,
    /// Values that columns have to have.
    pub equals: IndexMap<String, Literal>,
}

impl Filter {
    /// A filter without a condition yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the rows where an SQL expression is true.
    #[must_use]
    pub fn predicate(sql: impl Into<String>) -> Self {
        Self { predicate: Some(sql.into()), equals: IndexMap::new() }
    }

    /// Keeps the rows where columns have these values.
    #[must_use]
    pub fn equals<S: Into<String>>(values: impl IntoIterator<Item = (S, Literal)>) -> Self {
        Self::new().and_equals(values)
    }

    /// Keeps, of these, the rows where columns have these values.
    #[must_use]
    pub fn and_equals<S: Into<String>>(mut self, values: impl IntoIterator<Item = (S, Literal)>) -> Self {
        self.equals.extend(values.into_iter().map(|(column, value)| (column.into(), value)));
        self
    }

    fn compile(&self, columns: &[FieldRef]) -> Result<Option<Expression>, BindError> {
        let Some(sql) = &self.predicate else { return Ok(None) };
        let expression = Expression::compile(sql, columns).map_err(|cause| BindError::Expression {
            parameter: "where".to_owned(),
            cause: Box::new(cause),
        })?;
        if *expression.data_type() != DataType::Boolean {
            return Err(BindError::parameter(
                "where",
                format!("an expression of type {}", logical_type(expression.data_type())),
                "one of type bool",
                "compare it with something",
            ));
        }
        Ok(Some(expression))
    }
}

impl Operator for Filter {
    fn kind(&self) -> &'static str {
        "filter"
    }

    fn identify(&self, structure: &mut Structure) {
        // What cannot be parsed is refused when it is bound; until then its string stands for it.
        let sql = self.predicate.as_ref().map(|sql| canonical_sql(sql).unwrap_or_else(|_| sql.clone()));
        structure.optional_texts(sql.as_ref().map(std::slice::from_ref));
        // All values have to fit, so their order makes no difference.
        let mut equals: Vec<(&String, &Literal)> = self.equals.iter().collect();
        equals.sort_unstable_by_key(|(column, _)| *column);
        structure.list(equals.len());
        for (column, value) in equals {
            structure.text(column);
            identify_literal(value, structure);
        }
    }

    fn revisions(&self) -> Revisions {
        // Values beside `equals` are compared by the rules of expressions too.
        Revisions::of_expressions(SEMANTICS_REVISION)
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        if self.predicate.is_none() && self.equals.is_empty() {
            return Err(BindError::parameter(
                "where",
                "neither where nor equals",
                "at least one of them",
                "give a condition, or leave the filter out",
            ));
        }
        let columns: Vec<FieldRef> = input.schema.columns().cloned().collect();
        let equals = self.equals.iter().map(|(name, value)| {
            let column = columns.iter().enumerate().find(|(_, field)| field.name() == name);
            let (at, field) = column.ok_or_else(|| unknown_column(0, None, name, &input.schema))?;
            Ok((at, Equals::new(field, value)?))
        });
        let equals = equals.collect::<Result<Vec<_>, BindError>>()?;
        let contract = Contract::of(input, Arc::clone(&input.schema));
        let schema = Arc::clone(&input.schema);
        let condition = Arc::new(Condition { expression: self.compile(&columns)?, equals });
        Ok(bound(contract, UnknownValues::PassRow, move |context| FilterMachine {
            condition: Arc::clone(&condition),
            origins: Arc::clone(&context.origins),
            queue: InputQueue::default(),
            output: Coalescer::new(Arc::clone(&schema), context.chunk_rows),
        }))
    }
}

fn identify_literal(value: &Literal, structure: &mut Structure) {
    match value {
        Literal::Null => structure.text("null"),
        Literal::Bool(value) => {
            structure.text("bool");
            structure.flag(*value);
        }
        Literal::Integer(value) => {
            structure.text("integer");
            structure.bytes(&value.to_le_bytes());
        }
        Literal::Float(value) => {
            structure.text("float");
            // Values that match the same rows are the same value.
            let plain = if value.is_nan() { f64::NAN } else { value + 0.0 };
            structure.bytes(&plain.to_bits().to_le_bytes());
        }
        Literal::Number(digits) => {
            structure.text("number");
            structure.text(digits);
        }
        Literal::String(value) => {
            structure.text("text");
            structure.text(value);
        }
    }
}

/// The condition of a row.
struct Condition {
    expression: Option<Expression>,
    /// With the place of the column among tags and packets.
    equals: Vec<(usize, Equals)>,
}

impl Condition {
    /// The rows that satisfy it.
    fn rows(&self, chunk: &Chunk, origins: &Origins) -> Result<BooleanBuffer, OperatorError> {
        let columns: Vec<ArrayRef> = chunk.tags().iter().chain(chunk.packets()).cloned().collect();
        let mut chosen = match &self.expression {
            Some(expression) => {
                let answer = expression.evaluate(&columns, chunk.rows());
                truth(&answer.map_err(|cause| failure(chunk, cause, origins))?)?
            }
            None => BooleanBuffer::new_set(chunk.rows()),
        };
        for (at, equals) in &self.equals {
            let column = columns.at(*at, "compared column");
            chosen = &chosen & &equals.rows(column).map_err(ChunkError::Arrow)?;
        }
        Ok(chosen)
    }
}

/// The error of a row with the source rows behind it.
fn failure(chunk: &Chunk, cause: ExpressionError, origins: &Origins) -> OperatorError {
    let origin =
        cause.row().map_or_else(|| "where".to_owned(), |row| origins.describe(chunk.provenance(), row));
    OperatorError::Expression { origin, cause: Box::new(cause) }
}

fn truth(values: &ArrayRef) -> Result<BooleanBuffer, OperatorError> {
    let values: &BooleanArray = values
        .as_boolean_opt()
        .ok_or(OperatorError::Protocol("a condition gave something else than truth"))?;
    Ok(match values.nulls() {
        Some(nulls) => values.values() & nulls.inner(),
        None => values.values().clone(),
    })
}

struct FilterMachine {
    condition: Arc<Condition>,
    origins: Arc<Origins>,
    queue: InputQueue,
    output: Coalescer,
}

impl FilterMachine {
    fn filter(&self, chunk: Chunk) -> Result<Chunk, OperatorError> {
        let chosen = self.condition.rows(&chunk, &self.origins)?;
        match chosen.count_set_bits() {
            0 => Ok(chunk.slice(0, 0)),
            all if all == chunk.rows() => Ok(chunk),
            _ => {
                let rows: Vec<u32> = chosen.set_indices().map(row_number).collect();
                Ok(chunk.take(&rows)?)
            }
        }
    }
}

impl Machine for FilterMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.queue.push(port, item)
    }

    /// Rows are held back only while chunks wait: whether more will come soon is not known here,
    /// and a row must not wait for an input that is idle.
    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(chunk) = self.output.full() {
                return Ok(Step::Output(chunk));
            }
            let Some(chunk) = self.queue.next() else { break };
            let kept = self.filter(chunk)?;
            self.output.push(kept)?;
        }
        Ok(self.output.rest()?.map_or_else(|| self.queue.idle(), Step::Output))
    }
}
