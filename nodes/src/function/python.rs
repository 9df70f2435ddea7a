//! Functions in Python files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::names::{list, suggestion};
use anabranch_engine::types::logical_name;
use anabranch_expression::Literal;
use arrow::datatypes::FieldRef;

use super::bound::{Call, CodeLook, FunctionError, Launched};
use super::command::file_stamp;
use super::unread;
use crate::worker::{
    FileStamp, InspectError, Inspected, Program, PythonScript, PythonSpawner, Wanted, Workers, is_answered,
    is_given_as_json,
};

/// Raised when the same values and the same code give other results than before.
const REVISION: &str = "1";

/// Meaning of `None` in place of a Python function's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoneOutput {
    /// A mistake: the packet fails.
    #[default]
    Error,
    /// No packet: the row is dropped.
    Drop,
    /// Null for each output; part of the identity.
    Null,
}

impl NoneOutput {
    /// Its name in a pipeline file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Drop => "drop",
            Self::Null => "null",
        }
    }
}

/// A function in a Python file.
///
/// It gets one keyword argument per taken column, and one for each constant of [`Python::with`]; it
/// returns a dict of the outputs, or the bare value where there is one output. `None` fails the packet
/// unless [`Python::none`] says what it stands for. To give a null as the only output it returns a dict.
///
/// Arguments: int, float, bool, str, bytes; `datetime.date`, `time`, `datetime` (aware for
/// `timestamp_utc`, in UTC) and `timedelta`, to the microsecond, digits beyond it cut off;
/// `decimal.Decimal`; list; dict for a struct; a list of pairs for a map; None for null. A value that
/// these cannot hold, a year beyond 9999 say, fails its packet.
/// Outputs are held against `gives` strictly: an int is taken for a float that can hold it, numbers
/// of numpy for Python's, and nothing else for what it is not.
///
/// With [`Python::chunk`] the function gets a `pyarrow.RecordBatch` as its only argument and returns
/// one with as many rows: the outputs, and, if wanted, a boolean column `$keep` (false drops the row)
/// and a string column `$error` (a text fails it). `None` stands for all rows. Times keep their units.
///
/// The function runs in processes of the interpreter, whose working folder is the file's. Whatever it
/// prints goes to a log. The file and every module that is neither of the standard library nor of an
/// installed distribution are part of the function's identity; what only a call loads fails that call, and a
/// run remembers it and plans once more. What else a function reads is named by [`Python::files`], or
/// [`Function::version`](super::Function::version) can say that it changed.
///
/// Example:
/// ```
/// use anabranch_nodes::function::{Function, Python};
///
/// let score = Function::python("score", Python::new("score.py", "score").setup("load"))
///     .takes(["mph", "seats"])
///     .gives::<f64>("score")
///     .gives::<String>("label");
/// assert_eq!(score.name(), "score");
/// ```
#[derive(Debug, Clone)]
pub struct Python {
    pub(super) file: PathBuf,
    pub(super) call: String,
    pub(super) interpreter: String,
    pub(super) lock: Option<PathBuf>,
    /// True if the interpreter's version and those of all imported packages are part of the identity.
    pub strict: bool,
    pub(super) setup: Option<String>,
    /// True if the function gets and returns record batches; the interpreter needs pyarrow then.
    pub chunk: bool,
    pub(super) files: Vec<PathBuf>,
    pub(super) constants: BTreeMap<String, Literal>,
    /// Meaning of `None` in place of outputs; a mistake if not given.
    pub none: NoneOutput,
    pub(super) folder: PathBuf,
    /// Modules that calls have been seen to import.
    pub(super) late: Vec<String>,
    /// The worker's report on the file.
    pub(super) known: Option<Arc<Inspected>>,
}

impl Python {
    /// The function `call` of a file.
    pub fn new(file: impl Into<PathBuf>, call: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            call: call.into(),
            interpreter: "python3".to_owned(),
            lock: None,
            strict: false,
            setup: None,
            chunk: false,
            files: Vec::new(),
            constants: BTreeMap::new(),
            none: NoneOutput::default(),
            folder: PathBuf::new(),
            late: Vec::new(),
            known: None,
        }
    }

    /// The interpreter: a name along `PATH`, or a path; `python3` if not given.
    #[must_use]
    pub fn interpreter(mut self, interpreter: impl Into<String>) -> Self {
        self.interpreter = interpreter.into();
        self
    }

    /// A file that names the versions of all packages; its bytes become part of the identity.
    #[must_use]
    pub fn lock(mut self, lock: impl Into<PathBuf>) -> Self {
        self.lock = Some(lock.into());
        self
    }

    /// A function of the file that each worker calls once, before the first packet.
    #[must_use]
    pub fn setup(mut self, setup: impl Into<String>) -> Self {
        self.setup = Some(setup.into());
        self
    }

    /// Files that the code reads: data, models, modules that are imported during calls. Their bytes are
    /// part of the identity.
    #[must_use]
    pub fn files<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.files = files.into_iter().map(Into::into).collect();
        self
    }

    /// A constant that every call gets as a keyword, beside the columns; part of the identity.
    #[must_use]
    pub fn with(mut self, keyword: impl Into<String>, value: impl Into<Literal>) -> Self {
        self.constants.insert(keyword.into(), value.into());
        self
    }

    /// True if a stored outcome that gave no packet can only have been `None`, and is a mistake.
    pub(super) fn refuses_drops(&self) -> bool {
        // A chunk says by `$keep` that it drops a row.
        self.none == NoneOutput::Error && !self.chunk
    }

    /// The folder that relative paths start from; the process's own if not given.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// The file, by its full path, and the function in it.
    pub(super) fn place(&self) -> (PathBuf, &str) {
        (absolute(&self.folder).join(&self.file), &self.call)
    }

    pub(super) fn recall(&mut self, entries: Vec<String>) {
        self.late = entries;
        self.known = None;
    }

    pub(super) fn launch(
        &self,
        takes: &[FieldRef],
        gives: &[FieldRef],
        (hidden, code): (&[String], CodeLook<'_>),
    ) -> Result<Launched, FunctionError> {
        check_outputs(gives)?;
        self.check_constants(takes)?;
        let files = self.read_files()?;
        let script = PythonScript {
            interpreter: match code {
                CodeLook::Import => self.found_interpreter()?,
                CodeLook::Files(_) => PathBuf::new(),
            },
            file: self.found_file()?,
            call: self.call.clone(),
            setup: self.setup.clone(),
            chunk: self.chunk,
            strict: self.strict,
            takes: Wanted::of(takes),
            wanted: Wanted::of(gives),
            hidden: hidden.to_vec(),
            constants: self.constants.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
            none: self.none.name(),
            late: self.late.clone(),
            files: files.values().map(|file| file.path.clone()).collect(),
        };
        let lock = self.lock.as_ref().map(|lock| file_stamp("lock", &self.folder.join(lock))).transpose()?;
        let inspected = match (code, &self.known) {
            (CodeLook::Files(earlier), _) => Arc::new(unread::inspected(&script.file, earlier)),
            (CodeLook::Import, Some(known)) => Arc::clone(known),
            (CodeLook::Import, None) => Arc::new(script.inspect().map_err(|error| self.wrong(error))?),
        };
        if !inspected.arrow && matches!(code, CodeLook::Import) {
            check_without_arrow(takes)?;
        }
        let mut components = self.components(&inspected, lock.as_ref());
        components.extend(files.iter().map(|(name, file)| (format!("data {name}"), file.digest.clone())));
        let stamps = module_files(&inspected)?.into_iter().chain(lock).chain(files.into_values()).collect();
        let mut unwatched = vec![script.file.clone()];
        match code {
            CodeLook::Import => unwatched.push(script.interpreter.clone()),
            CodeLook::Files(earlier) => unwatched.extend(unread::files(&script.file, earlier)),
        }
        let spawner = PythonSpawner { script, planned: Arc::clone(&inspected) };
        let call = Call::Async(Arc::new(Workers::new(spawner)));
        let inspected = Some(inspected);
        Ok(Launched { components, unwatched, stamps, inspected, ..Launched::new(call) })
    }

    /// The files that the code reads, by their paths from the folder on where they lie below it.
    fn read_files(&self) -> Result<BTreeMap<String, FileStamp>, FunctionError> {
        let folder = absolute(&self.folder);
        let read = |file: &PathBuf| {
            let place = folder.join(file);
            let name = place.strip_prefix(&folder).unwrap_or(file).display().to_string();
            Ok((name, file_stamp("files", &place)?))
        };
        self.files.iter().map(read).collect()
    }

    /// Refuses a keyword that is given twice.
    fn check_constants(&self, takes: &[FieldRef]) -> Result<(), FunctionError> {
        match takes.iter().find(|f| !self.chunk && self.constants.contains_key(f.name())) {
            None => Ok(()),
            Some(field) => {
                let found = format!("\"{}\", which is a taken column too", field.name());
                let remedy = "rename the constant, or leave the column out by takes";
                Err(FunctionError::parameter("with", found, "keywords of their own", remedy))
            }
        }
    }

    fn found_interpreter(&self) -> Result<PathBuf, FunctionError> {
        Program::find(&self.interpreter, &self.folder).ok_or_else(|| {
            let found = format!("no program \"{}\"", self.interpreter);
            let expected = "a Python interpreter along PATH, or the path of one";
            FunctionError::parameter("interpreter", found, expected, "install Python 3, or name its path")
        })
    }

    fn found_file(&self) -> Result<PathBuf, FunctionError> {
        let file = std::path::absolute(self.folder.join(&self.file)).ok().filter(|file| file.is_file());
        file.ok_or_else(|| {
            let found = format!("no file {}", self.folder.join(&self.file).display());
            FunctionError::parameter("file", found, "a Python file", "correct the path")
        })
    }

    fn components(&self, inspected: &Inspected, lock: Option<&FileStamp>) -> Vec<(String, String)> {
        let mut components = vec![
            ("kind".to_owned(), "python".to_owned()),
            ("entry".to_owned(), self.call.clone()),
            ("chunk".to_owned(), self.chunk.to_string()),
            ("interpreter".to_owned(), inspected.python.clone()),
            ("python semantics".to_owned(), REVISION.to_owned()),
        ];
        let own = self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        for (path, digest) in &inspected.modules {
            let kind = if *path == own { "file" } else { "module" };
            components.push((format!("{kind} {path}"), digest.clone()));
        }
        components.extend(self.constants.iter().map(|(name, value)| (format!("with {name}"), json(value))));
        if self.none == NoneOutput::Null {
            components.push(("none".to_owned(), self.none.name().to_owned()));
        }
        components.extend(self.setup.iter().map(|setup| ("setup".to_owned(), setup.clone())));
        components.extend(lock.map(|lock| ("lock".to_owned(), lock.digest.clone())));
        if self.strict {
            components.push(("python version".to_owned(), inspected.full.clone()));
            let packages = inspected.packages.iter();
            components.extend(packages.map(|(name, version)| (format!("package {name}"), version.clone())));
        }
        components
    }

    fn wrong(&self, error: InspectError) -> FunctionError {
        let file = self.file.display();
        let process = |parameter, found: String, expected: &str, remedy: &str| {
            FunctionError::parameter(parameter, found, expected, remedy)
        };
        match error {
            InspectError::Start(text, printed) => {
                let found = format!("an interpreter that does not work ({text})");
                let error = process("interpreter", found, "Python 3.8 or newer", "try it by hand");
                error.with_log(printed)
            }
            InspectError::Failed { what, text, log } => {
                let found = format!("{file}, but {what} ({text})");
                let remedy = "correct what the traceback shows";
                process("file", found, "a file that can be imported", remedy).with_log(log)
            }
            InspectError::Missing { name, names } => {
                let parameter = if name == self.call { "call" } else { "setup" };
                let found = format!("no function \"{name}\" in {file}");
                let expected = format!("one of {}{}", list(&names), suggestion(&name, &names));
                process(parameter, found, &expected, "name a function of the file")
            }
            InspectError::Late(late) => {
                let expected = "a setup that loads what the file does";
                process("setup", late.to_string(), expected, "import it at the top of the file")
            }
            InspectError::NoArrow => {
                let found = format!("no pyarrow in \"{}\"", self.interpreter);
                let expected = "pyarrow, since chunk gives and takes its record batches";
                let remedy = "install pyarrow, name another interpreter, or leave out chunk";
                process("chunk", found, expected, remedy)
            }
        }
    }
}

/// A constant as JSON has it, or as Python's reader takes it beyond that: `NaN`, `Infinity`.
fn json(value: &Literal) -> String {
    match value {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Integer(value) => value.to_string(),
        Literal::Float(value) if value.is_infinite() => {
            if *value > 0.0 {
                "Infinity".to_owned()
            } else {
                "-Infinity".to_owned()
            }
        }
        // Digits that come back as the same number, with a point or an exponent.
        Literal::Float(value) => format!("{value:?}"),
        Literal::Number(digits) => digits.clone(),
        Literal::String(text) => serde_json::Value::from(text.as_str()).to_string(),
    }
}

/// The files of the project's modules, each once; a module that was made by code has none.
fn module_files(inspected: &Inspected) -> Result<Vec<FileStamp>, FunctionError> {
    let places: BTreeSet<&Path> = inspected.places.values().map(Path::new).collect();
    places.into_iter().filter(|place| place.is_file()).map(|place| file_stamp("file", place)).collect()
}

/// Refuses columns that JSON cannot say, where the interpreter reads nothing else.
fn check_without_arrow(takes: &[FieldRef]) -> Result<(), FunctionError> {
    match takes.iter().find(|f| !is_given_as_json(f.data_type())) {
        None => Ok(()),
        Some(field) => {
            let (name, kind) = (field.name(), logical_name(field));
            let found = format!("column \"{name}\" of {kind}, which only pyarrow can read");
            let expected = "pyarrow, or columns that JSON can say";
            let remedy = "install pyarrow for the interpreter, or leave the column out";
            Err(FunctionError::parameter("takes", found, expected, remedy))
        }
    }
}

/// Refuses outputs of types that workers cannot give.
pub(super) fn check_outputs(gives: &[FieldRef]) -> Result<(), FunctionError> {
    match gives.iter().find(|f| !is_answered(f.data_type())) {
        None => Ok(()),
        Some(field) => Err(FunctionError::parameter(
            "gives",
            format!("output \"{}\" of {}", field.name(), logical_name(field)),
            "a type that code in other processes can give",
            "give a list of structs in place of a map, a float32 in place of a float16",
        )),
    }
}

/// The folder of a path, for messages and as a place to start from.
pub(super) fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .unwrap_or_else(|_| folder.to_owned())
}
