//! Forms with words inside: CASE, CAST, LIKE, `||`, fields and elements.

use arrow::datatypes::{DataType, TimeUnit};

use super::{Operand, Planned, Planner, constant};
use crate::kernels::casts::caster;
use crate::kernels::pattern::{Pattern, like, like_each};
use crate::kernels::steps::{Step, Typed};
use crate::kernels::{nested, strings};
use crate::syntax::tree::{Binary, Node, SqlType};

impl Planner<'_> {
    pub(super) fn case(
        &self,
        node: &Node,
        operand: Option<&Node>,
        arms: &[(Node, Node)],
        otherwise: Option<&Node>,
    ) -> Planned<Typed> {
        let operand = operand.map(|operand| self.operand(operand)).transpose()?;
        match operand {
            None => self.arms(node, None, arms, otherwise),
            Some(operand) => self.once(operand, |operand| self.arms(node, Some(&operand), arms, otherwise)),
        }
    }

    fn arms(
        &self,
        node: &Node,
        operand: Option<&Operand>,
        arms: &[(Node, Node)],
        otherwise: Option<&Node>,
    ) -> Planned<Typed> {
        let mut conditions = Vec::with_capacity(arms.len());
        let mut results = Vec::with_capacity(arms.len() + 1);
        for (condition, result) in arms {
            conditions.push(match operand {
                None => self.condition(condition)?,
                Some(operand) => {
                    let condition = self.operand(condition)?;
                    self.comparison(node, Binary::Equal, operand.clone(), condition)?
                }
            });
            results.push(self.operand(result)?);
        }
        results.push(otherwise.map_or(Ok(Operand::Null), |otherwise| self.operand(otherwise))?);
        self.choice(node, conditions, results)
    }

    /// The result of the first condition that is true; the last one has no condition.
    pub(super) fn choice(
        &self,
        node: &Node,
        conditions: Vec<Typed>,
        results: Vec<Operand>,
    ) -> Planned<Typed> {
        let (data_type, mut results) = self.meet(node, results)?;
        let constant = conditions.iter().chain(&results).all(Typed::is_constant);
        let otherwise = Box::new(results.pop().expect("a choice has a last result"));
        let arms = conditions.into_iter().zip(results).collect();
        self.folded(node, Typed::new(Step::Choose { arms, otherwise }, data_type), constant)
    }

    pub(super) fn coalesce(&self, node: &Node, arguments: &[Node]) -> Planned<Typed> {
        let operands = arguments.iter().map(|node| self.operand(node)).collect::<Planned<Vec<_>>>()?;
        let (data_type, values) = self.meet(node, operands)?;
        let constant = values.iter().all(Typed::is_constant);
        self.folded(node, Typed::new(Step::Coalesce(values), data_type), constant)
    }

    pub(super) fn cast(&self, node: &Node, lenient: bool, value: &Node, target: SqlType) -> Planned<Typed> {
        let data_type = arrow_type(target);
        let operand = self.operand(value)?;
        let value = match operand {
            Operand::Null => return Ok(Typed::null(&data_type)),
            // A number is exact until the type is known.
            Operand::Number(number) => match constant(&number, &data_type) {
                Some(array) => return Ok(Typed::constant(array)),
                None => {
                    match super::common::decimal_of(&number).filter(|_| data_type != DataType::Utf8View) {
                        Some(decimal) => self.as_type(node, Operand::Number(number), &decimal)?,
                        None => self.settle(node, Operand::Number(number))?,
                    }
                }
            },
            operand => self.settle(node, operand)?,
        };
        let Some(function) = caster(&value.data_type, &data_type, lenient) else {
            let found =
                format!("a cast of type {} to {}", super::name(&value.data_type), super::name(&data_type));
            return Err(self.wrong(
                node,
                found,
                "types that SQL casts into each other",
                "go by a type between",
            ));
        };
        let cast = self.call(node, function, vec![value], data_type)?;
        match target {
            SqlType::Varchar(length) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                self.call(node, strings::truncated(length), vec![cast], DataType::Utf8View)
            }
            _ => Ok(cast),
        }
    }

    pub(super) fn like(&self, node: &Node) -> Planned<Typed> {
        let Node::Like { negated, ignore_case, value, pattern, escape } = node else {
            unreachable!("the form is LIKE");
        };
        let value = self.string(node, value)?;
        let pattern = self.operand(pattern)?;
        let (function, arguments) = match pattern {
            Operand::String(text) => {
                let pattern = Pattern::new(&text, *escape, *ignore_case).ok_or_else(|| {
                    let found = "an escape character before something else than %, _ or itself";
                    self.wrong(node, found, "a pattern", "write the escape character twice where it is meant")
                })?;
                (like(pattern), vec![value])
            }
            other => {
                let pattern = self.text_operand(node, other)?;
                (like_each(*escape, *ignore_case), vec![value, pattern])
            }
        };
        let found = self.call(node, function, arguments, DataType::Boolean)?;
        if !negated {
            return Ok(found);
        }
        self.call(node, crate::kernels::compare::not(), vec![found], DataType::Boolean)
    }

    /// `a || b`; what is no string is cast to one.
    pub(super) fn concatenation(&self, node: &Node) -> Planned<Typed> {
        let mut parts = Vec::new();
        let mut rest = vec![node];
        while let Some(part) = rest.pop() {
            match part {
                Node::Binary(Binary::Concat, left, right) => rest.extend([&**right, &**left]),
                part => parts.push(self.as_text(part)?),
            }
        }
        self.call(node, strings::concatenated(), parts, DataType::Utf8View)
    }

    /// An operand as a string, cast where it is none.
    pub(super) fn as_text(&self, node: &Node) -> Planned<Typed> {
        let value = self.settled_value(node, node)?;
        self.coerce(node, value, &DataType::Utf8View)
    }

    /// An operand that has to be a string.
    pub(super) fn string(&self, node: &Node, value: &Node) -> Planned<Typed> {
        let operand = self.operand(value)?;
        self.text_operand(node, operand)
    }

    fn text_operand(&self, node: &Node, operand: Operand) -> Planned<Typed> {
        let found = super::describe(&operand);
        let value = self.settle(node, operand)?;
        if value.data_type == DataType::Utf8View {
            return Ok(value);
        }
        Err(self.wrong(node, found, "a string", "cast it, as in CAST(x AS VARCHAR)"))
    }

    pub(super) fn field(&self, node: &Node, value: &Node, name: &str) -> Planned<Typed> {
        let value = self.settled_value(node, value)?;
        let DataType::Struct(fields) = &value.data_type else {
            let found = format!("type {}", super::name(&value.data_type));
            let remedy = "write \"a.b\" in quotes for a column of that name";
            return Err(self.wrong(node, found, "a struct with fields", remedy));
        };
        let Some(position) = fields.iter().position(|field| field.name() == name) else {
            return Err(crate::error::ExpressionError::UnknownColumn {
                column: name.to_owned(),
                available: fields.iter().map(|field| field.name().clone()).collect(),
            });
        };
        let data_type = fields.get(position).map(|field| field.data_type().clone());
        let data_type = data_type.expect("the position is one of the fields");
        let field = self.call(node, nested::field(position), vec![value], data_type)?;
        self.widened(node, field)
    }

    pub(super) fn element(&self, node: &Node, value: &Node, index: &Node) -> Planned<Typed> {
        let value = self.settled_value(node, value)?;
        let DataType::List(item) = &value.data_type else {
            let found = format!("type {}", super::name(&value.data_type));
            return Err(self.wrong(
                node,
                found,
                "a list with elements",
                "use SUBSTR for characters of a string",
            ));
        };
        let data_type = item.data_type().clone();
        let index = self.integer(node, index)?;
        let element = self.call(node, nested::element(), vec![value, index], data_type)?;
        self.widened(node, element)
    }
}

/// The Arrow type of a type of SQL.
fn arrow_type(target: SqlType) -> DataType {
    let unit = |digits: u64| match digits {
        0 => TimeUnit::Second,
        3 => TimeUnit::Millisecond,
        6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    };
    match target {
        SqlType::Varchar(_) => DataType::Utf8View,
        SqlType::Timestamp(digits) => DataType::Timestamp(unit(digits), None),
        SqlType::TimestampUtc(digits) => DataType::Timestamp(unit(digits), Some("UTC".into())),
        SqlType::Decimal(precision, scale) => {
            let precision = u8::try_from(precision).expect("a precision is at most 38");
            DataType::Decimal128(precision, i8::try_from(scale).expect("a scale is at most 38"))
        }
        SqlType::Plain(name) => match name {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "UTINYINT" => DataType::UInt8,
            "USMALLINT" => DataType::UInt16,
            "INT4 UNSIGNED" => DataType::UInt32,
            "UBIGINT" => DataType::UInt64,
            "REAL" => DataType::Float32,
            "DOUBLE PRECISION" => DataType::Float64,
            "DATE" => DataType::Date32,
            "TIME" => DataType::Time64(TimeUnit::Nanosecond),
            "BYTEA" => DataType::BinaryView,
            "VARCHAR" => DataType::Utf8View,
            other => unreachable!("{other} is no type on the list"),
        },
    }
}
