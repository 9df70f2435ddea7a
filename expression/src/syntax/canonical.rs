//! The canonical text of an expression: fixed spelling of keywords, quoted names, one form per operator.

use std::fmt::Write as _;

use super::parameters::Literal;
use super::tree::{Binary, Node, SqlType, Tree, Unary};

impl Tree {
    /// The canonical text.
    pub(crate) fn text(&self) -> String {
        self.part(&self.root)
    }

    /// The canonical text of a part of it.
    pub(crate) fn part(&self, node: &Node) -> String {
        let mut writer = CanonicalWriter { text: String::new(), columns: &self.columns };
        writer.node(node);
        writer.text
    }
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
            Self::String(value) => quote(value, '\'', text),
        }
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

/// Writes a name or a string in quotes, so that no content can leave them.
fn quote(content: &str, mark: char, text: &mut String) {
    text.push(mark);
    for character in content.chars() {
        if character == mark {
            text.push(mark);
        }
        text.push(character);
    }
    text.push(mark);
}

/// Writes nodes; operands that are operators themselves stand in parentheses.
struct CanonicalWriter<'a> {
    text: String,
    columns: &'a [String],
}

impl CanonicalWriter<'_> {
    fn push(&mut self, part: &str) {
        self.text.push_str(part);
    }

    fn quoted(&mut self, content: &str, mark: char) {
        quote(content, mark, &mut self.text);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Column(position) => {
                let name =
                    self.columns.get(*position).expect("a tree has the names of the columns it mentions");
                quote(name, '"', &mut self.text);
            }
            Node::Literal(literal) if literal.is_negative() => {
                self.push("(");
                literal.write(&mut self.text);
                self.push(")");
            }
            Node::Literal(literal) => literal.write(&mut self.text),
            Node::Temporal(value) => {
                self.push(value.keyword());
                self.push(" ");
                self.quoted(value.text(), '\'');
            }
            Node::Interval(span) => {
                self.push("INTERVAL ");
                self.quoted(&span.text(), '\'');
            }
            Node::Unary(operator, operand) => self.unary(*operator, operand),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right),
            Node::Case { operand, arms, otherwise } => {
                self.case(operand.as_deref(), arms, otherwise.as_deref());
            }
            Node::Cast { lenient, value, target } => {
                self.push(if *lenient { "TRY_CAST(" } else { "CAST(" });
                self.node(value);
                target.write(&mut self.text);
            }
            Node::Extract { part, value } => {
                self.push(&format!("DATE_PART('{part}', "));
                self.node(value);
                self.push(")");
            }
            Node::Call { name, arguments } => {
                self.push(name);
                self.push("(");
                self.list(arguments, Self::node);
                self.push(")");
            }
            other => self.infix(other),
        }
    }

    /// Forms that begin with an operand.
    fn infix(&mut self, node: &Node) {
        match node {
            Node::Between { negated, value, low, high } => {
                self.operand(value);
                self.push(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.operand(low);
                self.push(" AND ");
                self.operand(high);
            }
            Node::In { negated, value, list } => {
                self.operand(value);
                self.push(if *negated { " NOT IN (" } else { " IN (" });
                self.list(list, Self::element);
                self.push(")");
            }
            Node::Like { negated, ignore_case, value, pattern, escape } => {
                self.operand(value);
                self.push(if *negated { " NOT " } else { " " });
                self.push(if *ignore_case { "ILIKE " } else { "LIKE " });
                self.operand(pattern);
                if let Some(escape) = escape {
                    self.push(" ESCAPE ");
                    self.quoted(&escape.to_string(), '\'');
                }
            }
            Node::AtTimeZone { value, zone } => {
                self.operand(value);
                self.push(" AT TIME ZONE ");
                self.quoted(zone, '\'');
            }
            Node::Field { value, name } => {
                self.operand(value);
                self.push(".");
                self.quoted(name, '"');
            }
            Node::Element { value, index } => {
                self.operand(value);
                self.push("[");
                self.node(index);
                self.push("]");
            }
            _ => unreachable!("every other form has its place in `node`"),
        }
    }

    fn operand(&mut self, node: &Node) {
        let operator = matches!(
            node,
            Node::Unary(..)
                | Node::Binary(..)
                | Node::Between { .. }
                | Node::In { .. }
                | Node::Like { .. }
                | Node::AtTimeZone { .. }
        );
        if operator {
            self.push("(");
            self.node(node);
            self.push(")");
        } else {
            self.node(node);
        }
    }

    fn binary(&mut self, operator: Binary, left: &Node, right: &Node) {
        let logical = matches!(operator, Binary::And | Binary::Or);
        let same = |node: &Node, any: fn(Binary, Binary) -> bool| matches!(node, Node::Binary(other, ..) if any(operator, *other));
        if same(left, Binary::chains) {
            self.node(left);
        } else {
            self.operand(left);
        }
        self.push(" ");
        self.push(operator.symbol());
        self.push(" ");
        if logical && same(right, |above, below| above == below) {
            self.node(right);
        } else {
            self.operand(right);
        }
    }

    fn unary(&mut self, operator: Unary, operand: &Node) {
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
        self.push(before);
        self.operand(operand);
        self.push(after);
    }

    fn case(&mut self, operand: Option<&Node>, arms: &[(Node, Node)], otherwise: Option<&Node>) {
        self.push("CASE");
        if let Some(operand) = operand {
            self.push(" ");
            self.node(operand);
        }
        for (condition, result) in arms {
            self.push(" WHEN ");
            self.node(condition);
            self.push(" THEN ");
            self.node(result);
        }
        if let Some(otherwise) = otherwise {
            self.push(" ELSE ");
            self.node(otherwise);
        }
        self.push(" END");
    }

    /// An element of IN: a literal stands bare.
    fn element(&mut self, node: &Node) {
        match node {
            Node::Literal(literal) => literal.write(&mut self.text),
            other => self.node(other),
        }
    }

    fn list(&mut self, nodes: &[Node], write: fn(&mut Self, &Node)) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            write(self, node);
        }
    }
}
