//! The pipeline file and the files that it includes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::check::Checker;
use super::parse::{FILE_BYTES, parse};
use super::table::{INCLUDED, PIPELINE};
use super::values::fields::ObjectSchema;
use super::values::report::{FileId, Finding, Place, Report};
use super::values::tree::{Value, YamlNode, quoted};

/// Maximum number of files of a pipeline.
const FILES: usize = 256;
/// Maximum depth of files that include one another.
const CHAIN: usize = 32;

/// A file that was read, with its schema.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: YamlNode,
    pub(crate) schema: &'static ObjectSchema,
    pub(crate) file: FileId,
    /// The file's place on the disk.
    pub(crate) path: PathBuf,
}

/// Reads a pipeline file and all that it includes; the first document is the file itself. If that cannot be read, the
/// list is empty, and the report has the reason.
pub(crate) fn read_all(report: &mut Report, path: &Path) -> Vec<Document> {
    let mut reader = Reader { report, documents: Vec::new(), known: Vec::new(), chain: Vec::new() };
    reader.read(path, None);
    reader.documents
}

struct Reader<'r> {
    report: &'r mut Report,
    documents: Vec<Document>,
    /// Files read or being read, by their place on the disk.
    known: Vec<PathBuf>,
    /// The files that are being included, each with the place of its path in the one before.
    chain: Vec<(PathBuf, Option<Place>)>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, asked: Option<Place>) {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.report_cycle(&identity, asked) || self.known.contains(&identity) {
            return;
        }
        if self.known.len() >= FILES || self.chain.len() >= CHAIN {
            if let Some(place) = asked {
                let message = format!(
                    "more than {FILES} files, or more than {CHAIN} that include one another in a row"
                );
                self.report.push(Finding::error(place, message));
            }
            return;
        }
        self.known.push(identity.clone());
        let Some((file, mut root)) = read_document(self.report, path, asked) else { return };
        let schema = if self.documents.is_empty() { &PIPELINE } else { &INCLUDED };
        let scope = if self.documents.is_empty() { "the pipeline" } else { "the included file" };
        Checker::new(self.report, None, scope).fixed_fields(&mut root, schema);
        let included = self.included(&root);
        self.documents.push(Document { root, schema, file, path: identity.clone() });
        self.chain.push((identity, asked));
        for (path, place) in included {
            self.read(&path, Some(place));
        }
        self.chain.pop();
    }

    fn report_cycle(&mut self, identity: &Path, asked: Option<Place>) -> bool {
        let Some(start) = self.chain.iter().position(|(path, _)| path == identity) else { return false };
        if let Some(place) = asked {
            let mut finding = Finding::error(place, "files include one another in a cycle");
            for at in self.chain.iter().skip(start + 1).filter_map(|(_, at)| *at) {
                finding = finding.note(at, "by way of this");
            }
            self.report.push(finding.help("remove this include"));
        }
        true
    }

    /// Returns the paths that a file includes, each once.
    fn included(&mut self, root: &YamlNode) -> Vec<(PathBuf, Place)> {
        let mut found: Vec<(PathBuf, Place)> = Vec::new();
        for item in root.get("include").map(YamlNode::items).unwrap_or_default() {
            // Another value is reported by the check of its type.
            let Value::Path(path) = &item.value else { continue };
            let finding = if path.to_string_lossy().contains("${") {
                Finding::error(item.place, "include refers to a parameter")
                    .help("write the path out: files are included before parameters have values")
            } else if let Some((_, first)) = found.iter().find(|(known, _)| known == path) {
                Finding::error(item.place, "the file is included twice")
                    .help("remove one")
                    .note(*first, "it is first included here")
            } else if found.len() >= FILES {
                let message = format!("more than {FILES} files are included here");
                self.report.push(Finding::error(item.place, message));
                break;
            } else {
                found.push((path.clone(), item.place));
                continue;
            };
            self.report.push(finding);
        }
        found
    }
}

/// Reads and parses one file; `asked` is the place where another refers to it.
pub(crate) fn read_document(
    report: &mut Report,
    path: &Path,
    asked: Option<Place>,
) -> Option<(FileId, YamlNode)> {
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(reason) => {
            let message = format!("cannot read {}: {reason}", quoted(&path.display().to_string()));
            let place = asked.unwrap_or_else(|| Place::whole(add_file(report, path, String::new())));
            report.push(Finding::error(place, message));
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            report_not_utf8(report, path, text, at);
            return None;
        }
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let file = add_file(report, path, text.clone());
    let root = parse(report, file, &text)?;
    if matches!(root.value, Value::Mapping(_)) {
        return Some((file, root));
    }
    let message = format!("found {}, expected a mapping", root.describe());
    report.push(Finding::error(root.place, message));
    None
}

fn add_file(report: &mut Report, path: &Path, text: String) -> FileId {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    report.add_file(path.display().to_string(), folder, text)
}

fn report_not_utf8(report: &mut Report, path: &Path, text: String, valid: usize) {
    // The valid part is the same in the lossy text.
    let (before, _) = text.split_at(valid);
    let line = before.matches('\n').count() + 1;
    let last_line = before.rsplit_once('\n').map_or(before, |(_, last)| last);
    let column = last_line.chars().count() + 1;
    let file = add_file(report, path, text);
    let finding = Finding::error(Place { file, line, column, length: 1 }, "found a byte that is not UTF-8");
    report.push(finding.help("save the file as UTF-8"));
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a pipe would block until a process opens it for writing.
    if path.metadata().is_ok_and(|about| !about.is_file()) {
        return Err("it is not a file".to_owned());
    }
    let file = File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() > FILE_BYTES {
        return Err(format!("it is larger than {} MiB", FILE_BYTES >> 20));
    }
    Ok(bytes)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission was denied".to_owned(),
        ErrorKind::IsADirectory => "it is not a file".to_owned(),
        _ => "the system refused".to_owned(),
    }
}
