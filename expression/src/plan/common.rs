//! The type that operands of several types have together.

use arrow::datatypes::{DataType, TimeUnit};

use super::{Operand, Planned, Planner, constant, string_constant, temporal_constant};
use crate::exact::Exact;
use crate::kernels::decimal::{PRECISION, signed_scale};
use crate::kernels::numbers::{is_decimal, is_float, scale_of};
use crate::kernels::steps::Typed;
use crate::syntax::tree::Node;
use crate::temporal::{Temporal, nanoseconds_per};

/// Bits of an integer type.
pub(super) fn bits(data_type: &DataType) -> usize {
    data_type.primitive_width().expect("integers have a width") * 8
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

/// The integer type that holds the values of both; none for uint64 with a signed one.
pub(super) fn integers(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left.is_signed_integer(), right.is_signed_integer()) {
        (true, true) => signed(bits(left).max(bits(right))),
        (false, false) => unsigned(bits(left).max(bits(right))),
        (true, false) => signed(bits(left).max(bits(right) * 2)),
        (false, true) => signed(bits(right).max(bits(left) * 2)),
    }
}

/// The float type of two numbers, one of them a float.
pub(super) fn floats(left: &DataType, right: &DataType) -> DataType {
    let single = |data_type: &DataType| {
        *data_type == DataType::Float32 || (data_type.is_integer() && bits(data_type) <= 16)
    };
    if single(left) && single(right) { DataType::Float32 } else { DataType::Float64 }
}

/// Digits of a number's type before the point.
fn whole_digits(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal128(precision, _) => precision.saturating_sub(scale_of(data_type)),
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => 20,
    }
}

fn decimal(whole: u8, scale: u8) -> DataType {
    let precision = whole.saturating_add(scale).clamp(1, PRECISION);
    DataType::Decimal128(precision, signed_scale(scale))
}

/// The finer of two units.
pub(super) fn finest(left: TimeUnit, right: TimeUnit) -> TimeUnit {
    if nanoseconds_per(left) <= nanoseconds_per(right) { left } else { right }
}

/// The type in which values of two types meet in CASE, COALESCE and the like.
pub(super) fn meeting(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (l, r) if l.is_integer() && r.is_integer() => integers(l, r).unwrap_or(decimal(20, 0)),
        (l, r) if is_float(l) && (is_float(r) || r.is_integer()) => floats(l, r),
        (l, r) if is_float(r) && l.is_integer() => floats(l, r),
        (l, r) if (is_float(l) && is_decimal(r)) || (is_decimal(l) && is_float(r)) => D::Float64,
        (l, r) if (is_decimal(l) || is_decimal(r)) && exact(l) && exact(r) => {
            decimal(whole_digits(l).max(whole_digits(r)), scale_of(l).max(scale_of(r)))
        }
        (D::Timestamp(l, a), D::Timestamp(r, b)) if a.is_some() == b.is_some() => {
            D::Timestamp(finest(*l, *r), a.clone())
        }
        (D::Date32, D::Timestamp(unit, None)) | (D::Timestamp(unit, None), D::Date32) => {
            D::Timestamp(*unit, None)
        }
        (D::Duration(l), D::Duration(r)) => D::Duration(finest(*l, *r)),
        _ => return None,
    })
}

fn exact(data_type: &DataType) -> bool {
    data_type.is_integer() || is_decimal(data_type)
}

/// The type of a number that stands alone.
pub(super) fn settled(number: &Exact) -> DataType {
    if !number.is_plain_integer() {
        return DataType::Float64;
    }
    match number.to_i128() {
        Some(value) if i32::try_from(value).is_ok() => DataType::Int32,
        Some(value) if i64::try_from(value).is_ok() => DataType::Int64,
        Some(value) if u64::try_from(value).is_ok() => DataType::UInt64,
        _ => DataType::Decimal128(PRECISION, 0),
    }
}

/// The integer type of a column and a literal beside it: the column's where that holds the literal.
pub(super) fn integers_with(number: &Exact, data_type: &DataType) -> Option<DataType> {
    let value = number.to_i128()?;
    let widths = [8_usize, 16, 32, 64];
    let smallest = if !data_type.is_signed_integer() && value >= 0 {
        unsigned(*widths.iter().find(|bits| value < 1_i128 << **bits)?)?
    } else {
        let fits = |bits: &&usize| (-(1_i128 << (**bits - 1))..1_i128 << (**bits - 1)).contains(&value);
        match widths.iter().find(fits) {
            Some(bits) => signed(*bits)?,
            None => unsigned(64).filter(|_| u64::try_from(value).is_ok())?,
        }
    };
    integers(data_type, &smallest)
}

/// The decimal type that holds a literal.
pub(super) fn decimal_of(number: &Exact) -> Option<DataType> {
    let precision = number.precision().max(1);
    (precision <= PRECISION).then(|| decimal(precision - number.scale(), number.scale()))
}

/// The type in which values of a type and a number meet.
fn meeting_number(data_type: &DataType, number: &Exact) -> Option<DataType> {
    if is_float(data_type) {
        return Some(data_type.clone());
    }
    if is_decimal(data_type) {
        return meeting(data_type, &decimal_of(number)?);
    }
    if !data_type.is_integer() {
        return None;
    }
    if !number.is_plain_integer() {
        return Some(DataType::Float64);
    }
    integers_with(number, data_type).or_else(|| meeting(data_type, &decimal_of(number)?))
}

impl Planner<'_> {
    /// Brings operands to the one type in which they meet.
    pub(super) fn meet(&self, node: &Node, operands: Vec<Operand>) -> Planned<(DataType, Vec<Typed>)> {
        let mut known: Option<DataType> = None;
        for operand in &operands {
            if let Operand::Typed(value) = operand {
                let next =
                    known.as_ref().map_or(Some(value.data_type.clone()), |k| meeting(k, &value.data_type));
                known = Some(next.ok_or_else(|| {
                    let before = known.as_ref().map_or(String::new(), super::name);
                    let found = format!("types {before} and {}", super::name(&value.data_type));
                    self.wrong(node, found, "values of one type", "cast one of them, as in CAST(x AS DOUBLE)")
                })?);
            }
        }
        let only_literals = known.is_none();
        let point = operands.iter().any(|o| matches!(o, Operand::Number(n) if !n.is_plain_integer()));
        for operand in &operands {
            let Operand::Number(number) = operand else { continue };
            let own = if point && only_literals { DataType::Float64 } else { settled(number) };
            let next = match &known {
                None => Some(own),
                Some(known) if only_literals => meeting(known, &own),
                Some(known) => meeting_number(known, number),
            };
            known = Some(next.ok_or_else(|| self.mixed(node, known.as_ref(), "a number"))?);
        }
        if known.is_none() && operands.iter().any(|o| matches!(o, Operand::String(_))) {
            known = Some(DataType::Utf8View);
        }
        let data_type = known.unwrap_or(DataType::Utf8View);
        let values = operands.into_iter().map(|operand| self.as_type(node, operand, &data_type));
        let values = values.collect::<Planned<Vec<_>>>()?;
        Ok((data_type, values))
    }

    fn mixed(&self, node: &Node, known: Option<&DataType>, other: &str) -> crate::error::ExpressionError {
        let found = format!("{other} beside type {}", known.map_or("string".to_owned(), super::name));
        self.wrong(node, found, "values of one type", "cast one of them, as in CAST(x AS VARCHAR)")
    }

    /// An operand as a value of a type.
    pub(super) fn as_type(&self, node: &Node, operand: Operand, data_type: &DataType) -> Planned<Typed> {
        match operand {
            Operand::Typed(value) => self.coerce(node, value, data_type),
            Operand::Null => Ok(Typed::null(data_type)),
            Operand::Number(number) => constant(&number, data_type)
                .map(Typed::constant)
                .ok_or_else(|| self.mixed(node, Some(data_type), "a number that it cannot hold")),
            Operand::String(text) if *data_type == DataType::Utf8View => {
                Ok(Typed::constant(string_constant(&text)))
            }
            Operand::String(text) => self.read_string(node, &text, data_type),
            Operand::Span(_) => self.settle(node, operand),
        }
    }

    /// A text beside a date or time as such.
    pub(super) fn read_string(&self, node: &Node, text: &str, data_type: &DataType) -> Planned<Typed> {
        let expected = match data_type {
            DataType::Date32 => "a date as '2024-12-31'",
            DataType::Time64(_) => "a time as '23:59:59.5'",
            DataType::Timestamp(_, None) => "a time as '2024-12-31 23:59:59.5'",
            DataType::Timestamp(_, Some(_)) => "an instant as '2024-12-31 23:59:59.5+01:00'",
            _ => return Err(self.mixed(node, Some(data_type), "a string")),
        };
        let array = Temporal::of_type(text, data_type).and_then(|t| temporal_constant(&t, data_type));
        array.map(Typed::constant).ok_or_else(|| {
            let found = "a string of another form, or finer than the unit of the type";
            self.wrong(node, found, expected, "write it in that form, or cast the other operand")
        })
    }
}
