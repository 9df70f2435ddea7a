//! Parsing of text to the spanned tree, within limits that no file can exceed.
//!
//! The parser's events are read one by one: its own loaders recurse once per level of nesting, so that a file of dashes
//! would overflow the stack. Aliases are expanded here, within a budget of nodes and bytes.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::values::report::{FileId, Finding, Place, Report};
use super::values::tree::{Entry, Scalar, Value, YamlNode, quoted};

/// Maximum number of bytes of a file.
pub(crate) const FILE_BYTES: usize = 4 << 20;
/// Maximum number of levels of nesting.
const DEPTH: usize = 64;
/// Maximum number of nodes; those behind aliases count once for each use.
const NODES: usize = 500_000;
/// Maximum number of bytes of text; those behind aliases count once for each use.
const TEXT_BYTES: usize = 16 << 20;

/// Reads the one document of a file; returns `None` if that failed, with the reason in the report.
pub(crate) fn parse(report: &mut Report, file: FileId, text: &str) -> Option<YamlNode> {
    let mut composer = Composer {
        report,
        file,
        frames: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        bytes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if composer.take(event, span).is_err() {
                    return None;
                }
            }
            Err(error) => {
                composer.syntax_error(*error.marker(), error.info(), text);
                return None;
            }
        }
    }
    let root = composer.root.take();
    if root.is_none() {
        report.push(
            Finding::error(Place::whole(file), "the file is empty, expected a mapping")
                .help("begin with `version: 1`"),
        );
    }
    root
}

/// Parsing cannot go on; the report has the reason.
struct Stop;

/// A collection that has begun.
struct Frame {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<YamlNode>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, Place>, key: Option<Key> },
}

/// A key whose value follows; a repeated one is reported, and its value is dropped.
struct Key {
    text: String,
    place: Place,
    repeated: bool,
}

/// Value of an anchor, with its cost.
struct Anchored {
    node: YamlNode,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Composer<'r> {
    report: &'r mut Report,
    file: FileId,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Rc<Anchored>>,
    root: Option<YamlNode>,
    nodes: usize,
    bytes: usize,
}

impl Composer<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let finding = Finding::error(place, "a second document begins here, expected one per file");
                self.stop(finding.help("remove the `---`, or move what follows into a file of its own"))
            }
            Event::DocumentStart(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Content::Sequence(Vec::new()), anchor, tag.as_deref(), place)
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(content, anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn place(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        let length = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
        Place { file: self.file, line: start.line(), column: start.col() + 1, length: length.max(1) }
    }

    fn stop(&mut self, finding: Finding) -> Result<(), Stop> {
        self.report.push(finding);
        Err(Stop)
    }

    fn syntax_error(&mut self, marker: Marker, info: &str, text: &str) {
        let lines = text.split('\n').count();
        let line = marker.line().clamp(1, lines.max(1));
        let column = if line == marker.line() { marker.col() + 1 } else { 1 };
        let place = Place { file: self.file, line, column, length: 1 };
        let of_line = text.split('\n').nth(line - 1).unwrap_or_default();
        let blank: String = of_line.chars().take_while(|c| c.is_whitespace()).collect();
        let finding = if let Some(tab) = blank.chars().position(|c| c == '\t') {
            let place = Place { column: tab + 1, ..place };
            Finding::error(place, "not valid YAML: the line is indented with a tab")
                .help("indent with spaces")
        } else {
            let help = of_line.contains("${").then(|| "within [ ] and { }, ${name} needs quotes".to_owned());
            Finding::error(place, format!("not valid YAML: {info}")).maybe_help(help)
        };
        self.report.push(finding);
    }

    fn spend(&mut self, size: Size, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.bytes = self.bytes.saturating_add(size.bytes);
        let finding = if self.nodes > NODES || self.bytes > TEXT_BYTES {
            Finding::error(
                place,
                format!("the file expands to more than {NODES} values or {} MiB here", TEXT_BYTES >> 20),
            )
            .help("use fewer aliases, or split the file by `include`")
        } else if self.frames.len() + size.depth > DEPTH {
            Finding::error(place, format!("values are nested more than {DEPTH} levels deep here"))
                .help("a pipeline file needs few levels")
        } else {
            return Ok(());
        };
        self.stop(finding)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), Stop> {
        self.spend(Size { nodes: 1, bytes: text.len(), depth: 0 }, place)?;
        let as_text = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if is_string_tag(tag) => true,
            Some(tag) => return self.refuse_tag(tag, place),
        };
        if self.wants_key() {
            return self.key(text, as_text, anchor, place);
        }
        let scalar = if as_text { Ok(Scalar::Text(text.to_owned())) } else { Scalar::plain(text) };
        let scalar = scalar.unwrap_or_else(|_| {
            let message = format!("integer {} has more than 400 digits, or 32 in base 16", quoted(text));
            self.report.push(Finding::error(place, message).help("put it in quotes if it is a text"));
            Scalar::Text(text.to_owned())
        });
        // An empty value has no width: the parser puts it at the beginning of the next token.
        let place = if text.is_empty() && !as_text { self.key_place().unwrap_or(place) } else { place };
        self.finish(YamlNode { place, value: Value::Scalar(scalar) }, anchor)
    }

    fn refuse_tag(&mut self, tag: &Tag, place: Place) -> Result<(), Stop> {
        let finding =
            Finding::error(place, format!("found the tag {}, expected no tags", quoted(&tag.to_string())));
        self.stop(finding.help("remove the tag; quotes make a text"))
    }

    fn open(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, place: Place) -> Result<(), Stop> {
        self.spend(Size { nodes: 1, bytes: 0, depth: 1 }, place)?;
        if let Some(tag) = tag {
            return self.refuse_tag(tag, place);
        }
        if self.wants_key() {
            let finding = Finding::error(place, "found a list or a mapping as a key, expected a name");
            return self.stop(finding.help("write `name: value`; a text with `[` or `{` needs quotes"));
        }
        let place = Place { length: 1, ..place };
        self.frames.push(Frame { place, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else { panic!("the parser must end only what it has begun") };
        let value = match frame.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        self.finish(YamlNode { place: frame.place, value }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor).map(Rc::clone) else {
            return self.stop(Finding::error(place, "the alias stands within what it refers to"));
        };
        // The budget is checked before the copy.
        self.spend(anchored.size, place)?;
        match anchored.node.clone() {
            YamlNode { value: Value::Scalar(Scalar::Text(text)), .. } if self.wants_key() => {
                self.key(&text, true, 0, place)
            }
            _ if self.wants_key() => {
                self.stop(Finding::error(place, "found an alias as a key, expected a name"))
            }
            node => self.finish(node, 0),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Content::Mapping { key: None, .. }, .. }))
    }

    fn key_place(&self) -> Option<Place> {
        match &self.frames.last()?.content {
            Content::Mapping { key: Some(key), .. } => Some(key.place),
            _ => None,
        }
    }

    fn key(&mut self, text: &str, as_text: bool, anchor: usize, place: Place) -> Result<(), Stop> {
        if anchor != 0 {
            let node = YamlNode { place, value: Value::Scalar(Scalar::Text(text.to_owned())) };
            let size = Size { nodes: 1, bytes: text.len(), depth: 0 };
            self.anchors.insert(anchor, Rc::new(Anchored { node, size }));
        }
        if !as_text && text == "<<" {
            let finding = Finding::error(place, "found the merge key `<<`, which is not part of YAML 1.2");
            return self.stop(finding.help("write the keys out, or alias whole values"));
        }
        if !as_text && matches!(Scalar::plain(text), Ok(Scalar::Null)) {
            return self.stop(
                Finding::error(place, "found no key, expected a name").help("put a name before the `:`"),
            );
        }
        let Some(Frame { content: Content::Mapping { seen, key, .. }, .. }) = self.frames.last_mut() else {
            panic!("a key must stand in a mapping");
        };
        let first = seen.get(text).copied();
        if first.is_none() {
            seen.insert(text.to_owned(), place);
        }
        *key = Some(Key { text: text.to_owned(), place, repeated: first.is_some() });
        if let Some(first) = first {
            let message = format!("the key {} is given twice", quoted(text));
            self.report.push(
                Finding::error(place, message).help("remove one").note(first, "it is first given here"),
            );
        }
        Ok(())
    }

    /// Adds a finished value to the collection around it, and keeps it for aliases.
    fn finish(&mut self, node: YamlNode, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let mut size = Size::default();
            measure(&node, 0, &mut size);
            self.spend(Size { nodes: size.nodes, bytes: size.bytes, depth: 0 }, node.place)?;
            self.anchors.insert(anchor, Rc::new(Anchored { node: node.clone(), size }));
        }
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key, .. }) => {
                if let Some(Key { text, place, repeated: false }) = key.take() {
                    entries.push(Entry { key: text, key_place: place, value: node });
                }
            }
        }
        Ok(())
    }
}

/// Returns true if a tag makes a scalar a string: `!!str`, or `!` alone.
fn is_string_tag(tag: &Tag) -> bool {
    (tag.is_yaml_core_schema() && tag.suffix == "str")
        || (tag.handle.is_empty() && tag.suffix == "!")
        || (tag.handle == "!" && tag.suffix.is_empty())
}

/// Returns the cost of a node that an alias repeats. The recursion is bounded by [`DEPTH`].
fn measure(node: &YamlNode, depth: usize, size: &mut Size) {
    size.nodes += 1;
    match &node.value {
        Value::Scalar(Scalar::Text(text)) => size.bytes += text.len(),
        Value::Scalar(_) | Value::Path(_) => {}
        Value::Sequence(items) => {
            size.depth = size.depth.max(depth + 1);
            for item in items {
                measure(item, depth + 1, size);
            }
        }
        Value::Mapping(entries) => {
            size.depth = size.depth.max(depth + 1);
            for entry in entries {
                size.bytes += entry.key.len();
                measure(&entry.value, depth + 1, size);
            }
        }
    }
}
