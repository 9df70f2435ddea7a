//! The conversions that a declared type allows, decided when a source is planned.
//!
//! | from | to |
//! |---|---|
//! | null | any type |
//! | bool, integers, floats, decimals | one another by value (a bool is 0 or 1), string |
//! | string | any scalar type in its text form; binary: its UTF-8 bytes |
//! | binary | string, when it is UTF-8 |
//! | date | timestamps at midnight (UTC), string |
//! | timestamps | either kind (naive ones count as UTC), another unit, a date where they are midnights, string |
//! | time, duration | another unit, string |
//! | list, map | list, map, item by item |
//! | struct | struct, field by field of the same name |
//!
//! Every other pair is refused, since no value of the one is a value of the other. A value that its
//! pair cannot convert without loss is an error of its row.

use anabranch_engine::names::{closest, list};
use anabranch_engine::types::{EXTENSION_NAME, logical_type};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// Extension type of UUIDs in 16 bytes.
pub(in crate::source) const UUID: &str = "arrow.uuid";

/// A conversion that no value can make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Leads from the column to the place in its type: `.field` and `[]`.
    pub(super) path: String,
    pub(super) found: String,
    pub(super) expected: String,
    pub(super) remedy: String,
}

impl Refused {
    fn types(from: &Field, to: &DataType) -> Self {
        let remedy = match (kind(from.data_type()), kind(to)) {
            (
                Some(ScalarKind::Number),
                Some(ScalarKind::Date | ScalarKind::Time | ScalarKind::Timestamp | ScalarKind::Duration),
            ) => "read it as it is and compute the time from it with a `sql` function, which says its unit",
            (_, Some(ScalarKind::Text)) => "read it as it is, or leave it out in the file",
            _ => "read it as it is and convert it with a `sql` function",
        };
        Self {
            path: String::new(),
            found: logical_type(from.data_type()),
            expected: format!("a type that can be read as {}", logical_type(to)),
            remedy: remedy.to_owned(),
        }
    }

    fn within(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

/// Kinds of scalar types that convert alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScalarKind {
    Number,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Duration,
}

fn kind(data_type: &DataType) -> Option<ScalarKind> {
    use DataType as D;
    Some(match data_type {
        D::Boolean | D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
            ScalarKind::Number
        }
        other if other.is_integer() || other.is_floating() => ScalarKind::Number,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => ScalarKind::Text,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => ScalarKind::Bytes,
        D::Date32 | D::Date64 => ScalarKind::Date,
        D::Time32(_) | D::Time64(_) => ScalarKind::Time,
        D::Timestamp(..) => ScalarKind::Timestamp,
        D::Duration(_) => ScalarKind::Duration,
        D::Dictionary(_, values) => return kind(values),
        D::RunEndEncoded(_, values) => return kind(values.data_type()),
        _ => return None,
    })
}

/// The field within a list of any form.
pub(super) fn item_of(data_type: &DataType) -> Option<&FieldRef> {
    use DataType as D;
    match data_type {
        D::List(item)
        | D::LargeList(item)
        | D::FixedSizeList(item, _)
        | D::ListView(item)
        | D::LargeListView(item) => Some(item),
        _ => None,
    }
}

/// The type without dictionaries and runs around it.
pub(super) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

/// True if a field of a file can be read as a type.
pub(super) fn check(from: &Field, to: &DataType) -> Result<(), Refused> {
    let found = plain(from.data_type());
    if let (Some(item), DataType::List(target)) = (item_of(found), to) {
        return check(item, target.data_type()).map_err(|refused| refused.within("[]"));
    }
    match (found, to) {
        (DataType::Null, _) => Ok(()),
        (DataType::Struct(fields), DataType::Struct(targets)) => check_fields(fields, targets),
        (DataType::Map(entries, _), DataType::Map(targets, _)) => check_entries(entries, targets),
        _ => match (kind(found), kind(to)) {
            (Some(from), Some(to)) if converts(from, to) => Ok(()),
            _ => Err(Refused::types(from, to)),
        },
    }
}

fn converts(from: ScalarKind, to: ScalarKind) -> bool {
    use ScalarKind as K;
    match (from, to) {
        (K::Text, _) | (_, K::Text) | (K::Date, K::Timestamp) | (K::Timestamp, K::Date) => true,
        (from, to) => from == to,
    }
}

fn check_entries(entries: &FieldRef, targets: &FieldRef) -> Result<(), Refused> {
    let (DataType::Struct(pair), DataType::Struct(target)) = (entries.data_type(), targets.data_type())
    else {
        return Err(Refused::types(entries, targets.data_type()));
    };
    for (field, target) in pair.iter().zip(target) {
        check(field, target.data_type()).map_err(|refused| refused.within("[]"))?;
    }
    Ok(())
}

/// Both structs have to have the same fields, in any order: one that is declared and not there would be
/// null in every row, one that is there and not declared would be lost.
fn check_fields(fields: &Fields, targets: &Fields) -> Result<(), Refused> {
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    for target in targets {
        let Some(field) = fields.iter().find(|field| field.name() == target.name()) else {
            return Err(absent(target.name(), &names, targets));
        };
        let step = format!(".{}", field.name());
        check(field, target.data_type()).map_err(|refused| refused.within(&step))?;
    }
    let undeclared = names.iter().find(|name| targets.iter().all(|target| target.name() != *name));
    undeclared.map_or(Ok(()), |name| {
        Err(Refused {
            path: String::new(),
            found: format!("a struct with the field \"{name}\""),
            expected: "no field beside those declared".to_owned(),
            remedy: "declare it under `types` too, or read the column as it is".to_owned(),
        })
    })
}

fn absent(wanted: &str, names: &[String], targets: &Fields) -> Refused {
    let spare = names.iter().map(String::as_str).filter(|name| targets.iter().all(|t| t.name() != name));
    let remedy = match closest(wanted, spare) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "correct the declared type under `types`".to_owned(),
    };
    Refused {
        path: String::new(),
        found: format!("a struct without the field \"{wanted}\", which is declared"),
        expected: format!("fields among {}", list(names)),
        remedy,
    }
}

/// The first name that two fields of one struct bear, at any depth.
pub(super) fn repeated_name(data_type: &DataType) -> Option<&str> {
    if let Some(item) = item_of(data_type) {
        return repeated_name(item.data_type());
    }
    match data_type {
        DataType::Struct(fields) => {
            let twice = |(at, field): (usize, &FieldRef)| {
                fields.iter().take(at).any(|earlier| earlier.name() == field.name())
            };
            let own = fields.iter().enumerate().find(|(at, field)| twice((*at, field)));
            own.map(|(_, field)| field.name().as_str())
                .or_else(|| fields.iter().find_map(|field| repeated_name(field.data_type())))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.iter().find_map(|field| repeated_name(field.data_type())),
            _ => None,
        },
        DataType::Dictionary(_, values) => repeated_name(values),
        DataType::RunEndEncoded(_, values) => repeated_name(values.data_type()),
        _ => None,
    }
}

/// Metadata key of fields whose strings were not checked to be UTF-8.
const UNCHECKED: &str = "anabranch:unchecked";

/// The field with the mark that its strings were not checked to be UTF-8.
pub(in crate::source) fn mark_unchecked(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(UNCHECKED.to_owned(), String::new());
    field.clone().with_metadata(metadata)
}

/// True if the strings of a field were not checked to be UTF-8.
pub(super) fn is_unchecked(field: &Field) -> bool {
    field.metadata().contains_key(UNCHECKED)
}

/// True if the values of a field are UUIDs in 16 bytes.
pub(super) fn is_uuid(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == UUID)
        && matches!(field.data_type(), DataType::FixedSizeBinary(16))
}
