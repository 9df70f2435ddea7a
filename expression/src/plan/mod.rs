//! From the tree of an expression to typed steps.
//!
//! A literal has no type until its other side is known: it travels as an [`Operand`] and becomes a
//! constant of the type that it meets. Parts without columns are computed once, here.

mod arithmetic;
mod calls;
mod common;
mod compare;
mod dates;
mod forms;

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringViewArray, Time64NanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};

use crate::error::ExpressionError;
use crate::exact::Exact;
use crate::kernels::casts::{by_arrow, caster};
use crate::kernels::compare::{is_null, is_truth, not};
use crate::kernels::decimal::decimal_type;
use crate::kernels::math::{Keeping, keeping};
use crate::kernels::steps::{Step, Typed};
use crate::kernels::{Function, numbers};
use crate::syntax::parameters::Literal;
use crate::syntax::tree::{Binary, Node, Tree, Unary};
use crate::temporal::interval::Interval;
use crate::temporal::{Temporal, TemporalValue, nanoseconds_per};

/// A part of an expression; literals are without a type still.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Typed(Typed),
    Number(Exact),
    String(String),
    Null,
    Span(Interval),
}

impl Operand {
    /// True for values of an integer type, and for literals without point and exponent.
    fn is_integer(&self) -> bool {
        match self {
            Self::Number(number) => number.is_plain_integer(),
            Self::Typed(value) => value.data_type.is_integer(),
            Self::Null | Self::String(_) | Self::Span(_) => false,
        }
    }
}

/// Builds the steps of one tree.
pub(crate) struct Planner<'a> {
    tree: &'a Tree,
    /// The columns that the tree mentions, in its order.
    fields: &'a [FieldRef],
    /// Places for columns behind these that were given away.
    places: Cell<usize>,
}

type Planned<T> = Result<T, ExpressionError>;

/// The steps of a tree.
pub(crate) fn plan(tree: &Tree, fields: &[FieldRef]) -> Planned<Typed> {
    let planner = Planner { tree, fields, places: Cell::new(fields.len()) };
    let root = planner.operand(&tree.root)?;
    planner.settle(&tree.root, root)
}

impl Planner<'_> {
    /// An error about a part, with what was found and expected.
    fn wrong(
        &self,
        node: &Node,
        found: impl Into<String>,
        expected: &'static str,
        remedy: &'static str,
    ) -> ExpressionError {
        ExpressionError::Type { place: self.tree.part(node), found: found.into(), expected, remedy }
    }

    /// An error about operands whose types do not go together.
    fn apart(&self, node: &Node, left: &Operand, right: &Operand) -> ExpressionError {
        let found = format!("{} and {}", describe(left), describe(right));
        self.wrong(
            node,
            found,
            "operands whose types go together",
            "cast one of them, as in CAST(x AS DOUBLE)",
        )
    }

    fn operand(&self, node: &Node) -> Planned<Operand> {
        Ok(match node {
            Node::Literal(literal) => literal_operand(literal),
            Node::Interval(span) => Operand::Span(*span),
            Node::Unary(Unary::Negate, value) => return self.negated(node, value),
            Node::Unary(Unary::Plus, value) => {
                let operand = self.operand(value)?;
                self.expect_number(value, &operand)?;
                operand
            }
            Node::Binary(operator, left, right) if operator.computes() => {
                return self.arithmetic(node, *operator, left, right);
            }
            other => Operand::Typed(self.typed(other)?),
        })
    }

    fn typed(&self, node: &Node) -> Planned<Typed> {
        match node {
            Node::Column(position) => self.column(node, *position),
            Node::Temporal(temporal) => self.temporal(node, temporal),
            Node::Unary(operator, value) => self.unary(node, *operator, value),
            Node::Binary(Binary::And | Binary::Or, ..) => self.logic(node),
            Node::Binary(Binary::Concat, ..) => self.concatenation(node),
            Node::Binary(operator, left, right) if operator.compares() => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.comparison(node, *operator, left, right)
            }
            Node::Between { negated, value, low, high } => self.between(node, *negated, value, low, high),
            Node::In { negated, value, list } => self.among(node, *negated, value, list),
            Node::Like { .. } => self.like(node),
            Node::Case { operand, arms, otherwise } => {
                self.case(node, operand.as_deref(), arms, otherwise.as_deref())
            }
            Node::Cast { lenient, value, target } => self.cast(node, *lenient, value, *target),
            Node::Extract { part, value } => self.extract(node, part, value),
            Node::AtTimeZone { value, zone } => self.at_time_zone(node, value, zone),
            Node::Field { value, name } => self.field(node, value, name),
            Node::Element { value, index } => self.element(node, value, index),
            Node::Call { name, arguments } => self.function(node, name, arguments),
            Node::Literal(_) | Node::Interval(_) | Node::Binary(..) => self.settled_value(node, node),
        }
    }

    fn column(&self, node: &Node, position: usize) -> Planned<Typed> {
        let field = self.fields.get(position).expect("the tree mentions columns that are given");
        self.widened(node, Typed::new(Step::Column(position), field.data_type().clone()))
    }

    /// A value of the rows in a type that kernels compute with: half floats as single ones, decimals of a
    /// negative scale as whole ones.
    fn widened(&self, node: &Node, value: Typed) -> Planned<Typed> {
        let target = match value.data_type {
            DataType::Float16 => DataType::Float32,
            DataType::Decimal128(_, scale) if scale < 0 => decimal_type(0),
            _ => return Ok(value),
        };
        self.call(node, by_arrow(target.clone()), vec![value], target)
    }

    /// Builds a step that mentions an operand several times; one that has to be computed is computed once.
    fn once(&self, operand: Operand, step: impl FnOnce(Operand) -> Planned<Typed>) -> Planned<Typed> {
        let value = match operand {
            Operand::Typed(value) if !matches!(value.step, Step::Column(_) | Step::Constant(_)) => value,
            other => return step(other),
        };
        let place = self.places.replace(self.places.get() + 1);
        let column = Typed::new(Step::Column(place), value.data_type.clone());
        let step = step(Operand::Typed(column))?;
        if step.is_constant() {
            return Ok(step);
        }
        let data_type = step.data_type.clone();
        let once = Step::Once { value: Box::new(value), place, step: Box::new(step) };
        Ok(Typed::new(once, data_type))
    }

    /// A call of a function; computed at once where all arguments are constants.
    fn call(
        &self,
        node: &Node,
        function: Function,
        arguments: Vec<Typed>,
        gives: DataType,
    ) -> Planned<Typed> {
        let constant = arguments.iter().all(Typed::is_constant);
        self.folded(node, Typed::new(Step::Call(function, arguments), gives), constant)
    }

    fn folded(&self, node: &Node, step: Typed, constant: bool) -> Planned<Typed> {
        if !constant {
            return Ok(step);
        }
        let failed = |found: &str| {
            self.wrong(node, found, "constants that can be computed", "change them, or use TRY_CAST or CASE")
        };
        let (value, errors) =
            step.evaluate(&[], 1).map_err(|_| failed("operands that cannot be computed"))?;
        if let Some((_, reason)) = errors.first() {
            return Err(failed(reason.found_and_remedy().0));
        }
        Ok(Typed::constant(Arc::clone(value.array())))
    }

    /// The type of an operand that nothing else decides: integers the smallest of 32 and 64 bits,
    /// other numbers float64, null a string.
    fn settle(&self, node: &Node, operand: Operand) -> Planned<Typed> {
        Ok(match operand {
            Operand::Typed(typed) => typed,
            Operand::Number(number) => {
                let data_type = common::settled(&number);
                let array = constant(&number, &data_type).ok_or_else(|| {
                    self.wrong(
                        node,
                        "an integer of more than 38 digits",
                        "a number that a type holds",
                        "write it with an exponent",
                    )
                })?;
                Typed::constant(array)
            }
            Operand::String(text) => Typed::constant(string_constant(&text)),
            Operand::Null => Typed::null(&DataType::Utf8View),
            Operand::Span(_) => {
                return Err(self.wrong(
                    node,
                    "an interval by itself",
                    "an interval that is added to a date or time",
                    "add it to one, or subtract it",
                ));
            }
        })
    }

    /// A part of `node`, with the type that it has by itself.
    fn settled_value(&self, node: &Node, part: &Node) -> Planned<Typed> {
        let operand = self.operand(part)?;
        self.settle(node, operand)
    }

    /// The value in a wider type; nothing happens where it has the type.
    fn coerce(&self, node: &Node, value: Typed, target: &DataType) -> Planned<Typed> {
        if value.data_type == *target {
            return Ok(value);
        }
        let function = caster(&value.data_type, target, false).ok_or_else(|| {
            let found = format!("type {}", name(&value.data_type));
            self.wrong(node, found, "a type that can be brought to that of the other operands", "cast it")
        })?;
        self.call(node, function, vec![value], target.clone())
    }

    /// Two values in a wider type.
    fn coerce_both(&self, node: &Node, left: Typed, right: Typed, target: &DataType) -> Planned<Vec<Typed>> {
        Ok(vec![self.coerce(node, left, target)?, self.coerce(node, right, target)?])
    }

    fn condition(&self, node: &Node) -> Planned<Typed> {
        let value = match self.operand(node)? {
            Operand::Null => return Ok(Typed::null(&DataType::Boolean)),
            operand => self.settle(node, operand)?,
        };
        if value.data_type == DataType::Boolean {
            return Ok(value);
        }
        Err(self.wrong(
            node,
            format!("type {}", name(&value.data_type)),
            "a condition that is true or false",
            "compare it with something",
        ))
    }

    fn unary(&self, node: &Node, operator: Unary, value: &Node) -> Planned<Typed> {
        let (function, value) = match operator {
            Unary::IsNull | Unary::IsNotNull => {
                (is_null(operator == Unary::IsNotNull), self.settled_value(value, value)?)
            }
            Unary::Not => (not(), self.condition(value)?),
            Unary::IsTrue | Unary::IsNotTrue => {
                (is_truth(true, operator == Unary::IsNotTrue), self.condition(value)?)
            }
            Unary::IsFalse | Unary::IsNotFalse => {
                (is_truth(false, operator == Unary::IsNotFalse), self.condition(value)?)
            }
            Unary::BitNot => return self.complement(node, value),
            Unary::Negate | Unary::Plus => return self.settled_value(node, node),
        };
        self.call(node, function, vec![value], DataType::Boolean)
    }

    fn negated(&self, node: &Node, value: &Node) -> Planned<Operand> {
        let operand = self.operand(value)?;
        self.expect_number(value, &operand)?;
        Ok(match operand {
            Operand::Number(number) => Operand::Number(number.negated().ok_or_else(|| {
                self.wrong(node, "a number beyond its range", "a smaller one", "write it with an exponent")
            })?),
            Operand::Typed(value) => {
                let data_type = value.data_type.clone();
                let function = keeping(Keeping::Negate, &data_type).or_else(|| negated_duration(&data_type));
                let function = function.expect("numbers and durations can be negated");
                Operand::Typed(self.call(node, function, vec![value], data_type)?)
            }
            other => other,
        })
    }

    fn expect_number(&self, node: &Node, operand: &Operand) -> Planned<()> {
        let fits = match operand {
            Operand::Number(_) | Operand::Null => true,
            Operand::Typed(value) => {
                numbers::is_number(&value.data_type) || matches!(value.data_type, DataType::Duration(_))
            }
            Operand::String(_) | Operand::Span(_) => false,
        };
        if fits {
            return Ok(());
        }
        let found = describe(operand);
        Err(self.wrong(node, found, "a number", "cast it, as in CAST(x AS DOUBLE)"))
    }

    /// Terms of a chain of AND or OR, from left to right.
    fn logic(&self, node: &Node) -> Planned<Typed> {
        let Node::Binary(operator, ..) = node else { unreachable!("a chain is of a binary operator") };
        let mut terms = Vec::new();
        let mut rest = vec![node];
        while let Some(term) = rest.pop() {
            match term {
                Node::Binary(found, left, right) if found == operator => rest.extend([&**right, &**left]),
                term => terms.push(self.condition(term)?),
            }
        }
        let constant = terms.iter().all(Typed::is_constant);
        let step = Step::Logic { is_and: *operator == Binary::And, terms };
        self.folded(node, Typed::new(step, DataType::Boolean), constant)
    }

    fn temporal(&self, node: &Node, temporal: &Temporal) -> Planned<Typed> {
        let data_type = temporal.data_type();
        temporal_constant(temporal, &data_type).map(Typed::constant).ok_or_else(|| {
            let remedy = "use fewer digits of a fraction, or a year from 1678 to 2261";
            self.wrong(
                node,
                "a point in time beyond the range of its type",
                "one that a timestamp holds",
                remedy,
            )
        })
    }
}

fn negated_duration(data_type: &DataType) -> Option<Function> {
    let subtract = crate::kernels::times::combine(data_type, data_type, data_type, true)?;
    let zero = cast(&Int64Array::from(vec![0]), data_type).ok()?;
    Some(Function::of_one(move |value, rows| {
        subtract.call(&[crate::kernels::value::Value::Constant(Arc::clone(&zero)), value.clone()], rows)
    }))
}

fn literal_operand(literal: &Literal) -> Operand {
    match literal {
        Literal::Null => Operand::Null,
        Literal::Bool(value) => Operand::Typed(Typed::constant(Arc::new(BooleanArray::from(vec![*value])))),
        Literal::Float(value) => Operand::Typed(Typed::constant(Arc::new(Float64Array::from(vec![*value])))),
        Literal::String(text) => Operand::String(text.clone()),
        Literal::Integer(_) | Literal::Number(_) => {
            Operand::Number(literal.to_exact().expect("a number of the tree is exact"))
        }
    }
}

fn string_constant(text: &str) -> ArrayRef {
    Arc::new(StringViewArray::from(vec![text]))
}

/// The number as one value of the type: the nearest float, or the number itself, if the type holds it.
fn constant(number: &Exact, data_type: &DataType) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Float64 => Arc::new(Float64Array::from(vec![number.to_f64()])),
        DataType::Float32 => Arc::new(arrow::array::Float32Array::from(vec![number.to_f32()])),
        DataType::Decimal128(precision, scale) => {
            let (digits, exact) = number.floor_at(u8::try_from(*scale).ok()?)?;
            let digits = digits.to_i128().filter(|_| exact && number.precision() <= 38)?;
            let array = arrow::array::Decimal128Array::from(vec![digits]);
            let array = array.with_precision_and_scale(*precision, *scale).ok()?;
            array.validate_decimal_precision(*precision).ok()?;
            Arc::new(array)
        }
        _ => {
            let (value, exact) = number.floor_at(0)?;
            let value = value.to_i128().filter(|_| exact)?;
            return data_type.is_integer().then(|| numbers::count_constant(value, data_type))?;
        }
    })
}

/// The point in time as one value of the type, if the type holds it.
fn temporal_constant(temporal: &Temporal, data_type: &DataType) -> Option<ArrayRef> {
    Some(match (temporal.value(), data_type) {
        (TemporalValue::Date(days), DataType::Date32) => Arc::new(Date32Array::from(vec![days])),
        (TemporalValue::Time(nanoseconds), DataType::Time64(_)) => {
            Arc::new(Time64NanosecondArray::from(vec![nanoseconds]))
        }
        (TemporalValue::Timestamp(nanoseconds, _), DataType::Timestamp(unit, _)) => {
            let unit = i128::from(nanoseconds_per(*unit));
            (nanoseconds % unit == 0).then_some(())?;
            let count = i64::try_from(nanoseconds / unit).ok()?;
            cast(&Int64Array::from(vec![count]), data_type).ok()?
        }
        _ => return None,
    })
}

/// The logical name of a type, for messages.
fn name(data_type: &DataType) -> String {
    anabranch_engine::types::logical_type(data_type)
}

fn describe(operand: &Operand) -> String {
    match operand {
        Operand::Typed(value) => format!("type {}", name(&value.data_type)),
        Operand::Number(number) if number.is_plain_integer() => "an integer".to_owned(),
        Operand::Number(_) => "a number".to_owned(),
        Operand::String(_) => "a string".to_owned(),
        Operand::Null => "null".to_owned(),
        Operand::Span(_) => "an interval".to_owned(),
    }
}
