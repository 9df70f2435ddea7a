//! SQL text to the tree of what is allowed in an expression.
//!
//! What is not taken over here by name is refused.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType as AstType, DateTimeField, Expr,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript, TimezoneInfo, TrimWhereField,
    UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::error::ExpressionError;
use super::exact::Exact;
use super::functions;
use super::names::{part, sql_type};
use super::parameters::Literal;
use super::temporal::Temporal;
use super::temporal::interval::Interval;
use super::tree::{Binary, Node, SqlType, Tree, Unary};

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
                let Node::Literal(Literal::Text(zone)) = self.node(time_zone)? else {
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
        let elements = list.iter().map(|element| self.node(element)).collect::<Result<Vec<_>, _>>()?;
        Ok(Node::In { negated, value, list: elements })
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
            Node::Literal(Literal::Text(text)) if plain => text,
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
                    Node::Literal(Literal::Text(name)) => Node::Field { value: Box::new(value), name },
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

fn literal(value: &ValueWithSpan) -> Result<Literal, ExpressionError> {
    let place = value.span.start;
    Ok(match &value.value {
        Value::Null => Literal::Null,
        Value::Boolean(value) => Literal::Bool(*value),
        Value::SingleQuotedString(text) => Literal::Text(text.clone()),
        Value::Number(digits, false) => number(digits).ok_or_else(|| {
            syntax(place.line, place.column, "found a number that neither a decimal nor a float64 holds")
        })?,
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
        found: "a text of another form".to_owned(),
        expected,
        remedy: "write it in that form",
    })
}

fn substring(arguments: Vec<Node>) -> Read {
    match arguments.len() {
        2 | 3 => Ok(Node::Call { name: "SUBSTR", arguments }),
        found => Err(ExpressionError::Type {
            place: "SUBSTR".to_owned(),
            found: format!("{found} arguments"),
            expected: "a text, a start and maybe a length",
            remedy: "add or remove arguments",
        }),
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
            Node::Literal(Literal::Text(text)) => part(&text.to_lowercase())?.clone_into(text),
            _ => return Err(computed(&format!("{} with a computed part", name.to_uppercase()))),
        }
    }
    functions::call(name, arguments)
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
        (Node::Literal(Literal::Text(text)), SqlType::Plain("TIME")) => Temporal::time(text),
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
