//! The functions that an expression may call, and why others may not.

use super::error::ExpressionError;
use super::parameters::Literal;
use super::tree::Node;

/// A function on the allow-list.
struct Function {
    /// The name as it is written.
    name: &'static str,
    /// The name it has in the canonical text.
    canonical: &'static str,
    least: usize,
    most: usize,
    /// Arguments (from 0) that have to be literals, since Polars reads them once for all rows.
    literals: &'static [usize],
}

const MANY: usize = 64;

const fn function(name: &'static str, least: usize, most: usize) -> Function {
    Function { name, canonical: name, least, most, literals: &[] }
}

const fn alias(name: &'static str, canonical: &'static str, arguments: usize) -> Function {
    Function { name, canonical, least: arguments, most: arguments, literals: &[] }
}

const fn with_literals(
    name: &'static str,
    least: usize,
    most: usize,
    literals: &'static [usize],
) -> Function {
    Function { name, canonical: name, least, most, literals }
}

/// Every function looks at its own row only and always gives the same answer.
const ALLOWED: &[Function] = &[
    function("ABS", 1, 1),
    function("ACOS", 1, 1),
    function("ACOSD", 1, 1),
    function("ASIN", 1, 1),
    function("ASIND", 1, 1),
    function("ATAN", 1, 1),
    function("ATAN2", 2, 2),
    function("ATAN2D", 2, 2),
    function("ATAND", 1, 1),
    function("BIT_LENGTH", 1, 1),
    function("CBRT", 1, 1),
    function("CEIL", 1, 1),
    alias("CEILING", "CEIL", 1),
    alias("CHARACTER_LENGTH", "LENGTH", 1),
    alias("CHAR_LENGTH", "LENGTH", 1),
    function("COALESCE", 1, MANY),
    function("CONCAT", 1, MANY),
    with_literals("CONCAT_WS", 2, MANY, &[0]),
    function("COS", 1, 1),
    function("COSD", 1, 1),
    function("COT", 1, 1),
    function("COTD", 1, 1),
    with_literals("DATE", 2, 2, &[1]),
    with_literals("DATETIME", 2, 2, &[1]),
    function("DEGREES", 1, 1),
    function("DIV", 2, 2),
    function("ENDS_WITH", 2, 2),
    function("EXP", 1, 1),
    function("FLOOR", 1, 1),
    function("GREATEST", 1, MANY),
    function("IF", 3, 3),
    alias("IFNULL", "COALESCE", 2),
    function("LEAST", 1, MANY),
    function("LEFT", 2, 2),
    function("LENGTH", 1, 1),
    function("LN", 1, 1),
    function("LOG", 2, 2),
    function("LOG10", 1, 1),
    function("LOG1P", 1, 1),
    function("LOG2", 1, 1),
    function("LOWER", 1, 1),
    with_literals("LPAD", 2, 3, &[1, 2]),
    function("LTRIM", 1, 2),
    function("MOD", 2, 2),
    function("NULLIF", 2, 2),
    function("OCTET_LENGTH", 1, 1),
    function("PI", 0, 0),
    function("POW", 2, 2),
    alias("POWER", "POW", 2),
    function("RADIANS", 1, 1),
    with_literals("REGEXP_LIKE", 2, 3, &[1, 2]),
    with_literals("REPLACE", 3, 3, &[1, 2]),
    function("REVERSE", 1, 1),
    function("RIGHT", 2, 2),
    with_literals("ROUND", 1, 2, &[1]),
    with_literals("RPAD", 2, 3, &[1, 2]),
    function("RTRIM", 1, 2),
    function("SIGN", 1, 1),
    function("SIN", 1, 1),
    function("SIND", 1, 1),
    function("SQRT", 1, 1),
    function("STARTS_WITH", 2, 2),
    with_literals("STRFTIME", 2, 2, &[1]),
    function("STRPOS", 2, 2),
    with_literals("STRPTIME", 2, 2, &[1]),
    function("TAN", 1, 1),
    function("TAND", 1, 1),
    with_literals("TIME", 2, 2, &[1]),
    with_literals("TIMESTAMP", 2, 2, &[1]),
    with_literals("TRUNC", 1, 2, &[1]),
    with_literals("TRUNCATE", 1, 2, &[1]),
    function("UPPER", 1, 1),
];

const MANY_ROWS: &str = "looks at more than one row; use the batch operator and a function of the list";
const OTHER_ANSWER: &str =
    "gives another answer each time; make the value a column of the source or a parameter";

/// Functions that users will look for, by the reason why they are not on the list.
const REFUSED: &[(&str, &str)] = &[
    (
        MANY_ROWS,
        "ANY_VALUE APPROX_COUNT_DISTINCT ARG_MAX ARG_MIN ARRAY_AGG AVG BIT_AND_AGG BOOL_AND BOOL_OR \
         CORR COUNT COVAR COVAR_POP COVAR_SAMP CUME_DIST DENSE_RANK EVERY FIRST FIRST_VALUE \
         GROUP_CONCAT LAG LAST LAST_VALUE LEAD LISTAGG MAX MEAN MEDIAN MIN MODE NTH_VALUE NTILE \
         PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK QUANTILE QUANTILE_CONT QUANTILE_DISC RANK \
         ROW_NUMBER SHIFT STDDEV STDDEV_POP STDDEV_SAMP STDEV STDEV_SAMP STRING_AGG SUM TOTAL \
         UNNEST VAR VARIANCE VAR_POP VAR_SAMP",
    ),
    (
        OTHER_ANSWER,
        "CLOCK_TIMESTAMP CURRENT_DATE CURRENT_DATETIME CURRENT_TIME CURRENT_TIMESTAMP CURTIME \
         CURDATE GENERATE_UUID GEN_RANDOM_UUID GETDATE LOCALTIME LOCALTIMESTAMP NEWID NOW RAND \
         RANDOM SETSEED SYSDATE TODAY UUID",
    ),
    (
        "depends on who asks and not on the row; make the value a parameter",
        "CURRENT_CATALOG CURRENT_ROLE CURRENT_SCHEMA CURRENT_USER SESSION_USER USER",
    ),
    ("names columns by a pattern; name each column", "COLUMNS"),
];

/// Functions of numbers only.
const NUMERIC: &str = "ACOS ACOSD ASIN ASIND ATAN ATAN2 ATAN2D ATAND CBRT CEIL COS COSD COT COTD DEGREES DIV \
                       EXP FLOOR LN LOG LOG10 LOG1P LOG2 MOD POW RADIANS ROUND SIGN SIN SIND SQRT TAN TAND \
                       TRUNC TRUNCATE";

/// Whether all arguments of the function are numbers.
pub(super) fn takes_numbers(name: &str) -> bool {
    NUMERIC.split(' ').any(|function| function == name)
}

/// The reason why a name is refused.
pub(super) fn refusal(name: &str) -> ExpressionError {
    let known = REFUSED
        .iter()
        .find(|(_, names)| names.split(' ').any(|refused| refused == name))
        .map(|(reason, _)| *reason);
    let reason = known.map_or_else(
        || {
            let near = anabranch_engine::names::closest(name, ALLOWED.iter().map(|f| f.name))
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("is not on the list of functions{near}")
        },
        str::to_owned,
    );
    ExpressionError::not_allowed(name, reason)
}

/// Checks a call and gives it its canonical name.
pub(super) fn call(name: &str, arguments: Vec<Node>) -> Result<Node, ExpressionError> {
    let name = name.to_uppercase();
    let Some(function) = ALLOWED.iter().find(|function| function.name == name) else {
        return Err(refusal(&name));
    };
    if function.literals == [1] && arguments.len() == 1 && function.least == 2 {
        return Err(ExpressionError::not_allowed(
            name,
            "guesses the format from the first value of many; give the format as a second argument",
        ));
    }
    if !(function.least..=function.most).contains(&arguments.len()) {
        return Err(ExpressionError::Type {
            place: name,
            found: format!("{} arguments", arguments.len()),
            expected: "the number of arguments that the function takes",
            remedy: "add or remove arguments",
        });
    }
    for position in function.literals {
        if arguments.get(*position).is_some_and(|argument| !matches!(argument, Node::Literal(_))) {
            return Err(ExpressionError::not_allowed(
                format!("{name} with a computed argument {}", position + 1),
                "is read once for all rows; give a literal or a parameter",
            ));
        }
    }
    check_pattern(&name, &arguments)?;
    check_padding(&name, &arguments)?;
    Ok(Node::Call { name: function.canonical, arguments })
}

/// A pattern that is wrong would fail at the first row only.
fn check_pattern(name: &str, arguments: &[Node]) -> Result<(), ExpressionError> {
    let text = |position: usize| match arguments.get(position) {
        Some(Node::Literal(Literal::Text(text))) => Some(text.as_str()),
        _ => None,
    };
    if name != "REGEXP_LIKE" {
        return Ok(());
    }
    let flags = text(2).map_or_else(String::new, |flags| format!("(?{flags})"));
    let found = match text(1) {
        Some(pattern) if regex::Regex::new(&format!("{flags}{pattern}")).is_ok() => return Ok(()),
        Some(_) => "a pattern that does not compile",
        None => "a pattern that is no string",
    };
    Err(ExpressionError::Type {
        place: name.to_owned(),
        found: found.to_owned(),
        expected: "a regular expression",
        remedy: "write it in the syntax of the regex crate, as a string",
    })
}

/// A row's answer is no larger than this many characters.
fn check_padding(name: &str, arguments: &[Node]) -> Result<(), ExpressionError> {
    const LONGEST: i64 = 65_536;
    let padded = matches!(name, "LPAD" | "RPAD");
    match arguments.get(1) {
        Some(Node::Literal(Literal::Integer(length))) if padded && !(0..=LONGEST).contains(length) => {
            Err(ExpressionError::Type {
                place: name.to_owned(),
                found: format!("a length of {length}"),
                expected: "a length from 0 to 65536",
                remedy: "give such a length",
            })
        }
        _ => Ok(()),
    }
}
