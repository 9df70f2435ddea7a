//! Comparisons: by value, whatever the types of the operands.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::datatypes::{DataType, i256};

use super::{Operand, Planned, Planner, common, constant, string_constant};
use crate::exact::{Exact, power_of_ten};
use crate::kernels::numbers::{Wide, count_constant, is_decimal, is_float, is_number, scale_of};
use crate::kernels::steps::{Step, Typed};
use crate::kernels::times::nanoseconds_of;
use crate::kernels::value::Value;
use crate::kernels::{Function, compare, set};
use crate::syntax::tree::{Binary, Node};
use crate::temporal::{Temporal, TemporalValue};

impl Planner<'_> {
    /// `left operator right` as a truth value.
    pub(super) fn comparison(
        &self,
        node: &Node,
        operator: Binary,
        left: Operand,
        right: Operand,
    ) -> Planned<Typed> {
        if matches!(operator, Binary::Distinct | Binary::NotDistinct) {
            return self.distinct(node, operator == Binary::Distinct, left, right);
        }
        match (left, right) {
            (Operand::Null, _) | (_, Operand::Null) => Ok(Typed::null(&DataType::Boolean)),
            (Operand::Number(left), Operand::Number(right)) => {
                let order = exact_order(left, right).ok_or_else(|| {
                    self.wrong(
                        node,
                        "a number of more than 76 digits",
                        "a smaller one",
                        "write it with an exponent",
                    )
                })?;
                Ok(truth(compare::holds(operator, order)))
            }
            (Operand::String(left), Operand::String(right)) => {
                Ok(truth(compare::holds(operator, left.cmp(&right))))
            }
            (Operand::Typed(left), Operand::Number(right)) => self.with_number(node, operator, left, right),
            (Operand::Number(left), Operand::Typed(right)) => {
                self.with_number(node, operator.mirrored(), right, left)
            }
            (Operand::Typed(left), Operand::String(right)) => self.with_string(node, operator, left, &right),
            (Operand::String(left), Operand::Typed(right)) => {
                self.with_string(node, operator.mirrored(), right, &left)
            }
            (Operand::Typed(left), Operand::Typed(right)) => {
                self.typed_comparison(node, operator, left, right)
            }
            (left, right) => Err(self.apart(node, &left, &right)),
        }
    }

    fn distinct(&self, node: &Node, negated: bool, left: Operand, right: Operand) -> Planned<Typed> {
        self.once(left, |left| {
            self.once(right, |right| {
                let equal = self.comparison(node, Binary::Equal, left.clone(), right.clone())?;
                let (left, right) = (self.settle(node, left)?, self.settle(node, right)?);
                self.call(node, compare::distinct(!negated), vec![equal, left, right], DataType::Boolean)
            })
        })
    }

    fn with_number(&self, node: &Node, operator: Binary, value: Typed, number: Exact) -> Planned<Typed> {
        if is_float(&value.data_type) {
            let array = constant(&number, &value.data_type).expect("a float takes every number");
            let function = compare::floats(operator, &value.data_type).expect("the type is a float");
            return self.call(node, function, vec![value, Typed::constant(array)], DataType::Boolean);
        }
        if !is_number(&value.data_type) {
            return Err(self.apart(node, &Operand::Typed(value), &Operand::Number(number)));
        }
        let (floor, exact) = number.floor_at(scale_of(&value.data_type)).unwrap_or_else(|| {
            // More digits than 256 bits hold: beyond every value, on the side of its sign.
            let beyond = if number.to_f64() < 0.0 { i256::MIN } else { i256::MAX };
            (beyond, true)
        });
        self.bounded(node, operator, value, clamp(floor), exact)
    }

    /// A comparison of counts with a fixed bound: `floor` is the bound rounded down, `exact` is true
    /// where nothing was cut.
    fn bounded(
        &self,
        node: &Node,
        operator: Binary,
        value: Typed,
        floor: i128,
        exact: bool,
    ) -> Planned<Typed> {
        let (operator, between) = match (operator, exact) {
            (operator, true) => (operator, None),
            (Binary::Less | Binary::LessOrEqual, false) => (Binary::LessOrEqual, None),
            (Binary::Greater | Binary::GreaterOrEqual, false) => (Binary::Greater, None),
            // Between two counts lies none.
            (operator, false) => (operator, Some(compare::holds(operator, Ordering::Less))),
        };
        // A bound beyond the type lies above or below all of its values.
        let beyond = || compare::holds(operator, if floor < 0 { Ordering::Greater } else { Ordering::Less });
        let bound = match between {
            Some(answer) => Err(answer),
            None => count_constant(floor, &value.data_type).ok_or_else(beyond),
        };
        match bound {
            Ok(bound) => {
                let arguments = vec![value, Typed::constant(bound)];
                self.call(node, compare::plain(operator), arguments, DataType::Boolean)
            }
            Err(answer) => self.call(node, compare::always(answer), vec![value], DataType::Boolean),
        }
    }

    fn with_string(&self, node: &Node, operator: Binary, value: Typed, text: &str) -> Planned<Typed> {
        if value.data_type == DataType::Utf8View {
            let text = Typed::constant(string_constant(text));
            return self.call(node, compare::plain(operator), vec![value, text], DataType::Boolean);
        }
        let Some((floor, exact)) = bound_of_string(text, &value.data_type) else {
            // The error of the type.
            return self.read_string(node, text, &value.data_type);
        };
        self.bounded(node, operator, value, floor, exact)
    }

    fn typed_comparison(&self, node: &Node, operator: Binary, left: Typed, right: Typed) -> Planned<Typed> {
        use DataType as D;
        let (l, r) = (left.data_type.clone(), right.data_type.clone());
        if let Some(bounded) = self.with_constant(node, operator, &left, &right)? {
            return Ok(bounded);
        }
        let (function, arguments) = match (&l, &r) {
            (D::Boolean, D::Boolean) | (D::Utf8View, D::Utf8View) | (D::BinaryView, D::BinaryView) => {
                (compare::plain(operator), vec![left, right])
            }
            (l, r) if is_number(l) && is_number(r) => self.numbers(node, operator, left, right)?,
            (l, r) if instants(l, r) => {
                let (a, b) = nanoseconds_of(l).zip(nanoseconds_of(r)).expect("points in time are counts");
                if a == b && l == r {
                    (compare::plain(operator), vec![left, right])
                } else {
                    let finest = a.min(b);
                    let factor = |unit: i128| i256::from_i128(unit / finest);
                    (compare::scaled(operator, factor(a), factor(b)), vec![left, right])
                }
            }
            _ => return Err(self.apart(node, &Operand::Typed(left), &Operand::Typed(right))),
        };
        self.call(node, function, arguments, D::Boolean)
    }

    /// A comparison of a point in time with a constant one, which needs no second column.
    fn with_constant(
        &self,
        node: &Node,
        operator: Binary,
        left: &Typed,
        right: &Typed,
    ) -> Planned<Option<Typed>> {
        if !instants(&left.data_type, &right.data_type) {
            return Ok(None);
        }
        let (operator, value, fixed) = match (&left.step, &right.step) {
            (Step::Constant(_), Step::Constant(_)) => return Ok(None),
            (_, Step::Constant(array)) => (operator, left, Value::Constant(Arc::clone(array))),
            (Step::Constant(array), _) => (operator.mirrored(), right, Value::Constant(Arc::clone(array))),
            _ => return Ok(None),
        };
        let per_count = nanoseconds_of(fixed.array().data_type()).zip(nanoseconds_of(&value.data_type));
        let (theirs, mine) = per_count.expect("points in time are counts");
        let Some(count) = Wide::of(&fixed).get(0) else { return Ok(None) };
        let nanoseconds = count * theirs;
        let (floor, exact) = (nanoseconds.div_euclid(mine), nanoseconds.rem_euclid(mine) == 0);
        self.bounded(node, operator, value.clone(), floor, exact).map(Some)
    }

    /// The function and the operands of a comparison of two numbers.
    fn numbers(
        &self,
        node: &Node,
        operator: Binary,
        left: Typed,
        right: Typed,
    ) -> Planned<(Function, Vec<Typed>)> {
        let (l, r) = (left.data_type.clone(), right.data_type.clone());
        if l.is_integer() && r.is_integer() {
            if let Some(target) = common::integers(&l, &r) {
                return Ok((compare::plain(operator), self.coerce_both(node, left, right, &target)?));
            }
            let flipped = l == DataType::UInt64;
            let signed = |value: Typed| match value.data_type {
                DataType::UInt64 => Ok(value),
                _ => self.coerce(node, value, &DataType::Int64),
            };
            return Ok((
                compare::signed_with_unsigned(operator, flipped),
                vec![signed(left)?, signed(right)?],
            ));
        }
        if is_float(&l) || is_float(&r) {
            return self.with_float(node, operator, left, right);
        }
        let (a, b) = (scale_of(&l), scale_of(&r));
        let power = |by: u8| power_of_ten(by).expect("a scale is at most 38");
        let scale = a.max(b);
        Ok((compare::scaled(operator, power(scale - a), power(scale - b)), vec![left, right]))
    }

    fn with_float(
        &self,
        node: &Node,
        operator: Binary,
        left: Typed,
        right: Typed,
    ) -> Planned<(Function, Vec<Typed>)> {
        let (l, r) = (left.data_type.clone(), right.data_type.clone());
        let small = |data_type: &DataType| {
            is_float(data_type)
                || (data_type.is_integer() && data_type.primitive_width().is_some_and(|w| w <= 4))
        };
        if small(&l) && small(&r) {
            let target = if l == r { l } else { DataType::Float64 };
            let function = compare::floats(operator, &target).expect("the type is a float");
            return Ok((function, self.coerce_both(node, left, right, &target)?));
        }
        let flipped = is_float(&l);
        let exact = if flipped { &r } else { &l };
        let function = compare::with_floats(operator, scale_of(exact), flipped);
        let widened = |value: Typed| {
            if is_float(&value.data_type) {
                return self.coerce(node, value, &DataType::Float64);
            }
            Ok(value)
        };
        Ok((function, vec![widened(left)?, widened(right)?]))
    }

    pub(super) fn between(
        &self,
        node: &Node,
        negated: bool,
        value: &Node,
        low: &Node,
        high: &Node,
    ) -> Planned<Typed> {
        let value = self.operand(value)?;
        let (low, high) = (self.operand(low)?, self.operand(high)?);
        let (first, second) = if negated {
            (Binary::Less, Binary::Greater)
        } else {
            (Binary::GreaterOrEqual, Binary::LessOrEqual)
        };
        self.once(value, |value| {
            let terms = vec![
                self.comparison(node, first, value.clone(), low)?,
                self.comparison(node, second, value, high)?,
            ];
            let constant = terms.iter().all(Typed::is_constant);
            let both = Step::Logic { is_and: !negated, terms };
            self.folded(node, Typed::new(both, DataType::Boolean), constant)
        })
    }

    pub(super) fn among(&self, node: &Node, negated: bool, value: &Node, list: &[Node]) -> Planned<Typed> {
        let value = self.operand(value)?;
        if list.iter().all(|element| matches!(element, Node::Literal(_) | Node::Temporal(_))) {
            // They are looked up together.
            return self.among_elements(node, negated, &value, list);
        }
        self.once(value, |value| self.among_elements(node, negated, &value, list))
    }

    fn among_elements(&self, node: &Node, negated: bool, value: &Operand, list: &[Node]) -> Planned<Typed> {
        let mut elements = Vec::new();
        let mut has_null = false;
        let mut terms = Vec::new();
        for element in list {
            let element = self.operand(element)?;
            if matches!(element, Operand::Null) {
                has_null = true;
                continue;
            }
            match self.element_constant(node, value, &element)? {
                Element::Constant(array) => elements.push(array),
                Element::Never => {}
                Element::Computed => {
                    terms.push(self.comparison(node, Binary::Equal, value.clone(), element)?);
                }
            }
        }
        let fixed = match value {
            Operand::Typed(typed) => set::among(&typed.data_type, &elements, has_null)
                .map(|function| self.call(node, function, vec![typed.clone()], DataType::Boolean))
                .transpose()?,
            _ => None,
        };
        match fixed {
            Some(found) if terms.is_empty() || has_null || !elements.is_empty() => terms.push(found),
            None if has_null => terms.push(Typed::null(&DataType::Boolean)),
            _ => {}
        }
        let constant = terms.iter().all(Typed::is_constant);
        let found = match <[Typed; 1]>::try_from(terms) {
            Ok([only]) => only,
            Err(terms) => {
                let any = Typed::new(Step::Logic { is_and: false, terms }, DataType::Boolean);
                self.folded(node, any, constant)?
            }
        };
        if negated { self.call(node, compare::not(), vec![found], DataType::Boolean) } else { Ok(found) }
    }

    /// An element of a list as a constant of the value's type.
    fn element_constant(&self, node: &Node, value: &Operand, element: &Operand) -> Planned<Element> {
        let Operand::Typed(value) = value else { return Ok(Element::Computed) };
        let data_type = &value.data_type;
        Ok(match element {
            Operand::Number(number) if is_number(data_type) => {
                constant(number, data_type).map_or(Element::Never, Element::Constant)
            }
            Operand::String(text) if *data_type == DataType::Utf8View => {
                Element::Constant(string_constant(text))
            }
            Operand::String(text) if nanoseconds_of(data_type).is_some() => {
                match bound_of_string(text, data_type) {
                    Some((count, true)) => {
                        count_constant(count, data_type).map_or(Element::Never, Element::Constant)
                    }
                    Some(_) => Element::Never,
                    None => return self.read_string(node, text, data_type).map(|_| Element::Never),
                }
            }
            Operand::Typed(Typed { step: Step::Constant(array), data_type: found })
                if found == data_type && set::among(data_type, &[], false).is_some() =>
            {
                if array.is_null(0) {
                    Element::Computed
                } else {
                    Element::Constant(Arc::clone(array))
                }
            }
            _ => Element::Computed,
        })
    }
}

enum Element {
    /// One value of the type.
    Constant(arrow::array::ArrayRef),
    /// No value of the type is equal to it.
    Never,
    /// It has to be compared.
    Computed,
}

fn truth(value: bool) -> Typed {
    Typed::constant(Arc::new(BooleanArray::from(vec![value])))
}

fn exact_order(left: Exact, right: Exact) -> Option<std::cmp::Ordering> {
    let scale = left.scale().max(right.scale());
    Some(left.floor_at(scale)?.0.cmp(&right.floor_at(scale)?.0))
}

fn clamp(value: i256) -> i128 {
    value.to_i128().unwrap_or(if value.is_negative() { i128::MIN } else { i128::MAX })
}

/// True where both are points in time that can be compared, or both durations, or both times of day.
fn instants(left: &DataType, right: &DataType) -> bool {
    use DataType as D;
    match (left, right) {
        (D::Timestamp(_, a), D::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (D::Date32, D::Timestamp(_, None) | D::Date32)
        | (D::Timestamp(_, None), D::Date32)
        | (D::Time64(_), D::Time64(_))
        | (D::Duration(_), D::Duration(_)) => true,
        _ => false,
    }
}

/// A text beside a date or time as a count of its type, rounded down, and whether nothing was cut.
fn bound_of_string(text: &str, data_type: &DataType) -> Option<(i128, bool)> {
    let read = Temporal::of_type(text, data_type).or_else(|| match data_type {
        DataType::Date32 => Temporal::timestamp(text),
        _ => None,
    })?;
    let nanoseconds = match read.value() {
        TemporalValue::Date(days) => return Some((i128::from(days), true)),
        TemporalValue::Time(nanoseconds) => return Some((i128::from(nanoseconds), true)),
        TemporalValue::Timestamp(nanoseconds, _) => nanoseconds,
    };
    let unit = nanoseconds_of(data_type)?;
    Some((nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit) == 0))
}

/// True for types whose values have an order.
pub(super) fn comparable(data_type: &DataType) -> bool {
    is_number(data_type)
        || is_decimal(data_type)
        || nanoseconds_of(data_type).is_some()
        || matches!(data_type, DataType::Boolean | DataType::Utf8View | DataType::BinaryView)
}
