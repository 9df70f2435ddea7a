//! An expression as a tree of what is on the allow-list.

use super::parameters::Literal;
use crate::temporal::Temporal;
use crate::temporal::interval::Interval;

/// A part of an expression. Columns are positions in [`Tree::columns`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Column(usize),
    Literal(Literal),
    Temporal(Temporal),
    Interval(Interval),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    Between { negated: bool, value: Box<Node>, low: Box<Node>, high: Box<Node> },
    In { negated: bool, value: Box<Node>, list: Vec<Node> },
    Like { negated: bool, ignore_case: bool, value: Box<Node>, pattern: Box<Node>, escape: Option<char> },
    Case { operand: Option<Box<Node>>, arms: Vec<(Node, Node)>, otherwise: Option<Box<Node>> },
    Cast { lenient: bool, value: Box<Node>, target: SqlType },
    Extract { part: &'static str, value: Box<Node> },
    AtTimeZone { value: Box<Node>, zone: String },
    Field { value: Box<Node>, name: String },
    Element { value: Box<Node>, index: Box<Node> },
    Call { name: &'static str, arguments: Vec<Node> },
}

/// Operators of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Negate,
    Plus,
    BitNot,
    Not,
    IsNull,
    IsNotNull,
    IsTrue,
    IsNotTrue,
    IsFalse,
    IsNotFalse,
}

/// Operators of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    IntegerDivide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Concat,
    Distinct,
    NotDistinct,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

impl Binary {
    /// The operator as it is written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::IntegerDivide => "//",
            Self::Modulo => "%",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "AND",
            Self::Or => "OR",
            Self::Concat => "||",
            Self::Distinct => "IS DISTINCT FROM",
            Self::NotDistinct => "IS NOT DISTINCT FROM",
            Self::BitAnd => "&",
            Self::BitOr => "|",
            Self::BitXor => "XOR",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
        }
    }

    /// True where the answer is a comparison of the two operands.
    pub(crate) fn compares(self) -> bool {
        use Binary as B;
        matches!(
            self,
            B::Equal
                | B::NotEqual
                | B::Less
                | B::LessOrEqual
                | B::Greater
                | B::GreaterOrEqual
                | B::Distinct
                | B::NotDistinct
        )
    }

    /// True where the answer is a number or a point in time computed of both.
    pub(crate) fn computes(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::IntegerDivide | Self::Modulo
        ) || self.is_of_bits()
    }

    /// True where it works on the bits of integers.
    pub(crate) fn is_of_bits(self) -> bool {
        matches!(self, Self::BitAnd | Self::BitOr | Self::BitXor | Self::ShiftLeft | Self::ShiftRight)
    }

    /// The operator for swapped operands of a comparison.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// True where `left operator right` needs no parentheses around a left operand of the other
    /// operator: both bind alike and are read from the left.
    pub(super) fn chains(self, left: Self) -> bool {
        use Binary as B;
        match self {
            B::Add | B::Subtract => matches!(left, B::Add | B::Subtract),
            B::Multiply | B::Divide | B::Modulo => matches!(left, B::Multiply | B::Divide | B::Modulo),
            B::And | B::Or | B::Concat => left == self,
            _ => false,
        }
    }
}

/// Types that a cast may name, by their canonical SQL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlType {
    Plain(&'static str),
    Decimal(u64, u64),
    Timestamp(u64),
    /// An instant, by the digits of its fraction of a second.
    TimestampUtc(u64),
    /// A text of at most so many characters.
    Varchar(u64),
}

/// An expression and the names of the columns it mentions, in order of first mention.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    pub(crate) columns: Vec<String>,
}

impl Node {
    /// Joins terms by AND, OR or another operator whose grouping does not matter, in a tree that
    /// is no deeper than it has to be.
    pub(crate) fn join(operator: Binary, mut terms: Vec<Self>) -> Option<Self> {
        while terms.len() > 1 {
            let mut rest = terms.into_iter();
            let mut pairs = Vec::new();
            while let Some(first) = rest.next() {
                pairs.push(match rest.next() {
                    Some(second) => Self::Binary(operator, Box::new(first), Box::new(second)),
                    None => first,
                });
            }
            terms = pairs;
        }
        terms.pop()
    }
}
