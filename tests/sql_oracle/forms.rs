//! Forms of SQL: in our words and in those of DuckDB.

use arrow::datatypes::DataType;

/// A place in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Bool,
    Integer,
    /// An integer with a sign.
    Signed,
    Float,
    Decimal,
    /// An integer or a decimal.
    Exact,
    /// Any of the three.
    Number,
    Text,
    Date,
    Time,
    Timestamp,
    /// A timestamp without a zone.
    Naive,
    /// A timestamp with a zone.
    Zoned,
    /// A date or a timestamp.
    Moment,
    Span,
    Any,
    /// Of the first place's family: two numbers, two texts.
    Like,
    /// One of these, as it stands.
    Of(&'static [&'static str]),
}

impl Slot {
    pub(crate) fn takes(self, data_type: &DataType) -> bool {
        use DataType as D;
        match self {
            Self::Bool => *data_type == D::Boolean,
            Self::Integer => data_type.is_integer(),
            Self::Signed => data_type.is_signed_integer(),
            Self::Float => data_type.is_floating(),
            Self::Decimal => data_type.is_decimal(),
            Self::Exact => data_type.is_integer() || data_type.is_decimal(),
            Self::Number => data_type.is_integer() || data_type.is_floating() || data_type.is_decimal(),
            Self::Text => *data_type == D::Utf8View,
            Self::Date => *data_type == D::Date32,
            Self::Time => matches!(data_type, D::Time64(_)),
            Self::Timestamp => matches!(data_type, D::Timestamp(..)),
            Self::Naive => matches!(data_type, D::Timestamp(_, None)),
            Self::Zoned => matches!(data_type, D::Timestamp(_, Some(_))),
            Self::Moment => matches!(data_type, D::Timestamp(..) | D::Date32),
            Self::Span => matches!(data_type, D::Duration(_)),
            Self::Any => true,
            Self::Like | Self::Of(_) => false,
        }
    }
}

/// The family of a type: what meets in comparisons and choices.
pub(crate) fn family(data_type: &DataType) -> Slot {
    let families = [Slot::Bool, Slot::Number, Slot::Text, Slot::Moment, Slot::Time, Slot::Span];
    families.into_iter().find(|family| family.takes(data_type)).unwrap_or(Slot::Any)
}

/// A form of SQL with places `{0}`, `{1}`, ...
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) slots: &'static [Slot],
    pub(crate) ours: &'static str,
    pub(crate) duckdb: &'static str,
}

const fn same(name: &'static str, slots: &'static [Slot], sql: &'static str) -> Form {
    Form { name, slots, ours: sql, duckdb: sql }
}

const fn form(name: &'static str, slots: &'static [Slot], ours: &'static str, duckdb: &'static str) -> Form {
    Form { name, slots, ours, duckdb }
}

use Slot::{
    Any, Bool, Date, Decimal, Exact, Float, Integer, Like, Moment, Naive, Number, Of, Signed, Span, Text,
    Time, Timestamp, Zoned,
};

const WHOLE_TYPES: Slot =
    Of(&["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "INTEGER UNSIGNED", "UBIGINT"]);
const FLOAT_TYPES: Slot = Of(&["REAL", "DOUBLE"]);
const DECIMAL_TYPES: Slot = Of(&[
    "DECIMAL(3, 0)",
    "DECIMAL(9, 2)",
    "DECIMAL(18, 0)",
    "DECIMAL(20, 10)",
    "DECIMAL(38, 0)",
    "DECIMAL(38, 18)",
    "DECIMAL(38, 38)",
]);
const TIMESTAMPS: Slot = Of(&["TIMESTAMP(3)", "TIMESTAMP(6)", "TIMESTAMP(9)", "TIMESTAMP"]);
const PARTS: Slot = Of(&[
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "epoch",
    "doy",
    "dow",
    "isodow",
    "isoyear",
    "century",
    "decade",
    "millennium",
]);
const DATE_PARTS: Slot = Of(&[
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "epoch",
    "doy",
    "dow",
    "isodow",
    "isoyear",
    "century",
    "decade",
    "millennium",
]);
const TIME_PARTS: Slot = Of(&["hour", "minute", "second", "millisecond", "microsecond"]);
const UNITS: Slot = Of(&[
    "'year'",
    "'quarter'",
    "'month'",
    "'week'",
    "'day'",
    "'hour'",
    "'minute'",
    "'second'",
    "'millisecond'",
    "'microsecond'",
    "'decade'",
    "'century'",
]);
const DIFFERENCES: Slot =
    Of(&["'year'", "'quarter'", "'month'", "'week'", "'day'", "'hour'", "'minute'", "'second'"]);
const INTERVALS: Slot = Of(&[
    "INTERVAL '1 day'",
    "INTERVAL '-3 days'",
    "INTERVAL '1 month'",
    "INTERVAL '13 months'",
    "INTERVAL '1 year'",
    "INTERVAL '90 minutes'",
    "INTERVAL '1.5 seconds'",
    "INTERVAL '1' DAY",
    "INTERVAL '2' HOUR",
    "INTERVAL '1' MONTH",
    "INTERVAL '-1' YEAR",
    "INTERVAL '2 weeks'",
]);
const PLACES: Slot = Of(&["0", "1", "2", "3", "5", "-1", "-2", "10"]);
const COUNTS: Slot = Of(&["0", "1", "2", "3", "5", "-1", "-2", "10"]);
const LENGTHS: Slot = Of(&["0", "1", "2", "4", "7"]);
const PADS: Slot = Of(&["' '", "'*'", "'äx'", "'🦀'"]);
const MARKS: Slot = Of(&["'a'", "' '", "'%'", "'ab'", "'ä'", "','", "'A'", "'日'"]);
const LIKES: Slot =
    Of(&["'a%'", "'%b'", "'%'", "'_'", "'a_c'", "'%ä%'", "'ABC'", "''", "'__'", "'%\\%'", "'%a%b%'"]);
const ESCAPED: Slot = Of(&["'a!%b'", "'%!_%'", "'!!'", "'%a!%%'"]);
const PATTERNS: Slot =
    Of(&["'^a'", "'b$'", "'[0-9]+'", "'^$'", "'.'", "'a|ä'", "'\\d+-\\d+'", "'(?i)abc'", "'\\s'"]);
const FORMATS: Slot =
    Of(&["'%Y-%m-%d'", "'%d/%m/%y'", "'%H:%M:%S'", "'%j'", "'%Y-%m-%d %H:%M:%S'", "'%A %B'", "'%I %p'"]);
const STAMPS: Slot = Of(&["'%Y-%m-%d'", "'%Y-%m-%d %H:%M:%S'"]);

/// Everything that an expression may be made of.
pub(crate) const FORMS: &[Form] = &[
    same("+", &[Number, Number], "({0} + {1})"),
    same("-", &[Number, Number], "({0} - {1})"),
    same("*", &[Number, Number], "({0} * {1})"),
    same("/", &[Number, Number], "({0} / {1})"),
    form("// exact", &[Integer, Integer], "({0} // {1})", "({0} // {1})"),
    form("// decimal", &[Decimal, Exact], "({0} // {1})", "(({0} - {0} % {1}) / {1})"),
    form("// decimal by float", &[Decimal, Float], "({0} // {1})", "trunc({0} / {1})"),
    form("// float", &[Float, Number], "({0} // {1})", "trunc({0} / {1})"),
    same("%", &[Number, Number], "({0} % {1})"),
    same("negate", &[Number], "(- {0})"),
    same("=", &[Any, Like], "({0} = {1})"),
    same("<>", &[Any, Like], "({0} <> {1})"),
    same("<", &[Any, Like], "({0} < {1})"),
    same("<=", &[Any, Like], "({0} <= {1})"),
    same(">", &[Any, Like], "({0} > {1})"),
    same(">=", &[Any, Like], "({0} >= {1})"),
    same("= number", &[Number, Number], "({0} = {1})"),
    same("< number", &[Number, Number], "({0} < {1})"),
    same(">= number", &[Number, Number], "({0} >= {1})"),
    same("IS DISTINCT FROM", &[Any, Like], "({0} IS DISTINCT FROM {1})"),
    same("IS NOT DISTINCT FROM", &[Any, Like], "({0} IS NOT DISTINCT FROM {1})"),
    same("BETWEEN", &[Any, Like, Like], "({0} BETWEEN {1} AND {2})"),
    same("NOT BETWEEN", &[Any, Like, Like], "({0} NOT BETWEEN {1} AND {2})"),
    same("IN", &[Any, Like, Like, Like], "({0} IN ({1}, {2}, {3}))"),
    same("NOT IN", &[Any, Like, Like], "({0} NOT IN ({1}, {2}))"),
    same("AND", &[Bool, Bool], "({0} AND {1})"),
    same("OR", &[Bool, Bool], "({0} OR {1})"),
    same("NOT", &[Bool], "(NOT {0})"),
    same("IS TRUE", &[Bool], "({0} IS TRUE)"),
    same("IS NOT TRUE", &[Bool], "({0} IS NOT TRUE)"),
    same("IS FALSE", &[Bool], "({0} IS FALSE)"),
    same("IS NOT FALSE", &[Bool], "({0} IS NOT FALSE)"),
    same("IS NULL", &[Any], "({0} IS NULL)"),
    same("IS NOT NULL", &[Any], "({0} IS NOT NULL)"),
    form(
        "CASE",
        &[Any, Bool, Like],
        "(CASE WHEN {1} THEN {0} ELSE {2} END)",
        "(CASE WHEN {1} THEN {0} ELSE {2} END)",
    ),
    same("CASE without ELSE", &[Any, Bool], "(CASE WHEN {1} THEN {0} END)"),
    same("CASE of a value", &[Any, Like, Text], "(CASE {0} WHEN {1} THEN {2} ELSE 'else' END)"),
    form(
        "guard",
        &[Number, Number],
        "(CASE WHEN {1} <> 0 THEN {0} / {1} END)",
        "(CASE WHEN {1} <> 0 THEN {0} / {1} END)",
    ),
    form("IF", &[Any, Bool, Like], "IF({1}, {0}, {2})", "if({1}, {0}, {2})"),
    same("COALESCE", &[Any, Like], "COALESCE({0}, {1})"),
    same("COALESCE of three", &[Any, Like, Like], "COALESCE({0}, {1}, {2})"),
    same("IFNULL", &[Any, Like], "IFNULL({0}, {1})"),
    same("NULLIF", &[Any, Like], "NULLIF({0}, {1})"),
    same("GREATEST", &[Any, Like, Like], "GREATEST({0}, {1}, {2})"),
    same("LEAST", &[Any, Like], "LEAST({0}, {1})"),
    same("CAST number to integer", &[Number, WHOLE_TYPES], "CAST({0} AS {1})"),
    same("CAST text to integer", &[Text, WHOLE_TYPES], "CAST({0} AS {1})"),
    same("CAST bool to integer", &[Bool, WHOLE_TYPES], "CAST({0} AS {1})"),
    same("CAST number to float", &[Number, FLOAT_TYPES], "CAST({0} AS {1})"),
    same("CAST text to float", &[Text, FLOAT_TYPES], "CAST({0} AS {1})"),
    same("CAST number to decimal", &[Number, DECIMAL_TYPES], "CAST({0} AS {1})"),
    same("CAST text to decimal", &[Text, DECIMAL_TYPES], "CAST({0} AS {1})"),
    same("CAST number to bool", &[Number], "CAST({0} AS BOOLEAN)"),
    same("CAST text to bool", &[Text], "CAST({0} AS BOOLEAN)"),
    same("CAST integer to text", &[Integer], "CAST({0} AS VARCHAR)"),
    same("CAST decimal to text", &[Decimal], "CAST({0} AS VARCHAR)"),
    same("CAST float to text", &[Float], "CAST({0} AS VARCHAR)"),
    same("CAST bool to text", &[Bool], "CAST({0} AS VARCHAR)"),
    same("CAST date to text", &[Date], "CAST({0} AS VARCHAR)"),
    same("CAST time to text", &[Time], "CAST({0} AS VARCHAR)"),
    same("CAST timestamp to text", &[Timestamp], "CAST({0} AS VARCHAR)"),
    same("CAST text to date", &[Text], "CAST({0} AS DATE)"),
    same("CAST text to timestamp", &[Text, TIMESTAMPS], "CAST({0} AS {1})"),
    same("CAST timestamp to date", &[Timestamp], "CAST({0} AS DATE)"),
    same("CAST moment to timestamp", &[Moment, TIMESTAMPS], "CAST({0} AS {1})"),
    same("TRY_CAST number to integer", &[Number, WHOLE_TYPES], "TRY_CAST({0} AS {1})"),
    same("TRY_CAST text to integer", &[Text, WHOLE_TYPES], "TRY_CAST({0} AS {1})"),
    same("TRY_CAST text to float", &[Text, FLOAT_TYPES], "TRY_CAST({0} AS {1})"),
    same("TRY_CAST text to decimal", &[Text, DECIMAL_TYPES], "TRY_CAST({0} AS {1})"),
    same("TRY_CAST number to decimal", &[Number, DECIMAL_TYPES], "TRY_CAST({0} AS {1})"),
    same("TRY_CAST text to date", &[Text], "TRY_CAST({0} AS DATE)"),
    same("TRY_CAST text to bool", &[Text], "TRY_CAST({0} AS BOOLEAN)"),
    same("TRY_CAST text to timestamp", &[Text, TIMESTAMPS], "TRY_CAST({0} AS {1})"),
    same("VARCHAR(n)", &[Text], "CAST({0} AS VARCHAR(3))"),
    same("ABS", &[Number], "ABS({0})"),
    same("SIGN", &[Number], "SIGN({0})"),
    same("CEIL", &[Number], "CEIL({0})"),
    same("FLOOR", &[Number], "FLOOR({0})"),
    same("ROUND", &[Number], "ROUND({0})"),
    same("ROUND to places", &[Number, PLACES], "ROUND({0}, {1})"),
    same("TRUNC", &[Number], "TRUNC({0})"),
    same("SQRT", &[Number], "SQRT({0})"),
    same("CBRT", &[Number], "CBRT({0})"),
    same("EXP", &[Number], "EXP({0})"),
    same("LN", &[Number], "LN({0})"),
    same("LOG10", &[Number], "LOG10({0})"),
    same("LOG2", &[Number], "LOG2({0})"),
    form("LOG1P", &[Number], "LOG1P({0})", "ln(1 + CAST({0} AS DOUBLE))"),
    same("LOG", &[Number, Number], "LOG({0}, {1})"),
    same("POW", &[Number, Number], "POW({0}, {1})"),
    same("SIN", &[Number], "SIN({0})"),
    same("COS", &[Number], "COS({0})"),
    same("TAN", &[Number], "TAN({0})"),
    same("COT", &[Number], "COT({0})"),
    same("ASIN", &[Number], "ASIN({0})"),
    same("ACOS", &[Number], "ACOS({0})"),
    same("ATAN", &[Number], "ATAN({0})"),
    same("ATAN2", &[Number, Number], "ATAN2({0}, {1})"),
    form("SIND", &[Number], "SIND({0})", "sin(radians(CAST({0} AS DOUBLE)))"),
    form("COSD", &[Number], "COSD({0})", "cos(radians(CAST({0} AS DOUBLE)))"),
    form("TAND", &[Number], "TAND({0})", "tan(radians(CAST({0} AS DOUBLE)))"),
    form("COTD", &[Number], "COTD({0})", "cot(radians(CAST({0} AS DOUBLE)))"),
    form("ASIND", &[Number], "ASIND({0})", "degrees(asin(CAST({0} AS DOUBLE)))"),
    form("ACOSD", &[Number], "ACOSD({0})", "degrees(acos(CAST({0} AS DOUBLE)))"),
    form("ATAND", &[Number], "ATAND({0})", "degrees(atan(CAST({0} AS DOUBLE)))"),
    form(
        "ATAN2D",
        &[Number, Number],
        "ATAN2D({0}, {1})",
        "degrees(atan2(CAST({0} AS DOUBLE), CAST({1} AS DOUBLE)))",
    ),
    same("DEGREES", &[Number], "DEGREES({0})"),
    same("RADIANS", &[Number], "RADIANS({0})"),
    form("PI", &[], "PI()", "pi()"),
    form("MOD", &[Number, Number], "MOD({0}, {1})", "({0} % {1})"),
    form("DIV", &[Integer, Integer], "DIV({0}, {1})", "({0} // {1})"),
    same("ISNAN", &[Float], "ISNAN({0})"),
    same("ISFINITE", &[Float], "ISFINITE({0})"),
    same("ISINF", &[Float], "ISINF({0})"),
    same("&", &[Integer, Integer], "({0} & {1})"),
    same("|", &[Integer, Integer], "({0} | {1})"),
    form("XOR", &[Integer, Integer], "XOR({0}, {1})", "xor({0}, {1})"),
    same("~", &[Integer], "(~ {0})"),
    same("<<", &[Integer, Of(&["0", "1", "3", "7"])], "({0} << {1})"),
    same(">>", &[Integer, Of(&["0", "1", "3", "40"])], "({0} >> {1})"),
    same("LENGTH", &[Text], "LENGTH({0})"),
    same("LENGTH difference", &[Text, Text], "(LENGTH({0}) - LENGTH({1}))"),
    same("CHAR_LENGTH", &[Text], "CHAR_LENGTH({0})"),
    form("OCTET_LENGTH", &[Text], "OCTET_LENGTH({0})", "octet_length(encode({0}))"),
    same("BIT_LENGTH", &[Text], "BIT_LENGTH({0})"),
    same("UPPER", &[Text], "UPPER({0})"),
    same("LOWER", &[Text], "LOWER({0})"),
    same("LEFT", &[Text, COUNTS], "LEFT({0}, {1})"),
    same("RIGHT", &[Text, COUNTS], "RIGHT({0}, {1})"),
    same("LEFT of a column", &[Text, Signed], "LEFT({0}, {1} % 4)"),
    same("SUBSTR", &[Text, COUNTS], "SUBSTR({0}, {1})"),
    same("SUBSTR with a length", &[Text, COUNTS, LENGTHS], "SUBSTR({0}, {1}, {2})"),
    same("SUBSTRING FOR", &[Text, LENGTHS], "SUBSTRING({0} FOR {1})"),
    same("SUBSTRING FROM FOR", &[Text, COUNTS, LENGTHS], "SUBSTRING({0} FROM {1} FOR {2})"),
    same("STRPOS", &[Text, Text], "STRPOS({0}, {1})"),
    same("STRPOS of a mark", &[Text, MARKS], "STRPOS({0}, {1})"),
    same("POSITION", &[Text, MARKS], "POSITION({1} IN {0})"),
    same("REPLACE", &[Text, MARKS, MARKS], "REPLACE({0}, {1}, {2})"),
    same("REVERSE", &[Text], "REVERSE({0})"),
    same("REPEAT", &[Text, COUNTS], "REPEAT({0}, {1})"),
    same("LPAD", &[Text, LENGTHS, PADS], "LPAD({0}, {1}, {2})"),
    same("RPAD", &[Text, LENGTHS, PADS], "RPAD({0}, {1}, {2})"),
    same("TRIM", &[Text], "TRIM({0})"),
    same("LTRIM", &[Text], "LTRIM({0})"),
    same("RTRIM", &[Text], "RTRIM({0})"),
    same("TRIM of marks", &[Text, MARKS], "TRIM({0}, {1})"),
    same("LTRIM of marks", &[Text, MARKS], "LTRIM({0}, {1})"),
    same("RTRIM of marks", &[Text, MARKS], "RTRIM({0}, {1})"),
    same("TRIM LEADING", &[Text, MARKS], "TRIM(LEADING {1} FROM {0})"),
    same("||", &[Text, Text], "({0} || {1})"),
    form("CONCAT", &[Text, Text], "CONCAT({0}, {1})", "concat({0}, {1})"),
    form("CONCAT_WS", &[Text, Text], "CONCAT_WS('-', {0}, {1})", "concat_ws('-', {0}, {1})"),
    same("STARTS_WITH", &[Text, Text], "STARTS_WITH({0}, {1})"),
    form("ENDS_WITH", &[Text, Text], "ENDS_WITH({0}, {1})", "suffix({0}, {1})"),
    same("LIKE", &[Text, LIKES], "({0} LIKE {1})"),
    same("NOT LIKE", &[Text, LIKES], "({0} NOT LIKE {1})"),
    same("ILIKE", &[Text, LIKES], "({0} ILIKE {1})"),
    same("LIKE ESCAPE", &[Text, ESCAPED], "({0} LIKE {1} ESCAPE '!')"),
    form("REGEXP_LIKE", &[Text, PATTERNS], "REGEXP_LIKE({0}, {1})", "regexp_matches({0}, {1})"),
    same("REGEXP_REPLACE", &[Text, PATTERNS], "REGEXP_REPLACE({0}, {1}, '<>')"),
    same("SPLIT_PART", &[Text, MARKS, Of(&["1", "2", "3", "-1"])], "SPLIT_PART({0}, {1}, {2})"),
    same("EXTRACT from a timestamp", &[Timestamp, PARTS], "EXTRACT({1} FROM {0})"),
    same("EXTRACT from a date", &[Date, DATE_PARTS], "EXTRACT({1} FROM {0})"),
    same("EXTRACT from a time", &[Time, TIME_PARTS], "EXTRACT({1} FROM {0})"),
    same("DATE_PART", &[Moment, Of(&["'year'", "'month'", "'day'"])], "DATE_PART({1}, {0})"),
    same("YEAR", &[Moment], "YEAR({0})"),
    same("MONTH", &[Moment], "MONTH({0})"),
    same("DAY", &[Moment], "DAY({0})"),
    same("DATE_TRUNC", &[Moment, UNITS], "DATE_TRUNC({1}, {0})"),
    same("DATE_DIFF", &[Timestamp, DIFFERENCES, Timestamp], "DATE_DIFF({1}, {0}, {2})"),
    same(
        "DATE_DIFF of dates",
        &[Date, Of(&["'year'", "'month'", "'day'", "'week'"]), Date],
        "DATE_DIFF({1}, {0}, {2})",
    ),
    form("date + days", &[Date, Of(&["1", "30", "-400"])], "({0} + {1})", "({0} + ({1}))"),
    form("date - days", &[Date, Of(&["1", "30", "400"])], "({0} - {1})", "({0} - ({1}))"),
    same("moment + interval", &[Moment, INTERVALS], "({0} + {1})"),
    same("moment - interval", &[Moment, INTERVALS], "({0} - {1})"),
    form("date - date", &[Date, Date], "({0} - {1})", "to_days(CAST({0} - {1} AS INTEGER))"),
    same("timestamp - timestamp", &[Naive, Naive], "({0} - {1})"),
    same("zoned - zoned", &[Zoned, Zoned], "({0} - {1})"),
    same("timestamp + span", &[Timestamp, Span], "({0} + {1})"),
    same("timestamp - span", &[Timestamp, Span], "({0} - {1})"),
    same("span + span", &[Span, Span], "({0} + {1})"),
    same(
        "AT TIME ZONE",
        &[Zoned, Of(&["'UTC'", "'Europe/Berlin'", "'America/New_York'"])],
        "({0} AT TIME ZONE {1})",
    ),
    same("naive AT TIME ZONE", &[Naive, Of(&["'UTC'", "'Asia/Tokyo'"])], "({0} AT TIME ZONE {1})"),
    same("STRFTIME", &[Moment, FORMATS], "STRFTIME({0}, {1})"),
    form("STRPTIME", &[Text, STAMPS], "STRPTIME({0}, {1})", "strptime({0}, {1})"),
    same(
        "date = literal",
        &[Date, Of(&["'2024-02-29'", "'0001-01-01'", "DATE '1970-01-01'", "'2024-2-29'"])],
        "({0} = {1})",
    ),
    same(
        "date < literal",
        &[Date, Of(&["'2024-02-29'", "'9999-12-31'", "DATE '1970-01-01'"])],
        "({0} < {1})",
    ),
    same(
        "timestamp >= literal",
        &[
            Timestamp,
            Of(&[
                "'2024-02-29 12:34:56'",
                "'1969-12-31'",
                "TIMESTAMP '1970-01-01 00:00:00.5'",
                "'2024-02-29T12:34:56.123456'",
            ]),
        ],
        "({0} >= {1})",
    ),
    form(
        "time < literal",
        &[Time, Of(&["'12:34:56'", "'00:00:00.000001'", "TIME '23:59:59'"])],
        "({0} < {1})",
        "({0} < CAST({1} AS TIME_NS))",
    ),
];
