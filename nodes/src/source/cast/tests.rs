//! Every pair of types: what is allowed, what is exact, and what is refused with its row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array,
    Decimal128Array, Decimal256Array, DictionaryArray, DurationMicrosecondArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int32Type, Int64Type, TimeUnit, i256};
use proptest::prelude::*;

use super::exact::{Misplaced, exact};
use super::rules::check;
use super::unify::unify;

fn cast(array: impl Array + 'static, target: &DataType) -> Result<ArrayRef, Misplaced> {
    cast_ref(&(Arc::new(array) as ArrayRef), target)
}

fn cast_ref(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Misplaced> {
    exact(array, &Field::new("c", array.data_type().clone(), true), target)
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// An array of each type that `types` can name, with the values at its edges.
fn samples() -> Vec<(&'static str, ArrayRef)> {
    let texts = ["true", "0", "1", "-1.5", "é", "1970-01-01", "00:00:01", "1970-01-01T00:00:00Z", "PT1S", ""];
    let micros = vec![Some(0), None, Some(86_400_000_000), Some(-1), Some(i64::MAX), Some(i64::MIN)];
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("int8", Arc::new(Int8Array::from(vec![Some(0), None, Some(1), Some(i8::MAX), Some(i8::MIN)]))),
        ("int16", Arc::new(Int16Array::from(vec![Some(0), None, Some(1), Some(i16::MAX), Some(i16::MIN)]))),
        ("int32", Arc::new(Int32Array::from(vec![Some(0), None, Some(1), Some(i32::MAX), Some(i32::MIN)]))),
        (
            "int64",
            Arc::new(Int64Array::from(vec![
                Some(0),
                None,
                Some((1 << 53) + 1),
                Some(i64::MAX),
                Some(i64::MIN),
            ])),
        ),
        ("uint8", Arc::new(UInt8Array::from(vec![Some(0), None, Some(1), Some(u8::MAX)]))),
        ("uint16", Arc::new(UInt16Array::from(vec![Some(0), None, Some(1), Some(u16::MAX)]))),
        ("uint32", Arc::new(UInt32Array::from(vec![Some(0), None, Some(1), Some(u32::MAX)]))),
        ("uint64", Arc::new(UInt64Array::from(vec![Some(0), None, Some(1 << 63), Some(u64::MAX)]))),
        ("float16", halves()),
        (
            "float32",
            Arc::new(Float32Array::from(vec![Some(1.0), None, Some(0.1), Some(f32::NAN), Some(f32::MAX)])),
        ),
        (
            "float64",
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                None,
                Some(0.1),
                Some(-0.0),
                Some(f64::NAN),
                Some(f64::INFINITY),
                Some(f64::MAX),
                Some(9_223_372_036_854_775_808.0),
                Some(f64::MIN_POSITIVE / 2.0),
            ])),
        ),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from(vec![Some(0), None, Some(100), Some(150), Some(10_i128.pow(30) + 1)])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
        ),
        (
            "decimal256",
            Arc::new(
                Decimal256Array::from(vec![
                    Some(i256::from(0)),
                    None,
                    Some(i256::from(15)),
                    Some(i256::from_i128(i128::MAX)),
                ])
                .with_precision_and_scale(76, 1)
                .unwrap(),
            ),
        ),
        ("string", Arc::new(StringViewArray::from(texts.map(Some).to_vec()))),
        (
            "binary",
            Arc::new(BinaryViewArray::from(vec![Some("é".as_bytes()), None, Some(&[0xff][..]), Some(&[])])),
        ),
        ("date", Arc::new(Date32Array::from(vec![Some(0), None, Some(-1), Some(i32::MAX), Some(i32::MIN)]))),
        ("time", Arc::new(Time64NanosecondArray::from(vec![Some(0), None, Some(86_399_999_999_999)]))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(micros.clone()))),
        ("timestamp_utc", Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"))),
        ("duration", Arc::new(DurationMicrosecondArray::from(micros))),
    ]
}

fn halves() -> ArrayRef {
    let wide = Float32Array::from(vec![Some(1.0), None, Some(f32::NAN), Some(65_504.0)]);
    arrow::compute::cast(&wide, &DataType::Float16).unwrap()
}

/// The types that each type converts to, itself aside: those of its own line, and string.
fn allowed(from: &str, to: &str) -> bool {
    let number =
        |name: &str| ["bool", "int", "uint", "float", "decimal"].iter().any(|kind| name.starts_with(kind));
    let instant = |name: &str| ["date", "timestamp", "timestamp_utc"].contains(&name);
    from == to
        || from == "string"
        || to == "string"
        || (number(from) && number(to))
        || (instant(from) && instant(to))
}

#[test]
fn every_pair_of_types_is_exact_or_refused_when_planned() {
    for (from, array) in samples() {
        for (to, other) in samples() {
            let field = Field::new("c", array.data_type().clone(), true);
            let checked = check(&field, other.data_type());
            assert_eq!(checked.is_ok(), allowed(from, to), "{from} to {to}: {checked:?}");
            if checked.is_ok() {
                for row in 0..array.len() {
                    exact_or_refused(
                        &array.slice(row, 1),
                        other.data_type(),
                        &format!("{from} to {to}, {row}"),
                    );
                }
            }
        }
    }
}

/// A value that is converted comes back as it was; a null stays one.
fn exact_or_refused(value: &ArrayRef, target: &DataType, what: &str) {
    let Ok(converted) = cast_ref(value, target) else {
        assert!(value.is_valid(0), "{what}: a null was refused");
        return;
    };
    assert_eq!(converted.data_type(), target, "{what}");
    assert_eq!(converted.is_null(0), value.is_null(0), "{what}");
    // A text may stand for a value in several ways, and binary takes back whatever string gave.
    if *value.data_type() == DataType::Utf8View && *target != DataType::BinaryView {
        return;
    }
    let back = cast_ref(&converted, value.data_type());
    let back = back.unwrap_or_else(|fault| panic!("{what}: there, but not back: {fault:?}"));
    let float = |array: &ArrayRef| {
        cast_ref(array, &DataType::Float64).map(|a| a.as_primitive::<Float64Type>().value(0))
    };
    let equal_floats = value.data_type().is_floating() && value.is_valid(0) && float(&back) == float(value);
    let nan = |array: &ArrayRef| {
        array.data_type().is_floating() && array.is_valid(0) && float(array).is_ok_and(f64::is_nan)
    };
    assert!(
        back.as_ref() == value.as_ref() || equal_floats || (nan(&back) && nan(value)),
        "{what}: {back:?} is not {value:?}"
    );
}

#[test]
fn casts_that_would_lose_digits_name_the_row() {
    let row = |result: Result<ArrayRef, Misplaced>| result.unwrap_err().row;
    assert_eq!(row(cast(Float64Array::from(vec![1.0, 2.5]), &DataType::Int64)), 1);
    assert_eq!(row(cast(Int64Array::from(vec![1, 1 << 53, (1 << 53) + 1]), &DataType::Float64)), 2);
    assert_eq!(row(cast(Int64Array::from(vec![0, i64::MAX]), &DataType::Float64)), 1);
    assert_eq!(row(cast(Int64Array::from(vec![1, 300]), &DataType::UInt8)), 1);
    assert_eq!(row(cast(StringArray::from(vec!["1", "x"]), &DataType::Int64)), 1);
    assert_eq!(row(cast(Date64Array::from(vec![86_400_000, 86_400_001]), &DataType::Date32)), 1);
    assert_eq!(
        row(cast(Date32Array::from(vec![0, i32::MAX]), &DataType::Timestamp(TimeUnit::Nanosecond, None))),
        1
    );
    assert_eq!(row(cast(TimestampSecondArray::from(vec![0, 1]), &DataType::Date32)), 1);
    let whole = cast(Float64Array::from(vec![Some(3.0), None]), &DataType::Int64).unwrap();
    assert_eq!(whole.as_ref(), &Int64Array::from(vec![Some(3), None]) as &dyn Array);
    let cents = Decimal128Array::from(vec![10, 15]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(row(cast(cents.clone(), &DataType::Decimal128(10, 1))), 1);
    let floats = cast(cents, &DataType::Float64).unwrap();
    assert_eq!(floats.as_ref(), &Float64Array::from(vec![0.1, 0.15]) as &dyn Array);
}

#[test]
fn only_zero_and_one_are_booleans() {
    let bools = cast(Int32Array::from(vec![Some(0), None, Some(1)]), &DataType::Boolean).unwrap();
    assert_eq!(bools.as_ref(), &BooleanArray::from(vec![Some(false), None, Some(true)]) as &dyn Array);
    for other in [
        cast(Int32Array::from(vec![0, 2]), &DataType::Boolean),
        cast(UInt64Array::from(vec![1, u64::MAX]), &DataType::Boolean),
        cast(Float64Array::from(vec![1.0, 0.5]), &DataType::Boolean),
        cast(Int8Array::from(vec![1, -1]), &DataType::Boolean),
    ] {
        let fault = other.unwrap_err();
        assert_eq!((fault.row, fault.found), (1, "a number other than 0 and 1"));
    }
}

#[test]
fn bytes_are_strings_where_they_are_utf8_and_never_hex() {
    let texts =
        cast(BinaryArray::from_opt_vec(vec![Some("zoé".as_bytes()), None]), &DataType::Utf8View).unwrap();
    assert_eq!(texts.as_ref(), &StringViewArray::from(vec![Some("zoé"), None]) as &dyn Array);
    let fault = cast(BinaryArray::from_vec(vec![b"a", b"\xff"]), &DataType::Utf8View).unwrap_err();
    assert_eq!((fault.row, fault.found), (1, "bytes that are not UTF-8"));
    let bytes = cast(StringArray::from(vec!["00ff"]), &DataType::BinaryView).unwrap();
    assert_eq!(bytes.as_binary_view().value(0), b"00ff");
}

#[test]
fn a_naive_timestamp_read_as_an_instant_keeps_its_digits() {
    let naive = TimestampMicrosecondArray::from(vec![1_500_000]);
    let instants = cast(naive.clone(), &utc()).unwrap();
    assert_eq!(cast(StringArray::from(vec!["1970-01-01T00:00:01.5Z"]), &utc()).unwrap().as_ref(), &instants);
    let texts = cast(naive.clone().with_timezone("+01:00"), &DataType::Utf8View).unwrap();
    assert_eq!(texts.as_string_view().value(0), "1970-01-01T00:00:01.5Z");
    assert_eq!(cast(naive, &DataType::Timestamp(TimeUnit::Second, None)).unwrap_err().row, 0);
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn structs(fields: &[(&str, ArrayRef)], nulls: Option<NullBuffer>) -> ArrayRef {
    let columns = fields.iter().map(|(_, column)| Arc::clone(column)).collect();
    let fields: Fields =
        fields.iter().map(|(name, column)| field(name, column.data_type().clone())).collect();
    Arc::new(StructArray::new(fields, columns, nulls))
}

fn list(lengths: &[usize], items: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let item = Arc::new(field("item", items.data_type().clone()));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), items, nulls))
}

fn place(fields: [(&str, DataType); 2]) -> DataType {
    DataType::Struct(fields.map(|(name, data_type)| field(name, data_type)).into_iter().collect())
}

#[test]
fn fields_of_structs_go_by_name_and_a_slip_is_refused_when_planned() {
    let numbers = |values: [f64; 2]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let places = structs(&[("lon", numbers([13.4, 1.0])), ("lat", numbers([52.5, 2.0]))], None);
    let nested = list(&[2], places.clone(), None);
    let wanted = place([("lat", DataType::Decimal128(4, 1)), ("lon", DataType::Float64)]);
    let listed = DataType::List(Arc::new(field("item", wanted.clone())));
    check(&field("c", nested.data_type().clone()), &listed).unwrap();
    let converted = cast_ref(&nested, &listed).unwrap();
    let lat = converted.as_list::<i32>().value(0).as_struct().column_by_name("lat").unwrap().clone();
    let expected = Decimal128Array::from(vec![525, 20]).with_precision_and_scale(4, 1).unwrap();
    assert_eq!(lat.as_ref(), &expected as &dyn Array);
    let slip = place([("lat", DataType::Float64), ("lom", DataType::Float64)]);
    let refused = check(&field("c", places.data_type().clone()), &slip).unwrap_err();
    assert!(
        refused.found.contains("\"lom\"") && refused.remedy.contains("did you mean \"lon\""),
        "{refused:?}"
    );
    let narrower = DataType::Struct([field("lat", DataType::Float64)].into_iter().collect());
    let refused = check(&field("c", places.data_type().clone()), &narrower).unwrap_err();
    assert!(refused.found.contains("\"lon\""), "{refused:?}");
}

#[test]
fn a_fault_within_a_list_names_the_row_that_has_it_and_hidden_values_are_none() {
    let items: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 300, 4, 300]));
    let target = |item: DataType| DataType::List(Arc::new(field("item", item)));
    let fault = cast_ref(&list(&[2, 0, 3], items.clone(), None), &target(DataType::UInt8)).unwrap_err();
    assert_eq!((fault.row, fault.path.as_str()), (2, "[]"));
    let hidden = Some(NullBuffer::from(vec![true, true, false]));
    let small = cast_ref(&list(&[2, 0, 3], items.clone(), hidden.clone()), &target(DataType::UInt8)).unwrap();
    assert_eq!((small.len(), small.null_count(), small.as_list::<i32>().values().len()), (3, 1, 2));
    let sliced = list(&[2, 1, 2], items, None).slice(0, 1);
    assert!(cast_ref(&sliced, &target(DataType::UInt8)).is_ok());
    let under_null: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 300]));
    let pair = structs(&[("a", under_null)], hidden);
    let wanted = DataType::Struct([field("a", DataType::UInt8)].into_iter().collect());
    assert_eq!(cast_ref(&pair, &wanted).unwrap().null_count(), 1);
}

#[test]
fn dictionaries_and_nulls_are_read_as_what_they_hold() {
    let dictionary: DictionaryArray<Int32Type> = [Some("1"), None, Some("2")].into_iter().collect();
    let numbers = cast(dictionary, &DataType::Int64).unwrap();
    assert_eq!(numbers.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(2)]);
    let nulls = new_null_array(&DataType::Null, 2);
    assert_eq!(cast_ref(&nulls, &DataType::Boolean).unwrap().null_count(), 2);
}

#[test]
fn types_of_several_files_meet_in_the_one_that_holds_all() {
    use DataType as D;
    let meet = |one: &D, other: &D| {
        let (one, other) = (field("c", one.clone()), field("c", other.clone()));
        let there = unify(&one, &other).map(|field| field.data_type().clone());
        assert_eq!(there, unify(&other, &one).map(|field| field.data_type().clone()));
        there
    };
    let pairs = [
        (D::Int32, D::Int64, Some(D::Int64)),
        (D::UInt8, D::Int8, Some(D::Int16)),
        (D::UInt32, D::Int8, Some(D::Int64)),
        (D::UInt64, D::Int8, Some(D::Decimal128(20, 0))),
        (D::Float32, D::Float64, Some(D::Float64)),
        (D::Float16, D::Float32, Some(D::Float32)),
        (D::Null, D::Date32, Some(D::Date32)),
        (D::Decimal128(5, 2), D::Decimal128(4, 0), Some(D::Decimal128(6, 2))),
        (D::Decimal128(38, 0), D::Decimal128(38, 38), Some(D::Decimal256(76, 38))),
        (D::Decimal256(76, 0), D::Decimal128(38, 1), None),
        (D::Int64, D::Float64, None),
        (D::Utf8View, D::BinaryView, None),
        (D::Int64, D::Utf8View, None),
        (D::Date32, D::Timestamp(TimeUnit::Second, None), None),
        (D::Timestamp(TimeUnit::Second, None), utc(), None),
        (
            D::Timestamp(TimeUnit::Second, None),
            D::Timestamp(TimeUnit::Nanosecond, None),
            Some(D::Timestamp(TimeUnit::Nanosecond, None)),
        ),
    ];
    for (one, other, expected) in pairs {
        assert_eq!(meet(&one, &other), expected, "{one} with {other}");
    }
    let one = place([("a", D::Int32), ("b", D::Null)]);
    let other = field("c", place([("b", D::Utf8View), ("a", D::Int64)]));
    let united = unify(&field("c", one), &other).unwrap();
    assert_eq!(*united.data_type(), place([("a", D::Int64), ("b", D::Utf8View)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_number_is_converted_exactly_or_refused(
        bits in any::<u64>(),
        decimal in any::<i64>(),
        scale in 0..=18_i8,
        target in 0..13_usize,
    ) {
        let decimal = Decimal128Array::from(vec![i128::from(decimal)]).with_precision_and_scale(38, scale).unwrap();
        let values: [ArrayRef; 4] = [
            Arc::new(UInt64Array::from(vec![bits])),
            Arc::new(Int64Array::from(vec![bits.cast_signed()])),
            Arc::new(Float64Array::from(vec![f64::from_bits(bits)])),
            Arc::new(decimal),
        ];
        let targets = samples();
        let (name, target) = targets.get(target).unwrap();
        for value in values {
            exact_or_refused(&value, target.data_type(), &format!("{value:?} to {name}"));
        }
    }
}
