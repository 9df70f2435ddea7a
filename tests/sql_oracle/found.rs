//! A row for which the two answers differ, and what can be asked about it.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

use crate::decimal::Decimal;
use crate::expected::Operand;
use crate::generate::Case;
use crate::moments;
use crate::value::{Answer, Value};

/// A row of an expression for which the two answers differ, though its arguments do not.
pub(crate) struct Found<'a> {
    pub(crate) case: &'a Case,
    /// Values of the arguments.
    pub(crate) arguments: Vec<Answer>,
    pub(crate) ours: &'a Answer,
    pub(crate) theirs: &'a Answer,
}

impl Found<'_> {
    pub(crate) fn is(&self, form: &str) -> bool {
        self.case.form.name == form
    }

    pub(crate) fn is_one_of(&self, forms: &[&str]) -> bool {
        forms.contains(&self.case.form.name)
    }

    /// The type of our answer.
    pub(crate) fn gives(&self) -> &DataType {
        self.case.expression.data_type()
    }

    pub(crate) fn has(&self, of: impl Fn(&DataType) -> bool) -> bool {
        self.case.arguments.iter().filter_map(|argument| argument.data_type.as_ref()).any(of)
    }

    pub(crate) fn has_decimal(&self) -> bool {
        self.has(DataType::is_decimal)
    }

    pub(crate) fn has_float32(&self) -> bool {
        self.has(|data_type| *data_type == DataType::Float32)
    }

    pub(crate) fn has_nanoseconds(&self) -> bool {
        self.has(|data_type| matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)))
    }

    pub(crate) fn are_literals(&self) -> bool {
        self.case.arguments.iter().all(|argument| argument.literal)
    }

    /// The value of an argument that is no literal.
    pub(crate) fn value(&self, argument: usize) -> Option<&Value> {
        if self.case.arguments.get(argument)?.literal { None } else { self.arguments.get(argument)?.value() }
    }

    /// An argument by value; none for a literal that is no value.
    pub(crate) fn operand(&self, argument: usize) -> Option<Operand> {
        let literal = &self.case.arguments.get(argument)?;
        if !literal.literal {
            return Some(match self.arguments.get(argument)? {
                Answer::Value(value) => Operand::Value(value.clone()),
                _ => Operand::Failed,
            });
        }
        let text = literal.ours.as_str();
        let quoted = |text: &str| Some(text.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
        if let Some(text) = quoted(text) {
            return Some(Operand::Value(Value::Text(text)));
        }
        if let Some((_, text)) = text.split_once(' ') {
            return moments::instant(&quoted(text)?).map(|at| Operand::Value(Value::Instant(at)));
        }
        if text.contains('e') {
            return text.parse().ok().map(|value| Operand::Value(Value::Float64(value)));
        }
        Decimal::read(text).map(Operand::Number)
    }

    /// An argument that is an exact number.
    pub(crate) fn exact(&self, argument: usize) -> Option<Decimal> {
        match self.operand(argument)? {
            Operand::Value(value) => Decimal::of(&value),
            Operand::Number(number) => Some(number),
            Operand::Failed => None,
        }
    }

    pub(crate) fn instant(&self, argument: usize) -> Option<i128> {
        match self.operand(argument)? {
            Operand::Value(Value::Instant(at)) => Some(at),
            _ => None,
        }
    }

    /// The string that an argument is.
    pub(crate) fn text(&self, argument: usize) -> Option<String> {
        match self.operand(argument)? {
            Operand::Value(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An argument as it is written.
    pub(crate) fn written(&self, argument: usize) -> &str {
        self.case.arguments.get(argument).map_or("", |argument| &argument.ours)
    }

    /// Our answer is that value.
    pub(crate) fn gave(&self, value: &Value) -> bool {
        self.ours.value().is_some_and(|ours| ours.equals(value))
    }

    /// Two literals are equal, or not, by all their digits.
    pub(crate) fn is_exact_equality(&self) -> bool {
        let equal = || self.exact(0)?.order(&self.exact(1)?).map(std::cmp::Ordering::is_eq);
        self.is("= number") && equal().is_some_and(|equal| self.gave(&Value::Bool(equal)))
    }

    /// A time that is DuckDB's but for what is finer than a microsecond.
    pub(crate) fn is_finer_time(&self) -> bool {
        match (self.ours.value(), self.theirs.value()) {
            (Some(Value::Time(ours)), Some(Value::Time(theirs))) => (ours - theirs).abs() < 1_000,
            _ => false,
        }
    }

    /// The longest, or the shortest, of the spans.
    pub(crate) fn is_extreme_span(&self) -> bool {
        let span = |argument: &Answer| match argument.value() {
            Some(Value::Span(0, nanoseconds)) => Some(*nanoseconds),
            _ => None,
        };
        let Some(spans) = self.arguments.iter().map(span).collect::<Option<Vec<i128>>>() else {
            return false;
        };
        let extreme = if self.is("GREATEST") { spans.into_iter().max() } else { spans.into_iter().min() };
        extreme.is_some_and(|extreme| self.gave(&Value::Span(0, extreme)))
    }

    /// Our answer is that string.
    pub(crate) fn gave_text(&self, text: &str) -> bool {
        self.ours.text() == Some(text)
    }

    /// Our row has no answer, or null for a failure that `TRY_CAST` takes.
    pub(crate) fn refused(&self) -> bool {
        matches!(self.ours, Answer::Error(_) | Answer::Value(Value::Null))
    }

    /// Two numbers that differ by that part of the greater, or of one.
    pub(crate) fn close(&self, tolerance: f64) -> bool {
        let numbers =
            self.ours.value().and_then(Value::number).zip(self.theirs.value().and_then(Value::number));
        numbers.is_some_and(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(b.abs()))
    }

    pub(crate) fn theirs_error(&self, part: &str) -> bool {
        matches!(self.theirs, Answer::Error(text) if text.contains(part))
    }

    pub(crate) fn theirs_refused(&self, part: &str) -> bool {
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
            Answer::Value(Value::Null) => "null",
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
        write!(f, ": ours {} ({}), DuckDB's {}", self.ours, self.gives(), self.theirs)?;
        if self.case.ours == self.case.duckdb { Ok(()) } else { write!(f, " of {}", self.case.duckdb) }
    }
}
