//! Expressions answer as plain models of arithmetic do, at the edges of every type.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::type_complexity,
    clippy::single_match_else,
    reason = "a test that cannot go on panics, and its models are small"
)]

use std::cmp::Ordering;
use std::sync::Arc;

use anabranch_expression::Expression;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, i256};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

/// The answer for one row of the columns `a` and `b`; none where the row has an error.
fn answer(sql: &str, columns: &[(&str, &ArrayRef)]) -> Option<ArrayRef> {
    let field = |(name, array): &(&str, &ArrayRef)| -> FieldRef {
        Arc::new(Field::new(*name, array.data_type().clone(), true))
    };
    let fields: Vec<FieldRef> = columns.iter().map(field).collect();
    let expression = Expression::compile(sql, &fields).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let alone = expression.evaluate(&arrays, 1).ok();
    // The same beside a row of nulls, which has another loop.
    let twice: Vec<ArrayRef> = arrays.iter().map(|array| beside_null(array)).collect();
    let beside = expression.evaluate(&twice, 3).ok();
    match (&alone, &beside) {
        (Some(alone), Some(beside)) => assert_eq!(beside.slice(1, 1).to_data(), alone.to_data(), "{sql}"),
        (alone, beside) => assert_eq!(alone.is_some(), beside.is_some(), "{sql}"),
    }
    alone
}

/// A null, the value, a null.
fn beside_null(array: &ArrayRef) -> ArrayRef {
    let null = arrow::array::new_null_array(array.data_type(), 1);
    arrow::compute::concat(&[&null, array, &null]).unwrap()
}

fn truth(sql: &str, columns: &[(&str, &ArrayRef)]) -> bool {
    let found = answer(sql, columns).unwrap_or_else(|| panic!("{sql} has an error"));
    assert!(found.is_valid(0), "{sql} is null");
    found.as_boolean().value(0)
}

/// A number as it is, for the models: `digits / 10^scale`, or a float.
#[derive(Debug, Clone, Copy)]
enum Number {
    Exact(i128, u8),
    Float(f64),
}

/// A magnitude of any size, lowest digits first.
#[derive(PartialEq, Eq)]
struct Magnitude(Vec<u32>);

impl Magnitude {
    fn new(value: u128) -> Self {
        Self((0..4).map(|part| (value >> (32 * part)) as u32).collect())
    }

    fn times(mut self, factor: u32, often: u32) -> Self {
        for _ in 0..often {
            let mut carry = 0_u64;
            for digit in &mut self.0 {
                let product = u64::from(*digit) * u64::from(factor) + carry;
                *digit = product as u32;
                carry = product >> 32;
            }
            self.0.push(carry as u32);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn order(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl Number {
    /// Sign, magnitude, scale by ten and by two: `sign * magnitude / 10^ten * 2^two`.
    fn parts(self) -> (i128, u128, u8, i32) {
        match self {
            Self::Exact(digits, scale) => (digits.signum(), digits.unsigned_abs(), scale, 0),
            Self::Float(float) => {
                let bits = float.to_bits();
                let exponent = ((bits >> 52) & 0x7ff) as i32;
                let fraction = u128::from(bits & ((1 << 52) - 1));
                let (mantissa, exponent) =
                    if exponent == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, exponent - 1_075) };
                (if float < 0.0 { -1 } else { i128::from(mantissa > 0) }, mantissa, 0, exponent)
            }
        }
    }

    fn order(self, other: Self) -> Ordering {
        let special = |number: Self| match number {
            Self::Float(float) if float.is_nan() => 2,
            Self::Float(float) if float.is_infinite() => float.signum() as i32,
            _ => 0,
        };
        let (l, r) = (special(self), special(other));
        if l != 0 || r != 0 {
            return l.cmp(&r);
        }
        let ((left_sign, left, left_ten, left_two), (right_sign, right, right_ten, right_two)) =
            (self.parts(), other.parts());
        let scaled = |magnitude: u128, ten: u8, other_two: i32, two: i32| {
            let twos = (two - other_two).max(0).unsigned_abs();
            Magnitude::new(magnitude).times(10, u32::from(ten)).times(2, twos)
        };
        let order =
            scaled(left, right_ten, right_two, left_two).order(&scaled(right, left_ten, left_two, right_two));
        left_sign.cmp(&right_sign).then(if left_sign < 0 { order.reverse() } else { order })
    }
}

/// A value of a numeric type, at an edge as often as not, and what it is.
fn number() -> impl Strategy<Value = (ArrayRef, Number)> {
    let edges = prop_oneof![
        any::<i128>().prop_flat_map(|n| (Just(n), 0_u32..128)).prop_map(|(n, shift)| n >> shift),
        (0_u32..65, -2_i128..3, any::<bool>()).prop_map(|(bits, by, negative)| {
            let value = (1_i128 << bits) + by;
            if negative { -value } else { value }
        }),
        (0_u32..39, -1_i128..2).prop_map(|(exponent, by)| 10_i128.pow(exponent.min(37)) + by),
        -3_i128..4,
    ];
    (edges, 0_u8..12, 0_u8..=38, any::<u64>()).prop_map(|(value, kind, scale, bits)| {
        let exact = |array: ArrayRef, value: i128| (array, Number::Exact(value, 0));
        macro_rules! integer {
            ($array:ident, $native:ty) => {{
                let value = <$native>::try_from(value).unwrap_or(if value < 0 {
                    <$native>::MIN
                } else {
                    <$native>::MAX
                });
                exact(Arc::new($array::from(vec![value])), i128::from(value))
            }};
        }
        let float =
            |value: f64| (Arc::new(Float64Array::from(vec![value])) as ArrayRef, Number::Float(value));
        match kind {
            0 => integer!(Int8Array, i8),
            1 => integer!(Int16Array, i16),
            2 => integer!(Int32Array, i32),
            3 => integer!(Int64Array, i64),
            4 => integer!(UInt8Array, u8),
            5 => integer!(UInt16Array, u16),
            6 => integer!(UInt32Array, u32),
            7 => integer!(UInt64Array, u64),
            8 => float(f64::from_bits(bits)),
            9 => float(value as f64 / 10_f64.powi(i32::from(scale))),
            10 => {
                let narrow = f32::from_bits(bits as u32);
                (Arc::new(Float32Array::from(vec![narrow])) as ArrayRef, Number::Float(f64::from(narrow)))
            }
            _ => {
                let limit = 10_i128.pow(38) - 1;
                let value = value.clamp(-limit, limit);
                let array =
                    Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale.cast_signed());
                (Arc::new(array.unwrap()) as ArrayRef, Number::Exact(value, scale))
            }
        }
    })
}

const OPERATORS: [(&str, fn(Ordering) -> bool); 6] = [
    ("=", Ordering::is_eq),
    ("<>", Ordering::is_ne),
    ("<", Ordering::is_lt),
    ("<=", Ordering::is_le),
    (">", Ordering::is_gt),
    (">=", Ordering::is_ge),
];

fn decimal(value: i128, scale: u8) -> ArrayRef {
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale.cast_signed()).unwrap();
    Arc::new(array)
}

/// The digits of a decimal answer at a scale.
fn digits(array: &ArrayRef, scale: u8) -> Option<i128> {
    assert_eq!(*array.data_type(), DataType::Decimal128(38, scale.cast_signed()));
    let values = array.as_primitive::<Decimal128Type>();
    values.is_valid(0).then(|| values.value(0))
}

fn within(value: i256) -> Option<i128> {
    value.to_i128().filter(|value| value.unsigned_abs() < 10_u128.pow(38))
}

fn power(exponent: u8) -> i256 {
    i256::from_i128(10).checked_pow(u32::from(exponent)).unwrap()
}

/// Decimals of up to 38 digits, few as often as many.
fn decimals() -> impl Strategy<Value = (i128, u8)> {
    (any::<i128>(), 0_u32..128, 0_u8..=38).prop_map(|(value, shift, scale)| {
        let limit = 10_i128.pow(38) - 1;
        ((value >> shift).clamp(-limit, limit), scale)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn numbers_of_any_two_types_compare_by_value((a, left) in number(), (b, right) in number()) {
        let types = (a.data_type().clone(), b.data_type().clone());
        // Of a float32 and an integer that it may not hold, or a float64, DuckDB's float64 is taken as well.
        let order = left.order(right);
        for (operator, holds) in OPERATORS {
            let found = truth(&format!("a {operator} b"), &[("a", &a), ("b", &b)]);
            prop_assert_eq!(found, holds(order), "{:?} {} {:?} of {:?}", left, operator, right, types);
        }
    }

    #[test]
    fn sums_and_products_of_decimals_are_exact_or_errors((a, s) in decimals(), (b, t) in decimals()) {
        let (x, y) = (decimal(a, s), decimal(b, t));
        let columns: [(&str, &ArrayRef); 2] = [("a", &x), ("b", &y)];
        let scale = s.max(t);
        let (l, r) = (i256::from_i128(a).checked_mul(power(scale - s)), i256::from_i128(b).checked_mul(power(scale - t)));
        let (l, r) = (l.unwrap(), r.unwrap());
        for (operator, expected) in [("+", l.checked_add(r)), ("-", l.checked_sub(r))] {
            let found = answer(&format!("a {operator} b"), &columns).map(|array| digits(&array, scale));
            prop_assert_eq!(found, within(expected.unwrap()).map(Some), "{}", operator);
        }
        let rest = if b == 0 { Some(None) } else { within(l.checked_rem(r).unwrap()).map(Some) };
        prop_assert_eq!(answer("a % b", &columns).map(|array| digits(&array, scale)), rest);
        if s + t <= 38 {
            let product = i256::from_i128(a).checked_mul(i256::from_i128(b)).unwrap();
            let found = answer("a * b", &columns).map(|array| digits(&array, s + t));
            prop_assert_eq!(found, within(product).map(Some));
        }
    }

    #[test]
    fn decimals_are_rounded_half_away_from_zero((a, scale) in decimals(), to in -3_i64..39) {
        let column = decimal(a, scale);
        let found = answer(&format!("ROUND(a, {to})"), &[("a", &column)]).map(|array| digits(&array, scale));
        let cut = i64::from(scale) - to;
        let expected = if cut <= 0 {
            Some(a)
        } else {
            let unit = i256::from_i128(10).checked_pow(u32::try_from(cut).unwrap()).unwrap();
            let half = unit.checked_div(i256::from_i128(2)).unwrap();
            let away = if a < 0 { half.checked_neg().unwrap() } else { half };
            let rounded = i256::from_i128(a).checked_add(away).unwrap().checked_div(unit).unwrap();
            within(rounded.checked_mul(unit).unwrap())
        };
        prop_assert_eq!(found, expected.map(Some));
        prop_assert_eq!(answer("ABS(a)", &[("a", &column)]).map(|array| digits(&array, scale)), Some(Some(a.abs())));
    }

    #[test]
    fn a_decimal_as_a_float_is_the_nearest((a, scale) in decimals()) {
        let column = decimal(a, scale);
        let found = answer("CAST(a AS DOUBLE)", &[("a", &column)]).unwrap();
        let text = array_value_to_string(&column, 0).unwrap();
        prop_assert_eq!(found.as_primitive::<Float64Type>().value(0), text.parse::<f64>().unwrap());
    }

    #[test]
    fn a_float_as_a_decimal_is_the_shortest_text_rounded(bits in any::<u64>(), few in -1e12_f64..1e12, scale in 0_u8..20, kind in 0..3) {
        let value = match kind {
            0 => f64::from_bits(bits),
            1 => few,
            _ => (few * 1_000.0).round() / 1_000.0,
        };
        let column: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        let found = answer(&format!("CAST(a AS DECIMAL(38, {scale}))"), &[("a", &column)]).map(|array| digits(&array, scale));
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![
            if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:e}") }
        ]));
        let expected = answer(&format!("CAST(a AS DECIMAL(38, {scale}))"), &[("a", &text)]).map(|array| digits(&array, scale));
        prop_assert_eq!(found, expected, "{}", value);
    }

    #[test]
    fn integers_of_every_width_are_exact_or_errors(value in any::<[i64; 2]>(), shifts in any::<[u32; 2]>(), types in (0_usize..7, 0_usize..7)) {
        const TYPES: [(DataType, i128, i128); 7] = [
            (DataType::Int8, i8::MIN as i128, i8::MAX as i128),
            (DataType::Int16, i16::MIN as i128, i16::MAX as i128),
            (DataType::Int32, i32::MIN as i128, i32::MAX as i128),
            (DataType::Int64, i64::MIN as i128, i64::MAX as i128),
            (DataType::UInt8, 0, u8::MAX as i128),
            (DataType::UInt16, 0, u16::MAX as i128),
            (DataType::UInt32, 0, u32::MAX as i128),
        ];
        let side = |at: usize, of: usize| {
            let (data_type, low, high) = &TYPES[of];
            let value = i128::from(value[at] >> (shifts[at] % 64)).clamp(*low, *high);
            let wide: ArrayRef = Arc::new(Int64Array::from(vec![value as i64]));
            (arrow::compute::cast(&wide, data_type).unwrap(), value)
        };
        let ((x, a), (y, b)) = (side(0, types.0), side(1, types.1));
        let columns: [(&str, &ArrayRef); 2] = [("a", &x), ("b", &y)];
        let number = |array: ArrayRef| {
            let (low, high) = TYPES.iter().find(|(data_type, ..)| data_type == array.data_type()).map(|t| (t.1, t.2)).unwrap();
            let wide = arrow::compute::cast(&array, &DataType::Int64).unwrap();
            let wide = wide.as_primitive::<arrow::datatypes::Int64Type>();
            (wide.is_valid(0).then(|| i128::from(wide.value(0))), low, high)
        };
        let by_zero = b == 0;
        for (operator, expected) in [
            ("+", Some(a + b)),
            ("-", Some(a - b)),
            ("*", Some(a * b)),
            ("//", (!by_zero).then(|| a / b)),
            ("%", (!by_zero).then(|| a % b)),
        ] {
            let sql = format!("a {operator} b");
            match answer(&sql, &columns).map(number) {
                Some((found, ..)) => prop_assert_eq!(found, expected, "{} {} {}", a, operator, b),
                None => {
                    // The type of the answer, by a row that has one.
                    let safe = format!("CASE WHEN FALSE THEN a {operator} b END");
                    let (_, low, high) = answer(&safe, &columns).map(number).unwrap();
                    let beyond = expected.is_some_and(|value| value < low || value > high);
                    prop_assert!(beyond, "{} {} {} is an error of {}", a, operator, b, low);
                }
            }
        }
        let negated = answer("-a", &columns[..1]).map(|array| number(array).0.unwrap());
        let (_, low, high) = number(Arc::clone(&x));
        prop_assert_eq!(negated, Some(-a).filter(|value| (low..=high).contains(value)));
    }

    #[test]
    fn points_in_time_of_any_two_units_compare_as_instants(
        counts in any::<[i64; 2]>(),
        shifts in any::<[u32; 2]>(),
        units in (0_usize..5, 0_usize..5),
        zoned in any::<bool>(),
    ) {
        let side = |at: usize, unit: usize| -> (ArrayRef, i128) {
            let count = counts[at] >> (shifts[at] % 64);
            let zone = zoned.then(|| Arc::from(if at == 0 { "UTC" } else { "Europe/Berlin" }));
            let wide = i128::from(count);
            match if zoned { unit % 4 } else { unit } {
                0 => (Arc::new(TimestampSecondArray::from(vec![count]).with_timezone_opt::<Arc<str>>(zone)), wide * 1_000_000_000),
                1 => (Arc::new(TimestampMillisecondArray::from(vec![count]).with_timezone_opt::<Arc<str>>(zone)), wide * 1_000_000),
                2 => (Arc::new(TimestampMicrosecondArray::from(vec![count]).with_timezone_opt::<Arc<str>>(zone)), wide * 1_000),
                3 => (Arc::new(TimestampNanosecondArray::from(vec![count]).with_timezone_opt::<Arc<str>>(zone)), wide),
                _ => {
                    let days = count as i32;
                    (Arc::new(Date32Array::from(vec![days])), i128::from(days) * 86_400_000_000_000)
                }
            }
        };
        let ((x, a), (y, b)) = (side(0, units.0), side(1, units.1));
        for (operator, holds) in OPERATORS {
            let found = truth(&format!("a {operator} b"), &[("a", &x), ("b", &y)]);
            prop_assert_eq!(found, holds(a.cmp(&b)), "{:?} {} {:?}", x, operator, y);
        }
    }

    #[test]
    fn the_epoch_is_right_for_all_years(seconds in -62_135_596_800_i64..253_402_300_800, nanos in 0_i64..1_000_000_000) {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000 + nanos / 1_000]));
        let found = answer("EXTRACT(epoch FROM a)", &[("a", &micros)]).unwrap();
        let expected: f64 = format!("{}e-6", seconds * 1_000_000 + nanos / 1_000).parse().unwrap();
        prop_assert_eq!(found.as_primitive::<Float64Type>().value(0), expected);
    }

    #[test]
    fn functions_of_texts_count_characters(text in "[a-zé√\u{1F600} ]{0,8}", part in "[aé√ ]{0,2}", n in -2_i64..12, m in 0_i64..6) {
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![text.as_str()]));
        let sought: ArrayRef = Arc::new(StringViewArray::from(vec![part.as_str()]));
        let columns: [(&str, &ArrayRef); 2] = [("a", &column), ("b", &sought)];
        let shown = |sql: &str| array_value_to_string(&answer(sql, &columns).unwrap(), 0).unwrap();
        let chars: Vec<char> = text.chars().collect();
        let taken = |from: usize, to: usize| chars[from.min(chars.len())..to.clamp(from.min(chars.len()), chars.len())].iter().collect::<String>();
        let place = text.find(&part).map_or(0, |bytes| text[..bytes].chars().count() + 1);
        prop_assert_eq!(shown("STRPOS(a, b)"), place.to_string());
        prop_assert_eq!(shown("LENGTH(a)"), chars.len().to_string());
        prop_assert_eq!(shown("LENGTH(b) - LENGTH(a)"), (part.chars().count() as i64 - chars.len() as i64).to_string());
        prop_assert_eq!(shown(&format!("LEFT(a, {m})")), taken(0, m as usize));
        prop_assert_eq!(shown(&format!("RIGHT(a, {m})")), taken(chars.len().saturating_sub(m as usize), chars.len()));
        // The standard counts on below the first character.
        let (from, to) = ((n - 1).max(0) as usize, (n - 1 + m).max(0) as usize);
        prop_assert_eq!(shown(&format!("SUBSTRING(a FROM {n} FOR {m})")), taken(from, to));
        let null: ArrayRef = Arc::new(StringViewArray::from(vec![None::<&str>]));
        for sql in ["STRPOS(a, b)", "LENGTH(b)", "RIGHT(b, 2)", "REPLACE(a, b, 'x')", "CONCAT_WS(b, a)", "SPLIT_PART(a, b, 1)", "UPPER(b)", "b LIKE 'a%'"] {
            prop_assert!(answer(sql, &[("a", &column), ("b", &null)]).unwrap().is_null(0), "{} of null", sql);
        }
    }

    #[test]
    fn a_branch_is_computed_for_rows_that_reach_it_only(values in prop::collection::vec(prop::option::of(-2_i64..3), 1..20)) {
        let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let fields: Vec<FieldRef> = vec![Arc::new(Field::new("a", DataType::Int64, true))];
        let run = |sql: &str| Expression::compile(sql, &fields).unwrap().evaluate(&[Arc::clone(&column)], values.len());
        // Fails for every row that it is computed for.
        let fails = "CAST('x' || CAST(a AS VARCHAR) AS BIGINT)";
        let any = |holds: fn(i64) -> bool| values.iter().flatten().any(|value| holds(*value));
        for (sql, reached) in [
            (format!("CASE WHEN a > 0 THEN {fails} ELSE 0 END"), any(|a| a > 0)),
            (format!("CASE WHEN a > 0 THEN 0 WHEN a < 0 THEN {fails} END"), any(|a| a < 0)),
            (format!("a > 0 AND {fails} = 1"), any(|a| a > 0)),
            (format!("a > 0 OR {fails} = 1"), any(|a| a <= 0)),
            (format!("IF(a > 0, {fails}, 0)"), any(|a| a > 0)),
            (format!("COALESCE(a, {fails})"), false),
            ("TRY_CAST('x' || CAST(a AS VARCHAR) AS BIGINT)".to_owned(), false),
        ] {
            prop_assert_eq!(run(&sql).is_err(), reached, "{} of {:?}", sql, values);
        }
        let is: Vec<bool> = values.iter().map(|a| a.is_some_and(|a| a > 0)).collect();
        prop_assert_eq!(run("(a > 0) IS TRUE").unwrap().as_boolean().clone(), BooleanArray::from(is.clone()));
        let is_not: Vec<bool> = is.iter().map(|is| !is).collect();
        prop_assert_eq!(run("(a > 0) IS NOT TRUE").unwrap().as_boolean().clone(), BooleanArray::from(is_not));
    }

    #[test]
    fn a_list_of_numbers_is_as_many_comparisons((a, _) in number(), list in prop::collection::vec("-?[0-9]{1,20}(\\.[0-9]{1,3})?", 1..12)) {
        let joined = list.join(", ");
        let terms: Vec<String> = list.iter().map(|number| format!("a = {number}")).collect();
        let found = truth(&format!("a IN ({joined})"), &[("a", &a)]);
        prop_assert_eq!(found, truth(&terms.join(" OR "), &[("a", &a)]));
        prop_assert_eq!(truth(&format!("a NOT IN ({joined})"), &[("a", &a)]), !found);
    }
}
