//! SQL text to the tree of what is allowed in an expression.
//!
//! Every form that is not taken over here by name is refused.

use sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::forms;
use super::tree::{Binary, Node, Tree, Unary};
use crate::error::ExpressionError;

/// Bytes of an expression.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Words, marks and names of an expression; literals and commas are not counted.
const MAX_TOKENS: usize = 200_000;
/// Expressions with more tokens are read on a thread with a stack of its own: the parser's tree of a
/// chain is as deep as the chain is long.
const TOKENS_ON_CALLERS_STACK: usize = 300;
/// Stack for each token of a long expression.
const STACK_PER_TOKEN: usize = 2 * 1024;
/// Nesting of an expression, chains of an operator included; AND and OR count once.
const MAX_DEPTH: usize = 64;

/// Reads one expression and nothing after it.
pub(crate) fn parse(sql: &str) -> Result<Tree, ExpressionError> {
    if sql.len() > MAX_BYTES {
        return Err(ExpressionError::TooLarge { found: format!("{} bytes", sql.len()), limit: MAX_BYTES });
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| syntax(error.location.line, error.location.column, error.message))?;
    let count = check_size(&tokens)?;
    if count <= TOKENS_ON_CALLERS_STACK {
        return read(tokens);
    }
    std::thread::scope(|scope| {
        let stack = STACK_PER_TOKEN.saturating_mul(count).max(8 << 20);
        let thread = std::thread::Builder::new().name("expression".into()).stack_size(stack);
        let thread = thread.spawn_scoped(scope, || read(tokens));
        let thread = thread.map_err(|_| ExpressionError::TooLarge {
            found: format!("{count} words and marks, and there is no thread to read them"),
            limit: TOKENS_ON_CALLERS_STACK,
        })?;
        thread.join().unwrap_or_else(|_| Err(syntax(1, 1, "found an expression that cannot be read")))
    })
}

fn read(tokens: Vec<TokenWithSpan>) -> Result<Tree, ExpressionError> {
    let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| from_parser(&error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let start = rest.span.start;
        let found = format!("found {} after the expression", rest.token);
        return Err(syntax(start.line, start.column, found));
    }
    let mut reader = Reader { columns: Vec::new(), depth: 0 };
    let root = reader.node(&expression)?;
    Ok(Tree { root, columns: reader.columns })
}

/// Bounds what the parser and all recursions behind it see.
fn check_size(tokens: &[TokenWithSpan]) -> Result<usize, ExpressionError> {
    let counted = |token: &&TokenWithSpan| {
        let free = matches!(
            token.token,
            Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_)
        );
        !free
    };
    let count = tokens.iter().filter(counted).count();
    if count > MAX_TOKENS {
        let found = format!("{count} words and marks beside its literals");
        return Err(ExpressionError::TooLarge { found, limit: MAX_TOKENS });
    }
    Ok(count)
}

pub(super) fn syntax(line: u64, column: u64, found: impl Into<String>) -> ExpressionError {
    ExpressionError::Syntax { line: line.max(1), column: column.max(1), found: found.into() }
}

/// The parser writes the place at the end of its text.
fn from_parser(error: &ParserError) -> ExpressionError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return ExpressionError::TooLarge { found: "a deeper nesting".to_owned(), limit: MAX_DEPTH };
        }
    };
    let place = text.rsplit_once(" at Line: ").and_then(|(found, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((line.parse().ok()?, column.trim().parse().ok()?, found))
    });
    let (line, column, found) = place.unwrap_or((1, 1, text));
    let found =
        found.strip_prefix("Expected: ").map_or_else(|| found.to_owned(), |rest| format!("expected {rest}"));
    syntax(line, column, found)
}

/// Takes the parsed expression over, part by part.
pub(super) struct Reader {
    columns: Vec<String>,
    depth: usize,
}

pub(super) type Read = Result<Node, ExpressionError>;

impl Reader {
    pub(super) fn node(&mut self, expression: &Expr) -> Read {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let found = format!("more than {MAX_DEPTH} levels");
            return Err(ExpressionError::TooLarge { found, limit: MAX_DEPTH });
        }
        let node = self.operator(expression);
        self.depth -= 1;
        node
    }

    pub(super) fn boxed(&mut self, expression: &Expr) -> Result<Box<Node>, ExpressionError> {
        self.node(expression).map(Box::new)
    }

    fn operator(&mut self, expression: &Expr) -> Read {
        match expression {
            Expr::Nested(inner) => {
                self.depth -= 1;
                let node = self.node(inner);
                self.depth += 1;
                node
            }
            Expr::Identifier(name) => Ok(self.column(name)),
            Expr::Value(value) => Ok(Node::Literal(forms::literal(value)?)),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(value) => self.test(Unary::IsNull, value),
            Expr::IsNotNull(value) => self.test(Unary::IsNotNull, value),
            Expr::IsTrue(value) => self.test(Unary::IsTrue, value),
            Expr::IsNotTrue(value) => self.test(Unary::IsNotTrue, value),
            Expr::IsFalse(value) => self.test(Unary::IsFalse, value),
            Expr::IsNotFalse(value) => self.test(Unary::IsNotFalse, value),
            Expr::IsDistinctFrom(left, right) => self.distinct(Binary::Distinct, left, right),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(Binary::NotDistinct, left, right),
            Expr::Between { expr, negated, low, high } => Ok(Node::Between {
                negated: *negated,
                value: self.boxed(expr)?,
                low: self.boxed(low)?,
                high: self.boxed(high)?,
            }),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            other => self.form(other),
        }
    }

    pub(super) fn column(&mut self, name: &Ident) -> Node {
        let known = self.columns.iter().position(|column| *column == name.value);
        Node::Column(known.unwrap_or_else(|| {
            self.columns.push(name.value.clone());
            self.columns.len() - 1
        }))
    }

    fn test(&mut self, operator: Unary, value: &Expr) -> Read {
        Ok(Node::Unary(operator, self.boxed(value)?))
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &Expr) -> Read {
        let operand = self.node(operand)?;
        Ok(match (operator, operand) {
            (UnaryOperator::Minus, Node::Literal(literal)) if literal.is_number() => {
                Node::Literal(literal.negated())
            }
            (UnaryOperator::Minus, Node::Interval(span)) => {
                let span = span.negated().ok_or_else(|| syntax(1, 1, "found a span beyond its range"))?;
                Node::Interval(span)
            }
            (UnaryOperator::Plus, Node::Literal(literal)) if literal.is_number() => Node::Literal(literal),
            (UnaryOperator::Minus, operand) => Node::Unary(Unary::Negate, Box::new(operand)),
            (UnaryOperator::Plus, operand) => Node::Unary(Unary::Plus, Box::new(operand)),
            (UnaryOperator::Not, operand) => Node::Unary(Unary::Not, Box::new(operand)),
            (UnaryOperator::BitwiseNot, operand) => Node::Unary(Unary::BitNot, Box::new(operand)),
            (other, _) => return Err(unknown_operator(&other)),
        })
    }

    fn binary(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Read {
        let operator = match operator {
            BinaryOperator::Plus => Binary::Add,
            BinaryOperator::Minus => Binary::Subtract,
            BinaryOperator::Multiply => Binary::Multiply,
            BinaryOperator::Divide => Binary::Divide,
            BinaryOperator::DuckIntegerDivide => Binary::IntegerDivide,
            BinaryOperator::Modulo => Binary::Modulo,
            BinaryOperator::Eq => Binary::Equal,
            BinaryOperator::NotEq => Binary::NotEqual,
            BinaryOperator::Lt => Binary::Less,
            BinaryOperator::LtEq => Binary::LessOrEqual,
            BinaryOperator::Gt => Binary::Greater,
            BinaryOperator::GtEq => Binary::GreaterOrEqual,
            BinaryOperator::And => Binary::And,
            BinaryOperator::Or => Binary::Or,
            BinaryOperator::StringConcat => Binary::Concat,
            BinaryOperator::Spaceship => Binary::NotDistinct,
            BinaryOperator::BitwiseAnd => Binary::BitAnd,
            BinaryOperator::BitwiseOr => Binary::BitOr,
            BinaryOperator::PGBitwiseShiftLeft => Binary::ShiftLeft,
            BinaryOperator::PGBitwiseShiftRight => Binary::ShiftRight,
            BinaryOperator::BitwiseXor => {
                let reason = "is a power in some databases and XOR in others; write POW(a, b) or XOR(a, b)";
                return Err(ExpressionError::not_allowed("the operator ^", reason));
            }
            other => return Err(unknown_operator(other)),
        };
        if matches!(operator, Binary::And | Binary::Or) {
            return self.logical(operator, left, right);
        }
        Ok(Node::Binary(operator, self.boxed(left)?, self.boxed(right)?))
    }

    /// A chain of AND or OR, whose grouping does not matter, as a balanced tree.
    fn logical(&mut self, operator: Binary, left: &Expr, right: &Expr) -> Read {
        let mut terms = Vec::new();
        let mut rest = vec![right, left];
        while let Some(term) = rest.pop() {
            match (term, operator) {
                (Expr::BinaryOp { left, op: BinaryOperator::And, right }, Binary::And)
                | (Expr::BinaryOp { left, op: BinaryOperator::Or, right }, Binary::Or) => {
                    rest.extend([&**right, &**left]);
                }
                (Expr::Nested(inner), _) => rest.push(inner),
                (term, _) => terms.push(self.node(term)?),
            }
        }
        let empty = || syntax(1, 1, "found no condition");
        Node::join(operator, terms).ok_or_else(empty)
    }

    /// The parser takes everything behind FROM as the second operand: in `a IS DISTINCT FROM b AND c`
    /// that is `b AND c`, against every other reading of SQL.
    fn distinct(&mut self, operator: Binary, left: &Expr, right: &Expr) -> Read {
        use BinaryOperator as B;
        let closed = match right {
            Expr::BinaryOp { op, .. } => matches!(
                op,
                B::Plus
                    | B::Minus
                    | B::Multiply
                    | B::Divide
                    | B::Modulo
                    | B::StringConcat
                    | B::DuckIntegerDivide
            ),
            Expr::UnaryOp { op, .. } => *op != UnaryOperator::Not,
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::CompoundFieldAccess { .. }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::Function(_)
            | Expr::Case { .. }
            | Expr::Cast { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Extract { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Position { .. } => true,
            _ => false,
        };
        if !closed {
            return Err(ExpressionError::not_allowed(
                "IS [NOT] DISTINCT FROM before another condition",
                "takes it as its operand; put parentheses around the comparison",
            ));
        }
        Ok(Node::Binary(operator, self.boxed(left)?, self.boxed(right)?))
    }

    fn in_list(&mut self, value: &Expr, list: &[Expr], negated: bool) -> Read {
        let value = self.boxed(value)?;
        let elements = list.iter().map(|element| self.node(element)).collect::<Result<Vec<_>, _>>()?;
        Ok(Node::In { negated, value, list: elements })
    }
}

fn unknown_operator(operator: &impl std::fmt::Display) -> ExpressionError {
    ExpressionError::not_allowed(format!("the operator {operator}"), "is not on the list of operators")
}

/// The reason why a form is refused, without the text of its parts.
pub(super) fn refused(expression: &Expr) -> ExpressionError {
    let (name, reason) = match expression {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ("a subquery", "looks at more than one row; use semijoin, antijoin or join")
        }
        Expr::InUnnest { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            ("ANY, ALL or UNNEST", "looks into a list; use unbatch before")
        }
        Expr::JsonAccess { .. } => ("access to JSON", "is not on the list; take it apart in a function"),
        Expr::Like { .. } | Expr::ILike { .. } => ("LIKE with ANY", "is not on the list of operators"),
        Expr::RLike { .. } | Expr::SimilarTo { .. } => {
            ("RLIKE or SIMILAR TO", "is not on the list of operators; use REGEXP_LIKE")
        }
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("*", "names all columns; name each column"),
        _ => ("this form of SQL", "is not on the list of operators"),
    };
    ExpressionError::not_allowed(name, reason)
}
