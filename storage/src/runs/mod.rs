//! Runs: what was started, whether it is alive, and how it ended.
//!
//! A run that is alive holds a [lease](crate::leases), which ends with its process, however that happens.

pub(crate) mod failures;

use anabranch_engine::store::{RunError, StoreFault};

use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::RUNS;
use crate::catalog::value::Row;
use crate::catalog::{Rows, Transaction};
use crate::leases::{Lease, Leases};

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
    _lease: Lease,
}

impl RunLease {
    /// Marks a run as being at work.
    pub(crate) fn take(leases: &dyn Leases, run: &str) -> Result<Self, RunError> {
        Ok(Self { run: run.to_owned(), _lease: leases.begin_run(run)? })
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// Writes down that a run began.
pub(crate) fn begin(transaction: &dyn Transaction, start: &RunStart) -> Result<(), RunError> {
    // The transaction keeps others from beginning one of the same id in between.
    if transaction.exists(&Query::of(&RUNS, &[]).equal("run", &start.run))? {
        return Err(RunError::Exists { run: start.run.clone() });
    }
    let row = [
        ("run", (&start.run).into()),
        ("pipeline", (&start.pipeline).into()),
        ("pipeline_hash", (&start.pipeline_hash).into()),
        ("started_ms", start.started_ms.into()),
        ("summary", (&start.summary).into()),
    ];
    transaction.insert(&RUNS, &row)?;
    Ok(())
}

/// Writes down how a run ended.
pub(crate) fn end(transaction: &dyn Transaction, run: &str, end: &RunEnd) -> Result<(), StoreFault> {
    let values = [
        ("status", (&end.status).into()),
        ("ended_ms", end.ended_ms.into()),
        ("summary", (&end.summary).into()),
    ];
    transaction.update(&RUNS, &Filter::of("run", run), &values).map(drop)
}

/// The summary of a run, if the run is known and has one.
pub(crate) fn summary(rows: &dyn Rows, run: &str) -> Result<Option<String>, StoreFault> {
    let query = Query::of(&RUNS, &["summary"]).equal("run", run);
    Ok(rows.one(&query, |row| row.optional(0, Row::string))?.flatten())
}

/// Runs of a pipeline, or all; the newest first.
pub(crate) fn list(
    rows: &dyn Rows,
    leases: &dyn Leases,
    pipeline: Option<&str>,
) -> Result<Vec<RunInfo>, StoreFault> {
    let columns = ["status", "ended_ms", "summary", "run", "pipeline", "pipeline_hash", "started_ms"];
    let query = Query::of(&RUNS, &columns).descending("id");
    let query = match pipeline {
        Some(pipeline) => query.equal("pipeline", pipeline),
        None => query,
    };
    let mut runs = rows.all(&query, |row| {
        let start = RunStart {
            run: row.string(3)?,
            pipeline: row.string(4)?,
            pipeline_hash: row.string(5)?,
            started_ms: row.number(6)?,
            // Earlier versions write no summary before the end of a run.
            summary: row.optional(2, Row::string)?.unwrap_or_default(),
        };
        Ok(RunInfo { start, state: ended(row)?.map_or(RunState::Running, RunState::Ended) })
    })?;
    for run in runs.iter_mut().filter(|run| run.state == RunState::Running) {
        if !leases.is_alive(&run.start.run)? {
            run.state = ended_since(rows, &run.start.run)?;
        }
    }
    Ok(runs)
}

/// A run may have ended between reading its row and looking for its lease.
fn ended_since(rows: &dyn Rows, run: &str) -> Result<RunState, StoreFault> {
    let query = Query::of(&RUNS, &["status", "ended_ms", "summary"]).equal("run", run);
    Ok(rows.one(&query, ended)?.flatten().map_or(RunState::Interrupted, RunState::Ended))
}

/// The end of a run whose row begins with status, time of the end and summary; none if it has not ended.
fn ended(row: &Row<'_>) -> Result<Option<RunEnd>, StoreFault> {
    let Some(status) = row.optional(0, Row::string)? else { return Ok(None) };
    Ok(Some(RunEnd { status, ended_ms: row.number(1)?, summary: row.string(2)? }))
}
