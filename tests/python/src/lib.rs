//! The Python environment of the tests.
//!
//! Tests of Python functions need pyarrow, and the SQL oracle needs DuckDB. Neither has to be installed on the
//! machine: the first test that needs them makes a virtual environment in the target folder, from the first `python3`
//! along `PATH` and the pinned versions in `requirements.txt`; all later ones, in this process and in others, find it
//! there. A machine on which that cannot be done fails those tests with a sentence that names what is missing.
//!
//! Guarantees:
//! 1. One process makes the environment; others that need it meanwhile wait for a file lock, which a killed process
//!    releases.
//! 2. A half-made environment is never used: its stamp is written last, and what has no stamp is made anew.
//! 3. Another interpreter, or another pin, is another environment.

mod environment;
mod error;

pub use environment::Environment;
pub use error::EnvironmentError;

use std::path::PathBuf;
use std::sync::OnceLock;

/// Returns the interpreter of the tests' environment, which it makes where there is none yet.
///
/// # Panics
/// If the environment cannot be made; the message names what is missing.
///
/// # Example
/// ```no_run
/// let python = anabranch_test_python::interpreter();
/// let output = std::process::Command::new(python).args(["-c", "import duckdb, pyarrow"]).output()?;
/// assert!(output.status.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn interpreter() -> &'static str {
    static INTERPRETER: OnceLock<Result<String, String>> = OnceLock::new();
    let made = INTERPRETER.get_or_init(|| {
        let environment = target_folder().and_then(|target| Environment::make(&target, "python3"));
        environment.map(Environment::into_interpreter).map_err(|error| error.with_causes())
    });
    made.as_deref().unwrap_or_else(|reason| panic!("{reason}"))
}

/// The target folder, of which this program is `<profile>/deps/<test>`.
fn target_folder() -> Result<PathBuf, EnvironmentError> {
    let program = std::env::current_exe().map_err(|source| EnvironmentError::Program { source })?;
    let deps = program.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "deps"));
    let target = deps.and_then(|deps| deps.ancestors().nth(2)).map(PathBuf::from);
    target.ok_or(EnvironmentError::Place { program })
}
