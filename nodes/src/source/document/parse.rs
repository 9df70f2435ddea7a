//! Parses JSON text into a flat tree, without recursion and without touching a number's digits.

use anabranch_engine::index::At as _;

use super::{Node, NodeKind};

/// Levels of nesting that a document may have.
pub(crate) const DEPTH: usize = 512;

/// Position and kind of the first fault of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// The byte at which the text stops being JSON.
    pub(crate) at: usize,
    pub(crate) fault: ParseFault,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseFault {
    /// The text is not JSON.
    Syntax,
    /// More than [`DEPTH`] levels.
    Depth,
    /// More bytes than a node can point at (4 GiB).
    Length,
}

/// The numbers that a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonDialect {
    /// RFC 8259.
    Strict,
    /// Also `NaN`, `Infinity` and `-Infinity`, as Python and JavaScript programs write them.
    NonFinite,
}

/// Parses one document into `nodes`, which are cleared before.
///
/// Memory: 16 bytes per key, value and container.
pub(super) fn parse(text: &str, dialect: JsonDialect, nodes: &mut Vec<Node>) -> Result<(), ParseError> {
    nodes.clear();
    if u32::try_from(text.len()).is_err() {
        return Err(ParseError { at: 0, fault: ParseFault::Length });
    }
    let mut parser = Parser { bytes: text.as_bytes(), at: 0, dialect, nodes, open: Vec::new() };
    parser.document()
}

/// The token that the grammar allows next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of an empty array.
    FirstItem,
    /// A key, or the end of an empty object.
    FirstKey,
    Key,
    /// A comma or the end of the container.
    Separator,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: JsonDialect,
    nodes: &'a mut Vec<Node>,
    /// Containers that have begun, as places in `nodes`.
    open: Vec<(usize, NodeKind)>,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<(), ParseError> {
        let mut expect = Expect::Value;
        loop {
            self.space();
            expect = match (expect, self.peek()) {
                (Expect::FirstItem, Some(b']')) | (Expect::FirstKey, Some(b'}')) => self.close()?,
                (Expect::Value | Expect::FirstItem, _) => self.value()?,
                (Expect::FirstKey | Expect::Key, Some(b'"')) => self.key()?,
                (Expect::Separator, Some(byte)) => self.separator(byte)?,
                _ => return Err(self.fault(self.at)),
            };
            if self.open.is_empty() {
                self.space();
                return if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault(self.at)) };
            }
        }
    }

    fn separator(&mut self, byte: u8) -> Result<Expect, ParseError> {
        match (byte, self.open.last()) {
            (b',', Some((_, kind))) => {
                let next = if *kind == NodeKind::Object { Expect::Key } else { Expect::Value };
                self.at += 1;
                Ok(next)
            }
            (b']', Some((_, NodeKind::Array))) | (b'}', Some((_, NodeKind::Object))) => self.close(),
            _ => Err(self.fault(self.at)),
        }
    }

    /// Ends the innermost container.
    fn close(&mut self) -> Result<Expect, ParseError> {
        self.at += 1;
        let (end, next) = (self.at, self.nodes.len());
        let Some((node, _)) = self.open.pop() else { return Err(self.fault(self.at)) };
        if let Some(node) = self.nodes.get_mut(node) {
            node.close(end, next);
        }
        Ok(Expect::Separator)
    }

    fn key(&mut self) -> Result<Expect, ParseError> {
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.fault(self.at));
        }
        self.at += 1;
        Ok(Expect::Value)
    }

    fn value(&mut self) -> Result<Expect, ParseError> {
        match self.peek() {
            Some(b'{') => return self.begin(NodeKind::Object, Expect::FirstKey),
            Some(b'[') => return self.begin(NodeKind::Array, Expect::FirstItem),
            Some(b'"') => self.string()?,
            Some(b't') => self.word("true", NodeKind::True)?,
            Some(b'f') => self.word("false", NodeKind::False)?,
            Some(b'n') => self.word("null", NodeKind::Null)?,
            Some(b'N') if self.dialect == JsonDialect::NonFinite => self.word("NaN", NodeKind::NonFinite)?,
            Some(b'I') if self.dialect == JsonDialect::NonFinite => {
                self.word("Infinity", NodeKind::NonFinite)?;
            }
            Some(b'-') if self.dialect == JsonDialect::NonFinite && self.byte(self.at + 1) == Some(b'I') => {
                self.word("-Infinity", NodeKind::NonFinite)?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.fault(self.at)),
        }
        Ok(Expect::Separator)
    }

    fn begin(&mut self, kind: NodeKind, expect: Expect) -> Result<Expect, ParseError> {
        if self.open.len() == DEPTH {
            return Err(ParseError { at: self.at, fault: ParseFault::Depth });
        }
        self.open.push((self.nodes.len(), kind));
        self.nodes.push(Node::new(kind, self.at, self.at + 1));
        self.at += 1;
        Ok(expect)
    }

    /// The bytes from a place.
    fn from(&self, start: usize) -> &'a [u8] {
        self.bytes.at(start.., "parsing stays among the bytes")
    }

    fn word(&mut self, word: &str, kind: NodeKind) -> Result<(), ParseError> {
        let rest = self.from(self.at);
        let same = rest.iter().zip(word.as_bytes()).take_while(|(a, b)| a == b).count();
        if same < word.len() {
            return Err(self.fault(self.at + same));
        }
        self.push(kind, self.at, self.at + word.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let mut end = self.at + usize::from(self.peek() == Some(b'-'));
        end = match self.byte(end) {
            Some(b'0') => end + 1,
            Some(b'1'..=b'9') => self.digits(end),
            _ => return Err(self.fault(end)),
        };
        let mut kind = NodeKind::Integer;
        if self.byte(end) == Some(b'.') {
            kind = NodeKind::Number;
            end = self.some_digits(end + 1)?;
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            kind = NodeKind::Number;
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            end = self.some_digits(end + 1 + sign)?;
        }
        self.push(kind, start, end);
        Ok(())
    }

    fn some_digits(&self, from: usize) -> Result<usize, ParseError> {
        let end = self.digits(from);
        if end > from { Ok(end) } else { Err(self.fault(from)) }
    }

    /// The end of the digits that begin at a byte.
    fn digits(&self, from: usize) -> usize {
        let rest = self.from(from);
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let start = self.at + 1;
        let (mut at, mut kind) = (start, NodeKind::String);
        loop {
            let rest = self.from(at);
            let plain = rest.iter().take_while(|b| !matches!(b, b'"' | b'\\' | ..0x20)).count();
            at += plain;
            match self.byte(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = NodeKind::Escaped;
                    at = self.escape(at)?;
                }
                _ => return Err(self.fault(at)),
            }
        }
        self.nodes.push(Node::new(kind, start, at));
        self.at = at + 1;
        Ok(())
    }

    /// Checks an escape; returns the byte behind it.
    fn escape(&self, at: usize) -> Result<usize, ParseError> {
        match self.byte(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let unit = self.unit(at)?;
                let paired = (0xd800..0xdc00).contains(&unit);
                let lone = (0xdc00..0xe000).contains(&unit);
                if paired && self.byte(at + 6) == Some(b'\\') && self.byte(at + 7) == Some(b'u') {
                    let low = self.unit(at + 6)?;
                    return if (0xdc00..0xe000).contains(&low) { Ok(at + 12) } else { Err(self.fault(at)) };
                }
                if paired || lone { Err(self.fault(at)) } else { Ok(at + 6) }
            }
            _ => Err(self.fault(at + 1)),
        }
    }

    /// The code unit of `\uXXXX` at a byte.
    fn unit(&self, at: usize) -> Result<u32, ParseError> {
        (at + 2..at + 6).try_fold(0, |unit, at| {
            let digit = self.byte(at).and_then(|b| char::from(b).to_digit(16));
            Ok(unit * 16 + digit.ok_or_else(|| self.fault(at))?)
        })
    }

    fn push(&mut self, kind: NodeKind, start: usize, end: usize) {
        self.nodes.push(Node::new(kind, start, end));
        self.at = end;
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.byte(self.at)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn fault(&self, at: usize) -> ParseError {
        ParseError { at: at.min(self.bytes.len()), fault: ParseFault::Syntax }
    }
}
