//! Programs as functions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use anabranch_engine::names::{list, suggestion};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::types::logical_name;
use arrow::datatypes::{DataType, FieldRef};
use indexmap::IndexMap;

use super::bound::{Call, FunctionError, Launched};
use super::python::{absolute, check_outputs};
use crate::worker::{
    ArgumentPart, CommandSpawner, CommandWire, EachSpawner, FileStamp, ID, Program, Wanted, Workers,
    is_argument, is_given_as_json,
};

/// Programs whose option `-c` takes code as text.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox"];

/// A program that computes packets: a long-lived one, or one call per packet.
///
/// A long-lived program ([`Command::run`]) runs in the folder of relative paths and answers packet by
/// packet, until its standard input ends:
/// - JSON lines: for each line, an object of the taken columns, it writes exactly one line, without
///   waiting for more (flush it): the outputs, `null` to drop the packet, or `{"$error": "text"}`. Each line
///   has a number under `"$id"`, which the answer should give back: then a line too many fails its packet alone.
///   Without it a packet may come more than once and has to be answered alike, and a line that no packet was
///   asked for fails the run and withdraws what the program has answered in it.
///   Values have the forms of the `jsonl` source and sink; a float that is not finite comes as null,
///   and can be answered as `"NaN"`, `"inf"` or `"-inf"`.
/// - Arrow: an IPC stream in, an IPC stream out. For each record batch it writes one with as many rows:
///   the outputs, and, if wanted, a boolean column `$keep` and a string column `$error`.
///
/// A program of one call per packet ([`Command::each`]) runs in an empty folder of its own, which is
/// removed afterwards; `{column}` in an argument becomes the column's text, `{out.NAME}` the path of
/// a file for that output, `{{` a brace. Outputs without a file are JSON on standard output. A binary
/// or string output is its file's bytes as they are, another one is read from its text.
///
/// There is no shell. Part of the identity are the arguments, the bytes of the program, those of every
/// file that an argument names, by itself or behind `--option=`, and those of the listed files. A file that
/// an argument of `each` names gets its full path.
///
/// Example:
/// ```
/// use anabranch_nodes::function::{Command, Function};
///
/// let count = Function::command("count", Command::each(["wc", "-c", "{path}"])).gives::<i64>("bytes");
/// assert_eq!(count.name(), "count");
/// ```
#[derive(Debug, Clone)]
pub struct Command {
    pub(super) arguments: Vec<String>,
    pub(super) each: bool,
    /// Format of a long-lived program's input and output; JSON lines if not given.
    pub wire: CommandWire,
    pub(super) files: Vec<PathBuf>,
    pub(super) folder: PathBuf,
}

impl Command {
    /// A long-lived program with its arguments.
    pub fn run<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            each: false,
            wire: CommandWire::default(),
            files: Vec::new(),
            folder: PathBuf::new(),
        }
    }

    /// A program with its arguments that is called for each packet.
    pub fn each<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self { each: true, ..Self::run(arguments) }
    }

    /// Further files that the results depend on: models, what a script loads.
    #[must_use]
    pub fn files<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.files = files.into_iter().map(Into::into).collect();
        self
    }

    /// The folder that relative paths start from; the process's own if not given.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    fn parameter(&self) -> &'static str {
        if self.each { "each" } else { "run" }
    }

    /// The columns that the arguments mention, in the order of the input.
    pub(super) fn mentioned(
        &self,
        schema: &StreamSchema,
        gives: &IndexMap<String, DataType>,
    ) -> Result<Vec<String>, FunctionError> {
        let outputs: Vec<&str> = gives.keys().map(String::as_str).collect();
        let (columns, tags) = (names(schema.packets()), names(schema.tags()));
        let mut found: Vec<String> = Vec::new();
        for argument in self.arguments.iter().skip(1) {
            for piece in pieces(argument) {
                let Piece::Name(name) = piece else { continue };
                if output_of(name).is_some_and(|output| outputs.contains(&output)) {
                    continue;
                }
                if tags.contains(&name) {
                    return Err(FunctionError::Tag { column: name.to_owned() });
                }
                if !columns.contains(&name) {
                    return Err(unknown(name, &columns, &outputs));
                }
                if !found.iter().any(|n| n == name) {
                    found.push(name.to_owned());
                }
            }
        }
        found.sort_by_key(|name| columns.iter().position(|column| column == name));
        Ok(found)
    }

    pub(super) fn launch(
        &self,
        takes: &[FieldRef],
        gives: &[FieldRef],
        hidden: &[String],
    ) -> Result<Launched, FunctionError> {
        check_outputs(gives)?;
        let path = self.program()?;
        let mut components = self.components();
        let file = file_stamp(self.parameter(), &path)?;
        components.push(("program".to_owned(), file.digest.clone()));
        let mut stamps = vec![file];
        for NamedFile { parameter, name, place } in self.code() {
            let file = file_stamp(parameter, &place)?;
            components.push((format!("file {name}"), file.digest.clone()));
            stamps.push(file);
        }
        let stamps: Arc<[FileStamp]> = stamps.into();
        let watched = Arc::clone(&stamps);
        let program =
            Program { path, arguments: Vec::new(), folder: absolute(&self.folder), hidden: hidden.to_vec() };
        let workers = if self.each {
            self.check_arguments(takes)?;
            let arguments = self.templates(takes, gives)?;
            let takes = takes.iter().map(|f| f.name().clone()).collect();
            let (wanted, swept) = (Wanted::of(gives), Arc::new(Once::new()));
            Workers::new(EachSpawner { program, arguments, takes, wanted, stamps, swept })
        } else {
            self.check_given(takes, gives)?;
            let program = Program { arguments: self.rest().map(OsString::from).collect(), ..program };
            let takes = takes.iter().map(|f| f.name().clone()).collect();
            let wanted = Wanted::of(gives);
            Workers::new(CommandSpawner { program, wire: self.wire, takes, wanted, stamps })
        };
        let call = Call::Async(Arc::new(workers));
        Ok(Launched { components, warnings: self.warnings(), stamps: watched, ..Launched::new(call) })
    }

    fn rest(&self) -> impl Iterator<Item = &String> {
        self.arguments.iter().skip(1)
    }

    fn program(&self) -> Result<PathBuf, FunctionError> {
        let process = |found: String, remedy: &str| {
            let expected = "a program along PATH, or the path of one";
            FunctionError::parameter(self.parameter(), found, expected, remedy)
        };
        let Some(name) = self.arguments.first() else {
            return Err(process("no program".to_owned(), "name one as the first argument"));
        };
        if self.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(process("an argument with a zero byte".to_owned(), "remove it"));
        }
        let remedy = "install it, correct its name, or make it executable";
        Program::find(name, &self.folder).ok_or_else(|| process(format!("no program \"{name}\""), remedy))
    }

    fn components(&self) -> Vec<(String, String)> {
        let wire = match (self.each, self.wire) {
            (true, _) => "each",
            (false, CommandWire::JsonLines) => "jsonl",
            (false, CommandWire::Arrow) => "arrow",
        };
        let argv: Vec<String> =
            self.arguments.iter().map(|a| a.replace('\\', "\\\\").replace('\n', "\\n")).collect();
        vec![
            ("kind".to_owned(), "command".to_owned()),
            ("wire".to_owned(), wire.to_owned()),
            ("argv".to_owned(), argv.join("\n")),
        ]
    }

    /// The listed files, then those that arguments name, each once.
    fn code(&self) -> Vec<NamedFile> {
        let mut found: Vec<NamedFile> = Vec::new();
        let folder = absolute(&self.folder);
        let listed = self.files.iter().map(|file| ("files", file.display().to_string()));
        let named = self.rest().filter_map(|argument| Some((self.parameter(), self.file_in(argument)?.1)));
        for (parameter, name) in listed.chain(named) {
            let place = folder.join(&name);
            if !found.iter().any(|file| file.place == place) {
                found.push(NamedFile { parameter, name, place });
            }
        }
        found
    }

    /// The file that an argument names, by itself or behind `--option=`: what stands before it, and its name.
    fn file_in(&self, argument: &str) -> Option<(String, String)> {
        let text = if self.each { literal(argument)? } else { argument.to_owned() };
        let is_file = |name: &str| !name.is_empty() && self.folder.join(name).is_file();
        if is_file(&text) {
            return Some((String::new(), text));
        }
        let (option, name) = text.split_once('=').filter(|(option, _)| option.starts_with('-'))?;
        is_file(name).then(|| (format!("{option}="), name.to_owned()))
    }

    /// Code in the text of an argument, which may name files that are not looked for.
    fn warnings(&self) -> Vec<String> {
        let is_shell = |argument: &&String| {
            let name = Path::new(argument.as_str()).file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| SHELLS.contains(&name))
        };
        let is_script = |argument: &String| {
            argument.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.ends_with('c'))
        };
        let mut arguments = self.arguments.iter();
        let Some(shell) = arguments.find(is_shell).filter(|_| self.files.is_empty()) else {
            return Vec::new();
        };
        // What stands behind a script is the script's.
        if !arguments.take_while(|argument| self.file_in(argument).is_none()).any(is_script) {
            return Vec::new();
        }
        vec![format!(
            "{}: {shell} -c takes a text, and files that the text names are not in the function's identity; put it into a file, or list them under files, or results stay when they change",
            self.parameter()
        )]
    }

    fn check_given(&self, takes: &[FieldRef], gives: &[FieldRef]) -> Result<(), FunctionError> {
        if self.wire == CommandWire::Arrow {
            return Ok(());
        }
        for (parameter, fields, remedy) in [
            ("takes", takes, "rename it by map, or write wire: arrow"),
            ("gives", gives, "give it another name, or write wire: arrow"),
        ] {
            if let Some(field) = fields.iter().find(|field| field.name() == ID) {
                let expected = "another name, since each line has its number there";
                return Err(no_column(parameter, field, expected, remedy));
            }
        }
        match takes.iter().find(|f| !is_given_as_json(f.data_type())) {
            None => Ok(()),
            Some(field) => Err(no_column("takes", field, "columns that JSON can say", "write wire: arrow")),
        }
    }

    fn check_arguments(&self, takes: &[FieldRef]) -> Result<(), FunctionError> {
        match takes.iter().find(|f| !is_argument(f.data_type()) && self.mentions(f.name())) {
            None => Ok(()),
            Some(field) => {
                let remedy = "convert it to a string, or use run in place of each";
                Err(no_column("each", field, "columns that an argument can say", remedy))
            }
        }
    }

    fn mentions(&self, column: &str) -> bool {
        self.rest().flat_map(|argument| pieces(argument)).any(|piece| piece == Piece::Name(column))
    }

    fn templates(
        &self,
        takes: &[FieldRef],
        gives: &[FieldRef],
    ) -> Result<Vec<Vec<ArgumentPart>>, FunctionError> {
        let place = |fields: &[FieldRef], name: &str| fields.iter().position(|f| f.name() == name);
        self.rest()
            .map(|argument| {
                // The program works in a folder of its own.
                if let Some((before, name)) = self.file_in(argument) {
                    let path = absolute(&self.folder).join(name);
                    return Ok(vec![ArgumentPart::Text(format!("{before}{}", path.to_string_lossy()))]);
                }
                pieces(argument)
                    .into_iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => Ok(ArgumentPart::Text(text)),
                        Piece::Name(name) => {
                            let output = output_of(name).and_then(|output| place(gives, output));
                            let part = output
                                .map(ArgumentPart::Output)
                                .or_else(|| place(takes, name).map(ArgumentPart::Column));
                            part.ok_or_else(|| unknown(name, &names(takes), &names(gives)))
                        }
                    })
                    .collect()
            })
            .collect()
    }
}

/// A file whose bytes are part of the identity.
struct NamedFile {
    /// The parameter that names it.
    parameter: &'static str,
    name: String,
    place: PathBuf,
}

fn names(fields: &[FieldRef]) -> Vec<&str> {
    fields.iter().map(|f| f.name().as_str()).collect()
}

/// A piece of an argument.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(String),
    /// Name between braces.
    Name(&'a str),
}

/// Takes an argument apart. A brace without its other is text.
fn pieces(argument: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        if let Some(after) = behind.strip_prefix("{{").or_else(|| behind.strip_prefix("}}")) {
            text.push_str(behind.split_at(1).0);
            rest = after;
            continue;
        }
        let name = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if let Some((name, after)) = name.filter(|(name, _)| !name.contains('{')) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Name(name));
            rest = after;
        } else {
            let (brace, after) = behind.split_at(1);
            text.push_str(brace);
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The text of an argument that names no column and no output.
fn literal(argument: &str) -> Option<String> {
    match <[Piece<'_>; 1]>::try_from(pieces(argument)).ok()? {
        [Piece::Text(text)] => Some(text),
        [Piece::Name(_)] => None,
    }
}

fn output_of(name: &str) -> Option<&str> {
    name.strip_prefix("out.")
}

fn unknown(name: &str, columns: &[&str], outputs: &[&str]) -> FunctionError {
    let outputs = outputs.iter().map(|output| format!("out.{output}"));
    let available: Vec<String> = columns.iter().map(|column| (*column).to_owned()).chain(outputs).collect();
    let (listed, suggested) = (list(&available), suggestion(name, &available));
    let expected = format!("a packet column or an output as \"{{out.NAME}}\", one of {listed}{suggested}");
    FunctionError::parameter("each", format!("\"{{{name}}}\""), expected, "write \"{{\" for a brace")
}

fn no_column(parameter: &'static str, field: &FieldRef, expected: &str, remedy: &str) -> FunctionError {
    let found = format!("column \"{}\" of {}", field.name(), logical_name(field));
    FunctionError::parameter(parameter, found, expected, remedy)
}

/// A file whose bytes are part of the identity.
pub(super) fn file_stamp(parameter: &'static str, path: &Path) -> Result<FileStamp, FunctionError> {
    FileStamp::of(path).map_err(|error| {
        let found = format!("{}, which cannot be read ({error})", path.display());
        let expected = "a file, since its bytes are part of the function's identity";
        FunctionError::parameter(parameter, found, expected, "correct the path or its permissions")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_taken_apart_at_its_braces() {
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(pieces("plain"), [text("plain")]);
        assert_eq!(pieces(""), [text("")]);
        assert_eq!(pieces("{a}"), [Piece::Name("a")]);
        assert_eq!(
            pieces("--in={a},{out.b}!"),
            [text("--in="), Piece::Name("a"), text(","), Piece::Name("out.b"), text("!")]
        );
        assert_eq!(pieces("{{a}} } { {"), [text("{a} } { {")]);
        assert_eq!(pieces("ä{ö}ü"), [text("ä"), Piece::Name("ö"), text("ü")]);
    }
}
