//! A virtual environment with the pinned packages.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::EnvironmentError;

const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// Prints the version, then what tells the interpreter from others: the name may be a version manager's shim, which
/// starts another one tomorrow.
const IDENTITY: &str =
    "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable, sys.version)";

/// A virtual environment that has the packages of `requirements.txt`.
#[derive(Debug, PartialEq, Eq)]
pub struct Environment {
    interpreter: String,
}

/// The interpreter that an environment is made from.
struct Base<'a> {
    /// As named: a path, or a name along `PATH`.
    interpreter: &'a str,
    /// Major and minor version.
    version: String,
    /// Identity: its real path and its full version.
    identity: String,
}

impl Environment {
    /// Finds the environment below `target`, or makes it from `interpreter`, a path or a name along `PATH`.
    ///
    /// # Errors
    /// If there is no such interpreter, it can install nothing, the packages cannot be had, or a file cannot be
    /// written.
    pub fn make(target: &Path, interpreter: &str) -> Result<Self, EnvironmentError> {
        let base = Base::find(interpreter)?;
        let folder = target.join(format!("test-python-{}", base.version));
        let lock = target.join(format!("test-python-{}.lock", base.version));
        fs::create_dir_all(target).map_err(|source| file(target, "created", source))?;
        // Released when the file is closed, at the latest with the process.
        let held = File::create(&lock).map_err(|source| file(&lock, "created", source))?;
        held.lock().map_err(|source| file(&lock, "locked", source))?;
        let stamp = folder.join("stamp.txt");
        let expected = format!("{}\n{REQUIREMENTS}", base.identity);
        if fs::read_to_string(&stamp).ok().as_deref() != Some(expected.as_str()) {
            remove(&folder)?;
            base.install(&folder)?;
            fs::write(&stamp, expected).map_err(|source| file(&stamp, "written", source))?;
        }
        Ok(Self { interpreter: python(&folder).to_string_lossy().into_owned() })
    }

    /// The path of its interpreter.
    #[must_use]
    pub fn into_interpreter(self) -> String {
        self.interpreter
    }
}

impl<'a> Base<'a> {
    fn find(interpreter: &'a str) -> Result<Self, EnvironmentError> {
        let fail = |found| EnvironmentError::Interpreter { interpreter: interpreter.to_owned(), found };
        let answer = run(Command::new(interpreter).args(["-c", IDENTITY])).map_err(fail)?;
        match answer.split_once('\n') {
            Some((version, identity)) => Ok(Self {
                interpreter,
                version: version.trim().to_owned(),
                identity: identity.trim().to_owned(),
            }),
            None => Err(fail(format!("\"{answer}\" as its version"))),
        }
    }

    /// Makes the environment in `folder`, which does not exist.
    fn install(&self, folder: &Path) -> Result<(), EnvironmentError> {
        let pip = match self.venv(&["-m", "venv"], folder) {
            Ok(_) => {
                run(Command::new(python(folder)).args(["-m", "pip", "install"]).args(install_arguments()))
            }
            // ensurepip is a package of its own in some systems (Debian's python3-venv); pip may be there without it.
            Err(found) => self
                .borrow_pip(folder)
                .ok_or_else(|| EnvironmentError::NoPip { interpreter: self.interpreter.to_owned(), found })?,
        };
        pip.map(drop).map_err(|found| EnvironmentError::Packages {
            packages: requirements().collect::<Vec<_>>().join(" and "),
            folder: folder.to_owned(),
            version: self.version.clone(),
            found,
        })
    }

    /// Installs with the interpreter's own pip; `None` if it has none.
    fn borrow_pip(&self, folder: &Path) -> Option<Result<String, String>> {
        run(Command::new(self.interpreter).args(["-m", "pip", "--version"])).ok()?;
        self.venv(&["-m", "venv", "--clear", "--without-pip"], folder).ok()?;
        let mut pip = Command::new(self.interpreter);
        pip.args(["-m", "pip", "--python"]).arg(python(folder)).arg("install").args(install_arguments());
        Some(run(&mut pip))
    }

    fn venv(&self, arguments: &[&str], folder: &Path) -> Result<String, String> {
        run(Command::new(self.interpreter).args(arguments).arg(folder))
    }
}

fn python(folder: &Path) -> PathBuf {
    folder.join("bin").join("python3")
}

fn requirements() -> impl Iterator<Item = &'static str> {
    REQUIREMENTS.lines().filter(|line| !line.starts_with('#'))
}

/// Wheels only: building either package from source takes an hour and a dozen libraries.
fn install_arguments() -> impl Iterator<Item = &'static str> {
    ["--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
        .into_iter()
        .chain(requirements())
}

/// Output of a program, or the reason why it failed, with its output.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let printed = [text(&output.stdout), text(&output.stderr)]
        .join(" ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    Err(format!("{}: {printed}", output.status))
}

fn remove(folder: &Path) -> Result<(), EnvironmentError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file(folder, "removed", error)),
        _ => Ok(()),
    }
}

fn file(path: &Path, operation: &'static str, source: io::Error) -> EnvironmentError {
    EnvironmentError::File { path: path.to_owned(), operation, source }
}
