//! Where our answers differ from those of DuckDB, each with the reason why ours is right.
//!
//! A rule computes our answer once more, by another way, wherever that can be done: what is listed is a reason to differ
//! from DuckDB, not a form in which any answer will do.

use arrow::datatypes::DataType;

use crate::found::Found;
use crate::value::{Answer, Value};

/// A difference that is accepted.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) applies: fn(&Found<'_>) -> bool,
    /// Why ours is right.
    #[expect(dead_code, reason = "it is for readers")]
    pub(crate) reason: &'static str,
}

const fn difference(name: &'static str, applies: fn(&Found<'_>) -> bool, reason: &'static str) -> Difference {
    Difference { name, applies, reason }
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    difference(
        "the last bits of transcendental functions",
        |found| found.is_one_of(TRANSCENDENTAL) && found.ours.is_float() && found.close(4e-15),
        "neither is the nearest float for all arguments; each is that of its mathematical library, within some units of the last place",
    ),
    difference(
        "LOG1P near zero",
        |found| found.is("LOG1P") && found.is_logarithm_near_one(),
        "DuckDB has no LOG1P; ln(1 + x) loses the digits that the function is there for",
    ),
    difference(
        "a float as a string",
        |found| found.is("CAST float to text") && found.is_text_of_float(),
        "both read back as the same float; ours are those of the pipeline's CSV and JSON files: NaN, inf, 1e17",
    ),
    difference(
        "a decimal below one as a string",
        |found| {
            found.is("CAST decimal to text")
                && found.theirs.text().is_some_and(|t| t.trim_start_matches('-').starts_with('.'))
                && found.theirs.text().is_some_and(|t| found.gave_text(&t.replacen('.', "0.", 1)))
        },
        "the standard writes a digit before the point: 0.05",
    ),
    difference(
        "a substring that starts before the first character",
        |found| {
            found.is_one_of(&["SUBSTR", "SUBSTR with a length", "SUBSTRING FROM FOR"])
                && found.is_substring_from_before()
        },
        "the standard counts positions on below 1; DuckDB counts from the end",
    ),
    difference(
        "VARCHAR(n)",
        |found| {
            found.is("VARCHAR(n)")
                && found.text(0).is_some_and(|t| found.gave_text(&t.chars().take(3).collect::<String>()))
        },
        "the standard cuts at n characters; DuckDB ignores n",
    ),
    difference(
        "the upper case of a character that has none of its own",
        |found| {
            found.is("UPPER")
                && found.text(0).is_some_and(|t| t.contains('ß') && found.gave_text(&t.to_uppercase()))
        },
        "Unicode writes SS for ß",
    ),
    difference(
        "parts of seconds with their fraction",
        |found| {
            found.is_one_of(&["EXTRACT from a time", "EXTRACT from a timestamp"])
                && found.is_part_with_fraction()
        },
        "nanoseconds are not cut off",
    ),
    difference(
        "weeks begin on Monday",
        |found| {
            found.is_one_of(&["DATE_DIFF", "DATE_DIFF of dates"])
                && found.written(1) == "'week'"
                && found.is_number_of_borders()
        },
        "so do those of ISO 8601, and of DATE_TRUNC, DuckDB's too; its DATE_DIFF counts Sundays",
    ),
    difference(
        "a shift of a negative number",
        |found| {
            found.is("<<")
                && found.theirs.is_error()
                && found.exact(0).is_some_and(|number| number.is_negative())
                && found.shifted(true).is_some_and(|shifted| found.gave(&shifted))
        },
        "a shift by n multiplies by two to the n, for numbers of either sign",
    ),
    difference(
        "timestamps that DuckDB cannot widen",
        |found| {
            (found.theirs_error("higher precision") || found.theirs_error("destination type INT64"))
                && !found.ours.is_error()
                && (found.is_as_computed()
                    || found.is_cast() && found.is_kept_instant()
                    || found.is_part()
                    || found.is_number_of_borders()
                    || found.is_in_zone())
        },
        "instants compare and convert without a common unit that could overflow",
    ),
    difference(
        "numbers that fit no decimal together",
        |found| {
            (found.theirs_error("to DECIMAL(") || found.theirs_error("to type DECIMAL("))
                && !found.ours.is_error()
                && found.is_as_computed()
        },
        "numbers compare and compute by value, without a common type that has to hold both",
    ),
    difference(
        "timestamps of two units with a zone",
        |found| found.theirs_refused("TIMESTAMPTZ_NS") && (found.is_as_computed() || found.is_moved()),
        "DuckDB has no operator for them; instants need none",
    ),
    difference(
        "an infinite date",
        |found| {
            found.text(0).is_some_and(|t| t.to_lowercase().trim_start_matches([' ', '-']).starts_with("inf"))
                && (found.is_cast() || found.is_one_of(READERS))
                && found.refused()
        },
        "a date is a day; there is no infinite one",
    ),
    difference(
        "a timestamp with an offset as one without a zone",
        |found| {
            found.is_one_of(&["CAST text to timestamp", "TRY_CAST text to timestamp"])
                && found.text(0).is_some_and(|t| t.contains('+'))
                && found.refused()
        },
        "the offset would be dropped without a word",
    ),
    difference(
        "years before the first",
        |found| found.is_year_before_first() && !found.ours.is_error(),
        "ISO 8601 numbers them 0, -1, ..",
    ),
    difference(
        "a negative fraction as an unsigned integer",
        |found| {
            found.is_one_of(&["CAST text to integer", "TRY_CAST text to integer"])
                && found
                    .text(0)
                    .is_some_and(|t| t.trim().parse::<f64>().is_ok_and(|v| (-0.5..=0.0).contains(&v)))
                && found.gave(&Value::whole(0))
        },
        "-0.25 rounds to 0, as the same decimal does",
    ),
    difference(
        "constants are computed exactly",
        |found| {
            found.are_literals()
                && (found.is_one_of(&["+", "-", "*", "// float", "%", "MOD"]) && found.is_as_computed()
                    || found.is_exact_equality())
        },
        "a literal is exact until its other side is known, and then rounded once",
    ),
    difference(
        "a float32 with a number of more digits",
        |found| {
            found.has_float32()
                && (found.has(is_wide) || found.case.arguments.iter().any(|argument| argument.literal))
                && found.is_one_of(&[
                    "+",
                    "-",
                    "*",
                    "/",
                    "guard",
                    "%",
                    "MOD",
                    "// float",
                    "// decimal by float",
                ])
                && found.is_as_computed()
        },
        "decimals and integers of 32 bits have more digits than a float32; they meet as float64, where DuckDB takes the float32",
    ),
    difference(
        "a function of a float32 and a literal",
        |found| {
            found.has_float32()
                && (found.is("ATAN2") && found.is_about(f64::atan2)
                    || found.is("ATAN2D") && found.is_about(|y, x| y.atan2(x).to_degrees())
                    || found.is("LOG") && found.is_about(|base, x| x.ln() / base.ln())
                    || found.is_one_of(&["POW", "POWER"]) && found.is_about(f64::powf))
        },
        "the literal is a float64, and so is the answer",
    ),
    difference(
        "the whole quotient of decimals",
        |found| found.has_decimal() && found.case.form.name.starts_with("//") && found.is_as_computed(),
        "DuckDB has none but that of doubles; ours leaves a remainder smaller than the divisor, or is an error",
    ),
    difference(
        "decimals that meet",
        |found| found.has_decimal() && found.is_one_of(CHOICES) && found.is_as_computed(),
        "they keep every digit, or the row is an error; DuckDB cuts the scale of one",
    ),
    difference(
        "the sign of zero that is chosen",
        |found| {
            found.is_one_of(CHOICES)
                && found.ours.is_zero()
                && found.theirs.is_zero()
                && found.is_as_computed()
        },
        "what is chosen is not changed",
    ),
    difference(
        "a literal above int64",
        |found| found.are_literals() && found.is_of_bits(),
        "it is a uint64, where DuckDB takes 128 bits",
    ),
    difference(
        "a shift by more than the width",
        |found| {
            found.is(">>")
                && found.exact(0).is_some_and(|number| number.is_negative())
                && found.shifted(false).is_some_and(|shifted| found.gave(&shifted))
        },
        "a shift divides by two each time, rounding down; DuckDB gives 0 for negative numbers too",
    ),
    difference(
        "the integer power of an integer",
        |found| found.is("POW") && found.is_integer_power(),
        "it is an integer of the base's type; one beyond its range, or with a fraction, is an error and not a float",
    ),
    difference(
        "a rounded number beyond its type",
        |found| found.ours.is_error() && found.rounds_beyond_its_type(),
        "the answer keeps the type of its argument; one that does not fit is an error, not a wrong number",
    ),
    difference(
        "the sign of NaN",
        |found| {
            let nan = |value: Option<&Value>| value.and_then(Value::number).is_some_and(f64::is_nan);
            found.is("SIGN") && nan(found.value(0)) && nan(found.ours.value())
        },
        "NaN has none, and 0 would be the sign of a number",
    ),
    difference(
        "a float as a decimal",
        |found| {
            found.is_one_of(&["CAST number to decimal", "TRY_CAST number to decimal"])
                && found.is_shortest_decimal()
        },
        "a whole number is exact, another float the shortest number that reads as it: 0.1 is 0.1; DuckDB multiplies doubles",
    ),
    difference(
        "centuries begin in their first year",
        |found| found.is_one_of(&["DATE_TRUNC", "DATETRUNC"]) && found.is_start_of_years(),
        "the 21st century began in 2001, as EXTRACT says, DuckDB's too",
    ),
    difference(
        "truncated nanoseconds",
        |found| {
            let truncates = found.is_one_of(&["DATE_TRUNC", "DATETRUNC"]);
            found.written(1) == "'microsecond'"
                && (truncates && found.is_microsecond_before()
                    || found.is("DATE_DIFF") && found.has_nanoseconds() && found.is_number_of_borders())
        },
        "DATE_TRUNC never gives a later instant, and DATE_DIFF counts what it cuts; DuckDB rounds",
    ),
    difference(
        "decades and quarters before the first year",
        |found| {
            found.is_one_of(&["DATE_DIFF", "DATEDIFF"])
                && ["'decade'", "'quarter'"].contains(&found.written(1))
                && found.is_number_of_borders()
        },
        "the borders are those of DATE_TRUNC, which never gives a later day; DuckDB's decade 0 has nineteen years, and a quarter before the year 0 too few",
    ),
    difference(
        "an error beside NULL",
        |found| {
            found.ours.is_error()
                && *found.theirs == Answer::Value(Value::Null)
                && found.arguments.iter().any(Answer::is_error)
                && found.arguments.contains(&Answer::Value(Value::Null))
        },
        "a row that cannot be computed is an error; DuckDB drops it behind a NULL that is the same for all rows",
    ),
    difference(
        "the nanoseconds between timestamps",
        |found| {
            found.is_one_of(&["timestamp - timestamp", "zoned - zoned"])
                && found.has_nanoseconds()
                && found.is_moved()
        },
        "DuckDB rounds to microseconds; nanoseconds reach 292 years, and more is an error",
    ),
    difference(
        "spans in nanoseconds beyond their range",
        |found| {
            let moves =
                found.is_one_of(&["span + span", "timestamp + span", "timestamp - span", "date + span"]);
            found.ours.is_error()
                && (moves && found.is_moved()
                    || found.is_one_of(CHOICES) && found.unit() == Some(1) && found.is_as_computed())
        },
        "nanoseconds reach 292 years to either side, and more is an error",
    ),
    difference(
        "a condition that its first part decides",
        |found| {
            found.is_comparison()
                && found.theirs.is_error()
                && !found.ours.is_error()
                && found.is_as_computed()
        },
        "what is false or true already guards what follows, whose error does not matter",
    ),
    difference(
        "the remainder of decimals",
        |found| {
            found.is_one_of(&["%", "MOD"])
                && found.has_decimal()
                && matches!(found.theirs.value(), Some(Value::Float64(_)))
                && found.is_as_computed()
        },
        "it is exact; DuckDB takes doubles where no decimal holds both",
    ),
    difference(
        "a product of more than 18 digits",
        |found| {
            found.is("*")
                && found.theirs_error("explicit cast to a bigger decimal")
                && found.has_decimal()
                && found.is_as_computed()
        },
        "it has the 38 digits of its type; DuckDB stops at those of its factors",
    ),
    difference(
        "decimals beside floats",
        |found| found.has_decimal() && found.meets_float() && found.is_comparison() && found.is_as_computed(),
        "they compare by value; DuckDB rounds the decimal to the float",
    ),
    difference(
        "years beyond 9999",
        |found| {
            found.is("STRFTIME")
                && found.ours.text().and_then(|text| text.strip_prefix('+')) == found.theirs.text()
        },
        "ISO 8601 writes a sign before more than four digits",
    ),
    difference(
        "a literal beside an unsigned integer",
        |found| {
            found.has(DataType::is_unsigned_integer)
                && found.case.arguments.iter().any(|argument| argument.literal)
                && found.is_one_of(&["+", "-", "*"])
                && found.gives().is_unsigned_integer()
                && found.is_as_computed()
        },
        "one that is not negative is unsigned as well, and so is the answer, or an error; DuckDB takes int64",
    ),
    difference(
        "a comparison with NULL",
        |found| {
            found.is("= NULL") && found.gave(&Value::Null) && found.arguments.iter().all(Answer::is_error)
        },
        "it is null, whatever the other side is, which is not computed",
    ),
    difference(
        "a date as a time of day",
        |found| {
            found.is("CAST text to time") && found.text(0).is_some_and(|t| t.contains('-')) && found.refused()
        },
        "a time is read in the form of ISO 8601, and in no other; the date would be dropped without a word",
    ),
    difference(
        "the nanoseconds of a time",
        |found| {
            found.is_one_of(&["CAST timestamp to time", "time + interval"]) && found.is_time_of_day()
                || found.is("CAST text to time") && found.is_finer_time()
        },
        "DuckDB cuts them, or has no such operator",
    ),
    difference(
        "a product of a span",
        |found| found.is("span * integer") && found.is_product_of_span(),
        "it is exact, or an error; DuckDB gives another span beyond its range",
    ),
    difference(
        "a string that is finer than a microsecond",
        |found| {
            found.is_one_of(&["CAST text to timestamp", "TRY_CAST text to timestamp", "CAST text to instant"])
                && found
                    .text(0)
                    .is_some_and(|t| t.rsplit_once('.').is_some_and(|(_, digits)| digits.len() > 6))
                && found.is_rounded_text()
        },
        "it is rounded, as a cast of a timestamp is; DuckDB cuts it",
    ),
    difference(
        "spaces around a truth value",
        |found| {
            let truth = |text: String| match text.trim().to_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => text.trim() != text,
                _ => false,
            };
            let falsehood = |text: String| {
                ["false", "f", "no", "n", "0"].contains(&text.trim().to_lowercase().as_str())
                    && text.trim() != text
            };
            found.is_one_of(&["CAST text to bool", "TRY_CAST text to bool"])
                && (found.text(0).is_some_and(truth) && found.gave(&Value::Bool(true))
                    || found.text(0).is_some_and(falsehood) && found.gave(&Value::Bool(false)))
        },
        "the standard takes them off before it reads, as DuckDB does for numbers",
    ),
    difference(
        "a date in another form",
        |found| {
            let date = |text: &str| text.trim().split([' ', 'T']).next().unwrap_or_default().to_owned();
            let clock = |text: &str| text.trim().split(':').any(|part| part.len() == 1);
            let year = |text: &str| date(text).split('-').next().is_some_and(|year| year.len() < 4);
            let short = |text: &str| {
                date(text).split('-').any(|part| part.len() == 1)
                    || text.contains('/')
                    || year(text)
                    || clock(text)
            };
            found.is_cast() && found.text(0).is_some_and(|t| short(&t)) && found.refused()
        },
        "a date or a time is read in the form of ISO 8601, 2024-02-02, 07:05, and in no other",
    ),
    difference(
        "the greatest of spans",
        |found| found.is_one_of(&["GREATEST", "LEAST"]) && found.is_extreme_span(),
        "of 500 days and 2 days the former is the longer one; DuckDB compares some of its intervals the other way round",
    ),
    difference(
        "a year with a sign",
        |found| {
            found.is_one_of(READERS)
                && found.text(0).is_some_and(|t| t.starts_with('-'))
                && matches!(found.ours, Answer::Value(Value::Instant(_)))
                && found.theirs.is_error()
        },
        "ISO 8601 numbers years before the first with one",
    ),
    difference(
        "a small letter between date and time",
        |found| found.is_cast() && found.text(0).is_some_and(|t| t.contains('t')) && found.is_rounded_text(),
        "RFC 3339 lets it be one",
    ),
];

/// Forms that read a string in a format.
const READERS: &[&str] = &["STRPTIME", "TRY_STRPTIME", "DATE", "TIMESTAMP"];

/// Forms that give one of their arguments.
const CHOICES: &[&str] = &[
    "CASE",
    "CASE without ELSE",
    "CASE of two arms",
    "IF",
    "COALESCE",
    "COALESCE of three",
    "COALESCE of NULL",
    "IFNULL",
    "NULLIF",
    "GREATEST",
    "LEAST",
];

/// Functions whose answers are rounded by a mathematical library.
const TRANSCENDENTAL: &[&str] = &[
    "CBRT",
    "EXP",
    "LN",
    "LOG10",
    "LOG2",
    "LOG1P",
    "LOG",
    "LOG of one",
    "POW",
    "POWER",
    "SIN",
    "COS",
    "TAN",
    "COT",
    "ASIN",
    "ACOS",
    "ATAN",
    "ATAN2",
    "DEGREES",
    "RADIANS",
];

/// A decimal or an integer of 32 bits or more.
fn is_wide(data_type: &DataType) -> bool {
    use DataType as D;
    data_type.is_decimal() || matches!(data_type, D::Int32 | D::Int64 | D::UInt32 | D::UInt64)
}
