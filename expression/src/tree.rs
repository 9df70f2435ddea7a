//! An expression as a tree of what is on the allow-list, and its canonical text.

use std::fmt::Write;

use super::parameters::Literal;
use super::temporal::Temporal;

/// A part of an expression. Columns are positions in [`Tree::columns`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Column(usize),
    Literal(Literal),
    Temporal(Temporal),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    Between { negated: bool, value: Box<Node>, low: Box<Node>, high: Box<Node> },
    In { negated: bool, value: Box<Node>, list: Vec<Node> },
    Like { negated: bool, ignore_case: bool, value: Box<Node>, pattern: String },
    Case { operand: Option<Box<Node>>, arms: Vec<(Node, Node)>, otherwise: Option<Box<Node>> },
    Cast { lenient: bool, value: Box<Node>, target: SqlType },
    Extract { part: &'static str, value: Box<Node> },
    Trim { side: &'static str, what: String, value: Box<Node> },
    Call { name: &'static str, arguments: Vec<Node> },
}

/// Operators of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Negate,
    Plus,
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
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
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
}

impl Binary {
    /// The operator as it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
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
        }
    }

    /// Whether the answer is a comparison of the two operands.
    pub(super) fn compares(self) -> bool {
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

    /// Whether `left operator right` needs no parentheses around a left operand of the other
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
pub(super) enum SqlType {
    Plain(&'static str),
    Decimal(u64, u64),
    Timestamp(u64),
}

/// An expression and the names of the columns it mentions, in order of first mention.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) root: Node,
    pub(super) columns: Vec<String>,
}

impl Tree {
    /// The canonical text: fixed spelling of keywords, quoted names, one form per operator.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.root.write(&mut text, &mut Canonical(&self.columns));
        text
    }

    /// The canonical text of a part of it.
    pub(super) fn part(&self, node: &Node) -> String {
        let mut text = String::new();
        node.write(&mut text, &mut Canonical(&self.columns));
        text
    }
}

/// How columns and points in time are spelled.
pub(super) trait Spelling {
    /// Writes the column.
    fn column(&mut self, position: usize, text: &mut String);

    /// Writes the point in time.
    fn temporal(&mut self, value: &Temporal, text: &mut String);

    /// Whether AND and OR are written as the balanced trees that they are, in parentheses.
    fn keeps_balance(&self) -> bool {
        false
    }
}

struct Canonical<'a>(&'a [String]);

impl Spelling for Canonical<'_> {
    fn column(&mut self, position: usize, text: &mut String) {
        quote(self.0.get(position).map_or("", String::as_str), '"', text);
    }

    fn temporal(&mut self, value: &Temporal, text: &mut String) {
        text.push_str(value.keyword());
        text.push(' ');
        quote(value.text(), '\'', text);
    }
}

/// Writes a name or a string in quotes, so that no content can leave them.
pub(super) fn quote(content: &str, mark: char, text: &mut String) {
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
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("NULL"),
            Self::Bool(true) => text.push_str("TRUE"),
            Self::Bool(false) => text.push_str("FALSE"),
            Self::Integer(value) => text.push_str(&value.to_string()),
            Self::Float(value) => {
                let digits = value.to_string();
                text.push_str(&digits);
                if !digits.contains('.') {
                    text.push_str(".0");
                }
            }
            Self::Number(digits) => text.push_str(digits),
            Self::Text(value) => quote(value, '\'', text),
        }
    }

    /// Whether it begins with a minus sign.
    pub(super) fn is_negative(&self) -> bool {
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
    pub(super) fn write(&self, text: &mut String, spelling: &mut dyn Spelling) {
        match self {
            Self::Column(position) => spelling.column(*position, text),
            Self::Literal(literal) if literal.is_negative() => {
                text.push('(');
                literal.write(text);
                text.push(')');
            }
            Self::Literal(literal) => literal.write(text),
            Self::Temporal(value) => spelling.temporal(value, text),
            Self::Unary(operator, operand) => write_unary(*operator, operand, text, spelling),
            Self::Binary(operator, left, right) => {
                write_binary(*operator, left, right, text, spelling);
            }
            Self::Between { negated, value, low, high } => {
                value.write_operand(text, spelling);
                text.push_str(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                low.write_operand(text, spelling);
                text.push_str(" AND ");
                high.write_operand(text, spelling);
            }
            Self::In { negated, value, list } => {
                value.write_operand(text, spelling);
                text.push_str(if *negated { " NOT IN (" } else { " IN (" });
                write_elements(list, text, spelling);
                text.push(')');
            }
            Self::Like { negated, ignore_case, value, pattern } => {
                value.write_operand(text, spelling);
                text.push_str(if *negated { " NOT " } else { " " });
                text.push_str(if *ignore_case { "ILIKE " } else { "LIKE " });
                quote(pattern, '\'', text);
            }
            Self::Case { operand, arms, otherwise } => {
                write_case(operand.as_deref(), arms, otherwise.as_deref(), text, spelling);
            }
            Self::Cast { lenient, value, target } => {
                text.push_str(if *lenient { "TRY_CAST(" } else { "CAST(" });
                value.write(text, spelling);
                target.write(text);
            }
            Self::Extract { part, value } => {
                let _ = write!(text, "DATE_PART('{part}', ");
                value.write(text, spelling);
                text.push(')');
            }
            Self::Trim { side, what, value } => {
                let _ = write!(text, "TRIM({side} ");
                quote(what, '\'', text);
                text.push_str(" FROM ");
                value.write(text, spelling);
                text.push(')');
            }
            Self::Call { name, arguments } => {
                text.push_str(name);
                text.push('(');
                write_list(arguments, text, spelling);
                text.push(')');
            }
        }
    }

    fn write_operand(&self, text: &mut String, spelling: &mut dyn Spelling) {
        let operator = matches!(
            self,
            Self::Unary(..) | Self::Binary(..) | Self::Between { .. } | Self::In { .. } | Self::Like { .. }
        );
        if operator {
            text.push('(');
            self.write(text, spelling);
            text.push(')');
        } else {
            self.write(text, spelling);
        }
    }

    /// Joins terms by AND, OR or another operator whose grouping does not matter, in a tree that
    /// is no deeper than it has to be.
    pub(super) fn join(operator: Binary, mut terms: Vec<Self>) -> Option<Self> {
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

    /// Levels of operators.
    pub(super) fn depth(&self) -> usize {
        1 + self.children().into_iter().map(Self::depth).max().unwrap_or(0)
    }

    /// The parts directly below it.
    pub(super) fn children(&self) -> Vec<&Node> {
        match self {
            Self::Column(_) | Self::Literal(_) | Self::Temporal(_) => Vec::new(),
            Self::Unary(_, value)
            | Self::Like { value, .. }
            | Self::Cast { value, .. }
            | Self::Extract { value, .. }
            | Self::Trim { value, .. } => vec![value],
            Self::Binary(_, left, right) => vec![left, right],
            Self::Between { value, low, high, .. } => vec![value, low, high],
            Self::In { value, list, .. } => std::iter::once(&**value).chain(list).collect(),
            Self::Case { operand, arms, otherwise } => {
                let arms = arms.iter().flat_map(|(condition, result)| [condition, result]);
                operand.as_deref().into_iter().chain(arms).chain(otherwise.as_deref()).collect()
            }
            Self::Call { arguments, .. } => arguments.iter().collect(),
        }
    }
}

impl SqlType {
    fn write(self, text: &mut String) {
        let _ = match self {
            Self::Plain(name) => write!(text, " AS {name})"),
            Self::Decimal(precision, scale) => write!(text, " AS DECIMAL({precision}, {scale}))"),
            Self::Timestamp(precision) => write!(text, " AS TIMESTAMP({precision}))"),
        };
    }
}

fn write_binary(operator: Binary, left: &Node, right: &Node, text: &mut String, spelling: &mut dyn Spelling) {
    let logical = matches!(operator, Binary::And | Binary::Or);
    let flat = !(logical && spelling.keeps_balance());
    let same = |node: &Node, any: fn(Binary, Binary) -> bool| matches!(node, Node::Binary(o, ..) if any(operator, *o));
    if flat && same(left, Binary::chains) {
        left.write(text, spelling);
    } else {
        left.write_operand(text, spelling);
    }
    let _ = write!(text, " {} ", operator.symbol());
    if flat && logical && same(right, |above, below| above == below) {
        right.write(text, spelling);
    } else {
        right.write_operand(text, spelling);
    }
}

fn write_unary(operator: Unary, operand: &Node, text: &mut String, spelling: &mut dyn Spelling) {
    let (before, after) = match operator {
        Unary::Negate => ("- ", ""),
        Unary::Plus => ("+ ", ""),
        Unary::Not => ("NOT ", ""),
        Unary::IsNull => ("", " IS NULL"),
        Unary::IsNotNull => ("", " IS NOT NULL"),
        Unary::IsTrue => ("", " IS TRUE"),
        Unary::IsNotTrue => ("", " IS NOT TRUE"),
        Unary::IsFalse => ("", " IS FALSE"),
        Unary::IsNotFalse => ("", " IS NOT FALSE"),
    };
    text.push_str(before);
    operand.write_operand(text, spelling);
    text.push_str(after);
}

fn write_case(
    operand: Option<&Node>,
    arms: &[(Node, Node)],
    otherwise: Option<&Node>,
    text: &mut String,
    spelling: &mut dyn Spelling,
) {
    text.push_str("CASE");
    if let Some(operand) = operand {
        text.push(' ');
        operand.write(text, spelling);
    }
    for (condition, result) in arms {
        text.push_str(" WHEN ");
        condition.write(text, spelling);
        text.push_str(" THEN ");
        result.write(text, spelling);
    }
    if let Some(otherwise) = otherwise {
        text.push_str(" ELSE ");
        otherwise.write(text, spelling);
    }
    text.push_str(" END");
}

/// Elements of IN: literals stand bare, since Polars reads no parentheses there.
fn write_elements(nodes: &[Node], text: &mut String, spelling: &mut dyn Spelling) {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        match node {
            Node::Literal(literal) => literal.write(text),
            other => other.write(text, spelling),
        }
    }
}

fn write_list(nodes: &[Node], text: &mut String, spelling: &mut dyn Spelling) {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        node.write(text, spelling);
    }
}
