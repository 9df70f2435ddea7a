//! Choice of kernels for a tree and the types of its columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array, StringViewArray,
    Time64NanosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};

use super::{Constant, Elements, Kernel, Operand, Place, Set, Step};
use crate::parameters::Literal;
use crate::temporal::{Temporal, Value, Zone};
use crate::tree::{Binary, Node, SqlType, Unary};

/// The kernels of a tree; `None` where one of its parts has none.
pub(crate) fn bind(node: &Node, types: &[DataType]) -> Option<Kernel> {
    match node {
        Node::Column(position) => {
            let data_type = types.get(*position)?.clone();
            Some(Kernel { step: Step::Column(*position), data_type })
        }
        Node::Unary(operator, operand) => unary(*operator, bind(operand, types)?),
        Node::Binary(operator, left, right) => binary(*operator, left, right, types),
        Node::Between { negated, value, low, high } => between(*negated, value, low, high, types),
        Node::In { negated, value, list } => {
            let found = among(bind(value, types)?, list)?;
            Some(if *negated { boolean(Step::Not(Box::new(found))) } else { found })
        }
        Node::Like { negated, ignore_case: false, value, pattern } => {
            let found = like(bind(value, types)?, pattern)?;
            Some(if *negated { boolean(Step::Not(Box::new(found))) } else { found })
        }
        Node::Case { operand: None, arms, otherwise } => case(arms, otherwise.as_deref(), types),
        Node::Cast { value, target, .. } => convert(bind(value, types)?, *target),
        Node::Call { name: "COALESCE", arguments } => coalesce(arguments, types),
        Node::Call { name: "IF", arguments } => match arguments.as_slice() {
            [condition, yes, no] => case(&[(condition.clone(), yes.clone())], Some(no), types),
            _ => None,
        },
        _ => None,
    }
}

fn boolean(step: Step) -> Kernel {
    Kernel { step, data_type: DataType::Boolean }
}

fn unary(operator: Unary, operand: Kernel) -> Option<Kernel> {
    let is_boolean = operand.data_type == DataType::Boolean;
    match operator {
        Unary::IsNull => Some(boolean(Step::IsNull(Box::new(operand)))),
        Unary::IsNotNull => Some(boolean(Step::IsNotNull(Box::new(operand)))),
        // Null stays null, as in Polars.
        Unary::IsTrue | Unary::IsNotFalse if is_boolean => Some(operand),
        Unary::Not | Unary::IsFalse | Unary::IsNotTrue if is_boolean => {
            Some(boolean(Step::Not(Box::new(operand))))
        }
        Unary::Plus if is_number(&operand.data_type) => Some(operand),
        Unary::Negate if is_number(&operand.data_type) => {
            let common = operand.data_type.clone();
            let zero = number(&Literal::Integer(0), &common)?;
            Some(arithmetic(Binary::Subtract, common, Operand::Constant(zero), rows(operand)))
        }
        _ => None,
    }
}

fn binary(operator: Binary, left: &Node, right: &Node, types: &[DataType]) -> Option<Kernel> {
    match operator {
        Binary::And | Binary::Or => {
            let (left, right) = (Box::new(bind(left, types)?), Box::new(bind(right, types)?));
            if left.data_type != DataType::Boolean || right.data_type != DataType::Boolean {
                return None;
            }
            Some(boolean(if operator == Binary::And {
                Step::And(left, right)
            } else {
                Step::Or(left, right)
            }))
        }
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Modulo => {
            let (common, left, right) = operands(left, right, types)?;
            is_number(&common).then(|| arithmetic(operator, common, left, right))
        }
        Binary::FloorDivide | Binary::Concat => None,
        _ => comparison(operator, left, right, types),
    }
}

fn arithmetic(operator: Binary, common: DataType, left: Operand, right: Operand) -> Kernel {
    let divided_to_float = operator == Binary::Divide && !is_float(&common);
    let data_type = if divided_to_float { DataType::Float64 } else { common.clone() };
    Kernel { step: Step::Arithmetic { operator, common, left, right }, data_type }
}

/// Both operands in their common type; at least one has rows.
fn operands(left: &Node, right: &Node, types: &[DataType]) -> Option<(DataType, Operand, Operand)> {
    match (left, right) {
        (Node::Literal(_), Node::Literal(_)) => None,
        (Node::Literal(literal), right) => {
            let right = bind(right, types)?;
            let common = common_with(literal, &right.data_type)?;
            let literal = Operand::Constant(number(literal, &common)?);
            Some((common.clone(), literal, rows(widen(right, &common))))
        }
        (left, Node::Literal(literal)) => {
            let left = bind(left, types)?;
            let common = common_with(literal, &left.data_type)?;
            let literal = Operand::Constant(number(literal, &common)?);
            Some((common.clone(), rows(widen(left, &common)), literal))
        }
        (left, right) => {
            let (left, right) = (bind(left, types)?, bind(right, types)?);
            let common = common(&left.data_type, &right.data_type)?;
            Some((common.clone(), rows(widen(left, &common)), rows(widen(right, &common))))
        }
    }
}

fn rows(kernel: Kernel) -> Operand {
    Operand::Rows(Box::new(kernel))
}

fn widen(kernel: Kernel, target: &DataType) -> Kernel {
    if kernel.data_type == *target {
        return kernel;
    }
    Kernel { step: Step::Widen(Box::new(kernel)), data_type: target.clone() }
}

fn comparison(operator: Binary, left: &Node, right: &Node, types: &[DataType]) -> Option<Kernel> {
    let (left, right) = match (left, right) {
        (Node::Literal(_) | Node::Temporal(_), Node::Literal(_) | Node::Temporal(_)) => return None,
        (constant @ (Node::Literal(_) | Node::Temporal(_)), value) => {
            return with_constant(mirrored(operator), bind(value, types)?, constant);
        }
        (value, constant @ (Node::Literal(_) | Node::Temporal(_))) => {
            return with_constant(operator, bind(value, types)?, constant);
        }
        (left, right) => (bind(left, types)?, bind(right, types)?),
    };
    let common = if left.data_type == right.data_type {
        is_comparable(&left.data_type).then(|| left.data_type.clone())?
    } else {
        common(&left.data_type, &right.data_type)?
    };
    if is_float(&common) && matches!(operator, Binary::Distinct | Binary::NotDistinct) {
        return None;
    }
    let (left, right) = (rows(widen(left, &common)), rows(widen(right, &common)));
    Some(boolean(Step::Compare { operator, left, right }))
}

/// The operator for swapped operands.
fn mirrored(operator: Binary) -> Binary {
    match operator {
        Binary::Less => Binary::Greater,
        Binary::LessOrEqual => Binary::GreaterOrEqual,
        Binary::Greater => Binary::Less,
        Binary::GreaterOrEqual => Binary::LessOrEqual,
        same => same,
    }
}

fn with_constant(operator: Binary, value: Kernel, constant: &Node) -> Option<Kernel> {
    let distinct = matches!(operator, Binary::Distinct | Binary::NotDistinct);
    let (common, constant) = match constant {
        Node::Literal(Literal::Integer(number)) if is_whole(&value.data_type) => {
            if value.data_type == DataType::UInt64 && *number < 0 {
                return None;
            }
            match self::number(&Literal::Integer(*number), &value.data_type) {
                Some(constant) => (value.data_type.clone(), constant),
                None if distinct => return None,
                None => return Some(beyond(operator, value, *number < 0)),
            }
        }
        Node::Literal(literal @ (Literal::Integer(_) | Literal::Float(_))) => {
            let common = common_with(literal, &value.data_type)?;
            let constant = number(literal, &common)?;
            (common, constant)
        }
        Node::Literal(literal) => (value.data_type.clone(), exact(literal, &value.data_type)?),
        Node::Temporal(temporal) => (value.data_type.clone(), point(temporal, &value.data_type)?),
        _ => return None,
    };
    if distinct && is_float(&common) {
        return None;
    }
    let (left, right) = (rows(widen(value, &common)), Operand::Constant(constant));
    Some(boolean(Step::Compare { operator, left, right }))
}

/// The answer where the literal is out of the type's range.
fn beyond(operator: Binary, value: Kernel, is_below: bool) -> Kernel {
    let answer = match operator {
        Binary::NotEqual => true,
        Binary::Less | Binary::LessOrEqual => !is_below,
        Binary::Greater | Binary::GreaterOrEqual => is_below,
        _ => false,
    };
    boolean(Step::Fixed { value: Box::new(value), answer })
}

fn between(negated: bool, value: &Node, low: &Node, high: &Node, types: &[DataType]) -> Option<Kernel> {
    let (first, second) =
        if negated { (Binary::Less, Binary::Greater) } else { (Binary::GreaterOrEqual, Binary::LessOrEqual) };
    let low = Box::new(comparison(first, value, low, types)?);
    let high = Box::new(comparison(second, value, high, types)?);
    Some(boolean(if negated { Step::Or(low, high) } else { Step::And(low, high) }))
}

fn among(value: Kernel, list: &[Node]) -> Option<Kernel> {
    let mut integers = Vec::new();
    let mut texts = Vec::new();
    for element in list {
        match element {
            Node::Literal(Literal::Null) => {}
            Node::Literal(Literal::Integer(integer)) => integers.push(*integer),
            Node::Literal(Literal::Text(text)) => texts.push(text.clone()),
            _ => return None,
        }
    }
    let has_null = list.len() > integers.len() + texts.len();
    let whole = is_whole(&value.data_type) && value.data_type != DataType::UInt64;
    let elements = if whole && texts.is_empty() && !integers.is_empty() {
        integers.sort_unstable();
        Elements::Integers(integers.into())
    } else if value.data_type == DataType::Utf8View && integers.is_empty() && !texts.is_empty() {
        texts.sort_unstable();
        Elements::Texts(texts.into())
    } else {
        return None;
    };
    Some(boolean(Step::In { value: Box::new(value), set: Set { elements, has_null } }))
}

/// Patterns with wildcards at their ends only.
fn like(value: Kernel, pattern: &str) -> Option<Kernel> {
    if value.data_type != DataType::Utf8View || pattern.contains('_') {
        return None;
    }
    let inner = pattern.trim_matches('%');
    if inner.contains('%') || (inner.is_empty() && !pattern.is_empty()) {
        return None;
    }
    let text = exact(&Literal::Text(inner.to_owned()), &DataType::Utf8View)?;
    let place = match (pattern.starts_with('%'), pattern.ends_with('%')) {
        (false, false) => {
            let (left, right) = (rows(value), Operand::Constant(text));
            return Some(boolean(Step::Compare { operator: Binary::Equal, left, right }));
        }
        (false, true) => Place::Start,
        (true, false) => Place::End,
        (true, true) => Place::Anywhere,
    };
    Some(boolean(Step::Affix { value: Box::new(value), place, text }))
}

fn case(arms: &[(Node, Node)], otherwise: Option<&Node>, types: &[DataType]) -> Option<Kernel> {
    let null = Node::Literal(Literal::Null);
    let results: Vec<&Node> = arms.iter().map(|(_, result)| result).collect();
    let results: Vec<&Node> = results.into_iter().chain([otherwise.unwrap_or(&null)]).collect();
    let (data_type, mut operands) = one_type(&results, types)?;
    let otherwise = operands.pop()?;
    let mut bound = Vec::with_capacity(arms.len());
    for ((condition, _), operand) in arms.iter().zip(operands) {
        let condition = bind(condition, types).filter(|kernel| kernel.data_type == DataType::Boolean)?;
        bound.push((condition, operand));
    }
    Some(Kernel { step: Step::Choose { arms: bound, otherwise }, data_type })
}

fn coalesce(arguments: &[Node], types: &[DataType]) -> Option<Kernel> {
    let arguments: Vec<&Node> = arguments.iter().collect();
    let (data_type, operands) = one_type(&arguments, types)?;
    // Where a constant comes first there are no rows to take the length from.
    matches!(operands.first(), Some(Operand::Rows(_)))
        .then_some(Kernel { step: Step::Coalesce(operands), data_type })
}

/// Operands that have one type without a cast; literals take it.
fn one_type(nodes: &[&Node], types: &[DataType]) -> Option<(DataType, Vec<Operand>)> {
    let mut data_type = None;
    let mut kernels = Vec::with_capacity(nodes.len());
    for node in nodes {
        let kernel = if matches!(node, Node::Literal(_)) { None } else { Some(bind(node, types)?) };
        match (&kernel, &data_type) {
            (Some(kernel), None) => data_type = Some(kernel.data_type.clone()),
            (Some(kernel), Some(known)) if kernel.data_type != *known => return None,
            _ => {}
        }
        kernels.push(kernel);
    }
    let data_type = data_type.filter(is_comparable)?;
    let operands = nodes.iter().zip(kernels).map(|(node, kernel)| match (node, kernel) {
        (_, Some(kernel)) => Some(rows(kernel)),
        (Node::Literal(literal @ (Literal::Integer(_) | Literal::Float(_))), None) => {
            let common = common_with(literal, &data_type)?;
            (common == data_type).then_some(Operand::Constant(number(literal, &common)?))
        }
        (Node::Literal(Literal::Null), None) => {
            Some(Operand::Constant(Constant(new_null_array(&data_type, 1))))
        }
        (Node::Literal(literal), None) => Some(Operand::Constant(exact(literal, &data_type)?)),
        _ => None,
    });
    let operands = operands.collect::<Option<Vec<_>>>()?;
    Some((data_type, operands))
}

/// Casts that hold every value.
fn convert(value: Kernel, target: SqlType) -> Option<Kernel> {
    let SqlType::Plain(name) = target else { return None };
    let target = match name {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "UTINYINT" => DataType::UInt8,
        "USMALLINT" => DataType::UInt16,
        "INT4 UNSIGNED" => DataType::UInt32,
        "UBIGINT" => DataType::UInt64,
        "REAL" => DataType::Float32,
        "DOUBLE PRECISION" => DataType::Float64,
        "VARCHAR" => DataType::Utf8View,
        _ => return None,
    };
    let lossless = value.data_type == target
        || (target == DataType::Float64 && is_number(&value.data_type))
        || (is_whole(&target) && common(&value.data_type, &target).as_ref() == Some(&target));
    lossless.then(|| widen(value, &target))
}

fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer()
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn is_number(data_type: &DataType) -> bool {
    is_whole(data_type) || is_float(data_type)
}

fn is_comparable(data_type: &DataType) -> bool {
    is_number(data_type)
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Time64(TimeUnit::Nanosecond)
                | DataType::Timestamp(
                    TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
                    _
                )
        )
}

/// The type that Polars brings two numbers to, where it holds all values of whole ones.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    if !is_number(left) || !is_number(right) {
        return None;
    }
    if left == right {
        return Some(left.clone());
    }
    let bits = |data_type: &DataType| data_type.primitive_width().map_or(0, |bytes| bytes * 8);
    match (is_float(left), is_float(right)) {
        (true, true) => Some(DataType::Float64),
        (true, false) | (false, true) => {
            let (float, whole) = if is_float(left) { (left, right) } else { (right, left) };
            let small = *float == DataType::Float32 && bits(whole) <= 16;
            Some(if small { DataType::Float32 } else { DataType::Float64 })
        }
        (false, false) => match (left.is_signed_integer(), right.is_signed_integer()) {
            (true, true) => signed(bits(left).max(bits(right))),
            (false, false) => unsigned(bits(left).max(bits(right))),
            (true, false) => signed(bits(left).max(bits(right) * 2)),
            (false, true) => signed(bits(right).max(bits(left) * 2)),
        },
    }
}

fn signed(bits: usize) -> Option<DataType> {
    Some(match bits {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        64 => DataType::Int64,
        _ => return None,
    })
}

fn unsigned(bits: usize) -> Option<DataType> {
    Some(match bits {
        8 => DataType::UInt8,
        16 => DataType::UInt16,
        32 => DataType::UInt32,
        64 => DataType::UInt64,
        _ => return None,
    })
}

/// The type that Polars brings a number and a literal to: a literal has the smallest type.
fn common_with(literal: &Literal, data_type: &DataType) -> Option<DataType> {
    match literal {
        _ if !is_number(data_type) => None,
        Literal::Float(_) | Literal::Integer(_) if is_float(data_type) => Some(data_type.clone()),
        Literal::Float(_) => Some(DataType::Float64),
        Literal::Integer(value) if !data_type.is_signed_integer() && *value >= 0 => {
            let bits = [8, 16, 32].into_iter().find(|bits| *value < 1_i64 << bits).unwrap_or(64);
            common(data_type, &unsigned(bits)?)
        }
        Literal::Integer(value) => {
            let fits = |bits: &usize| (-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(value);
            let bits = [8, 16, 32].into_iter().find(fits).unwrap_or(64);
            common(data_type, &signed(bits)?)
        }
        _ => None,
    }
}

/// A literal number in a type; `None` where it does not fit.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "Polars rounds likewise")]
fn number(literal: &Literal, data_type: &DataType) -> Option<Constant> {
    let array: ArrayRef = match (literal, data_type) {
        (Literal::Float(value), DataType::Float64) => Arc::new(Float64Array::from(vec![*value])),
        (Literal::Float(value), DataType::Float32) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Literal::Integer(value), DataType::Float64) => Arc::new(Float64Array::from(vec![*value as f64])),
        (Literal::Integer(value), DataType::Float32) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Literal::Integer(value), DataType::UInt64) => {
            Arc::new(UInt64Array::from(vec![u64::try_from(*value).ok()?]))
        }
        (Literal::Integer(value), whole) if is_whole(whole) => {
            let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
            arrow::compute::cast_with_options(&Int64Array::from(vec![*value]), whole, &options).ok()?
        }
        _ => return None,
    };
    Some(Constant(array))
}

/// A literal of the type itself.
fn exact(literal: &Literal, data_type: &DataType) -> Option<Constant> {
    let array: ArrayRef = match (literal, data_type) {
        (Literal::Text(text), DataType::Utf8View) => Arc::new(StringViewArray::from(vec![text.as_str()])),
        (Literal::Bool(value), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        _ => return None,
    };
    Some(Constant(array))
}

/// A point in time in the unit of its column.
fn point(temporal: &Temporal, data_type: &DataType) -> Option<Constant> {
    let array: ArrayRef = match (temporal.value(), data_type) {
        (Value::Date(days), DataType::Date32) => Arc::new(Date32Array::from(vec![days])),
        (Value::Time(nanoseconds), DataType::Time64(TimeUnit::Nanosecond)) => {
            Arc::new(Time64NanosecondArray::from(vec![nanoseconds]))
        }
        (Value::Timestamp(count, unit, zone), DataType::Timestamp(found, name))
            if unit == *found && (zone == Zone::Utc) == name.is_some() =>
        {
            cast(&Int64Array::from(vec![count]), data_type).ok()?
        }
        _ => return None,
    };
    Some(Constant(array))
}
