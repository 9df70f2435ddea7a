//! Types of `SQLite` columns: from their declarations, or from their first values.

use anabranch_engine::types::parse_type;
use arrow::datatypes::DataType;
use rusqlite::types::ValueRef;

use crate::source::text::IntegerRange;

/// The type that a declaration stands for; none where any number may stand, so that values decide.
///
/// Names of times, truth values and decimals come first; then the rules of `SQLite`'s affinities, in their order.
///
/// Source: <https://www.sqlite.org/datatype3.html>, section 3.1.
pub(super) fn declared_type(declaration: &str) -> Option<DataType> {
    let declaration = declaration.trim().to_ascii_uppercase();
    let (name, arguments) = declaration.split_once('(').unwrap_or((&declaration, ""));
    let logical = match name.split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
        "BOOL" | "BOOLEAN" => "bool".to_owned(),
        "DATE" => "date".to_owned(),
        "TIME" => "time".to_owned(),
        "DATETIME" | "TIMESTAMP" => "timestamp".to_owned(),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => "timestamp_utc".to_owned(),
        "DECIMAL" | "NUMERIC" if !arguments.is_empty() => decimal(arguments)?,
        name => affinity(name)?.to_owned(),
    };
    parse_type(&logical).ok()
}

/// `decimal(p,s)` of the arguments of a declaration.
fn decimal(arguments: &str) -> Option<String> {
    let (arguments, _) = arguments.split_once(')')?;
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    Some(format!("decimal({precision},{scale})"))
}

fn affinity(name: &str) -> Option<&'static str> {
    let has = |part: &&str| name.contains(*part);
    match () {
        () if has(&"INT") => Some("int64"),
        () if ["CHAR", "CLOB", "TEXT"].iter().any(has) => Some("string"),
        () if has(&"BLOB") => Some("binary"),
        () if ["REAL", "FLOA", "DOUB"].iter().any(has) => Some("float64"),
        () => None,
    }
}

/// Type that the values of a column seen so far can all be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ValueType {
    /// Only nulls so far.
    #[default]
    Unknown,
    Integer(IntegerRange),
    Float,
    Text,
    Blob,
}

impl ValueType {
    /// Takes a further value into account.
    ///
    /// No type is inferred that would change a value: an integer beyond 2^53 beside a fraction makes strings.
    pub(super) fn add(&mut self, value: ValueRef<'_>) {
        *self = match (*self, Self::of(value)) {
            (seen, Self::Unknown) => seen,
            (Self::Unknown, found) => found,
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(a.with(b)),
            (Self::Integer(range), Self::Float) | (Self::Float, Self::Integer(range))
                if range.fits_double() =>
            {
                Self::Float
            }
            (seen, found) if seen == found => seen,
            (Self::Blob, _) | (_, Self::Blob) => Self::Blob,
            _ => Self::Text,
        };
    }

    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Unknown,
            ValueRef::Integer(number) => {
                let range = IntegerRange::of(&number.to_string());
                range.map_or_else(|| panic!("a 64-bit integer has a range"), Self::Integer)
            }
            ValueRef::Real(_) => Self::Float,
            ValueRef::Text(_) => Self::Text,
            ValueRef::Blob(_) => Self::Blob,
        }
    }

    /// The type; a string where no value was seen.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Integer(_) => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Blob => DataType::BinaryView,
            Self::Unknown | Self::Text => DataType::Utf8View,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_stand_for_types_by_the_rules_of_affinity() {
        for (declaration, expected) in [
            ("INTEGER", "int64"),
            ("unsigned big int", "int64"),
            ("FLOATING POINT", "int64"),
            ("VARCHAR(20)", "string"),
            ("text", "string"),
            ("BLOB", "binary"),
            ("double precision", "float64"),
            ("Boolean", "bool"),
            ("DATE", "date"),
            ("datetime", "timestamp"),
            ("timestamp  with time zone", "timestamp_utc"),
            ("DECIMAL(10, 2)", "decimal(10,2)"),
            ("numeric(5)", "decimal(5,0)"),
        ] {
            assert_eq!(declared_type(declaration), Some(parse_type(expected).unwrap()), "{declaration}");
        }
        for declaration in ["", "NUMERIC", "DECIMAL(x)", "STRING", "ANY"] {
            assert_eq!(declared_type(declaration), None, "{declaration}");
        }
    }

    #[test]
    fn values_decide_where_no_type_is_declared() {
        let of = |values: &[ValueRef<'static>]| {
            let mut found = ValueType::default();
            for value in values {
                found.add(*value);
            }
            found.data_type()
        };
        let (one, large) = (ValueRef::Integer(1), ValueRef::Integer((1 << 53) + 1));
        assert_eq!(of(&[ValueRef::Null]), DataType::Utf8View);
        assert_eq!(of(&[one, ValueRef::Null, large]), DataType::Int64);
        assert_eq!(of(&[one, ValueRef::Real(0.5)]), DataType::Float64);
        assert_eq!(of(&[ValueRef::Real(0.5), large]), DataType::Utf8View);
        assert_eq!(of(&[one, ValueRef::Text(b"a")]), DataType::Utf8View);
        assert_eq!(of(&[one, ValueRef::Blob(b"a")]), DataType::BinaryView);
    }
}
