//! The answers of SQL expressions, so that a library that changes one is noticed.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;

use anabranch_expression::{Expression, ExpressionError, SEMANTICS_REVISION};
use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    DurationMicrosecondArray, Float64Array, Int8Array, Int64Array, ListArray, StringViewArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray, UInt8Array,
};
use arrow::compute::concat;
use arrow::datatypes::{Field, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Columns by name, three rows each, the last of them null.
fn table() -> Vec<(&'static str, ArrayRef)> {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![]), None]);
    vec![
        ("i", Arc::new(Int64Array::from(vec![Some(7), Some(-7), None]))),
        ("j", Arc::new(Int64Array::from(vec![Some(2), Some(0), None]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(127), Some(-128), None]))),
        ("small", Arc::new(UInt8Array::from(vec![Some(200), Some(0), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(2.5), Some(f64::NAN), None]))),
        ("s", Arc::new(StringViewArray::from(vec![Some("Äb c"), Some(""), None]))),
        ("n", Arc::new(StringViewArray::from(vec![Some("12"), Some("no"), None]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("raw", Arc::new(BinaryViewArray::from(vec![Some(b"a".as_slice()), Some(b""), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None]))),
        ("time", Arc::new(Time64NanosecondArray::from(vec![Some(3_661_000_000_001), Some(0), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_709_211_661_500_000), Some(-1), None]))),
        (
            "utc",
            Arc::new(
                TimestampSecondArray::from(vec![Some(1_709_211_661), Some(-1), None]).with_timezone("UTC"),
            ),
        ),
        ("took", Arc::new(DurationMicrosecondArray::from(vec![Some(1_500_000), Some(0), None]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(1250), Some(-1), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("list", Arc::new(list)),
        ("a b", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
        ("^i$", Arc::new(Int64Array::from(vec![Some(10), Some(20), None]))),
        ("*", Arc::new(Int64Array::from(vec![Some(100), Some(200), None]))),
    ]
}

fn fields() -> Vec<arrow::datatypes::FieldRef> {
    table()
        .into_iter()
        .map(|(name, array)| Arc::new(Field::new(name, array.data_type().clone(), true)))
        .collect()
}

fn compile(sql: &str) -> Result<Expression, ExpressionError> {
    Expression::compile(sql, &fields())
}

fn evaluate(sql: &str) -> Result<ArrayRef, ExpressionError> {
    let columns: Vec<ArrayRef> = table().into_iter().map(|(_, array)| array).collect();
    let expression = compile(sql)?;
    let result = expression.evaluate(&columns, 3)?;
    assert_eq!(result.data_type(), expression.data_type(), "{sql}");
    Ok(result)
}

/// The values of all rows as one text, with the type.
fn answer(sql: &str) -> String {
    let array = match evaluate(sql) {
        Ok(array) => array,
        Err(error) => return format!("error: {error}"),
    };
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(&array, &options).unwrap();
    let values: Vec<String> = (0..array.len()).map(|row| formatter.value(row).to_string()).collect();
    format!("{} {}", array.data_type(), values.join(" | "))
}

/// Each row computed without the others.
fn row_by_row(expression: &Expression) -> ArrayData {
    let rows: Vec<ArrayRef> = (0..3)
        .map(|row| {
            let columns: Vec<ArrayRef> = table().into_iter().map(|(_, array)| array.slice(row, 1)).collect();
            expression.evaluate(&columns, 1).unwrap()
        })
        .collect();
    concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap().to_data()
}

#[test]
fn expression_golden_answers() {
    assert_eq!(SEMANTICS_REVISION, 2, "raised together with a change of an answer");
    let changed: Vec<String> = GOLDEN
        .iter()
        .map(|(sql, expected)| (sql, expected, answer(sql)))
        .filter(|(_, expected, found)| found != *expected)
        .map(|(sql, _, found)| format!("    ({sql:?}, {found:?}),"))
        .collect();
    assert!(changed.is_empty(), "answers have changed:\n{}", changed.join("\n"));
}

#[test]
fn expression_golden_answers_are_the_same_row_by_row() {
    for (sql, _) in GOLDEN {
        let expression = compile(sql).unwrap();
        // A row that fails is compared by the other golden test.
        let Ok(answer) = evaluate(sql) else { continue };
        assert_eq!(row_by_row(&expression), answer.to_data(), "{sql} looks at other rows");
    }
}

/// Expression, then type and values of the three rows.
const GOLDEN: &[(&str, &str)] = &[
    ("i + j", "Int64 9 | -7 | null"),
    ("i - 1", "Int64 6 | -8 | null"),
    ("i * 2", "Int64 14 | -14 | null"),
    (
        "tiny + 1",
        "error: a number beyond the range of its type; cast an operand to a wider type, or guard it by CASE",
    ),
    ("tiny + 200", "Int16 327 | 72 | null"),
    (
        "tiny * tiny",
        "error: a number beyond the range of its type; cast an operand to a wider type, or guard it by CASE",
    ),
    (
        "small - 201",
        "error: a number beyond the range of its type; cast an operand to a wider type, or guard it by CASE",
    ),
    ("- i", "Int64 -7 | 7 | null"),
    (
        "- small",
        "error: a number beyond the range of its type; cast an operand to a wider type, or guard it by CASE",
    ),
    ("i / j", "Float64 3.5 | -inf | null"),
    ("i / 2", "Float64 3.5 | -3.5 | null"),
    ("x / 3", "Float64 0.8333333333333334 | NaN | null"),
    ("i // j", "Int64 3 | null | null"),
    ("i // 2", "Int64 3 | -3 | null"),
    ("x // 2", "Float64 1.0 | NaN | null"),
    ("i % j", "Int64 1 | null | null"),
    ("i % 3", "Int64 1 | -1 | null"),
    ("x % 2", "Float64 0.5 | NaN | null"),
    ("1 / 0", "Float64 inf | inf | inf"),
    ("i = 7", "Boolean true | false | null"),
    ("i <> 7", "Boolean false | true | null"),
    ("i = j", "Boolean false | false | null"),
    ("x = x", "Boolean true | true | null"),
    ("x = 2.5", "Boolean true | false | null"),
    ("x > 1000000", "Boolean false | true | null"),
    ("x < 1", "Boolean false | false | null"),
    ("i > 1.5", "Boolean true | false | null"),
    ("tiny < 1000", "Boolean true | true | null"),
    ("small > -1", "Boolean true | true | null"),
    ("b AND (i > 0)", "Boolean true | false | null"),
    ("b OR (i < 0)", "Boolean true | true | null"),
    ("b = TRUE", "Boolean true | false | null"),
    ("NOT b", "Boolean false | true | null"),
    ("i IS NULL", "Boolean false | false | true"),
    ("i IS NOT NULL", "Boolean true | true | false"),
    ("b IS TRUE", "Boolean true | false | false"),
    ("b IS NOT TRUE", "Boolean false | true | true"),
    ("b IS FALSE", "Boolean false | true | false"),
    ("b IS NOT FALSE", "Boolean true | false | true"),
    ("i IS DISTINCT FROM 7", "Boolean false | true | true"),
    ("i IS NOT DISTINCT FROM j", "Boolean false | false | true"),
    ("x IS DISTINCT FROM x", "Boolean false | false | false"),
    ("i IN (7, 8)", "Boolean true | false | null"),
    ("i IN (7, NULL)", "Boolean true | null | null"),
    ("i NOT IN (8, NULL)", "Boolean null | null | null"),
    ("s IN ('', 'x')", "Boolean false | true | null"),
    ("i BETWEEN -7 AND 0", "Boolean false | true | null"),
    ("i NOT BETWEEN -7 AND 0", "Boolean true | false | null"),
    ("s LIKE 'Ä%'", "Boolean true | false | null"),
    ("s LIKE '_b%'", "Boolean true | false | null"),
    ("s NOT LIKE '%c'", "Boolean false | true | null"),
    ("s ILIKE 'äB%'", "Boolean true | false | null"),
    ("CASE WHEN i > 0 THEN 'plus' WHEN i < 0 THEN 'minus' END", "Utf8View plus | minus | null"),
    ("CASE i WHEN 7 THEN 1 ELSE 0 END", "Int32 1 | 0 | 0"),
    ("IF(b, i, 0)", "Int64 7 | 0 | 0"),
    ("CAST(i AS DOUBLE)", "Float64 7.0 | -7.0 | null"),
    ("CAST(i AS VARCHAR)", "Utf8View 7 | -7 | null"),
    ("CAST(x AS VARCHAR)", "Utf8View 2.5 | NaN | null"),
    ("CAST(b AS INTEGER)", "Int32 1 | 0 | null"),
    ("CAST(i AS DECIMAL(10, 2))", "Decimal128(10, 2) 7.00 | -7.00 | null"),
    ("TRY_CAST(x AS BIGINT)", "Int64 2 | null | null"),
    ("TRY_CAST(n AS BIGINT)", "Int64 12 | null | null"),
    ("TRY_CAST(i AS UBIGINT)", "UInt64 7 | null | null"),
    ("TRY_CAST(n AS DOUBLE)", "Float64 12.0 | null | null"),
    ("n::VARCHAR", "Utf8View 12 | no | null"),
    ("CAST('2024-02-29' AS DATE)", "Date32 2024-02-29 | 2024-02-29 | 2024-02-29"),
    ("COALESCE(i, 0)", "Int64 7 | -7 | 0"),
    ("COALESCE(x, 1)", "Float64 2.5 | NaN | 1.0"),
    ("IFNULL(s, 'none')", "Utf8View Äb c |  | none"),
    ("NULLIF(i, 7)", "Int64 null | -7 | null"),
    ("GREATEST(i, j, 1)", "Int64 7 | 1 | 1"),
    ("LEAST(i, j)", "Int64 2 | -7 | null"),
    ("ABS(i)", "Int64 7 | 7 | null"),
    (
        "ABS(tiny)",
        "error: a number beyond the range of its type; cast an operand to a wider type, or guard it by CASE",
    ),
    ("SIGN(x)", "Float64 1.0 | NaN | null"),
    ("ROUND(x)", "Float64 3.0 | NaN | null"),
    ("ROUND(x / 3, 2)", "Float64 0.83 | NaN | null"),
    ("TRUNC(x)", "Float64 2.0 | NaN | null"),
    ("TRUNCATE(x, 1)", "Float64 2.5 | NaN | null"),
    ("FLOOR(x)", "Float64 2.0 | NaN | null"),
    ("CEIL(x)", "Float64 3.0 | NaN | null"),
    ("CEILING(x)", "Float64 3.0 | NaN | null"),
    ("ROUND(SQRT(i), 6)", "Float64 2.645751 | NaN | null"),
    ("ROUND(CBRT(i), 6)", "Float64 1.912931 | -1.912931 | null"),
    ("ROUND(EXP(i), 4)", "Float64 1096.6332 | 0.0009 | null"),
    ("ROUND(LN(x), 6)", "Float64 0.916291 | NaN | null"),
    ("ROUND(LOG(i, 2), 6)", "Float64 0.356207 | NaN | null"),
    ("ROUND(LOG10(x), 6)", "Float64 0.39794 | NaN | null"),
    ("ROUND(LOG2(x), 6)", "Float64 1.321928 | NaN | null"),
    ("ROUND(LOG1P(x), 6)", "Float64 1.252763 | NaN | null"),
    ("POW(i, 2)", "Int64 49 | 49 | null"),
    ("POWER(x, 2)", "Float64 6.25 | NaN | null"),
    ("ROUND(POW(x, 0.5), 6)", "Float64 1.581139 | NaN | null"),
    ("MOD(i, 4)", "Int64 3 | -3 | null"),
    ("DIV(i, 4)", "Int64 1 | -1 | null"),
    ("ROUND(PI(), 6)", "Float64 3.141593 | 3.141593 | 3.141593"),
    ("ROUND(SIN(x), 6)", "Float64 0.598472 | NaN | null"),
    ("ROUND(COS(x), 6)", "Float64 -0.801144 | NaN | null"),
    ("ROUND(TAN(x), 6)", "Float64 -0.747022 | NaN | null"),
    ("ROUND(COT(x), 6)", "Float64 -1.338648 | NaN | null"),
    ("ROUND(SIND(x), 6)", "Float64 0.043619 | NaN | null"),
    ("ROUND(COSD(x), 6)", "Float64 0.999048 | NaN | null"),
    ("ROUND(TAND(x), 6)", "Float64 0.043661 | NaN | null"),
    ("ROUND(COTD(x), 6)", "Float64 22.903766 | NaN | null"),
    ("ROUND(ASIN(x / 10), 6)", "Float64 0.25268 | NaN | null"),
    ("ROUND(ACOS(x / 10), 6)", "Float64 1.318116 | NaN | null"),
    ("ROUND(ATAN(x), 6)", "Float64 1.19029 | NaN | null"),
    ("ROUND(ASIND(x / 10), 6)", "Float64 14.477512 | NaN | null"),
    ("ROUND(ACOSD(x / 10), 6)", "Float64 75.522488 | NaN | null"),
    ("ROUND(ATAND(x), 6)", "Float64 68.198591 | NaN | null"),
    ("ROUND(ATAN2(x, 1.0), 6)", "Float64 1.19029 | NaN | null"),
    ("ROUND(ATAN2D(x, 1.0), 6)", "Float64 68.198591 | NaN | null"),
    ("ROUND(DEGREES(x), 6)", "Float64 143.239449 | NaN | null"),
    ("ROUND(RADIANS(x), 6)", "Float64 0.043633 | NaN | null"),
    ("LOWER(s)", "Utf8View äb c |  | null"),
    ("UPPER(s)", "Utf8View ÄB C |  | null"),
    ("LENGTH(s)", "Int64 4 | 0 | null"),
    ("CHAR_LENGTH(s)", "Int64 4 | 0 | null"),
    ("CHARACTER_LENGTH(s)", "Int64 4 | 0 | null"),
    ("OCTET_LENGTH(s)", "Int64 5 | 0 | null"),
    ("BIT_LENGTH(s)", "Int64 40 | 0 | null"),
    ("SUBSTR(s, 2)", "Utf8View b c |  | null"),
    ("SUBSTR(s, 0)", "Utf8View Äb c |  | null"),
    ("SUBSTR(s, 2, 2)", "Utf8View b  |  | null"),
    ("SUBSTR(s, j, 1)", "Utf8View b |  | null"),
    ("SUBSTRING(s FROM 2 FOR 1)", "Utf8View b |  | null"),
    ("LEFT(s, 2)", "Utf8View Äb |  | null"),
    ("LEFT(s, -1)", "Utf8View Äb  |  | null"),
    ("LEFT(s, j)", "Utf8View Äb |  | null"),
    ("RIGHT(s, 1)", "Utf8View c |  | null"),
    ("RIGHT(s, j)", "Utf8View  c |  | null"),
    ("TRIM(' a ')", "Utf8View a | a | a"),
    ("TRIM(BOTH 'Ä' FROM s)", "Utf8View b c |  | null"),
    ("TRIM(LEADING 'Ä' FROM s)", "Utf8View b c |  | null"),
    ("TRIM(TRAILING 'c' FROM s)", "Utf8View Äb  |  | null"),
    ("LTRIM(s, 'Ä')", "Utf8View b c |  | null"),
    ("RTRIM(s, 'c')", "Utf8View Äb  |  | null"),
    ("LPAD(n, 4)", "Utf8View   12 |   no | null"),
    ("RPAD(n, 4, '.')", "Utf8View 12.. | no.. | null"),
    ("REPLACE(s, ' ', '-')", "Utf8View Äb-c |  | null"),
    ("REVERSE(s)", "Utf8View c bÄ |  | null"),
    ("s || '!'", "Utf8View Äb c! | ! | null"),
    ("i || n", "Utf8View 712 | -7no | null"),
    ("CONCAT(s, i, n)", "Utf8View Äb c712 | -7no | "),
    ("CONCAT_WS('-', s, n)", "Utf8View Äb c-12 | -no | "),
    ("STARTS_WITH(s, 'Ä')", "Boolean true | false | null"),
    ("STARTS_WITH(s, n)", "Boolean false | false | null"),
    ("ENDS_WITH(s, 'c')", "Boolean true | false | null"),
    ("STRPOS(s, 'c')", "Int64 4 | 0 | null"),
    ("POSITION('b' IN s)", "Int64 2 | 0 | null"),
    ("REGEXP_LIKE(s, '^Ä.')", "Boolean true | false | null"),
    ("REGEXP_LIKE(s, 'ä', 'i')", "Boolean true | false | null"),
    ("EXTRACT(YEAR FROM day)", "Int32 2024 | 1969 | null"),
    ("EXTRACT(QUARTER FROM day)", "Int8 1 | 4 | null"),
    ("EXTRACT(MONTH FROM day)", "Int8 2 | 12 | null"),
    ("EXTRACT(WEEK FROM day)", "Int8 9 | 1 | null"),
    ("EXTRACT(DOW FROM day)", "Int8 4 | 3 | null"),
    ("EXTRACT(ISODOW FROM day)", "Int8 4 | 3 | null"),
    ("EXTRACT(DOY FROM day)", "Int16 60 | 365 | null"),
    ("EXTRACT(DAY FROM day)", "Int8 29 | 31 | null"),
    ("EXTRACT(ISOYEAR FROM day)", "Int32 2024 | 1970 | null"),
    ("EXTRACT(DECADE FROM day)", "Int32 202 | 196 | null"),
    ("EXTRACT(CENTURY FROM day)", "Int32 21 | 20 | null"),
    ("EXTRACT(MILLENNIUM FROM day)", "Int32 3 | 2 | null"),
    ("DATE_PART('hour', at)", "Int8 13 | 23 | null"),
    ("DATE_PART('minute', time)", "Int8 1 | 0 | null"),
    ("DATE_PART('second', utc)", "Int8 1 | 59 | null"),
    ("DATE_PART('millisecond', at)", "Float64 1500.0 | 59999.999 | null"),
    ("DATE_PART('microsecond', at)", "Float64 1500000.0 | 59999999.0 | null"),
    ("DATE_PART('nanosecond', at)", "Float64 1500000000.0 | 59999999000.0 | null"),
    ("DATE_PART('epoch', utc)", "Float64 1709211661.0 | -1.0 | null"),
    ("DATE_PART('time', at)", "Time64(ns) 13:01:01.500 | 23:59:59.999999 | null"),
    ("DATE '2024-02-29'", "Date32 2024-02-29 | 2024-02-29 | 2024-02-29"),
    ("TIME '12:30'", "Time64(ns) 12:30:00 | 12:30:00 | 12:30:00"),
    (
        "TIMESTAMP '2024-02-29 12:30:00.25'",
        "Timestamp(µs) 2024-02-29T12:30:00.250 | 2024-02-29T12:30:00.250 | 2024-02-29T12:30:00.250",
    ),
    ("day = '2024-02-29'", "Boolean true | false | null"),
    ("day IN ('2024-02-29', NULL)", "Boolean true | null | null"),
    ("day NOT IN ('2024-02-29', '1969-12-31', '2000-01-01')", "Boolean false | false | null"),
    ("day >= DATE '1970-01-01'", "Boolean true | false | null"),
    ("time > '01:00'", "Boolean true | false | null"),
    ("at >= '2024-02-29'", "Boolean true | false | null"),
    ("at BETWEEN '1969-01-01' AND '1970-01-01'", "Boolean false | true | null"),
    ("utc = '2024-02-29 13:01:01'", "Boolean true | false | null"),
    ("at - at", "Duration(µs) P0D | P0D | null"),
    ("at > day", "Boolean true | true | null"),
    ("took / 2", "Duration(µs) PT0.75S | P0D | null"),
    ("STRFTIME(day, '%Y/%m/%d')", "Utf8View 2024/02/29 | 1969/12/31 | null"),
    ("STRFTIME(time, '%H %M')", "Utf8View 01 01 | 00 00 | null"),
    (
        "STRPTIME('29.02.2024 01:02', '%d.%m.%Y %H:%M')",
        "Timestamp(µs) 2024-02-29T01:02:00 | 2024-02-29T01:02:00 | 2024-02-29T01:02:00",
    ),
    ("DATE('29.02.2024', '%d.%m.%Y')", "Date32 2024-02-29 | 2024-02-29 | 2024-02-29"),
    ("TIME('01.02', '%H.%M')", "Time64(ns) 01:02:00 | 01:02:00 | 01:02:00"),
    (
        "TIMESTAMP('29.02.2024 01:02', '%d.%m.%Y %H:%M')",
        "Timestamp(µs) 2024-02-29T01:02:00 | 2024-02-29T01:02:00 | 2024-02-29T01:02:00",
    ),
    (
        "DATETIME('29.02.2024 01:02', '%d.%m.%Y %H:%M')",
        "Timestamp(µs) 2024-02-29T01:02:00 | 2024-02-29T01:02:00 | 2024-02-29T01:02:00",
    ),
    ("CAST(at AS DATE)", "Date32 2024-02-29 | 1969-12-31 | null"),
    ("CAST(day AS TIMESTAMP)", "Timestamp(µs) 2024-02-29T00:00:00 | 1969-12-31T00:00:00 | null"),
    ("CAST(day AS TIMESTAMP(3))", "Timestamp(ms) 2024-02-29T00:00:00 | 1969-12-31T00:00:00 | null"),
    ("price * 2", "Decimal128(38, 2) 25.00 | -0.02 | null"),
    ("price > 1", "Boolean true | false | null"),
    ("price + price", "Decimal128(38, 2) 25.00 | -0.02 | null"),
    ("price + 1.5", "Decimal128(38, 2) 14.00 | 1.49 | null"),
    ("raw = raw", "Boolean true | true | null"),
    ("\"a b\" + 1", "Int64 2 | 3 | null"),
    ("\"^i$\" + i", "Int64 17 | 13 | null"),
    ("\"*\" * 2", "Int64 200 | 400 | null"),
    ("list", "List(Int64) [1] | [] | null"),
    ("NULL", "Utf8View null | null | null"),
    ("NULL = 1", "Boolean null | null | null"),
    ("TRUE", "Boolean true | true | true"),
    ("'it''s'", "Utf8View it's | it's | it's"),
    ("1 + 2 * 3", "Int32 7 | 7 | 7"),
    ("1.5", "Float64 1.5 | 1.5 | 1.5"),
    ("1e3", "Float64 1000.0 | 1000.0 | 1000.0"),
    ("0.06 + 0.01 = 0.07", "Boolean true | true | true"),
    ("price * price", "Decimal128(38, 4) 156.2500 | 0.0001 | null"),
    ("price BETWEEN 12.49 + 0.01 AND 12.5", "Boolean true | false | null"),
    ("price IN (12.50, 1)", "Boolean true | false | null"),
    ("ROUND(price * 0.1, 2)", "Decimal128(38, 3) 1.250 | 0.000 | null"),
    ("18446744073709551615", "UInt64 18446744073709551615 | 18446744073709551615 | 18446744073709551615"),
    ("i = 7.0", "Boolean true | false | null"),
    ("i < 6.5", "Boolean false | true | null"),
    ("COALESCE(small, i)", "Int64 200 | 0 | null"),
    ("CASE WHEN j <> 0 THEN 100 // j ELSE -1 END", "Int64 50 | -1 | -1"),
    ("j <> 0 AND 10 // j > 1", "Boolean true | false | null"),
    ("i & 3", "Int64 3 | 1 | null"),
    ("i << 2", "Int64 28 | -28 | null"),
    ("~ i", "Int64 -8 | 6 | null"),
    ("XOR(i, j)", "Int64 5 | -7 | null"),
    ("day + 1", "Date32 2024-03-01 | 1970-01-01 | null"),
    ("day + INTERVAL '1 month'", "Date32 2024-03-29 | 1970-01-31 | null"),
    ("day - INTERVAL '12 hours'", "Timestamp(µs) 2024-02-28T12:00:00 | 1969-12-30T12:00:00 | null"),
    (
        "at + INTERVAL '1 day 2 hours'",
        "Timestamp(µs) 2024-03-01T15:01:01.500 | 1970-01-02T01:59:59.999999 | null",
    ),
    ("DATE_TRUNC('month', day)", "Date32 2024-02-01 | 1969-12-01 | null"),
    ("DATE_TRUNC('hour', at)", "Timestamp(µs) 2024-02-29T13:00:00 | 1969-12-31T23:00:00 | null"),
    ("DATE_DIFF('month', DATE '2023-12-31', day)", "Int64 2 | -648 | null"),
    ("YEAR(at)", "Int32 2024 | 1969 | null"),
    ("utc AT TIME ZONE 'America/New_York'", "Timestamp(s) 2024-02-29T08:01:01 | 1969-12-31T18:59:59 | null"),
    ("CAST('2024-02-29' AS DATE) = day", "Boolean true | false | null"),
    ("TRY_CAST(n AS DATE)", "Date32 null | null | null"),
    ("CAST(at AS VARCHAR)", "Utf8View 2024-02-29 13:01:01.5 | 1969-12-31 23:59:59.999999 | null"),
    ("CAST(s AS VARCHAR(2))", "Utf8View Äb |  | null"),
    ("s LIKE '%#_%' ESCAPE '#'", "Boolean false | false | null"),
    ("SPLIT_PART(s, ' ', 2)", "Utf8View c |  | null"),
    ("REGEXP_REPLACE(s, '(.) (.)', '\\2-\\1')", "Utf8View Äc-b |  | null"),
    ("INITCAP(s)", "Utf8View Äb C |  | null"),
    ("REPEAT(n, 2)", "Utf8View 1212 | nono | null"),
    ("TRIM(s, 'Äc')", "Utf8View b  |  | null"),
    ("RIGHT('abc', 4)", "Utf8View abc | abc | abc"),
    ("LENGTH(n) - LENGTH(s)", "Int64 -2 | 2 | null"),
    ("ROUND(i * 100, -2)", "Int64 700 | -700 | null"),
    ("ISNAN(x)", "Boolean false | true | null"),
    ("i IN (j, 7)", "Boolean true | false | null"),
    ("list[1]", "Int64 1 | null | null"),
    ("list IS NULL", "Boolean false | false | true"),
    ("GREATEST(x, 1.0)", "Float64 2.5 | NaN | 1.0"),
];
