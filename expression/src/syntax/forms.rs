//! Forms with words inside, functions and literals.

use arrow::datatypes::{DataType, TimeUnit};
use sqlparser::ast::{
    AccessExpr, CastKind, CeilFloorKind, DataType as AstType, DateTimeField, Expr, FunctionArg,
    FunctionArgExpr, FunctionArguments, Subscript, TimezoneInfo, TrimWhereField, Value, ValueWithSpan,
};

use super::functions;
use super::names::{part, sql_type};
use super::parameters::Literal;
use super::parse::{Read, Reader, refused, syntax};
use super::tree::{Node, SqlType};
use crate::error::ExpressionError;
use crate::exact::Exact;
use crate::temporal::Temporal;
use crate::temporal::interval::Interval;

impl Reader {
    /// Forms with words inside: LIKE, CASE, CAST and those of functions.
    pub(super) fn form(&mut self, expression: &Expr) -> Read {
        match expression {
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, (*negated, false), escape_char.as_ref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, (*negated, true), escape_char.as_ref())
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_deref().map(|operand| self.boxed(operand)).transpose()?;
                let mut arms = Vec::with_capacity(conditions.len());
                for arm in conditions {
                    arms.push((self.node(&arm.condition)?, self.node(&arm.result)?));
                }
                let otherwise = else_result.as_deref().map(|result| self.boxed(result)).transpose()?;
                Ok(Node::Case { operand, arms, otherwise })
            }
            Expr::Cast { kind, expr, data_type, array: false, format: None } => {
                let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                Ok(cast(lenient, self.node(expr)?, sql_type(data_type)?))
            }
            Expr::Extract { field, expr, .. } => {
                Ok(Node::Extract { part: part(&field_name(field))?, value: self.boxed(expr)? })
            }
            Expr::TypedString(typed) => typed_string(&typed.data_type, &typed.value),
            Expr::Interval(interval) => self.interval(interval),
            Expr::AtTimeZone { timestamp, time_zone } => {
                let Node::Literal(Literal::String(zone)) = self.node(time_zone)? else {
                    return Err(computed("AT TIME ZONE with a computed zone"));
                };
                Ok(Node::AtTimeZone { value: self.boxed(timestamp)?, zone })
            }
            Expr::CompoundIdentifier(names) => {
                let mut names = names.iter();
                let first = names.next().ok_or_else(|| syntax(1, 1, "found no name"))?;
                let column = self.column(first);
                Ok(names.fold(column, |value, name| Node::Field {
                    value: Box::new(value),
                    name: name.value.clone(),
                }))
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            other => self.function_form(other),
        }
    }

    /// Functions that have a syntax of their own.
    fn function_form(&mut self, expression: &Expr) -> Read {
        let plain =
            |field: &CeilFloorKind| matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime));
        match expression {
            Expr::Ceil { expr, field } if plain(field) => functions::call("CEIL", vec![self.node(expr)?]),
            Expr::Floor { expr, field } if plain(field) => functions::call("FLOOR", vec![self.node(expr)?]),
            Expr::Position { expr, r#in } => {
                let arguments = vec![self.node(r#in)?, self.node(expr)?];
                functions::call("STRPOS", arguments)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.node(expr)?];
                match substring_from {
                    Some(from) => arguments.push(self.node(from)?),
                    // A length alone counts from the first character.
                    None => arguments.push(Node::Literal(Literal::Integer(1))),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.node(length)?);
                }
                substring(arguments)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let value = self.node(expr)?;
                let given = trim_characters.iter().flatten().chain(trim_what.as_deref());
                let what = given.map(|what| self.node(what)).collect::<Result<Vec<_>, _>>()?;
                trim(trim_where.as_ref(), what, value)
            }
            Expr::Function(function) => self.function(function),
            other => Err(refused(other)),
        }
    }

    /// LIKE, or ILIKE, maybe negated.
    fn like(
        &mut self,
        value: &Expr,
        pattern: &Expr,
        (negated, ignore_case): (bool, bool),
        escape: Option<&ValueWithSpan>,
    ) -> Read {
        let value = self.boxed(value)?;
        let pattern = self.boxed(pattern)?;
        let escape = match escape.map(|escape| &escape.value) {
            None => None,
            Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 => text.chars().next(),
            Some(_) => {
                let reason = "is one character, as in ESCAPE '#'";
                return Err(ExpressionError::not_allowed("this ESCAPE", reason));
            }
        };
        Ok(Node::Like { negated, ignore_case, value, pattern, escape })
    }

    fn interval(&mut self, interval: &sqlparser::ast::Interval) -> Read {
        let plain = interval.last_field.is_none()
            && interval.leading_precision.is_none()
            && interval.fractional_seconds_precision.is_none();
        let text = match self.node(&interval.value)? {
            Node::Literal(Literal::String(text)) if plain => text,
            Node::Literal(Literal::Integer(number)) if plain => number.to_string(),
            Node::Literal(Literal::Number(number)) if plain => number,
            _ => return Err(computed("INTERVAL with a computed number")),
        };
        let field = interval.leading_field.as_ref().map(field_name);
        Ok(Node::Interval(Interval::read(&text, field.as_deref())?))
    }

    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Read {
        let mut value = self.node(root)?;
        for access in chain {
            value = match access {
                AccessExpr::Dot(Expr::Identifier(name)) => {
                    Node::Field { value: Box::new(value), name: name.value.clone() }
                }
                AccessExpr::Subscript(Subscript::Index { index }) => match self.node(index)? {
                    Node::Literal(Literal::String(name)) => Node::Field { value: Box::new(value), name },
                    index => Node::Element { value: Box::new(value), index: Box::new(index) },
                },
                _ => {
                    let reason = "is not on the list; use l[1] for an element and s.f for a field";
                    return Err(ExpressionError::not_allowed("a slice of a list", reason));
                }
            };
        }
        Ok(value)
    }

    fn function(&mut self, function: &sqlparser::ast::Function) -> Read {
        let name = function.name.to_string();
        if function.over.is_some() {
            return Err(ExpressionError::not_allowed("OVER", "looks at more than one row"));
        }
        let plain = function.filter.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && matches!(function.parameters, FunctionArguments::None)
            && !function.uses_odbc_syntax;
        let arguments = match &function.args {
            FunctionArguments::List(list)
                if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                &list.args
            }
            // The reason of a refused name is more useful than one about its arguments.
            _ => return Err(functions::refusal(&name.to_uppercase())),
        };
        let mut nodes = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => nodes.push(self.node(argument)?),
                _ => return Err(functions::refusal(&name.to_uppercase())),
            }
        }
        match name.to_uppercase().as_str() {
            "DATE_PART" | "DATEPART" => date_part(nodes),
            "SUBSTR" | "SUBSTRING" => substring(nodes),
            "YEAR" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "SECOND" | "QUARTER" | "WEEK" | "DAYOFWEEK"
            | "DAYOFYEAR" => extract_by_name(&name, nodes),
            "DATE_TRUNC" | "DATETRUNC" | "DATE_DIFF" | "DATEDIFF" => with_part(&name, nodes),
            upper => functions::call(upper, nodes),
        }
    }
}

fn computed(name: &str) -> ExpressionError {
    ExpressionError::not_allowed(name, "is read once for all rows; give a literal or a parameter")
}

pub(super) fn literal(value: &ValueWithSpan) -> Result<Literal, ExpressionError> {
    let place = value.span.start;
    Ok(match &value.value {
        Value::Null => Literal::Null,
        Value::Boolean(value) => Literal::Bool(*value),
        Value::SingleQuotedString(text) => Literal::String(text.clone()),
        Value::Number(digits, false) => number(digits).ok_or_else(|| {
            syntax(place.line, place.column, "found a number that neither a decimal nor a float64 holds")
        })?,
        Value::Placeholder(name) => {
            let reason = "stands for a value that is not given; write ${name} for a parameter";
            return Err(ExpressionError::not_allowed(format!("the placeholder {name}"), reason));
        }
        _ => {
            let found = "found a literal in quotes of another kind";
            return Err(syntax(place.line, place.column, format!("{found}, expected 'text'")));
        }
    })
}

/// A number as it is written: an exponent makes it a float, as do more digits than a decimal has.
fn number(digits: &str) -> Option<Literal> {
    let float = || digits.parse::<f64>().ok().filter(|value| value.is_finite()).map(Literal::Float);
    if digits.contains(['e', 'E']) {
        return float();
    }
    match Exact::read(digits) {
        Some(exact) => Some(Literal::exact(exact)),
        None if digits.contains('.') => float(),
        None => None,
    }
}

fn typed_string(data_type: &AstType, value: &ValueWithSpan) -> Read {
    let Value::SingleQuotedString(text) = &value.value else {
        return Err(computed("a literal of a type without quotes"));
    };
    let (temporal, expected) = match data_type {
        AstType::Date => (Temporal::date(text), "a date as '2024-12-31'"),
        AstType::Time(None, TimezoneInfo::None) => (Temporal::time(text), "a time as '23:59:59.5'"),
        AstType::Timestamp(None, TimezoneInfo::None) | AstType::Datetime(None) => {
            (Temporal::timestamp(text), "a time as '2024-12-31 23:59:59.5'")
        }
        AstType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            (Temporal::instant(text), "an instant as '2024-12-31 23:59:59.5+01:00'")
        }
        other => {
            let name = format!("a literal of type {other}");
            return Err(ExpressionError::not_allowed(name, "is not a DATE, TIME or TIMESTAMP"));
        }
    };
    temporal.map(Node::Temporal).ok_or_else(|| ExpressionError::Type {
        place: format!("{data_type} literal"),
        found: "a string of another form".to_owned(),
        expected,
        remedy: "write it in that form",
    })
}

fn substring(arguments: Vec<Node>) -> Read {
    match arguments.len() {
        2 | 3 => Ok(Node::Call { name: "SUBSTR", arguments }),
        found => Err(ExpressionError::arguments("SUBSTR", found, "a string, a start and maybe a length")),
    }
}

fn trim(place: Option<&TrimWhereField>, what: Vec<Node>, value: Node) -> Read {
    let function = match place {
        None | Some(TrimWhereField::Both) => "TRIM",
        Some(TrimWhereField::Leading) => "LTRIM",
        Some(TrimWhereField::Trailing) => "RTRIM",
    };
    functions::call(function, std::iter::once(value).chain(what).collect())
}

/// `YEAR(t)` and its like.
fn extract_by_name(name: &str, arguments: Vec<Node>) -> Read {
    match functions::call(name, arguments)? {
        Node::Call { arguments, .. } => {
            let value = arguments.into_iter().next().ok_or_else(|| syntax(1, 1, "found no argument"))?;
            Ok(Node::Extract { part: part(&name.to_lowercase())?, value: Box::new(value) })
        }
        other => Ok(other),
    }
}

/// A function whose first argument is the name of a part of a date or time.
fn with_part(name: &str, mut arguments: Vec<Node>) -> Read {
    if let Some(first) = arguments.first_mut() {
        match first {
            Node::Literal(Literal::String(text)) => part(&text.to_lowercase())?.clone_into(text),
            _ => return Err(computed(&format!("{} with a computed part", name.to_uppercase()))),
        }
    }
    functions::call(name, arguments)
}

fn date_part(arguments: Vec<Node>) -> Read {
    match <[Node; 2]>::try_from(arguments) {
        Ok([Node::Literal(Literal::String(name)), value]) => {
            Ok(Node::Extract { part: part(&name.to_lowercase())?, value: Box::new(value) })
        }
        _ => Err(computed("DATE_PART without a part and a value")),
    }
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().to_lowercase()
}

/// A cast; that of a literal to a date or time is that date or time.
fn cast(lenient: bool, value: Node, target: SqlType) -> Node {
    let temporal = match (&value, target) {
        (Node::Literal(Literal::String(text)), SqlType::Plain("DATE")) => Temporal::date(text),
        (Node::Literal(Literal::String(text)), SqlType::Plain("TIME")) => Temporal::time(text),
        (Node::Literal(Literal::String(text)), SqlType::Timestamp(6)) => {
            // One with nanoseconds is rounded, not another type.
            let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
            Temporal::timestamp(text).filter(|read| read.data_type() == micro)
        }
        _ => None,
    };
    temporal.map_or_else(|| Node::Cast { lenient, value: Box::new(value), target }, Node::Temporal)
}
