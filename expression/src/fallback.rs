//! Expressions computed by Polars: the definition of every answer, and the way of those that
//! have no kernel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, TimeUnit};
use polars::prelude::{self as pl, IntoColumn, IntoLazy};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::convert::{ConvertError, arrow_type, polars_type, polars_unit, to_array, to_series};
use super::error::ExpressionError;
use super::functions;
use super::parameters::Literal;
use super::temporal::{Temporal, Value, Zone};
use super::tree::{Binary, Node, Spelling, SqlType, Tree, Unary, quote};

const RESULT: &str = "result";

/// An expression in the hands of Polars.
///
/// Polars sees no name of a column, since it gives some names a meaning (`^a$`, `*`). It never
/// sees a single row, since it takes a column of one row for a constant and computes some
/// operators differently then.
#[derive(Debug, Clone)]
pub(super) struct Fallback {
    expression: pl::Expr,
    data_type: DataType,
    inputs: Vec<DataType>,
    stack: Stack,
}

impl Fallback {
    /// Compiles the tree for columns of these types, in the tree's order, and learns the type of its result.
    pub(super) fn compile(tree: &Tree, inputs: Vec<DataType>) -> Result<Self, ExpressionError> {
        let mut fallback = Self {
            expression: expression(tree, &tree.root)?,
            data_type: DataType::Null,
            inputs,
            stack: Stack::for_tree(tree),
        };
        fallback.check_operands(tree, &tree.root)?;
        let data_type = fallback.type_of(tree, &tree.root, fallback.expression.clone())?;
        fallback.data_type = arrow_type(&data_type).ok_or_else(|| ExpressionError::Type {
            place: tree.text(),
            found: format!("a result of type {data_type}"),
            expected: "a type that a stream carries",
            remedy: "cast it",
        })?;
        Ok(fallback)
    }

    /// The type of the result.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Computes on columns of equal length, in the tree's order.
    pub(super) fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        if rows == 0 {
            return Ok(new_empty_array(&self.data_type));
        }
        match self.run(columns, rows) {
            Ok(result) => Ok(result),
            Err(failure) => Err(self.locate(columns, rows, failure)),
        }
    }

    fn run(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, Failure> {
        if rows == 1 {
            let twice = columns.iter().map(|column| take(column, &UInt32Array::from(vec![0, 0]), None));
            let twice = twice.collect::<Result<Vec<_>, _>>().map_err(|_| Failure::Type)?;
            return Ok(self.run(&twice, 2)?.slice(0, 1));
        }
        let series = columns.iter().enumerate().map(|(slot, column)| to_series(&slot_name(slot), column));
        let series = series.collect::<Result<Vec<_>, _>>().map_err(|error| match error {
            ConvertError::Type => Failure::Type,
            ConvertError::Value(row) => Failure::Value(row),
        })?;
        let result = select(series, rows, self.expression.clone(), self.stack)
            .map_err(|_| Failure::Panic)?
            .map_err(|error| Failure::of(&error))?;
        let array = to_array(&result, &self.data_type).ok_or(Failure::Type)?;
        if array.len() == rows { Ok(array) } else { Err(Failure::Type) }
    }

    /// Finds the first row that fails by itself, by halves.
    fn locate(&self, columns: &[ArrayRef], rows: usize, failure: Failure) -> ExpressionError {
        if let Failure::Value(row) = failure {
            return failure.at(row);
        }
        let (mut start, mut length, mut last) = (0, rows, failure);
        while length > 1 {
            let half = length / 2;
            let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, half)).collect();
            if let Err(failure) = self.run(&part, half) {
                (length, last) = (half, failure);
            } else {
                (start, length) = (start + half, length - half);
            }
        }
        last.at(start)
    }

    /// The type of a part, found by computing it on rows of nulls.
    fn type_of(
        &self,
        tree: &Tree,
        node: &Node,
        expression: pl::Expr,
    ) -> Result<pl::DataType, ExpressionError> {
        let series = self.nulls(tree)?;
        let found = select(series, TYPE_ROWS, expression, self.stack);
        found_type(tree, node, found.map(|found| found.map(|series| series.dtype().clone())))
    }

    /// The type that Polars plans a part to have, which is not always the one that it has.
    fn planned_type_of(&self, tree: &Tree, node: &Node) -> Result<pl::DataType, ExpressionError> {
        let (series, expression) = (self.nulls(tree)?, expression(tree, node)?);
        found_type(tree, node, plan(series, TYPE_ROWS, expression, self.stack))
    }

    /// Rows of nulls of the inputs' types.
    fn nulls(&self, tree: &Tree) -> Result<Vec<pl::Series>, ExpressionError> {
        let mut series = Vec::with_capacity(self.inputs.len());
        for (slot, data_type) in self.inputs.iter().enumerate() {
            let nulls = new_null_array(data_type, TYPE_ROWS);
            let column = to_series(&slot_name(slot), &nulls).map_err(|_| nested(tree, slot, data_type))?;
            if polars_type(data_type).as_ref() != Some(column.dtype()) {
                return Err(nested(tree, slot, data_type));
            }
            series.push(column);
        }
        Ok(series)
    }

    /// Polars plans a computation with a number that its other operand's type cannot hold by that type,
    /// but computes it by a larger one; what is around it then gives null for what the smaller one cannot hold.
    fn check_planned(&self, tree: &Tree, node: &Node) -> Result<(), ExpressionError> {
        if !computes_with_integer(node) {
            return Ok(());
        }
        let planned = self.planned_type_of(tree, node)?;
        let found = self.type_of(tree, node, expression(tree, node)?)?;
        if planned == found {
            return Ok(());
        }
        Err(ExpressionError::Type {
            place: tree.part(node),
            found: "an integer that does not fit the type of the other operand, inside a larger expression"
                .to_owned(),
            expected: "an integer whose type is told",
            remedy: "cast the number, as in CAST(40000 AS BIGINT)",
        })
    }

    /// Polars reads AND, OR, NOT and conditions of integers as bits; here they are errors. So is
    /// a cast of a text to a date, which Polars is about to remove.
    fn check_operands(&self, tree: &Tree, node: &Node) -> Result<(), ExpressionError> {
        let conditions: Vec<&Node> = match node {
            Node::Cast { value, target: SqlType::Plain("DATE") | SqlType::Timestamp(_), .. } => {
                if self.type_of(tree, value, expression(tree, value)?)? == pl::DataType::String {
                    return Err(ExpressionError::not_allowed(
                        "a cast of a text to a date or time",
                        "has no fixed format; use DATE(x, '%Y-%m-%d') or TIMESTAMP(x, '%Y-%m-%d %H:%M:%S')",
                    ));
                }
                Vec::new()
            }
            Node::Call { name: name @ ("GREATEST" | "LEAST"), .. } => {
                // Polars treats NaN in another way where a column has a null.
                if self.type_of(tree, node, expression(tree, node)?)?.is_float() {
                    return Err(ExpressionError::not_allowed(
                        format!("{name} of floats"),
                        "has no fixed answer for NaN; use CASE WHEN x > y THEN x ELSE y END",
                    ));
                }
                Vec::new()
            }
            Node::Call { name, arguments } if functions::takes_numbers(name) => {
                self.check_numbers(tree, arguments)?;
                Vec::new()
            }
            Node::Call { name: "STRFTIME", arguments } => {
                self.check_format(tree, node, arguments)?;
                Vec::new()
            }
            Node::Binary(Binary::And | Binary::Or, left, right) => vec![left, right],
            Node::Unary(
                Unary::Not | Unary::IsTrue | Unary::IsNotTrue | Unary::IsFalse | Unary::IsNotFalse,
                operand,
            ) => vec![operand],
            Node::Case { operand: None, arms, .. } => arms.iter().map(|(condition, _)| condition).collect(),
            Node::Call { name: "IF", arguments } => arguments.first().into_iter().collect(),
            _ => Vec::new(),
        };
        for condition in conditions {
            if condition.is_boolean() {
                continue;
            }
            let found = self.type_of(tree, condition, expression(tree, condition)?)?;
            if !matches!(found, pl::DataType::Boolean | pl::DataType::Null) {
                return Err(ExpressionError::Type {
                    place: tree.part(condition),
                    found: format!("type {found}"),
                    expected: "a condition that is true or false",
                    remedy: "compare it with something",
                });
            }
        }
        if matches!(node, Node::Case { .. } | Node::Call { .. })
            && let Some(large) = node.children().into_iter().find_map(large_operand)
        {
            // Polars gives the whole the type of the other operands and null for what it cannot hold.
            return Err(ExpressionError::Type {
                place: tree.part(node),
                found: format!("the integer {large}, of more than 32 bits, in a computation inside it"),
                expected: "an integer whose type is told",
                remedy: "cast the number, as in CAST(3000000000 AS BIGINT)",
            });
        }
        node.children().into_iter().try_for_each(|child| {
            self.check_planned(tree, child)?;
            self.check_operands(tree, child)
        })
    }
}

/// Whether it computes with an integer that is written in the expression.
fn computes_with_integer(node: &Node) -> bool {
    let Node::Binary(operator, left, right) = node else { return false };
    let integer = |node: &Node| match node {
        Node::Literal(Literal::Integer(_)) => true,
        Node::Unary(Unary::Negate | Unary::Plus, node) => {
            matches!(**node, Node::Literal(Literal::Integer(_)))
        }
        _ => false,
    };
    let computes = matches!(
        operator,
        Binary::Add
            | Binary::Subtract
            | Binary::Multiply
            | Binary::Divide
            | Binary::FloorDivide
            | Binary::Modulo
    );
    computes && (integer(left) || integer(right))
}

/// An integer of more than 32 bits that stands in a computation without a cast.
fn large_operand(node: &Node) -> Option<i64> {
    match node {
        Node::Cast { .. } => None,
        Node::Binary(_, left, right) => {
            let large = |node: &Node| match node {
                Node::Literal(Literal::Integer(value)) if i32::try_from(*value).is_err() => Some(*value),
                _ => None,
            };
            large(left)
                .or_else(|| large(right))
                .or_else(|| large_operand(left))
                .or_else(|| large_operand(right))
        }
        other => other.children().into_iter().find_map(large_operand),
    }
}

impl Fallback {
    /// Polars reads numbers from texts, and gives null where there is none.
    fn check_numbers(&self, tree: &Tree, arguments: &[Node]) -> Result<(), ExpressionError> {
        for argument in arguments {
            let found = self.type_of(tree, argument, expression(tree, argument)?)?;
            if !found.is_numeric() && !found.is_null() {
                return Err(ExpressionError::Type {
                    place: tree.part(argument),
                    found: format!("type {found}"),
                    expected: "a number",
                    remedy: "cast it, as in CAST(x AS DOUBLE)",
                });
            }
        }
        Ok(())
    }

    /// A format that the type of the value cannot fill would fail at every row; it fails here.
    fn check_format(&self, tree: &Tree, node: &Node, arguments: &[Node]) -> Result<(), ExpressionError> {
        let [value, format] = arguments else { return Ok(()) };
        let sample = match self.type_of(tree, value, expression(tree, value)?)? {
            pl::DataType::Date => Temporal::date("2000-01-01"),
            pl::DataType::Time => Temporal::time("00:00:00"),
            _ => Temporal::timestamp("2000-01-01 00:00:00"),
        };
        let Some(sample) = sample else { return Ok(()) };
        let arguments = vec![Node::Temporal(sample), format.clone()];
        let sample = Node::Call { name: "STRFTIME", arguments };
        self.type_of(tree, node, expression(tree, &sample)?).map(|_| ())
    }
}

impl Node {
    /// Whether it is true or false by its form.
    fn is_boolean(&self) -> bool {
        match self {
            Self::Unary(operator, _) => !matches!(operator, Unary::Negate | Unary::Plus),
            Self::Binary(operator, ..) => operator.compares() || matches!(operator, Binary::And | Binary::Or),
            Self::Between { .. } | Self::In { .. } | Self::Like { .. } => true,
            _ => false,
        }
    }
}

/// Why a computation failed, without any value.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Conversion,
    Compute,
    Value(usize),
    Type,
    Panic,
}

impl Failure {
    fn of(error: &pl::PolarsError) -> Self {
        match root(error) {
            pl::PolarsError::InvalidOperation(text) if text.starts_with("conversion") => Self::Conversion,
            _ => Self::Compute,
        }
    }

    fn at(self, row: usize) -> ExpressionError {
        let (found, remedy) = match self {
            Self::Conversion => ("a value that cannot be cast", "use TRY_CAST to get null for it"),
            Self::Compute => ("a value that a function cannot work on", "guard it by a condition before"),
            Self::Value(_) => ("a time in seconds that milliseconds cannot hold", "remove the row before"),
            Self::Type => ("a result of another type than on other rows", "cast the parts of the expression"),
            Self::Panic => ("a value that Polars cannot work on", "guard it by a condition before"),
        };
        ExpressionError::Compute { row, found, remedy }
    }
}

/// The error without the places that Polars wraps around it.
fn root(error: &pl::PolarsError) -> &pl::PolarsError {
    match error {
        pl::PolarsError::Context { error, .. } | pl::PolarsError::ExprContext { error, .. } => root(error),
        error => error,
    }
}

struct Panicked;

/// Rows on which the type of a part is found.
const TYPE_ROWS: usize = 2;

fn found_type(
    tree: &Tree,
    node: &Node,
    found: Result<pl::PolarsResult<pl::DataType>, Panicked>,
) -> Result<pl::DataType, ExpressionError> {
    match found {
        Ok(Ok(data_type)) => Ok(data_type),
        Ok(Err(error)) => Err(plan_error(tree, node, &root(&error).to_string())),
        Err(Panicked) => Err(plan_error(tree, node, "operands that Polars cannot work on")),
    }
}

/// The type that Polars plans an expression to have. A panic stays here.
fn plan(
    series: Vec<pl::Series>,
    rows: usize,
    expression: pl::Expr,
    stack: Stack,
) -> Result<pl::PolarsResult<pl::DataType>, Panicked> {
    stack.run(move || with_result(series, rows, expression)?.collect_schema()?.try_get(RESULT).cloned())
}

/// Computes one expression, with as many rows as given. A panic stays here.
fn select(
    series: Vec<pl::Series>,
    rows: usize,
    expression: pl::Expr,
    stack: Stack,
) -> Result<pl::PolarsResult<pl::Series>, Panicked> {
    stack.run(move || {
        let result = with_result(series, rows, expression)?.collect()?;
        Ok(result.column(RESULT)?.as_materialized_series().clone())
    })
}

/// Columns of so many rows and the expression beside them: a constant gets their height only there.
fn with_result(
    series: Vec<pl::Series>,
    rows: usize,
    expression: pl::Expr,
) -> pl::PolarsResult<pl::LazyFrame> {
    let columns = series.into_iter().map(IntoColumn::into_column).collect();
    Ok(pl::DataFrame::new(rows, columns)?.lazy().with_columns([expression.alias(RESULT)]))
}

/// Where Polars runs: its recursions need much stack for each level of an expression.
#[derive(Debug, Clone, Copy)]
enum Stack {
    Callers,
    Own,
}

impl Stack {
    const LEVELS_ON_CALLERS: usize = 16;
    const BYTES: usize = 32 << 20;

    fn for_tree(tree: &Tree) -> Self {
        if tree.root.depth() <= Self::LEVELS_ON_CALLERS { Self::Callers } else { Self::Own }
    }

    fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T, Panicked> {
        let caught = move || catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked);
        let stack = if in_single_threaded_runtime() { Self::Own } else { self };
        match stack {
            Self::Callers => caught(),
            Self::Own => std::thread::scope(|scope| {
                let builder = std::thread::Builder::new().name("expression".into()).stack_size(Self::BYTES);
                let thread = builder.spawn_scoped(scope, caught).map_err(|_| Panicked)?;
                thread.join().map_err(|_| Panicked)?
            }),
        }
    }
}

/// Whether the caller's thread drives a runtime of one thread, on which Polars panics as soon as it
/// plans: it blocks in a way that only runtimes of several threads offer.
fn in_single_threaded_runtime() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// The Polars expression of a part of the tree.
fn expression(tree: &Tree, node: &Node) -> Result<pl::Expr, ExpressionError> {
    let mut spelling = Slots(Vec::new());
    let mut text = String::new();
    node.write(&mut text, &mut spelling);
    let built = Stack::for_tree(tree).run(|| polars::sql::sql_expr(&text));
    let expression = match built {
        Ok(Ok(expression)) => expression,
        Ok(Err(error)) => {
            // The text is ours; what Polars may not like of it is its depth.
            super::parse::parse(&text)?;
            return Err(plan_error(tree, node, &root(&error).to_string()));
        }
        Err(Panicked) => return Err(plan_error(tree, node, "a form that Polars cannot read")),
    };
    let temporals: Vec<pl::Expr> = spelling.0.iter().map(temporal).collect();
    Ok(expression.map_expr(|part| match &part {
        pl::Expr::Column(name) => {
            let literal =
                name.strip_prefix('@').and_then(|index| temporals.get(index.parse::<usize>().ok()?));
            literal.cloned().unwrap_or(part)
        }
        _ => part,
    }))
}

/// Columns by their place, and points in time as columns that are replaced afterwards.
struct Slots(Vec<Temporal>);

impl Spelling for Slots {
    fn column(&mut self, position: usize, text: &mut String) {
        quote(&slot_name(position), '"', text);
    }

    fn temporal(&mut self, value: &Temporal, text: &mut String) {
        quote(&format!("@{}", self.0.len()), '"', text);
        self.0.push(value.clone());
    }

    fn keeps_balance(&self) -> bool {
        true
    }
}

fn slot_name(slot: usize) -> String {
    format!(":{slot}:")
}

fn temporal(literal: &Temporal) -> pl::Expr {
    let scalar = match literal.value() {
        Value::Date(days) => pl::Scalar::new(pl::DataType::Date, pl::AnyValue::Date(days)),
        Value::Time(nanoseconds) => pl::Scalar::new(pl::DataType::Time, pl::AnyValue::Time(nanoseconds)),
        Value::Timestamp(count, unit, zone) => {
            let unit = polars_unit(if unit == TimeUnit::Second { TimeUnit::Millisecond } else { unit });
            let zone = (zone == Zone::Utc).then_some(pl::TimeZone::UTC);
            let value = pl::AnyValue::DatetimeOwned(count, unit, zone.clone().map(Arc::new));
            pl::Scalar::new(pl::DataType::Datetime(unit, zone), value)
        }
    };
    pl::lit(scalar)
}

fn nested(tree: &Tree, slot: usize, data_type: &DataType) -> ExpressionError {
    let name = tree.columns.get(slot).map_or("", String::as_str);
    ExpressionError::Type {
        place: format!("column \"{name}\""),
        found: anabranch_engine::types::logical_type(data_type),
        expected: "a column of plain values",
        remedy: "take it apart in a function, or use the column alone",
    }
}

/// A message of Polars about types, with our names for the columns; no row was seen by then.
fn plan_error(tree: &Tree, node: &Node, message: &str) -> ExpressionError {
    let mut found: String = message.lines().next().unwrap_or("").chars().take(300).collect();
    for (slot, name) in tree.columns.iter().enumerate() {
        found = found.replace(&slot_name(slot), name);
    }
    ExpressionError::Type {
        place: tree.part(node),
        found,
        expected: "operands whose types go together",
        remedy: "cast one of them, as in CAST(x AS DOUBLE)",
    }
}
