//! Calls of functions: the types of their arguments and of their results.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;

use super::compare::comparable;
use super::{Operand, Planned, Planner};
use crate::error::ExpressionError;
use crate::kernels::decimal::decimal_type;
use crate::kernels::math::{Keeping, keeping};
use crate::kernels::numbers::{is_float, is_number, scale_of};
use crate::kernels::steps::Typed;
use crate::kernels::{Function, compare, math, regexes, strings, times};
use crate::syntax::tree::{Binary, Node};

impl Planner<'_> {
    pub(super) fn function(&self, node: &Node, name: &'static str, arguments: &[Node]) -> Planned<Typed> {
        match (name, arguments) {
            ("COALESCE", _) => self.coalesce(node, arguments),
            ("GREATEST" | "LEAST", _) => self.extreme(node, name == "GREATEST", arguments),
            ("IF", [condition, yes, no]) => {
                let condition = self.condition(condition)?;
                let results = vec![self.operand(yes)?, self.operand(no)?];
                self.choice(node, vec![condition], results)
            }
            ("NULLIF", [value, other]) => self.null_if(node, value, other),
            ("MOD", [left, right]) => self.settled(node, Binary::Modulo, left, right),
            ("DIV", [left, right]) => self.settled(node, Binary::IntegerDivide, left, right),
            ("XOR", [left, right]) => self.settled(node, Binary::BitXor, left, right),
            ("PI", _) => Ok(Typed::constant(Arc::new(Float64Array::from(vec![std::f64::consts::PI])))),
            ("DATE_TRUNC", [part, value]) => self.truncated(node, self.part(node, part)?, value),
            ("DATE_DIFF", [part, from, to]) => self.difference(node, self.part(node, part)?, from, to),
            ("STRFTIME", [value, format]) => self.formatted(node, value, format),
            ("DATE" | "TIME" | "TIMESTAMP" | "DATETIME" | "STRPTIME" | "TRY_STRPTIME", [value, format]) => {
                self.parsed(node, name, value, format)
            }
            ("MAKE_DATE", parts) => {
                let parts = parts.iter().map(|part| self.integer(node, part)).collect::<Planned<Vec<_>>>()?;
                self.call(node, times::make_date(), parts, DataType::Date32)
            }
            _ => match self.of_numbers(node, name, arguments)? {
                Some(call) => Ok(call),
                None => self.of_strings(node, name, arguments),
            },
        }
    }

    fn settled(&self, node: &Node, operator: Binary, left: &Node, right: &Node) -> Planned<Typed> {
        let operand = self.arithmetic(node, operator, left, right)?;
        self.settle(node, operand)
    }

    fn part(&self, node: &Node, part: &Node) -> Planned<&'static str> {
        let text = self.literal_string(node, part)?;
        crate::syntax::names::part(&text)
    }

    /// An argument that is read once for all rows.
    pub(super) fn literal_string(&self, node: &Node, argument: &Node) -> Planned<String> {
        match self.operand(argument)? {
            Operand::String(text) => Ok(text),
            _ => Err(self.no_literal(node, "a string that is written there")),
        }
    }

    fn literal_integer(&self, node: &Node, argument: &Node) -> Planned<i64> {
        let number = match self.operand(argument)? {
            Operand::Number(number) => number.to_i128().and_then(|n| i64::try_from(n).ok()),
            _ => None,
        };
        number.ok_or_else(|| self.no_literal(node, "an integer that is written there"))
    }

    fn no_literal(&self, node: &Node, expected: &'static str) -> ExpressionError {
        self.wrong(node, "an argument that is no literal", expected, "give a literal or a parameter")
    }

    /// An argument as an integer of 64 bits.
    pub(super) fn integer(&self, node: &Node, argument: &Node) -> Planned<Typed> {
        let operand = self.operand(argument)?;
        let fits = operand.is_integer() || matches!(operand, Operand::Null);
        let found = super::describe(&operand);
        if fits && let Ok(value) = self.as_type(node, operand, &DataType::Int64) {
            return Ok(value);
        }
        Err(self.wrong(node, found, "an integer", "cast it, as in CAST(x AS BIGINT)"))
    }

    /// An argument as a number of a type of its own.
    fn number(&self, node: &Node, argument: &Node) -> Planned<Typed> {
        let operand = self.operand(argument)?;
        self.as_number(node, operand)
    }

    fn as_number(&self, node: &Node, operand: Operand) -> Planned<Typed> {
        let found = super::describe(&operand);
        let value = match operand {
            Operand::Null => self.as_type(node, operand, &DataType::Float64)?,
            operand => self.settle(node, operand)?,
        };
        if is_number(&value.data_type) {
            return Ok(value);
        }
        Err(self.wrong(node, found, "a number", "cast it, as in CAST(x AS DOUBLE)"))
    }

    fn of_numbers(&self, node: &Node, name: &str, arguments: &[Node]) -> Planned<Option<Typed>> {
        let call = match (name, arguments) {
            ("ABS" | "SIGN" | "CEIL" | "FLOOR", [value]) => {
                let value = self.number(node, value)?;
                let data_type = value.data_type.clone();
                let function = match name {
                    "ABS" => Keeping::Absolute,
                    "SIGN" => Keeping::Sign,
                    "CEIL" => Keeping::Ceiling,
                    _ => Keeping::Floor,
                };
                let data_type = kept(function, &data_type);
                let function = keeping(function, &value.data_type).expect("the argument is a number");
                self.call(node, function, vec![value], data_type)?
            }
            ("ROUND" | "TRUNC", [value, rest @ ..]) => {
                let digits = rest.first().map_or(Ok(0), |digits| self.literal_integer(node, digits))?;
                let value = self.number(node, value)?;
                let data_type = kept(Keeping::Floor, &value.data_type);
                let function = math::round(&value.data_type, digits, name == "TRUNC");
                self.call(node, function.expect("the argument is a number"), vec![value], data_type)?
            }
            ("POW", [base, exponent]) => self.power(node, base, exponent)?,
            ("ISNAN" | "ISINF" | "ISFINITE", [value]) => {
                let value = self.number(node, value)?;
                let function = math::classify(name, &value.data_type);
                self.call(node, function, vec![value], DataType::Boolean)?
            }
            ("LOG", [value]) => self.transcendental(node, "LOG10", value)?,
            ("LOG" | "ATAN2" | "ATAN2D", [left, right]) => {
                let (left, right) = (self.number(node, left)?, self.number(node, right)?);
                self.of_two(node, name, left, right)?
            }
            (_, [value]) if math::transcendental(name).is_some() => self.transcendental(node, name, value)?,
            _ => return Ok(None),
        };
        Ok(Some(call))
    }

    /// A function that is computed in 64 bits; floats of 32 bits get one back.
    fn transcendental(&self, node: &Node, name: &str, value: &Node) -> Planned<Typed> {
        let value = self.number(node, value)?;
        let single = value.data_type == DataType::Float32;
        let value = self.coerce(node, value, &DataType::Float64)?;
        let function = math::transcendental(name).expect("the name is that of a function");
        let result = self.call(node, function, vec![value], DataType::Float64)?;
        self.narrowed(node, result, single)
    }

    fn of_two(&self, node: &Node, name: &str, left: Typed, right: Typed) -> Planned<Typed> {
        let single = left.data_type == DataType::Float32 && right.data_type == DataType::Float32;
        let values = self.coerce_both(node, left, right, &DataType::Float64)?;
        let function = math::of_two(name).expect("the name is that of a function");
        let result = self.call(node, function, values, DataType::Float64)?;
        self.narrowed(node, result, single)
    }

    fn narrowed(&self, node: &Node, value: Typed, single: bool) -> Planned<Typed> {
        if !single {
            return Ok(value);
        }
        self.call(node, math::to_float32(), vec![value], DataType::Float32)
    }

    fn power(&self, node: &Node, base: &Node, exponent: &Node) -> Planned<Typed> {
        let (base, exponent) = (self.number(node, base)?, self.operand(exponent)?);
        if base.data_type.is_integer() && exponent.is_integer() {
            if let Operand::Number(number) = &exponent
                && number.to_f64() < 0.0
            {
                return Err(self.wrong(
                    node,
                    "an integer with a negative exponent",
                    "a number with a fraction",
                    "cast the base, as in POW(CAST(x AS DOUBLE), -1)",
                ));
            }
            let data_type = base.data_type.clone();
            let function = math::integer_power(&data_type).expect("the base is an integer");
            let exponent = self.as_type(node, exponent, &DataType::Int64)?;
            return self.call(node, function, vec![base, exponent], data_type);
        }
        let exponent = match exponent {
            Operand::Number(_) if is_float(&base.data_type) => {
                self.as_type(node, exponent, &base.data_type)?
            }
            other => self.as_number(node, other)?,
        };
        self.of_two(node, "POW", base, exponent)
    }

    fn extreme(&self, node: &Node, largest: bool, arguments: &[Node]) -> Planned<Typed> {
        let operands = arguments.iter().map(|node| self.operand(node)).collect::<Planned<Vec<_>>>()?;
        let (data_type, values) = self.meet(node, operands)?;
        if !comparable(&data_type) {
            let found = format!("type {}", super::name(&data_type));
            return Err(self.wrong(
                node,
                found,
                "values that have an order",
                "use a field or an element of it",
            ));
        }
        let less = compare::floats(Binary::Less, &data_type);
        let less = less.unwrap_or_else(|| compare::plain(Binary::Less));
        self.call(node, math::extreme(largest, less), values, data_type)
    }

    fn null_if(&self, node: &Node, value: &Node, other: &Node) -> Planned<Typed> {
        let (value, other) = (self.operand(value)?, self.operand(other)?);
        self.once(value, |value| {
            let equal = self.comparison(node, Binary::Equal, value.clone(), other)?;
            let value = self.settle(node, value)?;
            self.choice(node, vec![equal], vec![Operand::Null, Operand::Typed(value)])
        })
    }

    fn of_strings(&self, node: &Node, name: &'static str, arguments: &[Node]) -> Planned<Typed> {
        let strings_of = |arguments: &[Node]| {
            arguments.iter().map(|argument| self.string(node, argument)).collect::<Planned<Vec<_>>>()
        };
        let (function, values, gives): (Function, Vec<Typed>, DataType) = match (name, arguments) {
            ("UPPER" | "LOWER" | "REVERSE", [value]) => {
                (strings::transform(name), vec![self.string(node, value)?], DataType::Utf8View)
            }
            ("LENGTH" | "OCTET_LENGTH" | "BIT_LENGTH", [value]) => {
                let operand = self.operand(value)?;
                let found = super::describe(&operand);
                let value = self.settle(node, operand)?;
                if !matches!(value.data_type, DataType::Utf8View | DataType::BinaryView) {
                    return Err(self.wrong(node, found, "a string", "cast it, as in CAST(x AS VARCHAR)"));
                }
                (strings::length(name), vec![value], DataType::Int64)
            }
            ("CONCAT" | "CONCAT_WS", _) => {
                let parts = arguments.iter().map(|part| self.as_text(part)).collect::<Planned<Vec<_>>>()?;
                (strings::joined(name == "CONCAT_WS"), parts, DataType::Utf8View)
            }
            ("REGEXP_LIKE" | "REGEXP_REPLACE" | "REGEXP_EXTRACT", [value, rest @ ..]) => {
                let value = self.string(node, value)?;
                let (function, gives) = self.regular(node, name, rest)?;
                (function, vec![value], gives)
            }
            ("STARTS_WITH" | "ENDS_WITH" | "CONTAINS", _) => {
                (named(name), strings_of(arguments)?, DataType::Boolean)
            }
            ("STRPOS", _) => (named(name), strings_of(arguments)?, DataType::Int64),
            ("REPLACE" | "TRIM" | "LTRIM" | "RTRIM" | "INITCAP", _) => {
                (named(name), strings_of(arguments)?, DataType::Utf8View)
            }
            ("SPLIT_PART", [value, by, at]) => {
                let values = vec![self.string(node, value)?, self.string(node, by)?, self.integer(node, at)?];
                (named(name), values, DataType::Utf8View)
            }
            ("LEFT" | "RIGHT" | "REPEAT" | "SUBSTR", [value, rest @ ..]) => {
                let mut values = vec![self.string(node, value)?];
                for argument in rest {
                    values.push(self.integer(node, argument)?);
                }
                (named(name), values, DataType::Utf8View)
            }
            ("LPAD" | "RPAD", [value, width, fill @ ..]) => {
                let mut values = vec![self.string(node, value)?, self.integer(node, width)?];
                values.extend(strings_of(fill)?);
                (named(name), values, DataType::Utf8View)
            }
            _ => unreachable!("{name} with {} arguments is not on the list", arguments.len()),
        };
        self.call(node, function, values, gives)
    }

    /// The functions of regular expressions; the pattern is read once for all rows.
    fn regular(&self, node: &Node, name: &str, rest: &[Node]) -> Planned<(Function, DataType)> {
        let (pattern, replacement, flags, group) = match (name, rest) {
            ("REGEXP_REPLACE", [pattern, to, flags @ ..]) => (pattern, Some(to), flags.first(), None),
            ("REGEXP_EXTRACT", [pattern, group @ ..]) => (pattern, None, None, group.first()),
            (_, [pattern, flags @ ..]) => (pattern, None, flags.first(), None),
            _ => unreachable!("{name} with {} arguments is not on the list", rest.len() + 1),
        };
        let literal =
            |argument: Option<&Node>| argument.map(|node_of| self.literal_string(node, node_of)).transpose();
        let pattern = self.literal_string(node, pattern)?;
        let (replacement, flags) =
            (literal(replacement)?.unwrap_or_default(), literal(flags)?.unwrap_or_default());
        let Some((all, flags)) = read_flags(&flags).filter(|(all, _)| !all || name == "REGEXP_REPLACE")
        else {
            let remedy =
                "i: any case, c: this case, m: lines, s: . takes ends of lines; g for REGEXP_REPLACE: all";
            return Err(self.wrong(node, "flags that are not known", "letters of cgims", remedy));
        };
        let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
        let regex = regex::Regex::new(&pattern).map_err(|_| {
            let remedy = "write it in the syntax of the regex crate, as a string";
            self.wrong(node, "a pattern that does not compile", "a regular expression", remedy)
        })?;
        Ok(match name {
            "REGEXP_LIKE" => (regexes::matches(regex), DataType::Boolean),
            "REGEXP_REPLACE" => {
                (regexes::replace_matches(regex, references(&replacement), all), DataType::Utf8View)
            }
            _ => {
                let group = group.map_or(Ok(0), |group| self.literal_integer(node, group))?;
                let group = usize::try_from(group).unwrap_or(usize::MAX);
                if group >= regex.captures_len() {
                    return Err(self.wrong(
                        node,
                        "a group that the pattern does not have",
                        "one of its groups",
                        "count them from 1",
                    ));
                }
                (regexes::extracted(regex, group), DataType::Utf8View)
            }
        })
    }
}

fn named(name: &str) -> Function {
    strings::function(name).expect("the name is that of a function of strings")
}

/// The type of a result that keeps that of its number; rounding may add a digit to a decimal.
fn kept(function: Keeping, data_type: &DataType) -> DataType {
    match (function, data_type) {
        (Keeping::Negate | Keeping::Absolute, kept) => kept.clone(),
        (Keeping::Sign, DataType::Decimal128(..)) => {
            let scale = math::sign_scale(scale_of(data_type));
            decimal_type(scale)
        }
        (_, DataType::Decimal128(_, scale)) => DataType::Decimal128(38, *scale),
        (_, kept) => kept.clone(),
    }
}

/// Flags as those of the library, and true where all matches are meant; of c and i the last one counts.
fn read_flags(text: &str) -> Option<(bool, String)> {
    let (mut all, mut any_case, mut flags) = (false, false, String::new());
    for flag in text.chars() {
        match flag {
            'g' => all = true,
            'c' | 'i' => any_case = flag == 'i',
            'm' | 's' if flags.contains(flag) => {}
            'm' | 's' => flags.push(flag),
            _ => return None,
        }
    }
    if any_case {
        flags.push('i');
    }
    Some((all, flags))
}

/// `\1` of SQL as the `${1}` of the library; a `$` is one.
fn references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => out.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => out.extend(["${", &digit.to_string(), "}"]),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
