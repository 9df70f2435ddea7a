//! Values of arithmetic, comparisons and choices, computed once more from the arguments of a row.

use std::cmp::Ordering;

use arrow::datatypes::DataType;

use crate::decimal::Decimal;
use crate::found::Found;
use crate::moments;
use crate::value::{Answer, Value};

/// An argument of a row.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Value(Value),
    /// A literal, exact until its other side is known.
    Number(Decimal),
    /// A part that has no answer.
    Failed,
}

/// A value, or an error of the row.
type Outcome = Result<Value, ()>;
/// In three-valued logic, or an error of the row.
type Truth = Result<Option<bool>, ()>;

impl Operand {
    /// The value in a type; none where this computation does not know it.
    fn conformed(&self, data_type: &DataType) -> Option<Outcome> {
        use DataType as D;
        let exact = match self {
            Self::Failed => return Some(Err(())),
            Self::Value(Value::Null) => return Some(Ok(Value::Null)),
            Self::Number(number) => Some(*number),
            Self::Value(value) => Decimal::of(value),
        };
        Some(Ok(match (data_type, self, exact) {
            (D::Float64, _, Some(exact)) => Value::Float64(exact.nearest_f64()),
            (D::Float32, _, Some(exact)) => Value::Float32(exact.nearest_f32()),
            (D::Float64, Self::Value(Value::Float32(value)), _) => Value::Float64((*value).into()),
            (D::Float64, Self::Value(Value::Float64(value)), _) => Value::Float64(*value),
            (D::Float32, Self::Value(Value::Float32(value)), _) => Value::Float32(*value),
            (data_type, _, Some(exact)) => return Some(within(exact, data_type)),
            (D::Float32 | D::Float64, ..) => return None,
            (D::Timestamp(unit, _) | D::Duration(unit), Self::Value(value), _) => {
                let (Value::Instant(at) | Value::Span(_, at)) = value else { return None };
                if i64::try_from(at / moments::nanoseconds(*unit)).is_err() {
                    return Some(Err(()));
                }
                value.clone()
            }
            (_, Self::Value(value), _) => value.clone(),
            _ => return None,
        }))
    }

    /// As a float of 64 bits.
    pub(crate) fn float(&self) -> Option<f64> {
        match self.conformed(&DataType::Float64)?.ok()? {
            Value::Float64(value) => Some(value),
            _ => None,
        }
    }

    fn is_float(&self) -> bool {
        matches!(self, Self::Value(Value::Float32(_) | Value::Float64(_)))
    }
}

/// The number in an integer or decimal type, or an error beyond its range.
fn within(number: Decimal, data_type: &DataType) -> Outcome {
    use DataType as D;
    let range = |low: i128, high: i128| number.to_i128().is_some_and(|n| (low..=high).contains(&n));
    let fits = match data_type {
        D::Int8 => range(i8::MIN.into(), i8::MAX.into()),
        D::Int16 => range(i16::MIN.into(), i16::MAX.into()),
        D::Int32 => range(i32::MIN.into(), i32::MAX.into()),
        D::Int64 => range(i64::MIN.into(), i64::MAX.into()),
        D::UInt8 => range(0, u8::MAX.into()),
        D::UInt16 => range(0, u16::MAX.into()),
        D::UInt32 => range(0, u32::MAX.into()),
        D::UInt64 => range(0, u64::MAX.into()),
        D::Decimal128(precision, scale) => number.fits(*precision, *scale),
        _ => false,
    };
    if fits { Ok(number.value()) } else { Err(()) }
}

/// The order of two values of one family: NaN is above all and equal to itself, zeros are equal.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    let floats = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    let float = |value: &Value| match value {
        Value::Float32(value) => Some(f64::from(*value)),
        Value::Float64(value) => Some(*value),
        _ => None,
    };
    let with_float = |exact: Decimal, float: f64| {
        if float.is_nan() { Some(Ordering::Less) } else { exact.order_with(float) }
    };
    match (one, other) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b))
        | (Value::Instant(a), Value::Instant(b))
        | (Value::Span(0, a), Value::Span(0, b)) => Some(a.cmp(b)),
        (Value::Exact(..), Value::Exact(..)) => Decimal::of(one)?.order(&Decimal::of(other)?),
        (Value::Exact(..), _) => with_float(Decimal::of(one)?, float(other)?),
        (_, Value::Exact(..)) => with_float(Decimal::of(other)?, float(one)?).map(Ordering::reverse),
        _ => Some(floats(float(one)?, float(other)?)),
    }
}

/// The order of two operands, where neither is null; a literal beside a float is the nearest one.
fn compared(one: &Operand, other: &Operand) -> Option<Result<Option<Ordering>, ()>> {
    let beside = |operand: &Operand, other: &Operand| match (operand, other) {
        (Operand::Number(number), Operand::Value(Value::Float32(_))) => {
            Some(Value::Float32(number.nearest_f32()))
        }
        (Operand::Number(number), Operand::Value(Value::Float64(_))) => {
            Some(Value::Float64(number.nearest_f64()))
        }
        (Operand::Number(number), _) => Some(number.value()),
        (Operand::Value(value), _) => Some(value.clone()),
        (Operand::Failed, _) => None,
    };
    let Some((left, right)) = beside(one, other).zip(beside(other, one)) else { return Some(Err(())) };
    if left == Value::Null || right == Value::Null {
        return Some(Ok(None));
    }
    order(&left, &right).map(|order| Ok(Some(order)))
}

fn relation(operator: &str, left: &Operand, right: &Operand) -> Option<Truth> {
    let holds = |order: Ordering| match operator {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    };
    Some(compared(left, right)?.map(|order| order.map(holds)))
}

/// AND of two terms; behind a false one the error of the other does not count.
fn both(first: Truth, second: Truth) -> Truth {
    let first = first?;
    if first == Some(false) {
        return Ok(first);
    }
    match (first, second?) {
        (_, Some(false)) => Ok(Some(false)),
        (Some(true), Some(true)) => Ok(Some(true)),
        _ => Ok(None),
    }
}

fn not(truth: Truth) -> Truth {
    truth.map(|truth| truth.map(|truth| !truth))
}

fn either(first: Truth, second: Truth) -> Truth {
    not(both(not(first), not(second)))
}

fn as_truth(operand: &Operand) -> Option<Truth> {
    match operand {
        Operand::Value(Value::Bool(value)) => Some(Ok(Some(*value))),
        Operand::Value(Value::Null) => Some(Ok(None)),
        Operand::Failed => Some(Err(())),
        _ => None,
    }
}

/// IN, whose elements may be compared in any order: an error counts where no element is equal.
fn among(value: &Operand, elements: &[Operand]) -> Option<Truth> {
    let found: Vec<Truth> =
        elements.iter().map(|element| relation("=", value, element)).collect::<Option<_>>()?;
    if found.contains(&Ok(Some(true))) {
        return Some(Ok(Some(true)));
    }
    Some(found.into_iter().fold(Ok(Some(false)), either))
}

/// Arithmetic of two numbers in a type.
fn arithmetic(operator: &str, left: &Operand, right: &Operand, data_type: &DataType) -> Option<Outcome> {
    if matches!(left, Operand::Failed) || matches!(right, Operand::Failed) {
        return Some(Err(()));
    }
    let null = |operand: &Operand| matches!(operand, Operand::Value(Value::Null));
    if null(left) || null(right) {
        return Some(Ok(Value::Null));
    }
    let exact = |operand: &Operand| match operand {
        Operand::Number(number) => Some(*number),
        Operand::Value(value) => Decimal::of(value),
        Operand::Failed => None,
    };
    if let (Some(l), Some(r), true) = (exact(left), exact(right), operator != "/") {
        let literals = matches!((left, right), (Operand::Number(_), Operand::Number(_)));
        if literals || !data_type.is_floating() {
            let divides = matches!(operator, "//" | "%");
            if divides && r.is_zero() {
                return Some(Ok(Value::Null));
            }
            let result = match operator {
                "+" => l.plus(&r)?,
                "-" => l.minus(&r)?,
                "*" => l.times(&r)?,
                "//" => l.quotient(&r)?,
                _ => l.remainder(&r)?,
            };
            return Operand::Number(result).conformed(data_type);
        }
    }
    let (l, r) = (left.conformed(data_type)?, right.conformed(data_type)?);
    Some(match (l, r) {
        (Ok(Value::Float64(l)), Ok(Value::Float64(r))) => Ok(Value::Float64(match operator {
            "+" => l + r,
            "-" => l - r,
            "*" => l * r,
            "/" => l / r,
            "//" => (l / r).trunc(),
            _ => l % r,
        })),
        (Ok(Value::Float32(l)), Ok(Value::Float32(r))) => Ok(Value::Float32(match operator {
            "+" => l + r,
            "-" => l - r,
            "*" => l * r,
            "//" => (l / r).trunc(),
            _ => l % r,
        })),
        _ => return None,
    })
}

impl Found<'_> {
    /// Our answer is that of this computation.
    pub(crate) fn is_as_computed(&self) -> bool {
        let Some(expected) = self.expected() else { return false };
        match (expected, self.ours) {
            (Err(()), Answer::Error(_)) => true,
            (Ok(expected), Answer::Value(ours)) => {
                let any_zero = self.is_one_of(&["GREATEST", "LEAST"]);
                expected.equals(ours) || any_zero && order(&expected, ours) == Some(Ordering::Equal)
            }
            _ => false,
        }
    }

    /// The type of our answer holds the number with all digits.
    pub(crate) fn holds(&self, number: &Decimal) -> bool {
        within(*number, self.gives()).is_ok()
    }

    pub(crate) fn is_comparison(&self) -> bool {
        self.truth().is_some()
    }

    fn expected(&self) -> Option<Outcome> {
        if let Some(truth) = self.truth() {
            return Some(truth.map(|truth| truth.map_or(Value::Null, Value::Bool)));
        }
        if let Some(operator) = self.operator() {
            return arithmetic(operator, &self.operand(0)?, &self.operand(1)?, self.gives());
        }
        self.chosen()
    }

    /// The operator of a form of arithmetic.
    fn operator(&self) -> Option<&'static str> {
        Some(match self.case.form.name {
            "+" => "+",
            "-" => "-",
            "*" => "*",
            // Where the guard lets the division through, as it does where the answers differ.
            "/" | "guard" => "/",
            "%" | "MOD" => "%",
            "// exact" | "// decimal" | "// decimal by float" | "// float" | "DIV" => "//",
            _ => return None,
        })
    }

    fn truth(&self) -> Option<Truth> {
        let at = |argument| self.operand(argument);
        let relate = |operator: &str| relation(operator, &at(0)?, &at(1)?);
        let between = || Some(both(relation(">=", &at(0)?, &at(1)?)?, relation("<=", &at(0)?, &at(2)?)?));
        let same = || {
            let null = |operand: &Operand| matches!(operand, Operand::Value(Value::Null));
            let (one, other) = (at(0)?, at(1)?);
            let equal = relation("=", &one, &other)?;
            Some(equal.map(|equal| Some(equal.unwrap_or(null(&one) && null(&other)))))
        };
        let elements = || (1..self.arguments.len()).map(at).collect::<Option<Vec<_>>>();
        match self.case.form.name {
            "= number" => relate("="),
            "< number" => relate("<"),
            ">= number" => relate(">="),
            name @ ("=" | "<>" | "<" | "<=" | ">" | ">=") => relate(name),
            "IS NOT DISTINCT FROM" => same(),
            "IS DISTINCT FROM" => same().map(not),
            "BETWEEN" => between(),
            "NOT BETWEEN" => Some(either(relation("<", &at(0)?, &at(1)?)?, relation(">", &at(0)?, &at(2)?)?)),
            "IN" => among(&at(0)?, &elements()?),
            "NOT IN" => among(&at(0)?, &elements()?).map(not),
            "AND" => Some(both(as_truth(&at(0)?)?, as_truth(&at(1)?)?)),
            "OR" => Some(either(as_truth(&at(0)?)?, as_truth(&at(1)?)?)),
            _ => None,
        }
    }

    /// The argument that a choice gives, in the type of the answer.
    fn chosen(&self) -> Option<Outcome> {
        let at = |argument| self.operand(argument);
        let null = || Operand::Value(Value::Null);
        let by_condition = |otherwise: Operand| match as_truth(&at(1)?)? {
            Err(()) => Some(Operand::Failed),
            Ok(Some(true)) => at(0),
            Ok(_) => Some(otherwise),
        };
        let operands = || (0..self.arguments.len()).map(at).collect::<Option<Vec<_>>>();
        let chosen = match self.case.form.name {
            "CASE" | "IF" => by_condition(at(2)?)?,
            "CASE without ELSE" => by_condition(null())?,
            "CASE of two arms" => {
                let second = match as_truth(&at(2)?)? {
                    Err(()) => Operand::Failed,
                    Ok(Some(true)) => at(3)?,
                    Ok(_) => null(),
                };
                by_condition(second)?
            }
            "CASE of a value" => match relation("=", &at(0)?, &at(1)?)? {
                Err(()) => Operand::Failed,
                Ok(Some(true)) => at(2)?,
                Ok(_) => Operand::Value(Value::Text("else".to_owned())),
            },
            "COALESCE" | "COALESCE of three" | "COALESCE of NULL" | "IFNULL" => {
                let given = operands()?.into_iter().find(|o| !matches!(o, Operand::Value(Value::Null)));
                given.unwrap_or_else(null)
            }
            "NULLIF" => match relation("=", &at(0)?, &at(1)?)? {
                Err(()) => Operand::Failed,
                Ok(Some(true)) => null(),
                Ok(_) => at(0)?,
            },
            "GREATEST" | "LEAST" => return self.extreme(&operands()?),
            _ => return None,
        };
        chosen.conformed(self.gives())
    }

    fn extreme(&self, operands: &[Operand]) -> Option<Outcome> {
        let values = operands.iter().map(|operand| operand.conformed(self.gives()));
        let values: Result<Vec<Value>, ()> = values.collect::<Option<Vec<_>>>()?.into_iter().collect();
        let Ok(values) = values else { return Some(Err(())) };
        let better = if self.is("GREATEST") { Ordering::Greater } else { Ordering::Less };
        let mut best = Value::Null;
        for value in values.into_iter().filter(|value| *value != Value::Null) {
            if best == Value::Null || order(&value, &best)? == better {
                best = value;
            }
        }
        Some(Ok(best))
    }

    /// A function of two floats, in the precision of our answer.
    pub(crate) fn is_about(&self, function: fn(f64, f64) -> f64) -> bool {
        let numbers = || Some((self.operand(0)?.float()?, self.operand(1)?.float()?));
        let Some((one, other)) = numbers() else { return false };
        let expected = function(one, other);
        let about = |ours: f64, tolerance: f64| {
            ours == expected
                || (ours.is_nan() && expected.is_nan())
                || (ours - expected).abs() <= tolerance * expected.abs()
        };
        match self.ours.value() {
            Some(Value::Float64(ours)) => about(*ours, 4e-15),
            #[expect(clippy::cast_possible_truncation, reason = "the nearest float32 is meant")]
            Some(Value::Float32(ours)) => about((*ours).into(), 1e-7) || expected as f32 == *ours,
            _ => false,
        }
    }

    /// An argument is a float.
    pub(crate) fn meets_float(&self) -> bool {
        (0..self.arguments.len()).filter_map(|at| self.operand(at)).any(|operand| operand.is_float())
    }
}
