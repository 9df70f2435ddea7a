//! An expression as a tree of what is on the allow-list, and its canonical text.

use std::fmt::Write;

use super::parameters::Literal;
use super::temporal::Temporal;
use super::temporal::interval::Interval;

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

    /// True where `left operator right` needs no parentheses around a left operand of the other
    /// operator: both bind alike and are read from the left.
    fn chains(self, left: Self) -> bool {
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

impl Tree {
    /// The canonical text: fixed spelling of keywords, quoted names, one form per operator.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.root.write(&mut text, &self.columns);
        text
    }

    /// The canonical text of a part of it.
    pub(crate) fn part(&self, node: &Node) -> String {
        let mut text = String::new();
        node.write(&mut text, &self.columns);
        text
    }
}

/// Writes a name or a string in quotes, so that no content can leave them.
pub(crate) fn quote(content: &str, mark: char, text: &mut String) {
    text.push(mark);
    for character in content.chars() {
        if character == mark {
            text.push(mark);
        }
        text.push(character);
    }
    text.push(mark);
}

impl Literal {
    /// Writes it as SQL; a float keeps its type and every bit, a negative number has no parentheses.
    pub(crate) fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("NULL"),
            Self::Bool(true) => text.push_str("TRUE"),
            Self::Bool(false) => text.push_str("FALSE"),
            Self::Integer(value) => text.push_str(&value.to_string()),
            Self::Float(value) => {
                let _ = write!(text, "{value:e}");
            }
            Self::Number(digits) => text.push_str(digits),
            Self::Text(value) => quote(value, '\'', text),
        }
    }

    /// True where it begins with a minus sign.
    pub(crate) fn is_negative(&self) -> bool {
        match self {
            Self::Integer(value) => *value < 0,
            Self::Float(value) => value.is_sign_negative(),
            Self::Number(digits) => digits.starts_with('-'),
            _ => false,
        }
    }
}

impl Node {
    /// Writes the node; operands that are operators themselves stand in parentheses.
    pub(crate) fn write(&self, text: &mut String, columns: &[String]) {
        match self {
            Self::Column(position) => quote(columns.get(*position).map_or("", String::as_str), '"', text),
            Self::Literal(literal) if literal.is_negative() => {
                text.push('(');
                literal.write(text);
                text.push(')');
            }
            Self::Literal(literal) => literal.write(text),
            Self::Temporal(value) => {
                text.push_str(value.keyword());
                text.push(' ');
                quote(value.text(), '\'', text);
            }
            Self::Interval(span) => {
                text.push_str("INTERVAL ");
                quote(&span.text(), '\'', text);
            }
            Self::Unary(operator, operand) => write_unary(*operator, operand, text, columns),
            Self::Binary(operator, left, right) => {
                write_binary(*operator, left, right, text, columns);
            }
            Self::Between { negated, value, low, high } => {
                value.write_operand(text, columns);
                text.push_str(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                low.write_operand(text, columns);
                text.push_str(" AND ");
                high.write_operand(text, columns);
            }
            Self::In { negated, value, list } => {
                value.write_operand(text, columns);
                text.push_str(if *negated { " NOT IN (" } else { " IN (" });
                write_elements(list, text, columns);
                text.push(')');
            }
            Self::Like { negated, ignore_case, value, pattern, escape } => {
                value.write_operand(text, columns);
                text.push_str(if *negated { " NOT " } else { " " });
                text.push_str(if *ignore_case { "ILIKE " } else { "LIKE " });
                pattern.write_operand(text, columns);
                if let Some(escape) = escape {
                    text.push_str(" ESCAPE ");
                    quote(&escape.to_string(), '\'', text);
                }
            }
            Self::Case { operand, arms, otherwise } => {
                write_case(operand.as_deref(), arms, otherwise.as_deref(), text, columns);
            }
            Self::Cast { lenient, value, target } => {
                text.push_str(if *lenient { "TRY_CAST(" } else { "CAST(" });
                value.write(text, columns);
                target.write(text);
            }
            Self::Extract { part, value } => {
                let _ = write!(text, "DATE_PART('{part}', ");
                value.write(text, columns);
                text.push(')');
            }
            Self::AtTimeZone { value, zone } => {
                value.write_operand(text, columns);
                text.push_str(" AT TIME ZONE ");
                quote(zone, '\'', text);
            }
            Self::Field { value, name } => {
                value.write_operand(text, columns);
                text.push('.');
                quote(name, '"', text);
            }
            Self::Element { value, index } => {
                value.write_operand(text, columns);
                text.push('[');
                index.write(text, columns);
                text.push(']');
            }
            Self::Call { name, arguments } => {
                text.push_str(name);
                text.push('(');
                write_list(arguments, text, columns);
                text.push(')');
            }
        }
    }

    fn write_operand(&self, text: &mut String, columns: &[String]) {
        let operator = matches!(
            self,
            Self::Unary(..)
                | Self::Binary(..)
                | Self::Between { .. }
                | Self::In { .. }
                | Self::Like { .. }
                | Self::AtTimeZone { .. }
        );
        if operator {
            text.push('(');
            self.write(text, columns);
            text.push(')');
        } else {
            self.write(text, columns);
        }
    }

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

impl SqlType {
    fn write(self, text: &mut String) {
        let _ = match self {
            Self::Plain(name) => write!(text, " AS {name})"),
            Self::Decimal(precision, scale) => write!(text, " AS DECIMAL({precision}, {scale}))"),
            Self::Timestamp(precision) => write!(text, " AS TIMESTAMP({precision}))"),
            Self::TimestampUtc(precision) => write!(text, " AS TIMESTAMP({precision}) WITH TIME ZONE)"),
            Self::Varchar(length) => write!(text, " AS VARCHAR({length}))"),
        };
    }
}

fn write_binary(operator: Binary, left: &Node, right: &Node, text: &mut String, columns: &[String]) {
    let logical = matches!(operator, Binary::And | Binary::Or);
    let same = |node: &Node, any: fn(Binary, Binary) -> bool| matches!(node, Node::Binary(o, ..) if any(operator, *o));
    if same(left, Binary::chains) {
        left.write(text, columns);
    } else {
        left.write_operand(text, columns);
    }
    let _ = write!(text, " {} ", operator.symbol());
    if logical && same(right, |above, below| above == below) {
        right.write(text, columns);
    } else {
        right.write_operand(text, columns);
    }
}

fn write_unary(operator: Unary, operand: &Node, text: &mut String, columns: &[String]) {
    let (before, after) = match operator {
        Unary::Negate => ("- ", ""),
        Unary::Plus => ("+ ", ""),
        Unary::BitNot => ("~ ", ""),
        Unary::Not => ("NOT ", ""),
        Unary::IsNull => ("", " IS NULL"),
        Unary::IsNotNull => ("", " IS NOT NULL"),
        Unary::IsTrue => ("", " IS TRUE"),
        Unary::IsNotTrue => ("", " IS NOT TRUE"),
        Unary::IsFalse => ("", " IS FALSE"),
        Unary::IsNotFalse => ("", " IS NOT FALSE"),
    };
    text.push_str(before);
    operand.write_operand(text, columns);
    text.push_str(after);
}

fn write_case(
    operand: Option<&Node>,
    arms: &[(Node, Node)],
    otherwise: Option<&Node>,
    text: &mut String,
    columns: &[String],
) {
    text.push_str("CASE");
    if let Some(operand) = operand {
        text.push(' ');
        operand.write(text, columns);
    }
    for (condition, result) in arms {
        text.push_str(" WHEN ");
        condition.write(text, columns);
        text.push_str(" THEN ");
        result.write(text, columns);
    }
    if let Some(otherwise) = otherwise {
        text.push_str(" ELSE ");
        otherwise.write(text, columns);
    }
    text.push_str(" END");
}

/// Elements of IN: literals stand bare.
fn write_elements(nodes: &[Node], text: &mut String, columns: &[String]) {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        match node {
            Node::Literal(literal) => literal.write(text),
            other => other.write(text, columns),
        }
    }
}

fn write_list(nodes: &[Node], text: &mut String, columns: &[String]) {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        node.write(text, columns);
    }
}
