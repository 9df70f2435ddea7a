//! Where our answers differ from those of DuckDB, each with the reason why ours is right.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

use crate::decimal::Decimal;
use crate::generate::Case;
use crate::value::{Answer, Value};

/// A row of an expression for which the two answers differ, though its arguments do not.
pub(crate) struct Found<'a> {
    pub(crate) case: &'a Case,
    /// Values of the arguments.
    pub(crate) arguments: Vec<Answer>,
    pub(crate) ours: &'a Answer,
    pub(crate) theirs: &'a Answer,
}

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
        |found| found.is_one_of(TRANSCENDENTAL) && found.close(4e-15),
        "neither is the nearest float for all arguments; each is that of its mathematical library, within some units of the last place",
    ),
    difference(
        "LOG1P near zero",
        |found| found.is("LOG1P") && found.near(1e-15),
        "DuckDB has no LOG1P; ln(1 + x) loses the digits that the function is there for",
    ),
    difference(
        "a float as a string",
        |found| found.is("CAST float to text"),
        "both read back as the same float; ours are those of the pipeline's CSV and JSON files: NaN, inf, 1e17",
    ),
    difference(
        "a decimal below one as a string",
        |found| {
            found.is("CAST decimal to text")
                && found.theirs_text().is_some_and(|t| t.trim_start_matches('-').starts_with('.'))
        },
        "the standard writes a digit before the point: 0.05",
    ),
    difference(
        "a substring that starts before the first character",
        |found| found.is_one_of(&["SUBSTR", "SUBSTR with a length", "SUBSTRING FROM FOR"]),
        "the standard counts positions on below 1; DuckDB counts from the end",
    ),
    difference(
        "VARCHAR(n)",
        |found| found.is("VARCHAR(n)"),
        "the standard cuts at n characters; DuckDB ignores n",
    ),
    difference(
        "the upper case of a character that has none of its own",
        |found| found.is_one_of(&["UPPER", "INITCAP"]) && found.text(0).is_some_and(|t| t.contains('ß')),
        "Unicode writes SS for ß",
    ),
    difference(
        "parts of seconds with their fraction",
        |found| found.is_one_of(&["EXTRACT from a time", "EXTRACT from a timestamp"]),
        "nanoseconds are not cut off",
    ),
    difference(
        "weeks begin on Monday",
        |found| found.is_one_of(&["DATE_DIFF", "DATE_DIFF of dates"]) && found.argument_text(1) == "'week'",
        "so do those of ISO 8601, and of DATE_TRUNC, DuckDB's too; its DATE_DIFF counts Sundays",
    ),
    difference(
        "a shift of a negative number",
        |found| found.is("<<") && found.theirs.is_error(),
        "a shift by n multiplies by two to the n, for numbers of either sign",
    ),
    difference(
        "timestamps that DuckDB cannot widen",
        |found| {
            (found.theirs_error("higher precision") || found.theirs_error("destination type INT64"))
                && !found.ours.is_error()
        },
        "instants compare and convert without a common unit that could overflow",
    ),
    difference(
        "numbers that fit no decimal together",
        |found| {
            (found.theirs_error("to DECIMAL(") || found.theirs_error("to type DECIMAL("))
                && !found.ours.is_error()
                && !found.is_cast()
        },
        "numbers compare by value, without a common type that has to hold both",
    ),
    difference(
        "timestamps of two units with a zone",
        |found| found.theirs_refused("TIMESTAMPTZ_NS"),
        "DuckDB has no operator for them; instants need none",
    ),
    difference(
        "an infinite date",
        |found| {
            found.text(0).is_some_and(|t| t.to_lowercase().trim_start_matches('-').starts_with("inf"))
                && (found.is_cast() || found.is("STRPTIME"))
        },
        "a date is a day; there is no infinite one",
    ),
    difference(
        "a timestamp with an offset as one without a zone",
        |found| {
            found.is_one_of(&["CAST text to timestamp", "TRY_CAST text to timestamp"])
                && found.text(0).is_some_and(|t| t.contains('+'))
        },
        "the offset would be dropped without a word",
    ),
    difference(
        "years before the first",
        |found| matches!(found.arguments.first().and_then(Answer::value), Some(Value::Instant(at)) if *at < FIRST_YEAR),
        "ISO 8601 numbers them 0, -1, ..",
    ),
    difference(
        "a negative fraction as an unsigned integer",
        |found| {
            found.is_one_of(&["CAST text to integer", "TRY_CAST text to integer"])
                && found.text(0).is_some_and(|t| t.starts_with("-0"))
        },
        "-0.25 rounds to 0, as the same decimal does",
    ),
    difference(
        "constants are computed exactly",
        |found| {
            found.case.arguments.iter().all(|argument| argument.literal)
                && found.is_one_of(&["+", "-", "*", "// float", "%", "MOD"])
        },
        "a literal is exact until its other side is known, and then rounded once",
    ),
    difference(
        "a float32 with a number of more digits",
        |found| {
            found.has_float32()
                && found.has(is_wide)
                && found.is_one_of(&["+", "-", "*", "/", "%", "MOD", "// float", "// decimal by float"])
        },
        "decimals and integers of 32 bits have more digits than a float32; they meet as float64, where DuckDB takes the float32",
    ),
    difference(
        "a function of a float32 and a literal",
        |found| found.has_float32() && found.is_one_of(&["ATAN2", "LOG", "POW"]) && found.close(1e-6),
        "the literal is a float64, and so is the answer",
    ),
    difference(
        "the whole quotient of decimals",
        |found| found.has_decimal() && found.case.form.name.starts_with("//") && found.is_whole_quotient(),
        "DuckDB has none but that of doubles; ours leaves a remainder smaller than the divisor, or is an error",
    ),
    difference(
        "decimals that meet",
        |found| found.has_decimal() && found.is_one_of(CHOICES),
        "they keep every digit, or the row is an error; DuckDB cuts the scale of one",
    ),
    difference(
        "the sign of zero that is chosen",
        |found| found.is_one_of(CHOICES) && found.near(0.0),
        "what is chosen is not changed",
    ),
    difference(
        "a literal above int64",
        |found| {
            found.case.arguments.iter().all(|argument| argument.literal)
                && found.is_one_of(&["~", "&", "|", "XOR"])
        },
        "it is a uint64, where DuckDB takes 128 bits",
    ),
    difference(
        "a shift by more than the width",
        |found| found.is(">>"),
        "a shift divides by two each time, rounding down; DuckDB gives 0 for negative numbers too",
    ),
    difference(
        "the integer power of an integer",
        |found| found.is("POW") && found.ours.is_error() && found.types().iter().all(|t| t.contains("Int")),
        "it is an integer of the base's type; one beyond its range is an error, not a float",
    ),
    difference(
        "a rounded decimal beyond its type",
        |found| {
            found.is_one_of(&["ROUND", "ROUND to places", "CEIL", "FLOOR"])
                && found.ours.is_error()
                && found.has_decimal()
        },
        "the answer keeps the scale of its argument; one that does not fit is an error, not a wrong number",
    ),
    difference(
        "the sign of a decimal that has no digit before the point",
        |found| found.is("SIGN") && found.ours.is_error(),
        "the answer keeps the type of its argument, which cannot hold a 1",
    ),
    difference(
        "the sign of NaN",
        |found| found.is("SIGN"),
        "NaN has none, and 0 would be the sign of a number",
    ),
    difference(
        "a float as a decimal",
        |found| {
            found.is_one_of(&["CAST number to decimal", "TRY_CAST number to decimal"])
                && (found.close(1e-6) || found.has_float32() && found.near(0.01))
        },
        "a whole number is exact, another float the shortest number that reads as it: 0.1 is 0.1; DuckDB multiplies doubles",
    ),
    difference(
        "centuries begin in their first year",
        |found| {
            found.is("DATE_TRUNC")
                && ["'century'", "'millennium'", "'decade'"].contains(&found.argument_text(1))
        },
        "the 21st century began in 2001, as EXTRACT says, DuckDB's too",
    ),
    difference(
        "truncated nanoseconds",
        |found| found.is("DATE_TRUNC") && found.argument_text(1) == "'microsecond'",
        "DATE_TRUNC never gives a later instant",
    ),
    difference(
        "the nanoseconds between timestamps",
        |found| found.is_one_of(&["timestamp - timestamp", "zoned - zoned"]) && found.has_nanoseconds(),
        "DuckDB rounds to microseconds; nanoseconds reach 292 years, and more is an error",
    ),
    difference(
        "spans in nanoseconds beyond their range",
        |found| {
            found.is_one_of(&["span + span", "timestamp + span", "timestamp - span"]) && found.ours.is_error()
        },
        "nanoseconds reach 292 years to either side, and more is an error",
    ),
    difference(
        "a condition that its first part decides",
        |found| {
            found.is_one_of(&["AND", "OR", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN"])
                && found.theirs.is_error()
                && !found.ours.is_error()
        },
        "what is false or true already guards what follows, whose error does not matter",
    ),
    difference(
        "the remainder of decimals",
        |found| {
            found.is_one_of(&["%", "MOD"])
                && found.has_decimal()
                && matches!(found.theirs.value(), Some(Value::Float64(_)))
        },
        "it is exact; DuckDB takes doubles where no decimal holds both",
    ),
    difference(
        "a product of more than 18 digits",
        |found| {
            found.is("*") && found.theirs_error("explicit cast to a bigger decimal") && found.has_decimal()
        },
        "it has the 38 digits of its type; DuckDB stops at those of its factors",
    ),
    difference(
        "decimals beside floats",
        |found| {
            found.has_decimal()
                && found.has(DataType::is_floating)
                && matches!(found.ours.value(), Some(Value::Bool(_)))
        },
        "they compare by value; DuckDB rounds the decimal to the float",
    ),
    difference(
        "years beyond 9999",
        |found| found.is("STRFTIME") && found.ours.text().is_some_and(|text| text.starts_with('+')),
        "ISO 8601 writes a sign before more than four digits",
    ),
    difference(
        "days and months of one digit",
        |found| {
            found.is_one_of(&[
                "CAST text to date",
                "TRY_CAST text to date",
                "CAST text to timestamp",
                "TRY_CAST text to timestamp",
            ]) && found.ours.value().is_none_or(|value| *value == Value::Null)
        },
        "a date is read in the form of ISO 8601, 2024-02-02, and in no other",
    ),
];

/// Forms that give one of their arguments.
const CHOICES: &[&str] =
    &["CASE", "IF", "COALESCE", "COALESCE of three", "IFNULL", "NULLIF", "GREATEST", "LEAST"];
/// The first moment of the year 1, in nanoseconds since 1970.
const FIRST_YEAR: i128 = -62_135_596_800_000_000_000;

/// Functions whose answers are rounded by a mathematical library.
const TRANSCENDENTAL: &[&str] = &[
    "CBRT", "EXP", "LN", "LOG10", "LOG2", "LOG1P", "LOG", "POW", "SIN", "COS", "TAN", "COT", "ASIN", "ACOS",
    "ATAN", "ATAN2", "DEGREES", "RADIANS",
];

/// A decimal or an integer of 32 bits or more.
fn is_wide(data_type: &DataType) -> bool {
    use DataType as D;
    data_type.is_decimal() || matches!(data_type, D::Int32 | D::Int64 | D::UInt32 | D::UInt64)
}

impl Found<'_> {
    fn is(&self, form: &str) -> bool {
        self.case.form.name == form
    }

    fn is_cast(&self) -> bool {
        self.case.form.name.contains("CAST")
    }

    fn has(&self, of: impl Fn(&DataType) -> bool) -> bool {
        self.case.arguments.iter().filter_map(|argument| argument.data_type.as_ref()).any(of)
    }

    fn has_decimal(&self) -> bool {
        self.has(DataType::is_decimal)
    }

    fn has_float32(&self) -> bool {
        self.has(|data_type| *data_type == DataType::Float32)
    }

    /// The quotient of the arguments, cut towards zero; or an error, where its digits do not fit; or null, by zero.
    fn is_whole_quotient(&self) -> bool {
        let (Some(dividend), Some(divisor)) = (self.exact(0), self.exact(1)) else { return false };
        match self.ours.value() {
            None => true,
            Some(Value::Null) => divisor.is_zero(),
            Some(Value::Exact(number, scale)) => {
                let quotient = Decimal::new(*number, *scale);
                let rest = dividend.minus_product(&quotient, &divisor);
                quotient.is_whole() && rest.is_some_and(|rest| rest.is_smaller_than(&divisor))
            }
            Some(_) => false,
        }
    }

    fn exact(&self, argument: usize) -> Option<Decimal> {
        match self.arguments.get(argument)?.value()? {
            Value::Exact(number, scale) => Some(Decimal::new(*number, *scale)),
            Value::Text(literal) => Decimal::read(literal),
            _ => None,
        }
    }

    fn has_nanoseconds(&self) -> bool {
        self.has(|data_type| matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)))
    }

    fn is_one_of(&self, forms: &[&str]) -> bool {
        forms.contains(&self.case.form.name)
    }

    /// Two numbers that differ by that part of the greater, or of one.
    fn close(&self, tolerance: f64) -> bool {
        let numbers =
            self.ours.value().and_then(Value::number).zip(self.theirs.value().and_then(Value::number));
        numbers.is_some_and(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(b.abs()))
    }

    /// Two numbers of which one is the other but for that distance, or that part of it.
    fn near(&self, distance: f64) -> bool {
        let numbers =
            self.ours.value().and_then(Value::number).zip(self.theirs.value().and_then(Value::number));
        numbers.is_some_and(|(a, b)| (a - b).abs() <= distance * a.abs().max(1.0))
    }

    fn theirs_text(&self) -> Option<&str> {
        self.theirs.text()
    }

    /// The string that an argument is.
    fn text(&self, argument: usize) -> Option<&str> {
        self.arguments.get(argument).and_then(Answer::text).map(|text| text.trim_matches('\''))
    }

    fn argument_text(&self, argument: usize) -> &str {
        &self.case.arguments[argument].ours
    }

    fn theirs_error(&self, part: &str) -> bool {
        matches!(self.theirs, Answer::Error(text) if text.contains(part))
    }

    fn theirs_refused(&self, part: &str) -> bool {
        matches!(self.theirs, Answer::Refused(text) if text.contains(part)) && !self.ours.is_error()
    }

    fn types(&self) -> Vec<String> {
        let name = |data_type: &Option<DataType>| {
            data_type.as_ref().map_or("literal".to_owned(), ToString::to_string)
        };
        self.case.arguments.iter().map(|argument| name(&argument.data_type)).collect()
    }

    pub(crate) fn kind(&self) -> String {
        let side = |answer: &Answer| match answer {
            Answer::Error(_) => "error",
            Answer::Panic => "panic",
            Answer::Refused(_) => "refused",
            Answer::Value(crate::value::Value::Null) => "null",
            Answer::Value(_) => "value",
        };
        let (ours, theirs) = (side(self.ours), side(self.theirs));
        format!("{} ({}): ours {ours}, DuckDB's {theirs}", self.case.form.name, self.types().join(", "))
    }
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for", self.case.ours)?;
        for (argument, value) in self.case.arguments.iter().zip(&self.arguments) {
            let text = if argument.case.is_some() { "..." } else { &argument.ours };
            write!(f, " {text} = {value}")?;
        }
        write!(f, ": ours {} ({}), DuckDB's {}", self.ours, self.case.expression.data_type(), self.theirs)?;
        if self.case.ours == self.case.duckdb { Ok(()) } else { write!(f, " of {}", self.case.duckdb) }
    }
}
