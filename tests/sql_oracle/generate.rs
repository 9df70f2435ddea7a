//! Random expressions, each of columns, literals and earlier expressions.

use std::collections::BTreeMap;

use anabranch_expression::{Expression, ExpressionError};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};

use crate::data::Column;
use crate::forms::{FORMS, Form, Slot, family};
use crate::numbers::Numbers;

/// Characters of an expression.
const LONGEST: usize = 400;
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "100",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "2147483647",
    "2147483648",
    "4294967295",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "(-1)",
    "(-5)",
    "(-128)",
    "(-129)",
    "(-9223372036854775807)",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
];
const POINTS: &[&str] = &[
    "0.1",
    "0.5",
    "1.5",
    "2.0",
    "(-0.01)",
    "(-2.5)",
    "0.06",
    "1.25",
    "9007199254740992.0",
    "9007199254740993.0",
    "0.3333333333",
    "100.0",
    "1e3",
    "0.0",
    "9223372036854775807.5",
    "123456789012345678.25",
];
const TEXTS: &[&str] = &["'a'", "'abc'", "''", "'ä'", "'12'", "'日本語'", "'%'", "' '"];
const DATES: &[&str] = &["DATE '2024-02-29'", "DATE '1970-01-01'", "DATE '0001-01-01'", "DATE '9999-12-31'"];
const TIMESTAMPS: &[&str] = &[
    "TIMESTAMP '2024-02-29 12:34:56.789'",
    "TIMESTAMP '1970-01-01 00:00:00'",
    "TIMESTAMP '1969-12-31 23:59:59.999999'",
];

/// An argument: a column, a literal or an earlier expression.
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    pub(crate) ours: String,
    pub(crate) duckdb: String,
    /// Of a literal that stands as it is: none.
    pub(crate) data_type: Option<DataType>,
    pub(crate) literal: bool,
    /// The position of the case that it is.
    pub(crate) case: Option<usize>,
}

/// An expression with what it is made of.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) form: &'static Form,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) ours: String,
    pub(crate) duckdb: String,
    pub(crate) expression: Expression,
}

/// Grows cases over the columns of one table.
pub(crate) struct Generator<'a> {
    numbers: &'a mut Numbers,
    columns: Vec<Column>,
    fields: Vec<FieldRef>,
    pub(crate) cases: Vec<Case>,
    /// Forms that we refuse, with how often and an example.
    pub(crate) refused: BTreeMap<&'static str, (usize, String)>,
    /// Every so often, one of each form comes, so that none is forgotten.
    turn: usize,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(
        numbers: &'a mut Numbers,
        columns: Vec<Column>,
        fields: Vec<FieldRef>,
        turn: usize,
    ) -> Self {
        Self { numbers, columns, fields, cases: Vec::new(), refused: BTreeMap::new(), turn }
    }

    pub(crate) fn grow(&mut self, count: usize) -> usize {
        while self.cases.len() < count {
            let form = &FORMS[self.turn % FORMS.len()];
            self.turn += 1;
            self.attempt(form);
        }
        self.turn
    }

    fn attempt(&mut self, form: &'static Form) {
        let mut arguments: Vec<Argument> = Vec::new();
        for slot in form.slots {
            let slot = match (slot, arguments.first()) {
                (Slot::Like, Some(first)) => first.data_type.as_ref().map_or(Slot::Any, family),
                _ => *slot,
            };
            arguments.push(self.argument(slot));
        }
        let ours = fill(form.ours, arguments.iter().map(|a| a.ours.clone()));
        let exact = form.name.contains("CAST");
        let duckdb = fill(
            form.duckdb,
            arguments.iter().map(|a| if exact { a.duckdb.clone() } else { in_company(a, &arguments) }),
        );
        if ours.len() > LONGEST {
            return;
        }
        match Expression::compile(&ours, &self.fields) {
            Ok(expression) => self.cases.push(Case { form, arguments, ours, duckdb, expression }),
            // A constant is computed when it is compiled.
            Err(ExpressionError::Compute { .. }) => {}
            Err(error) => {
                let entry = self.refused.entry(form.name).or_default();
                entry.0 += 1;
                if entry.1.is_empty() || arguments.iter().all(|a| a.case.is_none()) {
                    entry.1 = format!("{ours}: {error}");
                }
            }
        }
    }

    fn argument(&mut self, slot: Slot) -> Argument {
        if let Slot::Of(texts) = slot {
            let text = (*self.numbers.one(texts)).to_owned();
            return Argument { ours: text.clone(), duckdb: text, data_type: None, literal: true, case: None };
        }
        match self.numbers.below(10) {
            0..=2 => self.earlier(slot),
            3..=4 => self.literal(slot),
            _ => None,
        }
        .unwrap_or_else(|| self.column(slot))
    }

    fn column(&mut self, slot: Slot) -> Argument {
        let fitting: Vec<&Column> = self.columns.iter().filter(|c| slot.takes(&c.data_type)).collect();
        let column = *self.numbers.one(&fitting);
        Argument {
            ours: column.name.clone(),
            duckdb: column.name.clone(),
            data_type: Some(column.data_type.clone()),
            literal: false,
            case: None,
        }
    }

    /// An earlier expression, as a value of our type, so that what is around it is computed from the same values.
    fn earlier(&mut self, slot: Slot) -> Option<Argument> {
        let fits = |case: &Case| {
            let data_type = case.expression.data_type();
            case.ours.len() < LONGEST / 3 && slot.takes(data_type) && duckdb_type(data_type).is_some()
        };
        let fitting: Vec<usize> = (0..self.cases.len()).filter(|at| fits(&self.cases[*at])).collect();
        if fitting.is_empty() {
            return None;
        }
        let at = *self.numbers.one(&fitting);
        let case = &self.cases[at];
        let data_type = case.expression.data_type();
        Some(Argument {
            ours: case.ours.clone(),
            duckdb: format!("CAST({} AS {})", case.duckdb, duckdb_type(data_type)?),
            data_type: Some(data_type.clone()),
            literal: false,
            case: Some(at),
        })
    }

    fn literal(&mut self, slot: Slot) -> Option<Argument> {
        let texts = match slot {
            Slot::Integer | Slot::Signed => INTEGERS,
            Slot::Number if self.numbers.chance(50) => INTEGERS,
            Slot::Number | Slot::Float => POINTS,
            Slot::Text => TEXTS,
            Slot::Date => DATES,
            Slot::Moment if self.numbers.chance(50) => DATES,
            Slot::Moment | Slot::Naive => TIMESTAMPS,
            _ => return None,
        };
        let text = (*self.numbers.one(texts)).to_owned();
        let data_type = Expression::compile(&text, &self.fields).ok()?.data_type().clone();
        slot.takes(&data_type).then(|| Argument {
            ours: text.clone(),
            duckdb: text,
            data_type: Some(data_type),
            literal: true,
            case: None,
        })
    }
}

fn fill(template: &str, arguments: impl Iterator<Item = String>) -> String {
    arguments
        .enumerate()
        .fold(template.to_owned(), |sql, (at, text)| sql.replace(&format!("{{{at}}}"), &text))
}

/// A number with a point in DuckDB's words: there it is a decimal of its own scale, with us exact until its other side is known,
/// a decimal beside decimals, a float beside floats, and else a float64.
fn in_company(argument: &Argument, arguments: &[Argument]) -> String {
    let point = argument.literal && argument.data_type == Some(DataType::Float64);
    if !point || argument.duckdb.contains('e') {
        return argument.duckdb.clone();
    }
    let others =
        || arguments.iter().filter(|other| !other.literal).filter_map(|other| other.data_type.as_ref());
    if others().any(DataType::is_decimal) {
        return argument.duckdb.clone();
    }
    let float32 = others().any(|other| *other == DataType::Float32)
        && !others().any(|other| *other == DataType::Float64);
    format!("CAST({} AS {})", argument.duckdb, if float32 { "FLOAT" } else { "DOUBLE" })
}

/// DuckDB's name of a type.
pub(crate) fn duckdb_type(data_type: &DataType) -> Option<String> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => "BOOLEAN".to_owned(),
        D::Int8 => "TINYINT".to_owned(),
        D::Int16 => "SMALLINT".to_owned(),
        D::Int32 => "INTEGER".to_owned(),
        D::Int64 => "BIGINT".to_owned(),
        D::UInt8 => "UTINYINT".to_owned(),
        D::UInt16 => "USMALLINT".to_owned(),
        D::UInt32 => "UINTEGER".to_owned(),
        D::UInt64 => "UBIGINT".to_owned(),
        D::Float32 => "FLOAT".to_owned(),
        D::Float64 => "DOUBLE".to_owned(),
        D::Decimal128(precision, scale) if *scale >= 0 => format!("DECIMAL({precision}, {scale})"),
        D::Utf8View => "VARCHAR".to_owned(),
        D::Date32 => "DATE".to_owned(),
        D::Time64(_) => "TIME_NS".to_owned(),
        D::Timestamp(unit, None) => match unit {
            TimeUnit::Second => "TIMESTAMP_S",
            TimeUnit::Millisecond => "TIMESTAMP_MS",
            TimeUnit::Microsecond => "TIMESTAMP",
            TimeUnit::Nanosecond => "TIMESTAMP_NS",
        }
        .to_owned(),
        D::Timestamp(TimeUnit::Nanosecond, Some(_)) => "TIMESTAMPTZ_NS".to_owned(),
        D::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        D::Duration(_) => "INTERVAL".to_owned(),
        D::List(item) => format!("{}[]", duckdb_type(item.data_type())?),
        D::Struct(fields) => {
            let field =
                |field: &FieldRef| Some(format!("\"{}\" {}", field.name(), duckdb_type(field.data_type())?));
            format!("STRUCT({})", fields.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
        }
        _ => return None,
    })
}
