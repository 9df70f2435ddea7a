//! Kernels and Polars give one answer, and a row's answer depends on that row only.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::sync::Arc;

use anabranch_expression::{Expression, ExpressionError, canonical_sql};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, PrimitiveArray, StringViewArray};
use arrow::compute::concat;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use proptest::prelude::*;

const NUMBERS: &[&str] = &["i8", "i16", "i32", "i64", "j64", "u8", "u16", "u32", "u64", "f32", "f64", "g64"];

fn fields() -> Vec<FieldRef> {
    let types = [
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("j64", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u16", DataType::UInt16),
        ("u32", DataType::UInt32),
        ("u64", DataType::UInt64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("g64", DataType::Float64),
        ("s", DataType::Utf8View),
        ("t", DataType::Utf8View),
        ("b", DataType::Boolean),
        ("c", DataType::Boolean),
        ("day", DataType::Date32),
        ("us", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("ns", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
    ];
    types.into_iter().map(|(name, data_type)| Arc::new(Field::new(name, data_type, true))).collect()
}

/// Values at the edges of a type come as often as all others.
fn column<A>(edges: Vec<A::Native>, any: BoxedStrategy<A::Native>, rows: usize) -> BoxedStrategy<ArrayRef>
where
    A: ArrowPrimitiveType<Native: 'static>,
{
    let value = prop_oneof![1 => Just(None), 4 => prop::sample::select(edges).prop_map(Some), 4 => any.prop_map(Some)];
    prop::collection::vec(value, rows)
        .prop_map(|values| {
            let array: PrimitiveArray<A> = values.into_iter().collect();
            Arc::new(array.with_data_type(A::DATA_TYPE)) as ArrayRef
        })
        .boxed()
}

macro_rules! whole {
    ($arrow:ty, $native:ty, $rows:expr) => {
        column::<$arrow>(
            vec![
                <$native>::MIN,
                <$native>::MAX,
                0,
                1,
                2,
                3,
                5,
                100,
                <$native>::MIN + 1,
                (0 as $native).wrapping_sub(1),
            ],
            any::<$native>().boxed(),
            $rows,
        )
    };
}

fn float64(rows: usize) -> BoxedStrategy<ArrayRef> {
    let edges = vec![
        f64::NAN,
        -f64::NAN,
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1.0,
        -1.0,
        1.5,
        2.5,
        60.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        9.007_199_254_740_993e15,
        127.0,
        300.0,
    ];
    column::<Float64Type>(edges, any::<f64>().boxed(), rows)
}

fn float32(rows: usize) -> BoxedStrategy<ArrayRef> {
    let edges = vec![f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1.0, 0.1, 16_777_216.0, f32::MAX];
    column::<Float32Type>(edges, any::<f32>().boxed(), rows)
}

fn text(rows: usize) -> BoxedStrategy<ArrayRef> {
    let words = [
        "",
        "a",
        "ab",
        "abc",
        "ABC",
        "b",
        "ä",
        "äb",
        "日本",
        "a%b",
        "long enough to leave its view",
        "\n",
        "'",
        " ",
    ];
    let value = prop_oneof![
        1 => Just(None),
        6 => prop::sample::select(words.to_vec()).prop_map(|word| Some(word.to_owned())),
        2 => any::<String>().prop_map(Some),
    ];
    prop::collection::vec(value, rows)
        .prop_map(|values| Arc::new(values.into_iter().collect::<StringViewArray>()) as ArrayRef)
        .boxed()
}

fn truth(rows: usize) -> BoxedStrategy<ArrayRef> {
    prop::collection::vec(any::<Option<bool>>(), rows)
        .prop_map(|values| Arc::new(BooleanArray::from(values)) as ArrayRef)
        .boxed()
}

fn times(rows: usize) -> Vec<BoxedStrategy<ArrayRef>> {
    let microseconds = vec![0, 1, 1_704_067_200_000_000, -1];
    let nanoseconds = vec![0, 1, 1_704_067_200_000_000_000, 1_704_067_200_000_000_001, -1];
    vec![
        prop::collection::vec(prop::option::of(-1_000..30_000), rows)
            .prop_map(|days| Arc::new(Date32Array::from(days)) as ArrayRef)
            .boxed(),
        column::<TimestampMicrosecondType>(microseconds, (-10i64.pow(15)..10i64.pow(15)).boxed(), rows),
        column::<TimestampNanosecondType>(nanoseconds, (-10i64.pow(18)..10i64.pow(18)).boxed(), rows)
            .prop_map(|array| {
                let utc = array.as_primitive::<TimestampNanosecondType>().clone().with_timezone("UTC");
                Arc::new(utc) as ArrayRef
            })
            .boxed(),
    ]
}

fn columns() -> BoxedStrategy<Vec<ArrayRef>> {
    (1usize..12)
        .prop_flat_map(|rows| {
            let mut columns = vec![
                whole!(Int8Type, i8, rows),
                whole!(Int16Type, i16, rows),
                whole!(Int32Type, i32, rows),
                whole!(Int64Type, i64, rows),
                whole!(Int64Type, i64, rows),
                whole!(UInt8Type, u8, rows),
                whole!(UInt16Type, u16, rows),
                whole!(UInt32Type, u32, rows),
                whole!(UInt64Type, u64, rows),
                float32(rows),
                float64(rows),
                float64(rows),
                text(rows),
                text(rows),
                truth(rows),
                truth(rows),
            ];
            columns.extend(times(rows));
            columns
        })
        .boxed()
}

fn number_literal() -> BoxedStrategy<String> {
    prop_oneof![
        prop::sample::select(vec![
            "0",
            "1",
            "2",
            "3",
            "7",
            "60",
            "100",
            "127",
            "128",
            "-1",
            "-128",
            "-129",
            "255",
            "256",
            "-2",
            "32768",
            "70000",
            "-70000",
            "2147483648",
            "9223372036854775807",
            "-9223372036854775807",
            "0.0",
            "1.0",
            "-1.0",
            "60.0",
            "0.1",
            "2.5",
            "-3.75",
            "1000000000000.5",
            "-0.0",
        ])
        .prop_map(str::to_owned),
        any::<i32>().prop_map(|value| value.to_string()),
    ]
    .boxed()
}

fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(NUMBERS.to_vec()).prop_map(str::to_owned),
        1 => number_literal(),
    ];
    leaf.prop_recursive(3, 10, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "//"]);
        prop_oneof![
            6 => (inner.clone(), operator, inner.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            1 => inner.clone().prop_map(|value| format!("(- {value})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("COALESCE({l}, {r})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("CASE WHEN b THEN {l} WHEN c THEN {r} END")),
            1 => (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("IF(b, {l}, {r})")),
            1 => (inner.clone(), prop::sample::select(vec!["BIGINT", "DOUBLE", "SMALLINT", "REAL", "UBIGINT"]))
                .prop_map(|(value, target)| format!("TRY_CAST({value} AS {target})")),
            1 => inner.prop_map(|value| format!("ABS({value})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let comparison = || prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let word = || prop::sample::select(vec!["''", "'a'", "'ab'", "'ä'", "'日本'", "'B'"]);
    let leaf = prop_oneof![
        6 => (number(), comparison(), number()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        2 => (number(), comparison(), number_literal()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        1 => (number_literal(), comparison(), number()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        1 => (number(), number_literal(), number_literal()).prop_map(|(v, l, h)| format!("{v} BETWEEN {l} AND {h}")),
        1 => (number(), number(), number()).prop_map(|(v, l, h)| format!("{v} NOT BETWEEN {l} AND {h}")),
        1 => number().prop_map(|value| format!("{value} IS NULL")),
        1 => (prop::sample::select(NUMBERS.to_vec()), any::<bool>(), prop::collection::vec(-200i64..300, 1..12), any::<bool>())
            .prop_map(|(name, not, list, null)| {
                let mut list: Vec<String> = list.into_iter().map(|value| value.to_string()).collect();
                list.extend(null.then(|| "NULL".to_owned()));
                format!("{name} {} ({})", if not { "NOT IN" } else { "IN" }, list.join(", "))
            }),
        1 => (number(), number()).prop_map(|(l, r)| format!("({l} IS DISTINCT FROM {r})")),
        2 => (prop::sample::select(vec!["s", "t", "COALESCE(s, t)", "COALESCE(s, 'a')"]), comparison(), prop_oneof![word(), Just("t")])
            .prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        1 => prop::sample::select(vec!["s IN ('a', 'ab', '')", "s NOT IN ('ä', NULL)", "(s IS NOT DISTINCT FROM t)", "s IN ('日本')"])
            .prop_map(str::to_owned),
        2 => (any::<bool>(), prop::sample::select(vec!["'a%'", "'%b'", "'%a%'", "'%'", "''", "'ab'", "'%%'", "'a%b'", "'_b'", "'a''%'"]))
            .prop_map(|(not, pattern)| format!("s {} {pattern}", if not { "NOT LIKE" } else { "LIKE" })),
        1 => (prop::sample::select(vec!["day"]), comparison()).prop_map(|(l, o)| format!("{l} {o} '2024-01-01'")),
        1 => (prop::sample::select(vec!["us", "ns"]), comparison()).prop_map(|(l, o)| format!("{l} {o} '2024-01-01 00:00:00'")),
        1 => comparison().prop_map(|o| format!("'1970-01-01' {o} us")),
        1 => prop::sample::select(vec![
            "b", "c", "b = c", "b < c", "b IS TRUE", "b IS NOT TRUE", "b IS FALSE", "b IS NOT FALSE", "b = TRUE", "c <> FALSE",
            "b >= TRUE", "day BETWEEN '1970-01-01' AND '2000-01-01'", "(b IS DISTINCT FROM c)", "COALESCE(b, FALSE)",
            "us IN ('1970-01-01 00:00:00')", "day = day", "i8 = NULL", "ns > ns",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} AND {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} OR {r})")),
            inner.clone().prop_map(|value| format!("(NOT ({value}))")),
            inner.prop_map(|value| format!("(({value}) IS NULL)")),
        ]
    })
    .boxed()
}

/// Equal to the bit; all NaN are one.
fn same(left: &dyn Array, right: &dyn Array) -> bool {
    fn bits(array: &dyn Array) -> Option<Vec<Option<u64>>> {
        let bits64 = |value: f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
        match array.data_type() {
            DataType::Float64 => {
                Some(array.as_primitive::<Float64Type>().iter().map(|v| v.map(bits64)).collect())
            }
            DataType::Float32 => Some(
                array.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| bits64(f64::from(v)))).collect(),
            ),
            _ => None,
        }
    }
    if left.data_type() != right.data_type() || left.len() != right.len() {
        return false;
    }
    match (bits(left), bits(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn agree(sql: &str, columns: &[ArrayRef]) -> Result<(), TestCaseError> {
    let rows = columns[0].len();
    let text = canonical_sql(sql).map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
    prop_assert_eq!(canonical_sql(&text), Ok(text), "the canonical text of {} is read otherwise", sql);
    let expression = match Expression::compile(sql, &fields()) {
        Ok(expression) => expression,
        // Types that do not go together, for both ways.
        Err(ExpressionError::Type { .. }) => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{sql}: {error}"))),
    };
    let whole = match (expression.evaluate(columns, rows), expression.evaluate_by_fallback(columns, rows)) {
        (Ok(kernel), Ok(fallback)) => {
            prop_assert!(same(&kernel, &fallback), "{sql}: kernels {kernel:?}, Polars {fallback:?}");
            kernel
        }
        (Err(kernel), Err(fallback)) => {
            prop_assert_eq!(kernel, fallback);
            return Ok(());
        }
        (kernel, fallback) => {
            return Err(TestCaseError::fail(format!("{sql}: {kernel:?}, Polars {fallback:?}")));
        }
    };
    prop_assert_eq!(whole.data_type(), expression.data_type());
    for cut in 0..=rows {
        let parts = [(0, cut), (cut, rows - cut)].map(|(start, length)| {
            let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, length)).collect();
            expression.evaluate(&part, length)
        });
        let [first, second] = parts;
        let parts = concat(&[&first.unwrap(), &second.unwrap()]).unwrap();
        prop_assert!(same(&whole, &parts), "{sql}: whole {whole:?}, cut at {cut} {parts:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn expression_kernels_agree_with_polars_on_conditions(sql in condition(), columns in columns()) {
        agree(&sql, &columns)?;
    }

    #[test]
    fn expression_kernels_agree_with_polars_on_numbers(sql in number(), columns in columns()) {
        agree(&sql, &columns)?;
    }
}

/// Functions that only Polars computes.
fn function() -> BoxedStrategy<String> {
    let functions = r"UPPER(s) || t; s || i64; LENGTH(s); SUBSTR(s, 2); SUBSTR(s, i8, u8); LEFT(s, i8); RIGHT(s, i8);
        LTRIM(s, t); RTRIM(s, 'b'); TRIM(s); REPLACE(s, 'a', 'bb'); REVERSE(s); CONCAT(s, t, i64); CONCAT_WS('-', s, t);
        STARTS_WITH(s, t); ENDS_WITH(s, t); STRPOS(s, t); STRPOS(s, 'b'); REGEXP_LIKE(s, '^.b'); s ILIKE 'a%'; s LIKE '_b%';
        LPAD(s, 5); RPAD(s, 3, '.'); ROUND(f64, 2); ROUND(f32); FLOOR(f64); CEIL(f32); TRUNC(f64, 1); SIGN(f64); ABS(i8);
        SQRT(f64); CBRT(f64); EXP(f64); LN(f64); LOG(f64, g64); LOG10(f64); POW(f64, g64); POW(f64, 0.5); POW(f64, 2);
        SIN(f64); ATAN2(f64, g64); MOD(i64, j64); DIV(i64, j64); f64 // g64; f64 // 3; i64 // -3; i64 // j64; u64 // 7;
        GREATEST(i64, j64, 3); LEAST(s, t); GREATEST(day, DATE '2000-01-01'); NULLIF(i64, j64); NULLIF(f64, g64); NULLIF(s, t);
        CASE s WHEN 'a' THEN t WHEN t THEN 'same' ELSE s END; CASE i8 WHEN 1 THEN f64 ELSE g64 END; f64 IN (0.0, 1.5, NULL);
        f64 IS DISTINCT FROM g64; u64 IN (1, 2); TRY_CAST(s AS BIGINT); TRY_CAST(f64 AS BIGINT); TRY_CAST(f64 AS SMALLINT);
        TRY_CAST(i64 AS DECIMAL(20, 3)); CAST(f64 AS VARCHAR); CAST(b AS BIGINT); CAST(us AS DATE); EXTRACT(YEAR FROM day);
        EXTRACT(WEEK FROM us); EXTRACT(HOUR FROM ns); EXTRACT(EPOCH FROM us); EXTRACT(SECOND FROM ns); STRFTIME(day, '%d.%m');
        us - us; us > day; i64 > u64; i64 + u64; f32 / i8; f32 % i16; - u8; COALESCE(i8, j64, f64); b AND TRUE; IF(b, s, 'no')";
    prop::sample::select(functions.split(';').map(|sql| sql.trim().to_owned()).collect::<Vec<_>>()).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn expression_functions_of_polars_answer_row_by_row(sql in function(), columns in columns()) {
        let compiled = Expression::compile(&sql, &fields());
        prop_assert!(compiled.is_ok(), "{sql}: {compiled:?}");
        agree(&sql, &columns)?;
    }
}

#[test]
fn expression_kernels_are_there_for_what_is_common() {
    let common = [
        "i64 >= 1000 AND j64 IS NOT NULL",
        "i64 / (j64 / 60.0)",
        "i32 + 1",
        "i64 % 7",
        "f64 * 2.5 - 1",
        "i8 < 1000",
        "u16 = i32",
        "s = 'JFK' OR s IN ('LGA', 'EWR')",
        "s LIKE 'N%'",
        "b AND NOT c",
        "i64 NOT BETWEEN 1 AND 5",
        "CASE WHEN i64 > 0 THEN f64 ELSE 0.0 END",
        "COALESCE(i64, 0)",
        "IFNULL(i64, j64)",
        "CAST(i32 AS BIGINT)",
        "CAST(i64 AS DOUBLE)",
        "day >= '2013-02-01'",
        "ns < '2013-02-01 12:00:00'",
        "-i64",
    ];
    for sql in common {
        let expression = Expression::compile(sql, &fields()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(expression.has_kernel(), "{sql} has no kernel");
    }
}
