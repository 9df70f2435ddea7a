//! SQL text to the tree of what is allowed in an expression.
//!
//! The text is read by the parser that Polars uses. What is not taken over here by name cannot
//! reach Polars: the text that Polars sees is written from the tree.

use sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DataType as AstType, DateTimeField, Expr, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, TimezoneInfo, TrimWhereField, UnaryOperator, Value,
    ValueWithSpan,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::error::ExpressionError;
use super::functions;
use super::names::{part, sql_type};
use super::parameters::Literal;
use super::temporal::Temporal;
use super::tree::{Binary, Node, SqlType, Tree, Unary};

/// Bytes of an expression.
const MAX_BYTES: usize = 256 * 1024;
/// Words, marks and names of an expression; literals and commas are not counted.
const MAX_TOKENS: usize = 1_000;
/// Nesting of an expression, chains of an operator included; AND and OR count once.
const MAX_DEPTH: usize = 64;

/// Reads one expression and nothing after it.
pub(super) fn parse(sql: &str) -> Result<Tree, ExpressionError> {
    let expression = read(sql)?;
    let mut reader = Reader { columns: Vec::new(), depth: 0 };
    let root = reader.node(&expression)?;
    Ok(Tree { root, columns: reader.columns })
}

fn read(sql: &str) -> Result<Expr, ExpressionError> {
    if sql.len() > MAX_BYTES {
        return Err(ExpressionError::TooLarge { found: format!("{} bytes", sql.len()), limit: MAX_BYTES });
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| syntax(error.location.line, error.location.column, error.message))?;
    check_size(&tokens)?;
    let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| from_parser(&error))?;
    let rest = parser.peek_token();
    match rest.token {
        Token::EOF => Ok(expression),
        token => {
            let start = rest.span.start;
            Err(syntax(start.line, start.column, format!("found {token} after the expression")))
        }
    }
}

/// Bounds what the parser and all recursions behind it see.
fn check_size(tokens: &[TokenWithSpan]) -> Result<(), ExpressionError> {
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
    Ok(())
}

fn syntax(line: u64, column: u64, found: impl Into<String>) -> ExpressionError {
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
struct Reader {
    columns: Vec<String>,
    depth: usize,
}

type Read = Result<Node, ExpressionError>;

impl Reader {
    fn node(&mut self, expression: &Expr) -> Read {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let found = format!("more than {MAX_DEPTH} levels");
            return Err(ExpressionError::TooLarge { found, limit: MAX_DEPTH });
        }
        let node = self.operator(expression);
        self.depth -= 1;
        node
    }

    fn boxed(&mut self, expression: &Expr) -> Result<Box<Node>, ExpressionError> {
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
            Expr::Value(value) => Ok(Node::Literal(literal(value)?)),
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

    /// Forms with words inside: LIKE, CASE, CAST and those of functions.
    fn form(&mut self, expression: &Expr) -> Read {
        match expression {
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, false)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, true)
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
                for argument in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(self.node(argument)?);
                }
                substring(arguments)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let value = self.node(expr)?;
                let what = trim_what.as_deref().map(|what| self.node(what)).transpose()?;
                trim(trim_where.as_ref(), what, value)
            }
            Expr::Function(function) => self.function(function),
            other => Err(refused(other)),
        }
    }

    fn column(&mut self, name: &Ident) -> Node {
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
            (UnaryOperator::Minus, Node::Literal(Literal::Integer(value))) => {
                Node::Literal(Literal::Integer(value.wrapping_neg()))
            }
            (UnaryOperator::Minus, Node::Literal(Literal::Float(value))) => {
                Node::Literal(Literal::Float(-value))
            }
            (UnaryOperator::Plus, literal @ Node::Literal(Literal::Integer(_) | Literal::Float(_))) => {
                literal
            }
            (UnaryOperator::Minus, operand) => Node::Unary(Unary::Negate, Box::new(operand)),
            (UnaryOperator::Plus, operand) => Node::Unary(Unary::Plus, Box::new(operand)),
            (UnaryOperator::Not, operand) => Node::Unary(Unary::Not, Box::new(operand)),
            (other, _) => {
                let name = format!("the operator {other}");
                return Err(ExpressionError::not_allowed(name, "is not on the list of operators"));
            }
        })
    }

    fn binary(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Read {
        let operator = match operator {
            BinaryOperator::Plus => Binary::Add,
            BinaryOperator::Minus => Binary::Subtract,
            BinaryOperator::Multiply => Binary::Multiply,
            BinaryOperator::Divide => Binary::Divide,
            BinaryOperator::DuckIntegerDivide => Binary::FloorDivide,
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
            other => {
                let name = format!("the operator {other}");
                return Err(ExpressionError::not_allowed(name, "is not on the list of operators"));
            }
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
        let mut elements = Vec::with_capacity(list.len());
        for element in list {
            match self.node(element)? {
                literal @ (Node::Literal(_) | Node::Temporal(_)) => elements.push(literal),
                _ => {
                    return Err(ExpressionError::not_allowed(
                        "IN with a computed element",
                        "compares with a fixed list; write the comparisons with = and OR",
                    ));
                }
            }
        }
        Ok(Node::In { negated, value, list: elements })
    }

    fn like(&mut self, value: &Expr, pattern: &Expr, negated: bool, ignore_case: bool) -> Read {
        let value = self.boxed(value)?;
        match self.node(pattern)? {
            Node::Literal(Literal::Text(pattern)) => Ok(Node::Like { negated, ignore_case, value, pattern }),
            _ => Err(computed("LIKE with a computed pattern")),
        }
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
            // A refused name has a reason that says more than one about its arguments.
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
            "DATE_PART" => date_part(nodes),
            "SUBSTR" | "SUBSTRING" => substring(nodes),
            upper => functions::call(upper, nodes),
        }
    }
}

fn computed(name: &str) -> ExpressionError {
    ExpressionError::not_allowed(name, "is read once for all rows; give a literal or a parameter")
}

fn literal(value: &ValueWithSpan) -> Result<Literal, ExpressionError> {
    let place = value.span.start;
    Ok(match &value.value {
        Value::Null => Literal::Null,
        Value::Boolean(value) => Literal::Bool(*value),
        Value::SingleQuotedString(text) => Literal::Text(text.clone()),
        Value::Number(digits, false) if digits.contains('.') => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Literal::Float(number),
            _ => return Err(syntax(place.line, place.column, "found a number that no float64 holds")),
        },
        Value::Number(digits, false) => Literal::Integer(digits.parse().map_err(|_| {
            let found = "found a number that no int64 holds (a float needs a point: 1.0e9)";
            syntax(place.line, place.column, found)
        })?),
        Value::Placeholder(name) => {
            let reason = "stands for a value that nobody gives; write ${name} for a parameter";
            return Err(ExpressionError::not_allowed(format!("the placeholder {name}"), reason));
        }
        _ => {
            let found = "found a literal in quotes of another kind";
            return Err(syntax(place.line, place.column, format!("{found}, expected 'text'")));
        }
    })
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
        other => {
            let name = format!("a literal of type {other}");
            return Err(ExpressionError::not_allowed(name, "is not a DATE, TIME or TIMESTAMP"));
        }
    };
    temporal.map(Node::Temporal).ok_or_else(|| ExpressionError::Type {
        place: format!("{data_type} literal"),
        found: "a text of another form".to_owned(),
        expected,
        remedy: "write it in that form",
    })
}

/// Polars has another meaning for a computed start below 1 where no length is given.
fn substring(arguments: Vec<Node>) -> Read {
    let literal = |position: usize| matches!(arguments.get(position), Some(Node::Literal(_)));
    match arguments.len() {
        2 if !literal(1) => Err(ExpressionError::not_allowed(
            "SUBSTR with a computed start and no length",
            "has no clear meaning for a start below 1; give a length as well",
        )),
        2 | 3 => Ok(Node::Call { name: "SUBSTR", arguments }),
        found => Err(ExpressionError::Type {
            place: "SUBSTR".to_owned(),
            found: format!("{found} arguments"),
            expected: "a text, a start and maybe a length",
            remedy: "add or remove arguments",
        }),
    }
}

fn trim(place: Option<&TrimWhereField>, what: Option<Node>, value: Node) -> Read {
    let (side, function) = match place {
        None | Some(TrimWhereField::Both) => ("BOTH", "TRIM"),
        Some(TrimWhereField::Leading) => ("LEADING", "LTRIM"),
        Some(TrimWhereField::Trailing) => ("TRAILING", "RTRIM"),
    };
    match what {
        None => Ok(Node::Call { name: function, arguments: vec![value] }),
        Some(Node::Literal(Literal::Text(what))) => Ok(Node::Trim { side, what, value: Box::new(value) }),
        Some(_) => Err(computed("TRIM with computed characters")),
    }
}

fn date_part(arguments: Vec<Node>) -> Read {
    match <[Node; 2]>::try_from(arguments) {
        Ok([Node::Literal(Literal::Text(name)), value]) => {
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
        (Node::Literal(Literal::Text(text)), SqlType::Plain("DATE")) => Temporal::date(text),
        (Node::Literal(Literal::Text(text)), SqlType::Timestamp(6)) => Temporal::timestamp(text),
        _ => None,
    };
    temporal.map_or_else(|| Node::Cast { lenient, value: Box::new(value), target }, Node::Temporal)
}

/// The reason why a form is refused, without the text of its parts.
fn refused(expression: &Expr) -> ExpressionError {
    let (name, reason) = match expression {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ("a subquery", "looks at more than one row; use semijoin, antijoin or join")
        }
        Expr::InUnnest { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            ("ANY, ALL or UNNEST", "looks into a list; use unbatch before")
        }
        Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } | Expr::JsonAccess { .. } => (
            "a name with a dot or an index",
            "looks into a nested value; write \"a.b\" for a column of that name, or take it apart in a function",
        ),
        Expr::Like { .. } | Expr::ILike { .. } => {
            ("LIKE with ANY or ESCAPE", "is not on the list of operators")
        }
        Expr::RLike { .. } | Expr::SimilarTo { .. } => {
            ("RLIKE or SIMILAR TO", "is not on the list of operators; use REGEXP_LIKE")
        }
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("*", "names all columns; name each column"),
        Expr::Interval(_) => ("INTERVAL", "is not on the list; subtract timestamps instead"),
        Expr::AtTimeZone { .. } => ("AT TIME ZONE", "is not on the list; instants are in UTC"),
        _ => ("this form of SQL", "is not on the list of operators"),
    };
    ExpressionError::not_allowed(name, reason)
}
