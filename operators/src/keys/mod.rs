//! The types of key columns that go together, and the equality of keys.
//!
//! Inputs may carry one key in several types. All are brought into one form first (see
//! [`key_form`]): the widest type, with one zero and one NaN. In that form equal keys have equal
//! bits, so hashing and comparing need no case for numbers that are equal but look different.
//! Nulls match nothing and never get that far.

mod form;
mod hash;
mod packed;

pub(crate) use form::{key_form, one_zero_one_nan};
#[cfg(test)]
pub(crate) use hash::ODD;
pub(crate) use hash::{hash_is_exact, hash_rows};
pub(crate) use packed::{are_packable, pack_rows};

use anabranch_engine::operator::{BindError, FoundText};
use anabranch_engine::types::{EXTENSION_NAME, canonical, logical_name};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use arrow::error::ArrowError;

/// The type in which a key leaves that these inputs carry; each with its place in the call. It holds every
/// value that can find an equal one (see [`key_form`]).
pub(crate) fn unify(column: &str, fields: &[(usize, &FieldRef)]) -> Result<DataType, BindError> {
    let is = |which: fn(&DataType) -> bool| fields.iter().any(|(_, field)| which(field.data_type()));
    let alike = fields.iter().all(|(_, field)| is_plain_integer(field));
    if alike && is(|t| *t == DataType::UInt64) && !is(|t| *t == DataType::Int64) {
        // What is negative has no equal there.
        let without_sign = fields.iter().filter(|(_, field)| !field.data_type().is_signed_integer());
        return unify_values(column, &without_sign.copied().collect::<Vec<_>>());
    }
    unify_values(column, fields)
}

/// The type that holds every value of these inputs; each with its place in the call.
pub(crate) fn unify_values(column: &str, fields: &[(usize, &FieldRef)]) -> Result<DataType, BindError> {
    let Some((first, rest)) = fields.split_first() else {
        return Ok(DataType::Utf8View);
    };
    if let Some(nested) = fields.iter().find(|(_, field)| field.data_type().is_nested()) {
        return Err(BindError::conflict(
            column,
            FoundText::of_one((logical_name(nested.1), nested.0)),
            "a type that can be a key, which a list, struct or map is not",
            "rename it with map in all inputs but one, so that it is no shared tag",
        ));
    }
    let unlike = rest.iter().find(|field| !comparable(first.1, field.1));
    if let Some(unlike) = unlike {
        return Err(BindError::conflict(
            column,
            pair(*first, *unlike),
            "one logical type",
            "convert it in one of them (with types: at the source), or rename it there with map",
        ));
    }
    let mut unified = physical(column, *first)?;
    for field in rest {
        unified = wider(unified, physical(column, *field)?);
    }
    if first.1.data_type().is_integer() { widest_integer(column, fields) } else { Ok(unified) }
}

fn comparable(one: &FieldRef, other: &FieldRef) -> bool {
    (is_plain_integer(one) && is_plain_integer(other)) || logical_name(one) == logical_name(other)
}

/// Returns whether it is an integer and nothing else by an extension.
fn is_plain_integer(field: &FieldRef) -> bool {
    field.data_type().is_integer() && !field.metadata().contains_key(EXTENSION_NAME)
}

fn physical(column: &str, (input, field): (usize, &FieldRef)) -> Result<DataType, BindError> {
    canonical(field.data_type()).map_err(|fault| {
        BindError::conflict(column, FoundText::of_one((fault.found, input)), fault.expected, fault.remedy)
    })
}

/// The form that holds the values of both, given that the logical types are equal; the same whichever
/// comes first.
pub(crate) fn wider(one: DataType, other: DataType) -> DataType {
    use DataType as D;
    match (one, other) {
        (D::Timestamp(a, zone), D::Timestamp(b, other)) => D::Timestamp(finer(a, b), zone.min(other)),
        (D::Duration(a), D::Duration(b)) => D::Duration(finer(a, b)),
        (D::Decimal128(p, s), D::Decimal128(q, _)) => D::Decimal128(p.max(q), s),
        (D::Decimal128(p, s) | D::Decimal256(p, s), D::Decimal128(q, _) | D::Decimal256(q, _)) => {
            D::Decimal256(p.max(q), s)
        }
        (one, _) => one,
    }
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    let digits = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    if digits(one) >= digits(other) { one } else { other }
}

/// The narrowest integer type that holds every value of all of them.
fn widest_integer(column: &str, fields: &[(usize, &FieldRef)]) -> Result<DataType, BindError> {
    let bits = |signed: bool| {
        let chosen = fields.iter().filter(move |(_, f)| f.data_type().is_signed_integer() == signed);
        chosen.max_by_key(|(_, f)| f.data_type().primitive_width())
    };
    let width = |field: &FieldRef| field.data_type().primitive_width().unwrap_or(8);
    let (Some(signed), Some(unsigned)) = (bits(true), bits(false)) else {
        let only = bits(true).or(bits(false)).map(|(_, f)| f.data_type().clone());
        return Ok(only.unwrap_or(DataType::Int64));
    };
    match width(signed.1).max(2 * width(unsigned.1)) {
        1 => Ok(DataType::Int8),
        2 => Ok(DataType::Int16),
        4 => Ok(DataType::Int32),
        8 => Ok(DataType::Int64),
        _ => Err(BindError::conflict(
            column,
            pair(*signed, *unsigned),
            "integers that one type of 64 bits holds",
            "convert it to int64 in one of them (with types: at the source), or rename it there with map",
        )),
    }
}

fn pair(one: (usize, &FieldRef), other: (usize, &FieldRef)) -> FoundText {
    let (first, second) = if one.0 <= other.0 { (one, other) } else { (other, one) };
    FoundText::of_two((logical_name(first.1), first.0), (logical_name(second.1), second.0))
}

/// Marks the rows that have equal keys; columns in key form, without nulls, of equal types and lengths.
///
/// No column at all: every row is equal.
pub(crate) fn equal_rows(
    left: &[ArrayRef],
    right: &[ArrayRef],
    rows: usize,
) -> Result<BooleanBuffer, ArrowError> {
    let mut equal: Option<BooleanBuffer> = None;
    for (one, other) in left.iter().zip(right) {
        let same: BooleanArray = eq(one, other)?;
        let same = same.values();
        equal = Some(match equal {
            Some(before) => &before & same,
            None => same.clone(),
        });
    }
    Ok(equal.unwrap_or_else(|| BooleanBuffer::new_set(rows)))
}
