//! Descriptions of fields, from which the checks and the JSON Schema are both made.

use std::time::Duration;

/// Type of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// Any text.
    Text,
    /// The name of a node whose rows come in.
    NodeName,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Integer { least: i64, most: i64 },
    /// Any scalar.
    Scalar,
    /// A path, relative to the folder of the file it stands in.
    Path,
    /// A path, or `-` for standard input.
    Input,
    /// An SQL expression; parameters are bound in it as literals.
    Expression,
    /// A number of bytes: `2GiB`, `500MB`, `4096`.
    Bytes { least: u64 },
    /// A time span within bounds, both included: `200ms`, `30s`, `5m`, or a number of seconds.
    Duration { least: Duration, most: Duration },
    /// A number within bounds, both included.
    Number { least: f64, most: f64 },
    /// One ASCII character.
    Character,
    /// The type of a column: `int64`, `list<string>`.
    OfColumn,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// The first of these types that fits.
    Either(&'static [Type]),
    /// A list of values of one type.
    List(&'static Type),
    /// A mapping with keys of the author's choice.
    Map(&'static MapType),
    /// A mapping with known keys.
    Record(&'static ObjectSchema),
    /// A value of a row: a scalar, or lists and mappings of them.
    Data,
    /// Anything, without checks.
    Anything,
}

/// A mapping with keys of the author's choice.
#[derive(Debug)]
pub(crate) struct MapType {
    /// Noun for a key in messages: `node`, `column`.
    pub(crate) what: &'static str,
    pub(crate) value: Type,
    /// True if messages about an entry's contents name the entry.
    pub(crate) named: bool,
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct ObjectSchema {
    /// Name in the JSON Schema.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// Noun for the alternatives, if there are any: `kind`.
    pub(crate) choice: &'static str,
    pub(crate) fields: &'static [Field],
    /// True if messages about its contents name its key, not the mapping around it.
    pub(crate) named: bool,
}

/// Presence of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Optional,
    Required,
    /// Exactly one of the schema's alternatives is there.
    Alternative,
}

/// The value of a key that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    Text(&'static str),
    Integer(i64),
    Bool(bool),
}

/// A key of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) value: Type,
    pub(crate) presence: Presence,
    /// Value of a missing key.
    pub(crate) fallback: Option<Fallback>,
    /// True if `${name}` is not replaced in it, since it is read before parameters have values.
    pub(crate) fixed: bool,
    /// Known to the language, but not to this version.
    pub(crate) reserved: bool,
}

impl Field {
    pub(crate) const fn optional(key: &'static str, value: Type, doc: &'static str) -> Self {
        Self { key, doc, value, presence: Presence::Optional, fallback: None, fixed: false, reserved: false }
    }

    /// Creates an optional key that is true or false, with the value of a missing key.
    pub(crate) const fn switch(key: &'static str, fallback: bool, doc: &'static str) -> Self {
        Self::optional(key, Type::Bool, doc).or(Fallback::Bool(fallback))
    }

    /// Creates an optional key for one of some words, of which the first is the value of a missing key.
    pub(crate) const fn choice(key: &'static str, words: &'static [&'static str], doc: &'static str) -> Self {
        let [first, ..] = words else { panic!("a choice must have a word") };
        Self::optional(key, Type::Choice(words), doc).or(Fallback::Text(first))
    }

    pub(crate) const fn required(key: &'static str, value: Type, doc: &'static str) -> Self {
        Self { presence: Presence::Required, ..Self::optional(key, value, doc) }
    }

    pub(crate) const fn alternative(key: &'static str, value: Type, doc: &'static str) -> Self {
        Self { presence: Presence::Alternative, ..Self::optional(key, value, doc) }
    }

    /// Creates a key of the language that this version does not have.
    pub(crate) const fn reserved(key: &'static str) -> Self {
        Self { reserved: true, ..Self::optional(key, Type::Anything, "") }
    }

    /// Creates a field as [`Field::reserved`], for one of a schema's alternatives.
    pub(crate) const fn reserved_alternative(key: &'static str) -> Self {
        Self { presence: Presence::Alternative, ..Self::reserved(key) }
    }

    /// Returns true if its value is the name of a node whose rows come in, or several.
    pub(crate) fn names_nodes(&self) -> bool {
        matches!(self.value, Type::NodeName | Type::List(Type::NodeName))
    }

    pub(crate) const fn or(self, fallback: Fallback) -> Self {
        Self { fallback: Some(fallback), ..self }
    }

    pub(crate) const fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }
}

impl ObjectSchema {
    /// Creates a schema without alternatives.
    pub(crate) const fn new(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Self {
        Self { name, doc, choice: "", fields, named: false }
    }

    /// Sets the noun for the alternatives among its fields.
    pub(crate) const fn choice(self, choice: &'static str) -> Self {
        Self { choice, ..self }
    }

    /// Lets messages about its contents name its key.
    pub(crate) const fn named(self) -> Self {
        Self { named: true, ..self }
    }

    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.key == key)
    }

    /// Returns the keys of this version's alternatives.
    pub(crate) fn alternatives(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(|f| f.presence == Presence::Alternative && !f.reserved).map(|f| f.key)
    }
}

/// The words of `on_error`.
pub(crate) const ON_ERROR: Type = Type::Choice(&["stop", "skip", "set_aside"]);
