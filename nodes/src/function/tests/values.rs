//! Values of every type, there and back over both wires.

use arrow::array::{
    BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float32Array,
    Int8Array, ListArray, StructArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Fields;

use super::*;

fn each_type() -> Vec<(&'static str, ArrayRef)> {
    let utc = TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_700_000_000_123_456)]);
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let fields: Fields =
        vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8View, true)].into();
    let records = StructArray::new(
        fields,
        vec![ints([1, 2, 3]), Arc::new(StringViewArray::from(vec![Some("x"), None, None]))],
        Some(NullBuffer::from(vec![true, false, true])),
    );
    let decimals =
        Decimal128Array::from(vec![Some(-150), None, Some(99_999)]).with_precision_and_scale(10, 2).unwrap();
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("int8", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)]))),
        ("int64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some((1 << 53) + 1)]))),
        ("uint64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        ("float32", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::INFINITY)]))),
        ("float64", Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0)]))),
        ("infinite", Arc::new(Float64Array::from(vec![Some(f64::NEG_INFINITY), None, Some(5e-324)]))),
        (
            "string",
            Arc::new(StringViewArray::from(vec![
                Some("é\n\"\u{1F600}\0, longer than twelve bytes"),
                None,
                Some(""),
            ])),
        ),
        ("binary", Arc::new(BinaryViewArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(b"")]))),
        ("date", Arc::new(Date32Array::from(vec![Some(-719_162), None, Some(19_000)]))),
        ("time", Arc::new(Time64NanosecondArray::from(vec![Some(1_000), None, Some(86_399_999_999_000)]))),
        (
            "timestamp",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_700_000_000_000_000)])),
        ),
        ("timestamp_utc", Arc::new(utc.with_timezone("UTC"))),
        (
            "duration",
            Arc::new(DurationMicrosecondArray::from(vec![Some(-1_500_001), None, Some(86_400_000_000)])),
        ),
        ("decimal", Arc::new(decimals)),
        ("list", Arc::new(list)),
        ("struct", Arc::new(records)),
    ]
}

/// Outputs of a function for a column, row by row, over both wires.
fn both_wires(script: &str, column: &ArrayRef, gives: &DataType) -> [Vec<Outcome>; 2] {
    let code = Code::new(&[("f.py", script)]);
    [interpreter().to_owned(), code.bare_interpreter()].map(|interpreter| {
        let function =
            Function::python("f", code.python().interpreter(interpreter)).gives_type("out", gives.clone());
        Session::new(function, &[("v", Arc::clone(column))]).all()
    })
}

#[test]
fn a_value_of_every_type_comes_back_as_it_was() {
    for (name, column) in each_type() {
        let [arrow, json] = both_wires("def f(v):\n    return {'out': v}\n", &column, column.data_type());
        for (row, (arrow, json)) in arrow.iter().zip(&json).enumerate() {
            let Outcome::Given(values) = arrow else { panic!("{name}: {arrow:?}") };
            let Outcome::Given(other) = json else { panic!("{name}: {json:?}") };
            assert_eq!(&values[0].to_data(), &column.slice(row, 1).to_data(), "{name}, row {row}, arrow");
            assert_eq!(&other[0].to_data(), &column.slice(row, 1).to_data(), "{name}, row {row}, json lines");
        }
    }
}

#[test]
fn values_come_as_the_same_python_values_over_both_wires() {
    for (name, column) in each_type() {
        let script = "def f(v):\n    return repr(v).replace('timezone.utc', 'UTC').replace(\"<UTC>\", 'UTC').replace(\"zoneinfo.ZoneInfo(key='UTC')\", 'datetime.UTC') + type(v).__name__\n";
        let [arrow, json] = both_wires(script, &column, &DataType::Utf8View);
        assert_eq!(
            arrow.iter().map(Outcome::text).collect::<Vec<_>>(),
            json.iter().map(Outcome::text).collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn nanoseconds_are_cut_to_microseconds() {
    let column: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789, -1_001]));
    let expected: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_123_456, -1]));
    for outcomes in both_wires("def f(v):\n    return v\n", &column, expected.data_type()) {
        for (row, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome, &Outcome::Given(vec![expected.slice(row, 1)]));
        }
    }
}

#[test]
fn a_value_that_python_cannot_hold_fails_its_packet_alone() {
    // The year 10000, between two ordinary days.
    let column: ArrayRef = Arc::new(Date32Array::from(vec![0, 2_932_897, 1]));
    for outcomes in both_wires("def f(v):\n    return v.day\n", &column, &DataType::Int64) {
        assert_eq!((outcomes[0].int(), outcomes[2].int()), (1, 2));
        assert!(
            outcomes[1].failed().0.contains("column \"v\" has a value that Python's type"),
            "{:?}",
            outcomes[1]
        );
    }
}

#[test]
fn an_output_that_is_not_of_its_type_fails_its_packet_and_never_shows_its_value() {
    let cases = [
        (DataType::Int64, "1.5", "found float, expected int for int64"),
        (DataType::Int64, "True", "found bool, expected int for int64"),
        (DataType::Int64, "2**63", "found an int that is out of the range of int64"),
        (DataType::Int8, "128", "found an int that is out of the range of int8"),
        (DataType::UInt64, "-1", "found an int that is out of the range of uint64"),
        (DataType::Float64, "2**53 + 1", "found an int that float64 cannot hold exactly"),
        (DataType::Float64, "'1.5'", "found str, expected float for float64"),
        (DataType::Utf8View, "12345", "found int, expected str for string"),
        (DataType::Utf8View, "'\\ud800'", "lone surrogates"),
        (DataType::BinaryView, "'secret'", "found str, expected bytes for binary"),
        (DataType::Date32, "__import__('datetime').datetime(2000, 1, 1)", "expected datetime.date for date"),
        (
            DataType::Decimal128(4, 2),
            "__import__('decimal').Decimal('1.005')",
            "more than 2 digits behind the point",
        ),
        (DataType::Decimal128(4, 2), "__import__('decimal').Decimal('100')", "that 4 digits cannot hold"),
        (DataType::Int64, "{'other': 1}", "found dict, expected int"),
    ];
    let column = ints(0..20);
    for (gives, value, expected) in cases {
        let good = match gives {
            DataType::Float64 => "0.5",
            DataType::Utf8View => "'a'",
            DataType::BinaryView => "b'a'",
            DataType::Date32 => "__import__('datetime').date(2000, 1, 1)",
            DataType::Decimal128(..) => "__import__('decimal').Decimal('1.5')",
            _ => "1",
        };
        let script = format!("def f(v):\n    return {value} if v == 9 else {good}\n");
        for outcomes in both_wires(&script, &column, &gives) {
            for (at, outcome) in outcomes.iter().enumerate().filter(|(at, _)| *at != 9) {
                assert!(matches!(outcome, Outcome::Given(_)), "{value}, {at}: {outcome:?}");
            }
            let (text, _) = outcomes[9].failed();
            assert!(text.contains(expected), "{value}: {text}");
            assert!(!text.contains("secret") && !text.contains("12345"), "{text}");
        }
    }
}

#[test]
fn an_int_is_a_float_and_a_missing_output_is_told() {
    for outcomes in both_wires("def f(v):\n    return v\n", &ints([1, 2]), &DataType::Float64) {
        assert_eq!(outcomes[1].float().to_bits(), 2.0_f64.to_bits());
    }
    let code = Code::new(&[(
        "f.py",
        "def f(v):\n    return [{'a': 1}, {'a': 1, 'b': 2, 'c': 3}, 5, {'a': 1, 'b': None}][v]\n",
    )]);
    let function = Function::python("f", code.python()).gives::<i64>("a").gives::<i64>("b");
    let outcomes = Session::new(function, &[("v", ints(0..4))]).all();
    assert!(outcomes[0].failed().0.contains("found no output \"b\""), "{outcomes:?}");
    assert!(outcomes[1].failed().0.contains("found outputs that gives does not name"), "{outcomes:?}");
    assert!(outcomes[2].failed().0.contains("found int, expected a dict of a, b"), "{outcomes:?}");
    assert_eq!(outcomes[3].int(), 1);
}
