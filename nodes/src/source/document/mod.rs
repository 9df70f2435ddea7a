//! JSON values over their text: numbers are the digits that were written.
//!
//! A document is a flat list of nodes in the order of the text, each of which points at its bytes.
//! Nothing is converted before a column's type is known, and neither parsing nor dropping a deep
//! document recurses.
//!
//! Source: own; the flat list is the "tape" of Langdale and Lemire, *Parsing Gigabytes of JSON per
//! Second* (2019).

mod parse;

pub(crate) use parse::JsonDialect;
pub(super) use parse::{DEPTH, ParseError, ParseFault};

use std::borrow::Cow;

use anabranch_engine::index::{At as _, holds};
use parse::parse;

/// Kinds of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeKind {
    Null,
    True,
    False,
    /// A number without fraction and exponent.
    Integer,
    /// A number with fraction or exponent.
    Number,
    /// `NaN`, `Infinity` or `-Infinity`.
    NonFinite,
    /// A string without escapes; its bytes are those between the quotes.
    String,
    /// A string with escapes.
    Escaped,
    Array,
    /// An object, followed by its keys and values in turn.
    Object,
}

/// A key, a value or a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    kind: NodeKind,
    start: u32,
    end: u32,
    /// The node behind a container and all that it holds; 0 for others.
    next: u32,
}

impl Node {
    /// A node over a range of bytes; the text has at most `u32::MAX`, which the parser checks.
    pub(super) fn new(kind: NodeKind, start: usize, end: usize) -> Self {
        Self { kind, start: narrow(start), end: narrow(end), next: 0 }
    }

    /// Ends a container.
    pub(super) fn close(&mut self, end: usize, next: usize) {
        self.end = narrow(end);
        self.next = narrow(next);
    }
}

fn narrow(place: usize) -> u32 {
    u32::try_from(place)
        .unwrap_or_else(|_| panic!("the parser refuses documents beyond 32 bits: found byte {place}"))
}

/// Space for the nodes of one document after the other.
#[derive(Debug, Default)]
pub(crate) struct Tree(Vec<Node>);

impl Tree {
    /// Parses a document; its nodes replace those of the one before.
    pub(crate) fn parse<'a>(
        &'a mut self,
        text: &'a str,
        dialect: JsonDialect,
    ) -> Result<Json<'a>, ParseError> {
        parse(text, dialect, &mut self.0)?;
        Ok(Json { text, nodes: &self.0, at: 0 })
    }
}

/// A document that owns its text.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    tree: Tree,
}

impl Document {
    pub(crate) fn new(text: String, dialect: JsonDialect) -> Result<Self, ParseError> {
        let mut tree = Tree::default();
        tree.parse(&text, dialect)?;
        Ok(Self { text, tree })
    }

    pub(crate) fn root(&self) -> Json<'_> {
        Json { text: &self.text, nodes: &self.tree.0, at: 0 }
    }

    /// The keys and values of an object; none of another document.
    pub(crate) fn entries(&self) -> Entries<'_> {
        let object = self.root().entries();
        object.unwrap_or(Entries(Inner { text: &self.text, nodes: &self.tree.0, at: 0, end: 0 }))
    }
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a> {
    text: &'a str,
    nodes: &'a [Node],
    at: usize,
}

/// A value by its kind.
#[derive(Debug, Clone)]
pub(crate) enum View<'a> {
    Null,
    Bool(bool),
    /// The digits of a number without fraction and exponent.
    Integer(&'a str),
    /// The text of a number with fraction or exponent.
    Number(&'a str),
    /// `NaN`, `Infinity` or `-Infinity`.
    NonFinite(&'a str),
    String(Cow<'a, str>),
    Array(Items<'a>),
    Object(Entries<'a>),
}

impl<'a> Json<'a> {
    pub(crate) fn view(self) -> View<'a> {
        let (node, text) = (self.node(), self.raw());
        match node.kind {
            NodeKind::Null => View::Null,
            NodeKind::True => View::Bool(true),
            NodeKind::False => View::Bool(false),
            NodeKind::Integer => View::Integer(text),
            NodeKind::Number => View::Number(text),
            NodeKind::NonFinite => View::NonFinite(text),
            NodeKind::String => View::String(Cow::Borrowed(text)),
            NodeKind::Escaped => View::String(Cow::Owned(unescaped(text))),
            NodeKind::Array => View::Array(Items(self.inner())),
            NodeKind::Object => View::Object(Entries(self.inner())),
        }
    }

    pub(crate) fn entries(self) -> Option<Entries<'a>> {
        match self.view() {
            View::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The text as it stands in the file; of a string, what is between its quotes.
    pub(crate) fn raw(self) -> &'a str {
        let node = self.node();
        holds(self.text.get(node.start as usize..node.end as usize), "a node is a part of its document")
    }

    fn node(self) -> &'a Node {
        self.nodes.at(self.at, "a value is a node of its document")
    }

    /// The nodes within a container.
    fn inner(self) -> Inner<'a> {
        let end = self.node().next as usize;
        Inner { text: self.text, nodes: self.nodes, at: self.at + 1, end }
    }
}

#[derive(Debug, Clone, Copy)]
struct Inner<'a> {
    text: &'a str,
    nodes: &'a [Node],
    at: usize,
    end: usize,
}

impl<'a> Inner<'a> {
    fn next(&mut self) -> Option<Json<'a>> {
        if self.at >= self.end {
            return None;
        }
        let node = self.nodes.at(self.at, "items are nodes of their document");
        let value = Json { text: self.text, nodes: self.nodes, at: self.at };
        let container = matches!(node.kind, NodeKind::Array | NodeKind::Object);
        self.at = if container { node.next as usize } else { self.at + 1 };
        Some(value)
    }
}

/// The items of an array.
#[derive(Debug, Clone)]
pub(crate) struct Items<'a>(Inner<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        self.0.next()
    }
}

/// The keys and values of an object, in the order of the text.
#[derive(Debug, Clone)]
pub(crate) struct Entries<'a>(Inner<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.0.next()?.view() {
            View::String(key) => key,
            other => panic!("the keys of an object are strings: found {other:?}"),
        };
        Some((key, self.0.next()?))
    }
}

/// Invariant of escapes.
const ESCAPE: &str = "the parser has checked the escapes of strings";

/// The string whose escapes the parser has checked.
fn unescaped(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (character, length) = character(escape);
        text.push(character);
        rest = holds(escape.get(length..), ESCAPE);
    }
    text.push_str(rest);
    text
}

/// The character of an escape without its backslash, and the bytes that it takes.
fn character(escape: &str) -> (char, usize) {
    let unit = |from: usize| {
        let digits = holds(escape.get(from..from + 4), ESCAPE);
        u32::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{ESCAPE}"))
    };
    let simple = match escape.as_bytes().first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let high = unit(1);
            if (0xd800..0xdc00).contains(&high) {
                let low = unit(7).wrapping_sub(0xdc00) & 0x3ff;
                let point = 0x10000 + ((high - 0xd800) << 10) + low;
                return (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
            }
            return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5);
        }
        Some(other) => char::from(*other),
        None => return (char::REPLACEMENT_CHARACTER, 0),
    };
    (simple, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    /// The value as a general library has it, whose numbers are compared as it reads them.
    fn general(value: Json<'_>) -> Value {
        match value.view() {
            View::Null => Value::Null,
            View::Bool(value) => Value::Bool(value),
            View::Integer(text) | View::Number(text) | View::NonFinite(text) => {
                serde_json::from_str(text).unwrap()
            }
            View::String(text) => Value::String(text.into_owned()),
            View::Array(items) => Value::Array(items.map(general).collect()),
            View::Object(entries) => {
                let pairs = entries.map(|(key, value)| (key.into_owned(), general(value)));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    fn parsed(text: &str) -> Result<Document, ParseError> {
        Document::new(text.to_owned(), JsonDialect::Strict)
    }

    #[test]
    fn numbers_keep_every_digit_and_their_form() {
        let document = parsed(" [1.50, -0, 123456789012345678901234567890, 1E+400, 0.10] ").unwrap();
        let View::Array(items) = document.root().view() else { panic!("no array") };
        let texts: Vec<&str> = items.map(Json::raw).collect();
        assert_eq!(texts, ["1.50", "-0", "123456789012345678901234567890", "1E+400", "0.10"]);
    }

    #[test]
    fn the_first_byte_that_is_no_json_is_named() {
        for (text, at) in [
            ("", 0),
            ("{\"n\": tru}", 9),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("[01]", 2),
            ("[1.]", 3),
            ("[1e]", 3),
            ("\"\\x\"", 2),
            ("\"\\ud800\"", 1),
            ("\"a\nb\"", 2),
            ("[1}", 2),
            ("1 2", 2),
            ("NaN", 0),
            ("-Infinity", 1),
        ] {
            assert_eq!(parsed(text).unwrap_err(), ParseError { at, fault: ParseFault::Syntax }, "{text}");
        }
    }

    #[test]
    fn documents_of_512_levels_are_read_and_deeper_ones_are_refused() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let document = parsed(&nested(DEPTH)).unwrap();
        let mut value = document.root();
        for _ in 1..DEPTH {
            let View::Array(mut items) = value.view() else { panic!("no array") };
            value = items.next().unwrap();
        }
        assert_eq!(value.raw(), "[]");
        let error = parsed(&nested(DEPTH + 1)).unwrap_err();
        assert_eq!(error, ParseError { at: DEPTH, fault: ParseFault::Depth });
    }

    #[test]
    fn numbers_that_json_does_not_have_are_read_where_they_are_allowed() {
        let document =
            Document::new("[NaN,Infinity,-Infinity,-1]".to_owned(), JsonDialect::NonFinite).unwrap();
        let View::Array(items) = document.root().view() else { panic!("no array") };
        let kinds: Vec<bool> = items.map(|item| matches!(item.view(), View::NonFinite(_))).collect();
        assert_eq!(kinds, [true, true, true, false]);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}|[\"\\\\\u{0}-\u{1f}\u{1f600}é]{0,4}".prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec(("[a-c\"\\\\]{0,2}", inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_document_is_read_as_a_general_library_reads_it(value in value(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let document = parsed(&text.unwrap()).unwrap();
            prop_assert_eq!(general(document.root()), value);
        }

        #[test]
        fn a_text_is_json_exactly_where_a_general_library_says_so(
            text in r#"[\[\]{},:" \\ntrue01.9eE+u-]{0,12}|\{"a":[-0-9.eE+]{1,8}\}"#,
        ) {
            let general: Result<Value, _> = serde_json::from_str(&text);
            // A number beyond a double is JSON, though that library refuses it.
            prop_assume!(!general.as_ref().is_err_and(|e| e.to_string().contains("out of range")));
            prop_assert_eq!(parsed(&text).is_ok(), general.is_ok(), "{}", text);
        }
    }
}
