//! The functions that an expression may call, and why others may not.

use std::fmt::Write as _;

use super::tree::Node;
use crate::error::ExpressionError;

/// A function on the allow-list.
struct AllowedFunction {
    /// The name as it is written.
    name: &'static str,
    /// The name it has in the canonical text.
    canonical: &'static str,
    least: usize,
    most: usize,
    /// Its arguments and its meaning, for the reference.
    form: &'static str,
    meaning: &'static str,
}

const MANY: usize = 64;

const fn function(
    name: &'static str,
    least: usize,
    most: usize,
    form: &'static str,
    meaning: &'static str,
) -> AllowedFunction {
    AllowedFunction { name, canonical: name, least, most, form, meaning }
}

const fn alias(name: &'static str, canonical: &'static str, least: usize, most: usize) -> AllowedFunction {
    AllowedFunction { name, canonical, least, most, form: "", meaning: "" }
}

/// Every function looks at its own row only and always gives the same answer.
const ALLOWED: &[AllowedFunction] = &[
    function("ABS", 1, 1, "x", "the magnitude, of the same type"),
    function("ACOS", 1, 1, "x", "arc cosine in radians"),
    function("ACOSD", 1, 1, "x", "arc cosine in degrees"),
    function("ASIN", 1, 1, "x", "arc sine in radians"),
    function("ASIND", 1, 1, "x", "arc sine in degrees"),
    function("ATAN", 1, 1, "x", "arc tangent in radians"),
    function("ATAN2", 2, 2, "y, x", "angle of a point in radians"),
    function("ATAN2D", 2, 2, "y, x", "angle of a point in degrees"),
    function("ATAND", 1, 1, "x", "arc tangent in degrees"),
    function("BIT_LENGTH", 1, 1, "s", "bits of a string or of bytes"),
    function("CBRT", 1, 1, "x", "cube root"),
    function("CEIL", 1, 1, "x", "the next whole number above, of the same type"),
    alias("CEILING", "CEIL", 1, 1),
    alias("CHARACTER_LENGTH", "LENGTH", 1, 1),
    alias("CHAR_LENGTH", "LENGTH", 1, 1),
    function("COALESCE", 1, MANY, "a, b, ..", "the first value that is not null"),
    function("CONCAT", 1, MANY, "a, b, ..", "the values that are not null as one string"),
    function("CONCAT_WS", 2, MANY, "by, a, b, ..", "the same with a string between"),
    function("CONTAINS", 2, 2, "s, part", "true where the part is in the string"),
    function("COS", 1, 1, "x", "cosine of radians"),
    function("COSD", 1, 1, "x", "cosine of degrees"),
    function("COT", 1, 1, "x", "cotangent of radians"),
    function("COTD", 1, 1, "x", "cotangent of degrees"),
    function("DATE", 2, 2, "s, format", "a string of the format as a date"),
    alias("DATEDIFF", "DATE_DIFF", 3, 3),
    function("DATETIME", 2, 2, "s, format", "as TIMESTAMP"),
    function("DATE_DIFF", 3, 3, "part, from, to", "borders of the part between two points in time"),
    function("DATE_TRUNC", 2, 2, "part, t", "the start of the part that holds a point in time"),
    alias("DATETRUNC", "DATE_TRUNC", 2, 2),
    function("DAY", 1, 1, "t", "as EXTRACT(DAY FROM t)"),
    function("DAYOFWEEK", 1, 1, "t", "Sunday is 0"),
    function("DAYOFYEAR", 1, 1, "t", "from 1"),
    function("DEGREES", 1, 1, "x", "radians in degrees"),
    function("DIV", 2, 2, "a, b", "as a // b"),
    function("ENDS_WITH", 2, 2, "s, part", "true where the string ends with the part"),
    function("EXP", 1, 1, "x", "power of e"),
    function("FLOOR", 1, 1, "x", "the next whole number below, of the same type"),
    function("GREATEST", 1, MANY, "a, b, ..", "the largest value that is not null; NaN is above all"),
    function("HOUR", 1, 1, "t", "as EXTRACT(HOUR FROM t)"),
    function("IF", 3, 3, "condition, a, b", "a where the condition is true, else b"),
    alias("IFNULL", "COALESCE", 2, 2),
    function("INITCAP", 1, 1, "s", "first letters of words in upper case, others in lower"),
    function("ISFINITE", 1, 1, "x", "true where a number is neither NaN nor infinite"),
    alias("IS_FINITE", "ISFINITE", 1, 1),
    function("ISINF", 1, 1, "x", "true for infinities"),
    function("ISNAN", 1, 1, "x", "true for NaN"),
    alias("IS_NAN", "ISNAN", 1, 1),
    function("LEAST", 1, MANY, "a, b, ..", "the smallest value that is not null"),
    function("LEFT", 2, 2, "s, n", "the first n characters; all but the last -n where n is negative"),
    function("LENGTH", 1, 1, "s", "characters of a string, bytes of binary values"),
    alias("LEN", "LENGTH", 1, 1),
    function("LN", 1, 1, "x", "natural logarithm"),
    function("LOG", 1, 2, "[base,] x", "logarithm, of base 10 where none is given"),
    function("LOG10", 1, 1, "x", "logarithm of base 10"),
    function("LOG1P", 1, 1, "x", "natural logarithm of 1 + x"),
    function("LOG2", 1, 1, "x", "logarithm of base 2"),
    function("LOWER", 1, 1, "s", "in lower case"),
    function("LPAD", 2, 3, "s, n [, fill]", "filled at its start, or cut, to n characters"),
    function("LTRIM", 1, 2, "s [, characters]", "without spaces, or these characters, at its start"),
    function("MAKE_DATE", 3, 3, "year, month, day", "a date"),
    function("MINUTE", 1, 1, "t", "as EXTRACT(MINUTE FROM t)"),
    function("MOD", 2, 2, "a, b", "as a % b"),
    function("MONTH", 1, 1, "t", "as EXTRACT(MONTH FROM t)"),
    function("NULLIF", 2, 2, "a, b", "null where a = b, else a"),
    function("OCTET_LENGTH", 1, 1, "s", "bytes of a string in UTF-8, or of binary values"),
    function("PI", 0, 0, "", "3.14159.."),
    function("POW", 2, 2, "x, y", "power; of integers with an exponent that is not negative an integer"),
    alias("POWER", "POW", 2, 2),
    function("QUARTER", 1, 1, "t", "as EXTRACT(QUARTER FROM t)"),
    function("RADIANS", 1, 1, "x", "degrees in radians"),
    function("REGEXP_EXTRACT", 2, 3, "s, pattern [, group]", "the first match, empty where there is none"),
    function(
        "REGEXP_LIKE",
        2,
        3,
        "s, pattern [, flags]",
        "true where the pattern matches a part; flags c, i, m, s",
    ),
    alias("REGEXP_MATCHES", "REGEXP_LIKE", 2, 3),
    function("REGEXP_REPLACE", 3, 4, "s, pattern, to [, flags]", "the first match replaced; all with flag g"),
    function("REPEAT", 2, 2, "s, n", "the string n times, up to a mebibyte"),
    function("REPLACE", 3, 3, "s, from, to", "every occurrence replaced"),
    function("REVERSE", 1, 1, "s", "characters from the last to the first"),
    function("RIGHT", 2, 2, "s, n", "the last n characters; all but the first -n where n is negative"),
    function("ROUND", 1, 2, "x [, digits]", "half away from zero, of the same type; digits may be negative"),
    function("RPAD", 2, 3, "s, n [, fill]", "filled at its end, or cut, to n characters"),
    function("RTRIM", 1, 2, "s [, characters]", "without spaces, or these characters, at its end"),
    function("SECOND", 1, 1, "t", "as EXTRACT(SECOND FROM t)"),
    function(
        "SIGN",
        1,
        1,
        "x",
        "-1, 0 or 1, of the same type; a whole decimal where that has no digit before the point",
    ),
    function("SIN", 1, 1, "x", "sine of radians"),
    function("SIND", 1, 1, "x", "sine of degrees"),
    function("SPLIT_PART", 3, 3, "s, by, n", "the n-th part, from the end where n is negative"),
    function("SQRT", 1, 1, "x", "square root"),
    function("STARTS_WITH", 2, 2, "s, part", "true where the string begins with the part"),
    function("STRFTIME", 2, 2, "t, format", "a date, time or timestamp as a string"),
    function("STRPOS", 2, 2, "s, part", "place of the part in characters from 1, 0 where it is not there"),
    alias("INSTR", "STRPOS", 2, 2),
    function("STRPTIME", 2, 2, "s, format", "as TIMESTAMP"),
    function("TAN", 1, 1, "x", "tangent of radians"),
    function("TAND", 1, 1, "x", "tangent of degrees"),
    function("TIME", 2, 2, "s, format", "a string of the format as a time of day"),
    function("TIMESTAMP", 2, 2, "s, format", "a string of the format as a timestamp, an instant with %z"),
    function("TRIM", 1, 2, "s [, characters]", "without spaces, or these characters, at both ends"),
    function("TRUNC", 1, 2, "x [, digits]", "cut towards zero, of the same type"),
    alias("TRUNCATE", "TRUNC", 1, 2),
    function("TRY_STRPTIME", 2, 2, "s, format", "as STRPTIME, null where the string has another form"),
    function("UPPER", 1, 1, "s", "in upper case"),
    function("WEEK", 1, 1, "t", "ISO week"),
    function("XOR", 2, 2, "a, b", "bits that differ"),
    function("YEAR", 1, 1, "t", "as EXTRACT(YEAR FROM t)"),
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

/// The reason why a name is refused.
pub(crate) fn refusal(name: &str) -> ExpressionError {
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

/// Checks the number of arguments of a call and gives it its canonical name.
pub(crate) fn call(name: &str, arguments: Vec<Node>) -> Result<Node, ExpressionError> {
    let name = name.to_uppercase();
    let Some(function) = ALLOWED.iter().find(|function| function.name == name) else {
        return Err(refusal(&name));
    };
    let reads = matches!(function.canonical, "DATE" | "TIME" | "TIMESTAMP" | "DATETIME" | "STRPTIME");
    if reads && arguments.len() == 1 {
        return Err(ExpressionError::not_allowed(
            name,
            "has to be given the format as a second argument; CAST(s AS DATE) reads ISO forms",
        ));
    }
    if !(function.least..=function.most).contains(&arguments.len()) {
        let expected = "the number of arguments that the function takes";
        return Err(ExpressionError::arguments(name, arguments.len(), expected));
    }
    Ok(Node::Call { name: function.canonical, arguments })
}

/// Every function with its arguments and meaning, as rows of a Markdown table.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from("| function | gives |\n|---|---|\n");
    for function in ALLOWED.iter().filter(|function| !function.meaning.is_empty()) {
        let aliases: Vec<&str> = ALLOWED
            .iter()
            .filter(|other| other.canonical == function.name && other.name != function.name)
            .map(|other| other.name)
            .collect();
        let also = if aliases.is_empty() { String::new() } else { format!(" (also {})", aliases.join(", ")) };
        let _ = writeln!(text, "| `{}({})`{also} | {} |", function.name, function.form, function.meaning);
    }
    text
}
