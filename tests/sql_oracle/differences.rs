//! Where our answers differ from those of DuckDB, each with the reason why ours is right.

use std::fmt;

use arrow::datatypes::DataType;

use crate::generate::Case;
use crate::value::{Answer, Value};

/// A row of an expression for which the two answers differ, though its arguments do not.
pub struct Found<'a> {
    pub case: &'a Case,
    /// Values of the arguments.
    pub arguments: Vec<Answer>,
    pub ours: &'a Answer,
    pub theirs: &'a Answer,
}

/// A difference that is accepted.
pub struct Difference {
    pub name: &'static str,
    pub applies: fn(&Found<'_>) -> bool,
    /// Why ours is right.
    #[expect(dead_code, reason = "it is for readers")]
    pub reason: &'static str,
}

const fn difference(name: &'static str, applies: fn(&Found<'_>) -> bool, reason: &'static str) -> Difference {
    Difference { name, applies, reason }
}

pub const DIFFERENCES: &[Difference] = &[
    difference(
        "the last bits of transcendental functions",
        |found| found.is_one_of(TRANSCENDENTAL) && found.close(4e-15),
        "neither is the nearest float for all arguments; each is that of its mathematical library, within some units of the last place",
    ),
    difference(
        "LOG1P near zero",
        |found| found.is("LOG1P") && found.close(1e-6),
        "DuckDB has no LOG1P; ln(1 + x) loses the digits that the function is there for",
    ),
    difference(
        "functions of degrees",
        |found| found.is_one_of(&["SIND", "COSD", "TAND", "COTD", "ASIND", "ACOSD", "ATAND", "ATAN2D"]) && found.close(1e-6),
        "DuckDB has none; the conversion to radians rounds, and a float32 has a float32 for an answer",
    ),
    difference(
        "a float as a string",
        |found| found.is("CAST float to text"),
        "both read back as the same float; ours are those of the pipeline's CSV and JSON files: NaN, inf, 1e17",
    ),
    difference(
        "a decimal below one as a string",
        |found| found.is("CAST decimal to text") && found.theirs_text().is_some_and(|t| t.trim_start_matches('-').starts_with('.')),
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
        "weeks between dates before 1970",
        |found| found.is_one_of(&["DATE_DIFF", "DATE_DIFF of dates"]) && found.argument_text(1) == "'week'",
        "DuckDB counts differently from the days between its own DATE_TRUNC('week')",
    ),
    difference(
        "a shift of a negative number",
        |found| found.is("<<") && found.theirs.is_error(),
        "a shift by n multiplies by two to the n, for numbers of either sign",
    ),
    difference(
        "timestamps that DuckDB cannot widen",
        |found| found.theirs_error("higher precision") && !found.ours.is_error(),
        "instants compare and convert without a common unit that could overflow",
    ),
    difference(
        "numbers that fit no decimal together",
        |found| found.theirs_error("to DECIMAL(") && !found.ours.is_error() && !found.case.form.name.contains("CAST"),
        "numbers compare by value, without a common type that has to hold both",
    ),
    difference(
        "timestamps of two units with a zone",
        |found| found.theirs_refused("TIMESTAMPTZ_NS"),
        "DuckDB has no operator for them; instants need none",
    ),
    difference(
        "an infinite date",
        |found| found.text(0).is_some_and(|t| t.to_lowercase().trim_start_matches('-').starts_with("inf")) && found.case.form.name.contains("to "),
        "a date is a day; there is no infinite one",
    ),
    difference(
        "a timestamp with an offset as one without a zone",
        |found| found.is_one_of(&["CAST text to timestamp", "TRY_CAST text to timestamp"]) && found.text(0).is_some_and(|t| t.contains('+')),
        "the offset would be dropped without a word",
    ),
    difference(
        "years before the first",
        |found| found.theirs_text().is_some_and(|t| t.contains("(BC)")),
        "ISO 8601 numbers them 0, -1, ..",
    ),
    difference(
        "a negative fraction as an unsigned integer",
        |found| found.is_one_of(&["CAST text to integer", "TRY_CAST text to integer"]) && found.text(0).is_some_and(|t| t.starts_with("-0")),
        "-0.25 rounds to 0, as the same decimal does",
    ),
    difference(
        "a BETWEEN that its first bound decides",
        |found| found.is_one_of(&["BETWEEN", "NOT BETWEEN"]) && found.theirs.is_error() && !found.ours.is_error(),
        "BETWEEN is two comparisons with AND, which guards the second",
    ),
];

/// Functions whose answers are rounded by a mathematical library.
const TRANSCENDENTAL: &[&str] = &[
    "CBRT", "EXP", "LN", "LOG10", "LOG2", "LOG1P", "LOG", "POW", "SIN", "COS", "TAN", "COT", "ASIN", "ACOS", "ATAN", "ATAN2", "DEGREES",
    "RADIANS",
];

impl Found<'_> {
    fn is(&self, form: &str) -> bool {
        self.case.form.name == form
    }

    fn is_one_of(&self, forms: &[&str]) -> bool {
        forms.contains(&self.case.form.name)
    }

    /// Two numbers that differ by that part of the greater, or of one.
    fn close(&self, tolerance: f64) -> bool {
        let numbers = self.ours.value().and_then(Value::number).zip(self.theirs.value().and_then(Value::number));
        numbers.is_some_and(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(b.abs()))
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
        let name = |data_type: &Option<DataType>| data_type.as_ref().map_or("literal".to_owned(), ToString::to_string);
        self.case.arguments.iter().map(|argument| name(&argument.data_type)).collect()
    }

    pub fn kind(&self) -> String {
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
