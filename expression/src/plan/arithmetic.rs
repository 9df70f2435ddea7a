//! Arithmetic: the types of its operands and of its result.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;

use super::{Operand, Planned, Planner, common, constant};
use crate::exact::Exact;
use crate::kernels::arithmetic;
use crate::kernels::decimal::{PRECISION, decimal_type, decimals, result_scale};
use crate::kernels::numbers::{count_constant, is_decimal, is_float, is_number, scale_of};
use crate::kernels::steps::Typed;
use crate::syntax::tree::{Binary, Node};

impl Planner<'_> {
    pub(super) fn arithmetic(
        &self,
        node: &Node,
        operator: Binary,
        left: &Node,
        right: &Node,
    ) -> Planned<Operand> {
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        self.compute(node, operator, left, right)
    }

    /// `left operator right`.
    pub(super) fn compute(
        &self,
        node: &Node,
        operator: Binary,
        left: Operand,
        right: Operand,
    ) -> Planned<Operand> {
        if let (Operand::Number(left), Operand::Number(right)) = (&left, &right)
            && !operator.is_of_bits()
        {
            return self.exact(node, operator, *left, *right);
        }
        if matches!(
            (&left, &right),
            (Operand::Null, Operand::Null | Operand::Number(_)) | (Operand::Number(_), Operand::Null)
        ) {
            return Ok(Operand::Typed(Typed::null(&DataType::Int32)));
        }
        if let Some(moved) = self.temporal_arithmetic(node, operator, &left, &right)? {
            return Ok(Operand::Typed(moved));
        }
        let (l, r) = (number_type(&left), number_type(&right));
        let numeric = |found: &Option<DataType>, operand: &Operand| {
            found.as_ref().is_some_and(is_number) || matches!(operand, Operand::Number(_) | Operand::Null)
        };
        if !numeric(&l, &left) || !numeric(&r, &right) {
            return Err(self.apart(node, &left, &right));
        }
        self.numeric(node, operator, left, right).map(Operand::Typed)
    }

    /// Numbers that are written in the expression, exactly.
    fn exact(&self, node: &Node, operator: Binary, left: Exact, right: Exact) -> Planned<Operand> {
        let result = match operator {
            Binary::Add => left.plus(right),
            Binary::Subtract => left.minus(right),
            Binary::Multiply => left.times(right),
            Binary::Divide => {
                let quotient = left.to_f64() / right.to_f64();
                return Ok(Operand::Typed(Typed::constant(Arc::new(Float64Array::from(vec![quotient])))));
            }
            _ if right.is_zero() => {
                return Ok(Operand::Typed(Typed::null(&common::settled(&left))));
            }
            Binary::IntegerDivide => left.quotient(right),
            _ => left.remainder(right),
        };
        result.map(Operand::Number).ok_or_else(|| {
            self.wrong(
                node,
                "a number of more than 76 digits",
                "a smaller one",
                "write a part of it with an exponent",
            )
        })
    }

    fn numeric(&self, node: &Node, operator: Binary, left: Operand, right: Operand) -> Planned<Typed> {
        let types = (number_type(&left), number_type(&right));
        if operator == Binary::Divide {
            let left = self.taken_or_as(node, left, &DataType::Int64, &DataType::Float64)?;
            let right = self.taken_or_as(node, right, &DataType::Int64, &DataType::Float64)?;
            return self.call(node, arithmetic::quotient(), vec![left, right], DataType::Float64);
        }
        let target = match &types {
            (Some(l), Some(r)) => self.arithmetic_type(node, &left, &right, l, r)?,
            (Some(known), None) => self.type_with_literal(node, known, &right, &left)?,
            (None, Some(known)) => self.type_with_literal(node, known, &left, &right)?,
            (None, None) => self.meet(node, vec![left.clone(), right.clone()])?.0,
        };
        if is_float(&target) && !operator.is_of_bits() {
            let left = self.as_type(node, left, &target)?;
            let right = self.as_type(node, right, &target)?;
            let function = arithmetic::floats(operator, &target).expect("the type is a float");
            return self.call(node, function, vec![left, right], target);
        }
        if is_decimal(&target) && !operator.is_of_bits() {
            return self.decimal(node, operator, left, right);
        }
        if !target.is_integer() {
            return Err(self.apart(node, &left, &right));
        }
        let taken = if target == DataType::Int64 { DataType::Int32 } else { target.clone() };
        let left = self.taken_or_as(node, left, &taken, &target)?;
        let right = self.taken_or_as(node, right, &taken, &target)?;
        let function = arithmetic::integers(operator, &target).expect("the type is an integer");
        self.call(node, function, vec![left, right], target)
    }

    /// An operand of a type that the kernel takes as it is, or else as another.
    fn taken_or_as(
        &self,
        node: &Node,
        operand: Operand,
        taken: &DataType,
        other: &DataType,
    ) -> Planned<Typed> {
        match operand {
            Operand::Typed(value) if value.data_type == *taken => Ok(value),
            operand => self.as_type(node, operand, other),
        }
    }

    fn arithmetic_type(
        &self,
        node: &Node,
        left: &Operand,
        right: &Operand,
        l: &DataType,
        r: &DataType,
    ) -> Planned<DataType> {
        if l.is_integer() && r.is_integer() {
            return common::integers(l, r).ok_or_else(|| {
                self.wrong(
                    node,
                    format!("types {} and {}", super::name(l), super::name(r)),
                    "integers that one type holds",
                    "cast one of them, as in CAST(x AS DECIMAL(20, 0))",
                )
            });
        }
        common::meeting(l, r).ok_or_else(|| self.apart(node, left, right))
    }

    /// The type of an operand beside a literal.
    fn type_with_literal(
        &self,
        node: &Node,
        known: &DataType,
        literal: &Operand,
        other: &Operand,
    ) -> Planned<DataType> {
        let Operand::Number(number) = literal else { return Ok(known.clone()) };
        if !known.is_integer() {
            return Ok(known.clone());
        }
        if !number.is_plain_integer() {
            return Ok(DataType::Float64);
        }
        common::integers_with(number, known).ok_or_else(|| {
            self.wrong(
                node,
                format!("{} beside an integer that it cannot meet", super::describe(other)),
                "integers that one type holds",
                "cast one of them, as in CAST(x AS DECIMAL(20, 0))",
            )
        })
    }

    fn decimal(&self, node: &Node, operator: Binary, left: Operand, right: Operand) -> Planned<Typed> {
        let (left, right) = (self.as_decimal(node, left)?, self.as_decimal(node, right)?);
        let (l, r) = (scale_of(&left.data_type), scale_of(&right.data_type));
        let scale = result_scale(operator, l, r);
        let function = decimals(operator, l, r);
        let (Some(scale), Some(function)) = (scale, function) else {
            return Err(self.wrong(
                node,
                format!("a result with {} digits behind the point", u16::from(l) + u16::from(r)),
                "at most 38",
                "round an operand, as in CAST(x AS DECIMAL(38, 10))",
            ));
        };
        self.call(node, function, vec![left, right], decimal_type(scale))
    }

    /// An integer, a decimal or a literal as a decimal of its own scale.
    pub(super) fn as_decimal(&self, node: &Node, operand: Operand) -> Planned<Typed> {
        match operand {
            Operand::Typed(value) if value.data_type.is_integer() => {
                self.coerce(node, value, &DataType::Decimal128(PRECISION, 0))
            }
            Operand::Typed(value) => Ok(value),
            Operand::Number(number) => {
                let data_type = common::decimal_of(&number);
                let array = data_type.and_then(|data_type| constant(&number, &data_type));
                array.map(Typed::constant).ok_or_else(|| {
                    self.wrong(
                        node,
                        "a number of more than 38 digits",
                        "one that a decimal holds",
                        "write fewer digits",
                    )
                })
            }
            other => self.as_type(node, other, &DataType::Decimal128(PRECISION, 0)),
        }
    }

    /// `~ x`, which is `-1 - x` in two's complement: the bits of an integer, each turned.
    pub(super) fn complement(&self, node: &Node, value: &Node) -> Planned<Typed> {
        let value = self.settled_value(value, value)?;
        if !value.data_type.is_integer() {
            let found = format!("type {}", super::name(&value.data_type));
            return Err(self.wrong(node, found, "an integer", "cast it, as in CAST(x AS BIGINT)"));
        }
        let data_type = value.data_type.clone();
        let ones = if data_type.is_signed_integer() { -1 } else { (1_i128 << common::bits(&data_type)) - 1 };
        let ones = count_constant(ones, &data_type).expect("an integer of ones is one of its type");
        let function = arithmetic::integers(Binary::BitXor, &data_type).expect("the type is an integer");
        self.call(node, function, vec![value, Typed::constant(ones)], data_type)
    }
}

/// The type of an operand that has one.
pub(super) fn number_type(operand: &Operand) -> Option<DataType> {
    match operand {
        Operand::Typed(value) => Some(value.data_type.clone()),
        _ => None,
    }
}
