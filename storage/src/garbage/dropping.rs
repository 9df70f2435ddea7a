//! Removal of results and recordings on request.

use anabranch_engine::index::holds;
use anabranch_engine::store::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use super::mark::{Entry, Groups, read};
use super::superseded::{Unit, disturbed, last_recording};
use super::sweep::{Progress, Release, Sweeper};
use super::{Freed, Group, Reason, Skipped, begin, condemn, condemned_blocks, disk_bytes, finish};
use crate::error::{failure, sql};
use crate::results::key_runs;
use crate::results::removals;
use crate::results::withdrawn;
use crate::runs;
use crate::sqlite::schema::has_table;
use crate::store::Store;

const OPERATION: &str = "drop from store";

/// Names of dependants that are listed at most.
const MOST_NAMES: usize = 20;

/// Data to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropTarget {
    /// All results of a function: all versions, or those whose fingerprint begins so.
    Function {
        /// Its name.
        name: String,
        /// Hex digits; empty for all.
        fingerprint: String,
    },
    /// Recordings of a pipeline: of a node, of a run, or of a node in a run.
    Recordings {
        /// The pipeline.
        pipeline: String,
        /// The node; none for all.
        node: Option<String>,
        /// The run; none for all.
        run: Option<String>,
    },
}

/// Data that was dropped, or the reason why nothing was.
#[derive(Debug, Clone, Default)]
pub struct DropReport {
    /// Data that could not be read, or would be lost, without the data to remove. If there is any and
    /// it is not removed as well, nothing was dropped.
    pub dependants: Vec<String>,
    /// True if everything was removed.
    pub dropped: bool,
    /// Recordings that are removed.
    pub recordings: Vec<Group>,
    /// Blocks of recordings that are removed.
    pub record_blocks: Freed,
    /// Blocks of results that are removed.
    pub result_blocks: Freed,
    /// Versions of results that are removed.
    pub versions: u64,
    /// Data that could not be removed, with the reasons.
    pub left: Vec<Skipped>,
    /// Bytes of the store's database, its log included, before.
    pub disk_before: u64,
    /// The same afterwards.
    pub disk_after: u64,
}

impl Store {
    /// Removes results or recordings and gives their space back to the disk. Data that depends on them is
    /// named, and is removed with them only if forced. Blocks until it is done.
    ///
    /// Errors: nothing of that name; a run at work that may need the data.
    pub fn drop_from(&self, target: &DropTarget, force: bool) -> Result<DropReport, StoreError> {
        let mut sweeper = begin(self.database(), self.dir())?;
        let disk_before = disk_bytes(self.dir());
        let wanted = Wanted::find(&sweeper.connection, target)?;
        wanted.check_alive(self.dir(), target)?;
        let mut report = DropReport { disk_before, ..DropReport::default() };
        report.dependants = wanted.dependants(&sweeper.connection).map_err(|e| sql(OPERATION, e))?;
        if report.dependants.is_empty() || force {
            wanted.remove(&mut sweeper, &mut report)?;
            finish(&mut sweeper)?;
            report.dropped = report.left.is_empty();
        } else {
            wanted.foretell(&sweeper.connection, &mut report)?;
        }
        report.disk_after = disk_bytes(self.dir());
        Ok(report)
    }
}

/// Results of functions, and recordings, to remove.
#[derive(Debug)]
struct Wanted {
    functions: Vec<i64>,
    recordings: Vec<(Entry, String)>,
    last_recording: i64,
}

impl Wanted {
    fn find(connection: &Connection, target: &DropTarget) -> Result<Self, StoreError> {
        let failed = |e| sql(OPERATION, e);
        let last_recording = last_recording(connection)?;
        let (functions, recordings) = match target {
            DropTarget::Function { name, fingerprint } => {
                let functions = functions(connection, name, fingerprint).map_err(failed)?;
                let users = users(connection, &functions).map_err(failed)?;
                (functions, users)
            }
            DropTarget::Recordings { pipeline, node, run } => (
                Vec::new(),
                entries(
                    connection,
                    "pipeline = ?1 AND (?2 IS NULL OR node = ?2) AND (?3 IS NULL OR run = ?3)",
                    (pipeline, node, run),
                )
                .map_err(failed)?,
            ),
        };
        if functions.is_empty() && recordings.is_empty() {
            let message = format!(
                "found nothing in the store of {}, expected what it has; list what the store holds",
                describe(target)
            );
            return Err(failure(StoreErrorKind::Missing, OPERATION, message));
        }
        Ok(Self { functions, recordings, last_recording })
    }

    /// Data that a run at work may need cannot be removed.
    fn check_alive(&self, dir: &std::path::Path, target: &DropTarget) -> Result<(), StoreError> {
        let alive = if self.functions.is_empty() {
            let run =
                self.recordings.iter().map(|(entry, _)| &entry.run).find(|run| runs::is_alive(dir, run));
            run.cloned()
        } else {
            runs::any_alive(dir)
        };
        let Some(run) = alive else { return Ok(()) };
        let message = format!("{}: run \"{run}\" is at work; drop once it has ended", describe(target));
        Err(failure(StoreErrorKind::System, OPERATION, message))
    }

    fn dependants(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut names = Vec::new();
        if !self.functions.is_empty() {
            for (entry, node) in self.recordings.iter().filter(|(entry, _)| entry.complete) {
                names.push(format!(
                    "the recording of node \"{node}\" of pipeline \"{}\" in run {}",
                    entry.pipeline, entry.run
                ));
            }
        }
        let (histories, links) = (has_table(connection, "histories")?, has_table(connection, "links")?);
        for (entry, node) in &self.recordings {
            if histories {
                let query = "SELECT source_id FROM histories WHERE recording = ?1";
                for source in strings(connection, query, entry.id)? {
                    names.push(format!(
                        "all that the cumulative source \"{source}\" has read (node \"{node}\")"
                    ));
                }
            }
            if links {
                let query = "SELECT 'derived source \"' || node || '\" in run ' || run FROM links
                     WHERE store = '.' AND recording = ?1";
                for link in strings(connection, query, entry.id)? {
                    names.push(format!("the lineage of {link} (node \"{node}\" in run {})", entry.run));
                }
            }
        }
        if names.len() > MOST_NAMES {
            let more = names.len() - MOST_NAMES;
            names.truncate(MOST_NAMES);
            names.push(format!("{more} more"));
        }
        Ok(names)
    }

    /// Adds up the data that removal would free.
    fn foretell(&self, connection: &Connection, report: &mut DropReport) -> Result<(), StoreError> {
        let mut groups = Groups::default();
        for (entry, _) in &self.recordings {
            groups.add(entry, Reason::Dropped);
        }
        condemn(connection, self.recordings.iter().map(|(entry, _)| entry.id))?;
        report.recordings = groups.list();
        report.record_blocks = condemned_blocks(connection)?;
        for function in &self.functions {
            let (blocks, bytes, versions): (i64, i64, i64) = connection
                .query_row(
                    "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(rows), 0) FROM (
                       SELECT length(prefixes) + length(data) AS bytes, rows FROM result_blocks WHERE function = ?1
                       UNION ALL
                       SELECT length(prefixes) + length(data), rows FROM result_packs WHERE function = ?1)",
                    [function],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .map_err(|e| sql(OPERATION, e))?;
            report.result_blocks.blocks += blocks.unsigned_abs();
            report.result_blocks.bytes += bytes.unsigned_abs();
            report.versions += versions.unsigned_abs();
        }
        Ok(())
    }

    fn remove(&self, sweeper: &mut Sweeper, report: &mut DropReport) -> Result<(), StoreError> {
        let mut groups = Groups::default();
        for (entry, node) in &self.recordings {
            if sweeper.remove_recording(entry, Release::Histories, &mut report.record_blocks)? {
                groups.add(entry, Reason::Dropped);
            } else {
                report.left.push(Skipped(format!(
                    "the recording of node \"{node}\" in run {} is being read; drop it again afterwards",
                    entry.run
                )));
            }
        }
        report.recordings = groups.list();
        // A recording that is read needs its results.
        if report.left.is_empty() {
            for function in &self.functions {
                self.remove_results(*function, sweeper, report)?;
            }
        }
        Ok(())
    }

    fn remove_results(
        &self,
        function: i64,
        sweeper: &mut Sweeper,
        report: &mut DropReport,
    ) -> Result<(), StoreError> {
        let failed = |e| sql(OPERATION, e);
        let dir = sweeper.dir.clone();
        sweeper.steps(|transaction, clock| {
            if let Some(reason) = disturbed(transaction, &dir, self.last_recording)? {
                report.left.push(reason);
                return Ok(Progress::Done);
            }
            removals::add(transaction).map_err(failed)?;
            // In each step, since another process may have sorted the rest meanwhile.
            key_runs::forget(transaction, function).map_err(failed)?;
            while !clock.is_over() {
                let Some(unit) = Unit::any(transaction, function).map_err(failed)? else {
                    withdrawn::forget(transaction, function).map_err(failed)?;
                    return Ok(Progress::Done);
                };
                let size = unit.remove(transaction).map_err(failed)?;
                let size = holds(size, "what was found in a transaction is there until it ends");
                report.result_blocks.add(size.bytes);
                report.versions += size.rows;
            }
            Ok(Progress::More)
        })
    }
}

fn describe(target: &DropTarget) -> String {
    match target {
        DropTarget::Function { name, fingerprint } if fingerprint.is_empty() => {
            format!("function \"{name}\"")
        }
        DropTarget::Function { name, fingerprint } => {
            format!("function \"{name}\" with a fingerprint that begins with {fingerprint}")
        }
        DropTarget::Recordings { pipeline, node, run } => {
            let node = node.as_ref().map_or_else(String::new, |node| format!("node \"{node}\" of "));
            let run = run.as_ref().map_or_else(String::new, |run| format!(" in run \"{run}\""));
            format!("{node}pipeline \"{pipeline}\"{run}")
        }
    }
}

/// Functions of a name that have results.
fn functions(connection: &Connection, name: &str, fingerprint: &str) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached(
            "SELECT id FROM functions f WHERE name = ?1 AND substr(lower(hex(fingerprint)), 1, length(?2)) = lower(?2)
               AND (EXISTS (SELECT 1 FROM result_blocks WHERE function = f.id)
                 OR EXISTS (SELECT 1 FROM result_packs WHERE function = f.id))",
        )?
        .query_map((name, fingerprint), |row| row.get(0))?
        .collect()
}

/// Recordings whose outputs are in the results of these functions.
fn users(connection: &Connection, functions: &[i64]) -> rusqlite::Result<Vec<(Entry, String)>> {
    let mut users = Vec::new();
    for function in functions {
        users.extend(entries(connection, "function = ?1", [function])?);
    }
    Ok(users)
}

fn entries(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<(Entry, String)>> {
    let query = format!(
        "SELECT id, pipeline, run, complete, rows, node FROM recordings WHERE {condition} ORDER BY id"
    );
    connection.prepare(&query)?.query_map(parameters, |row| Ok((read(row)?, row.get(5)?)))?.collect()
}

fn strings(connection: &Connection, query: &str, recording: i64) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(query)?.query_map([recording], |row| row.get(0))?.collect()
}
