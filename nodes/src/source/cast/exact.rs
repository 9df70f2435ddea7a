//! Converts arrays by value: exactly, or not at all.

use anabranch_engine::index::fitting;
use std::str::FromStr;
use std::sync::Arc;

use anabranch_engine::types::{canonical, convert};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Date32Array, ListArray,
    MapArray, PrimitiveArray, StringViewBuilder, StructArray, UInt32Array, make_array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{self as types, DataType, Field, FieldRef, Fields, TimeUnit};

use super::rules::{is_unchecked, is_uuid, item_of, plain};
use crate::source::column::string_builder;
use crate::source::text::{TextForm, per_second};

const DAY_SECONDS: i64 = 86_400;

/// A value that has no exact place in the type asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced {
    pub(super) row: usize,
    /// Leads from the column to the value: `.field` and `[]`.
    pub(super) path: String,
    pub(super) found: &'static str,
}

impl Misplaced {
    fn new(row: usize, found: &'static str) -> Self {
        Self { row, path: String::new(), found }
    }

    fn lossy(row: usize) -> Self {
        Self::new(row, "a value that cannot be converted without loss")
    }

    fn within(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

type Converted = Result<ArrayRef, Misplaced>;

/// The array in a canonical type; `from` is its field. The pair of types has passed `rules::check`.
pub(super) fn exact(array: &ArrayRef, from: &Field, target: &DataType) -> Converted {
    if is_unchecked(from) && *array.data_type() == DataType::Utf8 {
        let bytes = canonical_scalar(&relabeled(array, &DataType::Binary)?)?;
        return scalar(&strings_of_bytes(&bytes)?, target);
    }
    let encoded = plain(array.data_type());
    if encoded != array.data_type() {
        let decoded = convert(array, encoded).map_err(|_| Misplaced::lossy(0))?;
        return exact(&decoded, &Field::clone(from).with_data_type(encoded.clone()), target);
    }
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Null, _) => Ok(new_null_array(target, array.len())),
        (DataType::Struct(fields), DataType::Struct(targets)) => structs(array.as_struct(), fields, targets),
        (DataType::Map(entries, _), DataType::Map(targets, sorted)) => {
            maps(array.as_map(), entries, (targets, *sorted))
        }
        (found, DataType::List(item)) if item_of(found).is_some() => lists(array, item),
        _ if is_uuid(from) && *target == DataType::Utf8View => uuids(array),
        _ => scalar(array, target),
    }
}

/// Each field from the field of the same name. What stands in a struct that is null is no value.
fn structs(array: &StructArray, fields: &Fields, targets: &Fields) -> Converted {
    if targets.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(array.len(), array.nulls().cloned())));
    }
    let mut columns = Vec::with_capacity(targets.len());
    for target in targets {
        let at = fields.iter().position(|field| field.name() == target.name());
        let (field, column) = at
            .and_then(|at| Some((fields.get(at)?, array.columns().get(at)?)))
            .ok_or_else(|| Misplaced::new(0, "a struct without a declared field"))?;
        let column = masked(column, array.nulls());
        let converted = exact(&column, field, target.data_type());
        columns.push(converted.map_err(|fault| fault.within(&format!(".{}", target.name())))?);
    }
    let made = StructArray::try_new(targets.clone(), columns, array.nulls().cloned());
    Ok(Arc::new(made.map_err(|_| Misplaced::new(0, "a null in a field that has none"))?))
}

/// The array with nulls where `outer` has some.
fn masked(array: &ArrayRef, outer: Option<&NullBuffer>) -> ArrayRef {
    let Some(outer) = outer.filter(|nulls| nulls.null_count() > 0 && *array.data_type() != DataType::Null)
    else {
        return Arc::clone(array);
    };
    let nulls = NullBuffer::union(Some(outer), array.nulls());
    let data = array.to_data().into_builder().nulls(nulls).build();
    data.map_or_else(|_| Arc::clone(array), make_array)
}

/// The list item by item; what a list that is null holds on to is no value.
fn lists(array: &ArrayRef, item: &FieldRef) -> Converted {
    let own = item_of(array.data_type()).ok_or_else(|| Misplaced::lossy(0))?;
    let listed = convert(array, &DataType::List(Arc::clone(own))).map_err(|_| Misplaced::lossy(0))?;
    let (own, offsets, values, nulls) = listed.as_list::<i32>().clone().into_parts();
    let (offsets, values) = shown(offsets, values, nulls.as_ref())?;
    let values = exact(&values, &own, item.data_type()).map_err(|fault| in_row(fault, &offsets))?;
    let made = ListArray::try_new(Arc::clone(item), offsets, values, nulls);
    Ok(Arc::new(made.map_err(|_| Misplaced::new(0, "a null in a list that has none"))?))
}

fn maps(array: &MapArray, entries: &FieldRef, (targets, sorted): (&FieldRef, bool)) -> Converted {
    let (DataType::Struct(pair), DataType::Struct(target)) = (entries.data_type(), targets.data_type())
    else {
        return Err(Misplaced::lossy(0));
    };
    let (_, offsets, pairs, nulls, _) = array.clone().into_parts();
    let (offsets, pairs) = shown(offsets, Arc::new(pairs), nulls.as_ref())?;
    let mut columns = Vec::new();
    for ((column, field), target) in pairs.as_struct().columns().iter().zip(pair).zip(target) {
        let converted = exact(column, field, target.data_type());
        columns.push(converted.map_err(|fault| in_row(fault, &offsets))?);
    }
    let null_entry = |_| Misplaced::new(0, "a null in the entries of a map");
    let pairs = StructArray::try_new(target.clone(), columns, None).map_err(null_entry)?;
    let made = MapArray::try_new(Arc::clone(targets), offsets, pairs, nulls, sorted);
    Ok(Arc::new(made.map_err(null_entry)?))
}

/// Offsets from 0 on, and the items that lists which are not null show.
fn shown(
    offsets: OffsetBuffer<i32>,
    values: ArrayRef,
    nulls: Option<&NullBuffer>,
) -> Result<(OffsetBuffer<i32>, ArrayRef), Misplaced> {
    let present = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let ranges: Vec<(i32, i32)> =
        offsets.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
    let dense = offsets.first() == 0 && usize::try_from(offsets.last()) == Ok(values.len());
    let hidden = ranges.iter().enumerate().any(|(row, (from, to))| from != to && !present(row));
    if dense && !hidden {
        return Ok((offsets, values));
    }
    let (mut lengths, mut items) = (Vec::with_capacity(ranges.len()), Vec::new());
    for (row, (from, to)) in ranges.into_iter().enumerate() {
        let range = if present(row) { from..to } else { 0..0 };
        lengths.push(range.len());
        items.extend(range.map(|item| fitting::<_, u32>(item, "place of an item")));
    }
    let values = take(&values, &UInt32Array::from(items), None).map_err(|_| Misplaced::lossy(0))?;
    Ok((OffsetBuffer::from_lengths(lengths), values))
}

/// The fault of an item as one of the row that has it.
fn in_row(fault: Misplaced, offsets: &OffsetBuffer<i32>) -> Misplaced {
    let item = i32::try_from(fault.row).unwrap_or_else(|_| panic!("items of lists are counted in 32 bits"));
    let row = offsets.partition_point(|start| *start <= item).saturating_sub(1);
    Misplaced { row, ..fault }.within("[]")
}

fn scalar(array: &ArrayRef, target: &DataType) -> Converted {
    use DataType as D;
    let array = &canonical_scalar(array)?;
    match (array.data_type(), target) {
        (found, target) if found == target => Ok(Arc::clone(array)),
        // Of texts and digits, the nearest float would be another one.
        (D::Utf8View | D::Decimal128(..) | D::Decimal256(..), D::Float16) => {
            floats(&scalar(array, &D::Float64)?, target)
        }
        (D::Timestamp(a, _), D::Timestamp(b, zone)) => {
            let relabeled = relabeled(array, &D::Timestamp(*a, zone.clone()))?;
            units(&relabeled, (*a, *b), target)
        }
        (D::Duration(a), D::Duration(b)) => units(array, (*a, *b), target),
        (D::Date32, D::Timestamp(unit, _)) => {
            let per_day = DAY_SECONDS * per_second(*unit);
            of_counts(array.as_primitive::<types::Date32Type>(), target, |days| {
                i64::from(days).checked_mul(per_day)
            })
        }
        (D::Timestamp(unit, _), D::Date32) => {
            let per_day = DAY_SECONDS * per_second(*unit);
            let counts = counts(array)?;
            mapped::<types::Int64Type, types::Date32Type>(&counts, |count| {
                (count.rem_euclid(per_day) == 0).then(|| i32::try_from(count.div_euclid(per_day)).ok())?
            })
            .map(|dates: Date32Array| Arc::new(dates) as ArrayRef)
        }
        (D::BinaryView, D::Utf8View) => strings_of_bytes(array),
        (D::Utf8View, D::BinaryView) => convert(array, target).map_err(|_| Misplaced::lossy(0)),
        (D::Utf8View, _) => parsed(array, target),
        (_, D::Utf8View) => texts(array),
        _ => numbers(array, target),
    }
}

/// The array in the canonical form of its own type, exactly.
fn canonical_scalar(array: &ArrayRef) -> Converted {
    use DataType as D;
    let target = canonical(array.data_type()).map_err(|_| Misplaced::lossy(0))?;
    match array.data_type() {
        found if *found == target => Ok(Arc::clone(array)),
        // Only the name of the zone changes.
        D::Timestamp(..) => relabeled(array, &target),
        D::Date64 => {
            let per_day = DAY_SECONDS * 1_000;
            let days = |millis: i64| {
                (millis.rem_euclid(per_day) == 0).then(|| i32::try_from(millis.div_euclid(per_day)).ok())?
            };
            let dates = mapped::<types::Date64Type, types::Date32Type>(array.as_primitive(), days)?;
            Ok(Arc::new(dates))
        }
        D::Time64(TimeUnit::Microsecond) => {
            let nanos = |micros: i64| micros.checked_mul(1_000);
            let times = mapped::<types::Time64MicrosecondType, types::Time64NanosecondType>(
                array.as_primitive(),
                nanos,
            )?;
            Ok(Arc::new(times))
        }
        _ => converted(array, &target),
    }
}

/// Arrow's own conversion; the first row that it fails for is named.
fn converted(array: &ArrayRef, target: &DataType) -> Converted {
    convert(array, target).map_err(|_| {
        let fails = |row: &usize| convert(&array.slice(*row, 1), target).is_err();
        Misplaced::lossy((0..array.len()).find(fails).unwrap_or(0))
    })
}

/// The same bits under another type of the same width.
fn relabeled(array: &ArrayRef, target: &DataType) -> Converted {
    let data = array.to_data().into_builder().data_type(target.clone()).build();
    data.map(make_array).map_err(|_| Misplaced::lossy(0))
}

/// The counts of a timestamp or duration.
fn counts(array: &ArrayRef) -> Result<PrimitiveArray<types::Int64Type>, Misplaced> {
    Ok(relabeled(array, &DataType::Int64)?.as_primitive().clone())
}

fn units(array: &ArrayRef, (from, to): (TimeUnit, TimeUnit), target: &DataType) -> Converted {
    if from == to {
        return relabeled(array, target);
    }
    let (from, to) = (per_second(from), per_second(to));
    of_counts(&counts(array)?, target, |count| {
        if to > from {
            count.checked_mul(to / from)
        } else {
            (count % (from / to) == 0).then_some(count / (from / to))
        }
    })
}

/// Counts of a target that is stored as 64-bit integers.
fn of_counts<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    target: &DataType,
    count: impl Fn(T::Native) -> Option<i64>,
) -> Converted {
    let counts: ArrayRef = Arc::new(mapped::<T, types::Int64Type>(array, count)?);
    relabeled(&counts, target)
}

/// The values that a function gives, or the first row that it has none for.
fn mapped<T: ArrowPrimitiveType, U: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    value: impl Fn(T::Native) -> Option<U::Native>,
) -> Result<PrimitiveArray<U>, Misplaced> {
    let mut fault = None;
    let mut row = 0;
    let values: PrimitiveArray<U> = array
        .iter()
        .map(|found| {
            let made = found.map(&value);
            if made == Some(None) && fault.is_none() {
                fault = Some(row);
            }
            row += 1;
            made.flatten()
        })
        .collect();
    fault.map_or(Ok(values), |row| Err(Misplaced::lossy(row)))
}

fn strings_of_bytes(array: &ArrayRef) -> Converted {
    let bytes = array.as_binary_view();
    let invalid = |row: &usize| bytes.is_valid(*row) && std::str::from_utf8(bytes.value(*row)).is_err();
    if let Some(row) = (0..bytes.len()).find(invalid) {
        return Err(Misplaced::new(row, "bytes that are not UTF-8"));
    }
    convert(array, &DataType::Utf8View).map_err(|_| Misplaced::new(0, "bytes that are not UTF-8"))
}

/// UUIDs in their usual form: `00112233-4455-6677-8899-aabbccddeeff`.
fn uuids(array: &ArrayRef) -> Converted {
    let bytes = convert(array, &DataType::Binary).map_err(|_| Misplaced::lossy(0))?;
    let bytes: &BinaryArray = bytes.as_binary();
    let mut values = StringViewBuilder::with_capacity(bytes.len());
    let mut text = String::new();
    for value in bytes {
        text.clear();
        for (at, byte) in value.into_iter().flatten().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Writing to a string cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{dash}{byte:02x}"));
        }
        values.append_option(value.map(|_| &text));
    }
    Ok(Arc::new(values.finish()))
}

/// The values in their text forms.
fn texts(array: &ArrayRef) -> Converted {
    let form = TextForm::of(array.as_ref()).ok_or_else(|| Misplaced::lossy(0))?;
    let mut values = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        values.append_option(form.write(row, &mut text).then_some(&text));
    }
    Ok(Arc::new(values.finish()))
}

/// The values that strings stand for.
fn parsed(array: &ArrayRef, target: &DataType) -> Converted {
    let mut values = string_builder(target).ok_or_else(|| Misplaced::lossy(0))?;
    for (row, value) in array.as_string_view().iter().enumerate() {
        match value {
            None => values.null(),
            Some(text) if values.text(text) => {}
            Some(_) => return Err(Misplaced::new(row, "a string that does not read as that type")),
        }
    }
    Ok(values.finish())
}

/// Booleans, integers, floats and decimals as one another, by value.
fn numbers(array: &ArrayRef, target: &DataType) -> Converted {
    use DataType as D;
    let decimal = |t: &D| matches!(t, D::Decimal128(..) | D::Decimal256(..));
    match (array.data_type(), target) {
        (D::Boolean, _) => numbers(&converted(array, &D::Int8)?, target),
        (_, D::Boolean) => booleans(array),
        (a, b) if a.is_integer() && b.is_integer() => converted(array, target),
        (a, b) if a.is_floating() && b.is_floating() => floats(array, target),
        (a, b) if a.is_integer() && b.is_floating() => floats_of_integers(array, target),
        (a, b) if a.is_floating() && b.is_integer() => integers_of_floats(array, target),
        (D::Decimal128(_, a), D::Decimal128(_, b)) if a <= b => converted(array, target),
        (a, b) if decimal(a) || decimal(b) => by_digits(array, target),
        _ => Err(Misplaced::lossy(0)),
    }
}

/// Booleans of numbers, of which only 0 and 1 are some.
fn booleans(array: &ArrayRef) -> Converted {
    let small = numbers(array, &DataType::Int64)
        .map_err(|fault| Misplaced { found: "a number other than 0 and 1", ..fault })?;
    let small = small.as_primitive::<types::Int64Type>();
    let other = |value: Option<i64>| value.is_some_and(|value| !matches!(value, 0 | 1));
    if let Some(row) = small.iter().position(other) {
        return Err(Misplaced::new(row, "a number other than 0 and 1"));
    }
    let values: BooleanArray = small.iter().map(|value| value.map(|value| value == 1)).collect();
    Ok(Arc::new(values))
}

fn floats(array: &ArrayRef, target: &DataType) -> Converted {
    let wide = converted(array, &DataType::Float64)?;
    let narrow = converted(&wide, target)?;
    let back = converted(&narrow, &DataType::Float64)?;
    let (wide, back) = (wide.as_primitive::<types::Float64Type>(), back.as_primitive::<types::Float64Type>());
    let differs = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()),
        (a, b) => a.is_some() != b.is_some(),
    };
    match wide.iter().zip(back).position(differs) {
        Some(row) => Err(Misplaced::lossy(row)),
        None => Ok(narrow),
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "checked by the way back")]
fn floats_of_integers(array: &ArrayRef, target: &DataType) -> Converted {
    let exact = |value: f64, found: i128| (value as i128 == found).then_some(value);
    let wide = if *array.data_type() == DataType::UInt64 {
        mapped::<types::UInt64Type, types::Float64Type>(array.as_primitive(), |n| exact(n as f64, n.into()))?
    } else {
        let integers = converted(array, &DataType::Int64)?;
        mapped::<types::Int64Type, types::Float64Type>(integers.as_primitive(), |n| {
            exact(n as f64, n.into())
        })?
    };
    floats(&(Arc::new(wide) as ArrayRef), target)
}

#[expect(clippy::cast_possible_truncation, reason = "the value is whole and in range")]
fn integers_of_floats(array: &ArrayRef, target: &DataType) -> Converted {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    let wide = converted(array, &DataType::Float64)?;
    let whole = |value: f64| {
        (value.trunc().to_bits() == value.to_bits() && value.abs() < LIMIT).then_some(value as i128)
    };
    let wide = wide.as_primitive::<types::Float64Type>();
    if *target == DataType::UInt64 {
        let to = |value: f64| u64::try_from(whole(value)?).ok();
        return Ok(Arc::new(mapped::<types::Float64Type, types::UInt64Type>(wide, to)?));
    }
    let to = |value: f64| i64::try_from(whole(value)?).ok();
    let integers: ArrayRef = Arc::new(mapped::<types::Float64Type, types::Int64Type>(wide, to)?);
    converted(&integers, target)
}

/// Conversions from and to decimals through all their digits.
fn by_digits(array: &ArrayRef, target: &DataType) -> Converted {
    let mut values = string_builder(target).ok_or_else(|| Misplaced::lossy(0))?;
    let form = TextForm::of(array.as_ref()).ok_or_else(|| Misplaced::lossy(0))?;
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        if !form.write(row, &mut text) {
            values.null();
            continue;
        }
        let digits = digits(&text, array.data_type(), target).ok_or_else(|| Misplaced::lossy(row))?;
        if !values.text(&digits) {
            return Err(Misplaced::lossy(row));
        }
    }
    Ok(values.finish())
}

/// The number without an exponent, as the target's text form wants it; none where the target would
/// round it.
fn digits(text: &str, from: &DataType, target: &DataType) -> Option<String> {
    if from.is_floating() {
        // The shortest decimal that stands for the float, written out.
        let value = f64::from_str(text).ok().filter(|value| value.is_finite())?;
        let narrow = || f32::from_str(text).ok().map(|value| value.to_string());
        return if *from == DataType::Float64 { Some(value.to_string()) } else { narrow() };
    }
    match target {
        DataType::Float64 => {
            same_number(text, &f64::from_str(text).ok()?.to_string()).then(|| text.to_owned())
        }
        DataType::Float32 => {
            same_number(text, &f32::from_str(text).ok()?.to_string()).then(|| text.to_owned())
        }
        other if other.is_integer() => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let whole = if whole == "-0" { "0" } else { whole };
            fraction.bytes().all(|digit| digit == b'0').then(|| whole.to_owned())
        }
        _ => Some(text.to_owned()),
    }
}

/// True if two numbers without exponents are equal.
fn same_number(one: &str, other: &str) -> bool {
    fn parts(text: &str) -> (bool, &str, &str) {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
    }
    parts(one) == parts(other)
}
