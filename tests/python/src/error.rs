//! Reasons why there is no environment.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A failure to make the environment of the tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The path of the running program is not known.
    #[error(
        "tests need a Python environment in the target folder, but the path of this program is not known"
    )]
    Program {
        /// The reason.
        source: io::Error,
    },
    /// The running program is not where Cargo puts tests.
    #[error(
        "tests need a Python environment in the target folder: found the test \"{}\", expected it below target/<profile>/deps",
        program.display()
    )]
    Place {
        /// The path of the running program.
        program: PathBuf,
    },
    /// The interpreter does not start.
    #[error(
        "tests need Python packages, but \"{interpreter}\" does not start: found {found}, expected a Python 3.10 or newer along PATH: install it (on Debian: apt-get install python3 python3-venv)"
    )]
    Interpreter {
        /// The interpreter as named.
        interpreter: String,
        /// Output in place of an answer.
        found: String,
    },
    /// The interpreter can neither make an environment with pip in it nor lend its own pip.
    #[error(
        "tests need Python packages, but \"{interpreter}\" has no way to install any: found neither the module ensurepip (of venv) nor the module pip, expected one of them: install it (on Debian: apt-get install python3-venv); python3 -m venv ended with: {found}"
    )]
    NoPip {
        /// The interpreter's path.
        interpreter: String,
        /// Output of `python3 -m venv`.
        found: String,
    },
    /// The packages could not be installed.
    #[error(
        "tests need the Python packages {packages} in \"{}\", which pip could not install: the package index has to be reachable, and to have them for Python {version}; pip ended with: {found}",
        folder.display()
    )]
    Packages {
        /// The packages, with their versions.
        packages: String,
        /// The environment's folder.
        folder: PathBuf,
        /// The interpreter's major and minor version.
        version: String,
        /// Output of pip.
        found: String,
    },
    /// A file or folder of the environment could not be read or written.
    #[error("tests need a Python environment, but \"{}\" could not be {operation}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Operation on it, as a participle.
        operation: &'static str,
        /// The reason.
        source: io::Error,
    },
}

impl EnvironmentError {
    /// The message, followed by those of the causes.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
