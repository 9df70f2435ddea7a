//! One type for a column of several files.

use std::sync::Arc;

use anabranch_engine::types::{EXTENSION_NAME, TypeError, canonical};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit,
};

use super::rules::{item_of, plain};

/// Digits of the longest 64-bit integers.
const INTEGER_DIGITS: u8 = 20;

/// The canonical field of a file's column. A column of nulls alone keeps the null type, which any type holds.
pub(super) fn canonical_or_null(field: &Field) -> Result<FieldRef, TypeError> {
    let data_type = shape(field.data_type())?;
    Ok(Arc::new(Field::clone(field).with_data_type(data_type)))
}

fn shape(data_type: &DataType) -> Result<DataType, TypeError> {
    let data_type = plain(data_type);
    let nested = |field: &FieldRef| canonical_or_null(field);
    if let Some(item) = item_of(data_type) {
        return Ok(DataType::List(nested(item)?));
    }
    Ok(match data_type {
        DataType::Null => DataType::Null,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect::<Result<_, _>>()?),
        DataType::Map(entries, sorted) => DataType::Map(nested(entries)?, *sorted),
        other => canonical(other)?,
    })
}

/// The field that holds the values of both without loss; none if there is none. Name and order are
/// those of the first.
pub(super) fn unify(one: &Field, other: &Field) -> Option<FieldRef> {
    let extension = |field: &Field| field.metadata().get(EXTENSION_NAME).cloned();
    let of_nulls = |field: &Field| *field.data_type() == DataType::Null;
    if extension(one) != extension(other) && !of_nulls(one) && !of_nulls(other) {
        return None;
    }
    let data_type = unify_types(one.data_type(), other.data_type())?;
    let nullable = one.is_nullable() || other.is_nullable();
    let mut metadata = if of_nulls(one) { other.metadata() } else { one.metadata() }.clone();
    if !of_nulls(one) && !of_nulls(other) {
        metadata.retain(|key, value| other.metadata().get(key) == Some(&*value));
    }
    Some(Arc::new(Field::new(one.name(), data_type, nullable).with_metadata(metadata)))
}

fn unify_types(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match (one, other) {
        _ if one == other => one.clone(),
        (D::Null, known) | (known, D::Null) => known.clone(),
        (D::List(a), D::List(b)) => D::List(unify(a, b)?),
        (D::Map(a, sorted), D::Map(b, also_sorted)) => D::Map(unify_entries(a, b)?, *sorted && *also_sorted),
        (D::Struct(a), D::Struct(b)) => D::Struct(unify_fields(a, b)?),
        (D::Timestamp(a, x), D::Timestamp(b, y)) if x == y => D::Timestamp(finer(*a, *b), x.clone()),
        (D::Duration(a), D::Duration(b)) => D::Duration(finer(*a, *b)),
        _ if one.is_integer() && other.is_integer() => integers(one, other),
        _ if one.is_floating() && other.is_floating() => {
            if [one, other].contains(&&D::Float64) {
                D::Float64
            } else {
                D::Float32
            }
        }
        _ => decimals(digits(one)?, digits(other)?)?,
    })
}

fn unify_fields(one: &Fields, other: &Fields) -> Option<Fields> {
    let same = |field: &FieldRef| {
        let theirs = other.iter().find(|theirs| theirs.name() == field.name())?;
        unify(field, theirs)
    };
    if one.len() == other.len() { one.iter().map(same).collect() } else { None }
}

/// Keys and values stand by position, whatever they are called.
fn unify_entries(one: &FieldRef, other: &FieldRef) -> Option<FieldRef> {
    let (DataType::Struct(a), DataType::Struct(b)) = (one.data_type(), other.data_type()) else {
        return None;
    };
    let pair: Fields = a.iter().zip(b).map(|(a, b)| unify(a, b)).collect::<Option<_>>()?;
    Some(Arc::new(Field::clone(one).with_data_type(DataType::Struct(pair))))
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    one.max(other)
}

/// The narrowest integer that holds both, or a decimal for int64 beside uint64.
fn integers(one: &DataType, other: &DataType) -> DataType {
    use DataType as D;
    let bytes = |t: &DataType| t.primitive_width().unwrap_or(8);
    let unsigned = |t: &DataType| t.is_unsigned_integer();
    if unsigned(one) == unsigned(other) {
        return if bytes(one) >= bytes(other) { one.clone() } else { other.clone() };
    }
    let (signed, unsigned) = if unsigned(one) { (other, one) } else { (one, other) };
    match bytes(signed).max(2 * bytes(unsigned)) {
        2 => D::Int16,
        4 => D::Int32,
        8 => D::Int64,
        _ => D::Decimal128(INTEGER_DIGITS, 0),
    }
}

/// Digits before and after the point that the values of a type need.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    use DataType as D;
    match data_type {
        D::Decimal128(p, s) | D::Decimal256(p, s) => Some((i16::from(*p) - i16::from(*s), i16::from(*s))),
        other if other.is_integer() => Some((i16::from(INTEGER_DIGITS), 0)),
        _ => None,
    }
}

fn decimals(one: (i16, i16), other: (i16, i16)) -> Option<DataType> {
    let (whole, scale) = (one.0.max(other.0), one.1.max(other.1));
    let precision = u8::try_from(whole + scale).ok()?.max(1);
    let scale = i8::try_from(scale).ok()?;
    if precision <= DECIMAL128_MAX_PRECISION {
        return Some(DataType::Decimal128(precision, scale));
    }
    (precision <= DECIMAL256_MAX_PRECISION).then_some(DataType::Decimal256(precision, scale))
}
