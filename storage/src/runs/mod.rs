//! Runs: what was started, whether it is alive, and how it ended.
//!
//! A run that is alive holds a lock of the operating system on the file `runs/<run>`. The lock
//! is released when its process ends, however that happens; a file without a lock means nothing and is removed
//! by the next process that finds it.

pub(crate) mod failures;

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::{failure, io, sql};

/// A run that begins.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// Its id: letters, digits, `-`, `_` and `.`, at most 128, not beginning with `.`.
    pub run: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Hash of the pipeline, in hex digits.
    pub pipeline_hash: String,
    /// Time of its beginning, in milliseconds since 1970.
    pub started_ms: i64,
    /// Its summary as far as it is known, a JSON document: that of its end takes the place of it.
    pub summary: String,
}

/// End of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// `ok`, `failed`, `cancelled`, ... as in the summary.
    pub status: String,
    /// Time of the end, in milliseconds since 1970.
    pub ended_ms: i64,
    /// The summary, a JSON document.
    pub summary: String,
}

/// State of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Its process is at work.
    Running,
    /// Its process ended without recording the end of the run.
    Interrupted,
    /// It has ended.
    Ended(RunEnd),
}

impl RunState {
    /// The state in one word.
    #[must_use]
    pub fn status(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Ended(end) => &end.status,
        }
    }
}

/// A run in the store.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Its beginning.
    pub start: RunStart,
    /// Its state.
    pub state: RunState,
}

/// Marks a run as alive until it is dropped or its process ends.
#[derive(Debug)]
pub struct RunLease {
    run: String,
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl RunLease {
    /// Takes the lock of a run in the store's folder; files of runs that were killed are removed.
    pub(crate) fn take(dir: &Path, run: &str) -> Result<Self, StoreError> {
        const OPERATION: &str = "begin run";
        let path = path(dir, run)?;
        remove_stale(&dir.join("runs"));
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| io(OPERATION, &path, e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    // A search for stale files shares the lock for a moment; a run keeps it.
                    if let Liveness::Alive = liveness(&path) {
                        let message =
                            format!("run \"{run}\" is under way in another process; choose another id");
                        return Err(failure(StoreErrorKind::Place, OPERATION, message));
                    }
                    file.lock().map_err(|e| io(OPERATION, &path, e))?;
                }
                Err(TryLockError::Error(e)) => return Err(io(OPERATION, &path, e)),
            }
            // The file may have been removed as stale between opening and locking it.
            if is_same(&file, &path) {
                return Ok(Self { run: run.to_owned(), path, file });
            }
        }
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }
}

impl Drop for RunLease {
    fn drop(&mut self) {
        // Left behind, the file would be found unlocked and removed.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

fn path(dir: &Path, run: &str) -> Result<PathBuf, StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if run.is_empty() || run.len() > 128 || run.starts_with('.') || !run.chars().all(plain) {
        let message = format!(
            "found the run id \"{run}\", expected 1 to 128 letters, digits, \"-\", \"_\" and \".\", not beginning with \".\""
        );
        return Err(failure(StoreErrorKind::Place, "begin run", message));
    }
    Ok(dir.join("runs").join(run))
}

enum Liveness {
    Alive,
    Gone,
}

/// Checks if the lock is held; a file whose lock is free is removed.
fn liveness(path: &Path) -> Liveness {
    let Ok(file) = File::open(path) else { return Liveness::Gone };
    if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
        return Liveness::Alive;
    }
    if is_same(&file, path) {
        let _ = std::fs::remove_file(path);
    }
    Liveness::Gone
}

/// Returns true if a run's process is at work.
pub(crate) fn is_alive(dir: &Path, run: &str) -> bool {
    path(dir, run).is_ok_and(|path| matches!(liveness(&path), Liveness::Alive))
}

/// A run that is at work, if there is one.
pub(crate) fn any_alive(dir: &Path) -> Option<String> {
    let leases = std::fs::read_dir(dir.join("runs")).into_iter().flatten().flatten();
    let mut alive = leases.filter(|lease| matches!(liveness(&lease.path()), Liveness::Alive));
    alive.next().map(|lease| lease.file_name().to_string_lossy().into_owned())
}

/// Removes the files of runs that are not alive. What cannot be read or removed now can be later.
fn remove_stale(leases: &Path) {
    for lease in std::fs::read_dir(leases).into_iter().flatten().flatten() {
        liveness(&lease.path());
    }
}

/// Writes down that a run began.
pub(crate) fn begin(connection: &Connection, start: &RunStart) -> Result<(), StoreError> {
    const OPERATION: &str = "begin run";
    connection
        .execute(
            "INSERT INTO runs (run, pipeline, pipeline_hash, started_ms, summary) VALUES (?1, ?2, ?3, ?4, ?5)",
            (&start.run, &start.pipeline, &start.pipeline_hash, start.started_ms, &start.summary),
        )
        .map_err(|e| match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let message = format!("run \"{}\" is in the store already; choose another id", start.run);
                failure(StoreErrorKind::Place, OPERATION, message)
            }
            _ => sql(OPERATION, e),
        })?;
    Ok(())
}

/// Writes down how a run ended.
pub(crate) fn end(connection: &Connection, run: &str, end: &RunEnd) -> Result<(), StoreError> {
    connection
        .execute(
            "UPDATE runs SET status = ?2, ended_ms = ?3, summary = ?4 WHERE run = ?1",
            (run, &end.status, end.ended_ms, &end.summary),
        )
        .map_err(|e| sql("end run", e))?;
    Ok(())
}

/// The summary of a run, if the run is known and has one.
pub(crate) fn summary(connection: &Connection, run: &str) -> Result<Option<String>, StoreError> {
    let failed = |e| sql("read run", e);
    let mut statement =
        connection.prepare_cached("SELECT summary FROM runs WHERE run = ?1").map_err(failed)?;
    let found = statement.query_row([run], |row| row.get::<_, Option<String>>(0)).optional();
    Ok(found.map_err(failed)?.flatten())
}

/// Runs of a pipeline, or all; the newest first.
pub(crate) fn list(
    connection: &Connection,
    dir: &Path,
    pipeline: Option<&str>,
) -> Result<Vec<RunInfo>, StoreError> {
    let failed = |e| sql("list runs", e);
    let mut statement = connection
        .prepare_cached(
            "SELECT run, pipeline, pipeline_hash, started_ms, status, ended_ms, summary FROM runs
             WHERE ?1 IS NULL OR pipeline = ?1 ORDER BY id DESC",
        )
        .map_err(failed)?;
    let read = |row: &rusqlite::Row<'_>| {
        let start = RunStart {
            run: row.get(0)?,
            pipeline: row.get(1)?,
            pipeline_hash: row.get(2)?,
            started_ms: row.get(3)?,
            // Earlier versions write no summary before the end of a run.
            summary: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        };
        let state = match row.get(4)? {
            Some(status) => {
                RunState::Ended(RunEnd { status, ended_ms: row.get(5)?, summary: start.summary.clone() })
            }
            None => RunState::Running,
        };
        Ok(RunInfo { start, state })
    };
    let runs = statement.query_map([pipeline], read).map_err(failed)?;
    let mut runs: Vec<RunInfo> = runs.collect::<rusqlite::Result<_>>().map_err(failed)?;
    for run in runs.iter_mut().filter(|run| run.state == RunState::Running) {
        let gone = path(dir, &run.start.run).map_or(Liveness::Gone, |path| liveness(&path));
        if let Liveness::Gone = gone {
            run.state = ended_since(connection, &run.start.run)?;
        }
    }
    Ok(runs)
}

/// A run may have ended between reading its row and looking at its lock.
fn ended_since(connection: &Connection, run: &str) -> Result<RunState, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(match row.get(0)? {
            Some(status) => RunState::Ended(RunEnd { status, ended_ms: row.get(1)?, summary: row.get(2)? }),
            None => RunState::Interrupted,
        })
    };
    connection
        .query_row("SELECT status, ended_ms, summary FROM runs WHERE run = ?1", [run], read)
        .map_err(|e| sql("list runs", e))
}
