//! Loading of a pipeline file: it is read, checked and planned, and all errors are reported together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use super::build::build;
use super::check::Checker;
use super::files::{Document, read_all, read_document};
use super::graph::{collect, order};
use super::parameters::Parameters;
use super::table::{PIPELINE, SETTINGS, STORE};
use super::values::body::Body;
use super::values::diagnostic::Diagnostic;
use super::values::fields::Type;
use super::values::report::{Finding, Place, Report};
use super::values::tree::{Value, YamlNode};
use crate::graph::Pipeline;
use crate::node::Reading;
use crate::store::Store;
use crate::store::run_files::file_of_pipeline;

/// Options of loading a pipeline file.
///
/// A parameter's value is taken from the first of these that has one: `set`, the last of `params_files` that names it,
/// its environment variable, its default.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Values of parameters as strings, read by the parameters' types; of two for one name the last applies. A relative
    /// path starts from the working folder.
    pub set: Vec<(String, String)>,
    /// Files with a mapping from parameter to value. A relative path in one starts from its folder.
    pub params_files: Vec<PathBuf>,
    /// Environment that parameters read; none for that of the process.
    pub environment: Option<BTreeMap<String, String>>,
}

/// A pipeline file that has been planned.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The folder of its store.
    pub store_dir: PathBuf,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Header of a pipeline file, which is valid even if the pipeline cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The name of the pipeline.
    pub name: String,
    /// The file itself, as it was named.
    pub file: PathBuf,
    /// The folder of its store.
    pub store_dir: PathBuf,
    /// The names of its nodes, in the order of its files.
    pub node_names: Vec<String>,
    /// The files that it was read from, those with values of parameters among them.
    pub files: Vec<PathBuf>,
}

/// Error of loading a pipeline file, with all findings.
///
/// `Display` prints all findings, one below the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    diagnostics: Vec<Diagnostic>,
}

impl LoadError {
    /// Returns the findings, sorted by place; at least one is an error.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let diagnostics: Vec<String> = self.diagnostics.iter().map(ToString::to_string).collect();
        f.write_str(&diagnostics.join("\n"))
    }
}

impl std::error::Error for LoadError {}

/// Reads, checks and plans a pipeline file with all that it includes.
///
/// Sources are opened as far as their schemas need. Errors: all faults, with places; a node below a faulty one is not
/// checked.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    load_as(path, options, None)
}

fn load_as(path: &Path, options: &LoadOptions, reading: Option<Reading>) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let planned = plan(&mut report, path, options, reading);
    let failed = report.errors() > 0;
    let diagnostics = report.finish();
    match planned {
        Some((pipeline, store_dir)) if !failed => Ok(Loaded { pipeline, store_dir, warnings: diagnostics }),
        _ => Err(LoadError { diagnostics }),
    }
}

/// Loads a file as [`load`], for reading recordings only: no user code is imported.
///
/// A Python function is looked up in the store by the bytes of its files, among those of earlier runs. The pipeline
/// cannot run. Without a store the function is unknown.
pub fn load_for_reading(
    path: &Path,
    options: &LoadOptions,
    store: Option<&Store>,
) -> Result<Loaded, LoadError> {
    load_as(path, options, Some(Reading { store: store.cloned() }))
}

/// Reads name, store and node names of a pipeline file, and checks nothing else.
///
/// Faults elsewhere in the file and missing sources are no errors. Errors: the file cannot be read, is no YAML, or name
/// or store are invalid.
pub fn load_header(path: &Path, options: &LoadOptions) -> Result<Header, LoadError> {
    let mut report = Report::default();
    let mut documents = read_all(&mut report, path);
    let parameters = declare(&mut report, &documents, options);
    // From here on only faults of name and store count.
    let earlier = report.errors();
    let (node_names, files) = (node_names(&documents), files(&documents, options));
    let header = documents.first_mut().and_then(|main| header(&mut report, main, &parameters, path));
    let header = header.map(|header| Header { node_names, files, ..header });
    match header {
        Some(header) if report.errors() == earlier => Ok(header),
        _ => Err(LoadError { diagnostics: report.finish() }),
    }
}

fn plan(
    report: &mut Report,
    path: &Path,
    options: &LoadOptions,
    reading: Option<Reading>,
) -> Option<(Pipeline, PathBuf)> {
    let mut documents = read_all(report, path);
    let mut parameters = declare(report, &documents, options);
    if documents.is_empty() {
        return None;
    }
    parameters.require_values(report);
    let tree_is_whole = report.errors() == 0;
    let mut nodes = collect(report, &mut documents, &parameters);
    for document in &mut documents {
        check_document(report, document, &parameters);
    }
    let main = documents.first()?;
    let name = main.root.get("name").and_then(YamlNode::text).unwrap_or_default().to_owned();
    report_untested(report, main);
    if nodes.is_empty() && tree_is_whole && report.errors() == 0 {
        report.push(Finding::error(
            Place::whole(main.file),
            "the pipeline has no nodes, expected at least one",
        ));
    }
    let order = order(report, &mut nodes);
    let mut pipeline = Pipeline::new(name);
    pipeline.file = file_of_pipeline(path).to_str().map(str::to_owned);
    pipeline.reading = reading;
    super::settings::apply(&mut pipeline, Body::new(main.root.get("settings"), &SETTINGS));
    let store_dir = store_dir(&main.root, path);
    pipeline.protect_store(&store_dir);
    pipeline.protect_files(files(&documents, options));
    build(report, &mut pipeline, &nodes, &order, &parameters.secret_variables);
    Some((pipeline, store_dir))
}

/// Collects parameters and secrets of all files, and sets the parameters' values.
pub(crate) fn declare(report: &mut Report, documents: &[Document], options: &LoadOptions) -> Parameters {
    let mut parameters = Parameters::default();
    for document in documents {
        let entries = |key: &str| document.root.get(key).map(YamlNode::entries).unwrap_or_default();
        for entry in entries("params") {
            parameters.declare(report, entry, options.environment.as_ref());
        }
        for entry in entries("secrets") {
            parameters.declare_secret(report, entry);
        }
    }
    if documents.is_empty() {
        return parameters;
    }
    for path in &options.params_files {
        if let Some((_, root)) = read_document(report, path, None) {
            parameters.take_file(report, &root);
        }
    }
    parameters.take_call(report, &options.set);
    parameters
}

/// Checks all of a file but its nodes, which [`collect`] has taken out.
fn check_document(report: &mut Report, document: &mut Document, parameters: &Parameters) {
    let scope =
        if std::ptr::eq(document.schema, &raw const PIPELINE) { "the pipeline" } else { "the included file" };
    let whole = Place { line: 1, column: 1, length: 1, file: document.file };
    Checker::new(report, Some(parameters), scope).record(&mut document.root, document.schema, whole);
}

fn report_untested(report: &mut Report, main: &Document) {
    if let Some(tests) = main.root.entry("tests").filter(|t| !t.value.items().is_empty()) {
        let finding = Finding::warning(tests.key_place, "this version does not run tests yet");
        report.push(finding.help("they are checked for their schema only"));
    }
}

/// Returns the folder of the store: relative to the file that names it, or to the pipeline file.
fn store_dir(root: &YamlNode, path: &Path) -> PathBuf {
    let store = Body::new(root.get("store"), &STORE);
    store.path("dir").unwrap_or_else(|| {
        let folder = path.parent().unwrap_or(Path::new(""));
        folder.join(store.text("dir").unwrap_or_default())
    })
}

/// Returns the files that a pipeline was read from.
fn files(documents: &[Document], options: &LoadOptions) -> Vec<PathBuf> {
    documents.iter().map(|document| &document.path).chain(&options.params_files).cloned().collect()
}

fn node_names(documents: &[Document]) -> Vec<String> {
    let nodes = documents.iter().filter_map(|document| document.root.get("nodes"));
    let names: IndexSet<&String> = nodes.flat_map(YamlNode::entries).map(|entry| &entry.key).collect();
    names.into_iter().cloned().collect()
}

fn header(report: &mut Report, main: &mut Document, parameters: &Parameters, path: &Path) -> Option<Header> {
    let mut checker = Checker::new(report, Some(parameters), "the pipeline");
    if let Value::Mapping(entries) = &mut main.root.value {
        for entry in entries {
            let wanted = match entry.key.as_str() {
                "name" => &Type::Text,
                "store" => &Type::Record(&STORE),
                _ => continue,
            };
            checker.value(&mut entry.value, wanted, &entry.key, entry.key_place);
        }
    }
    let Some(name) = main.root.get("name").and_then(YamlNode::text).map(str::to_owned) else {
        if main.root.get("name").is_none() {
            report.push(Finding::error(Place::whole(main.file), "missing key \"name\" in the pipeline"));
        }
        return None;
    };
    let store_dir = store_dir(&main.root, path);
    Some(Header { name, file: path.to_owned(), store_dir, node_names: Vec::new(), files: Vec::new() })
}
