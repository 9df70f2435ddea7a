//! Removal of results and recordings on request.

use std::collections::HashMap;
use std::ops::ControlFlow::Continue;
use std::sync::Arc;

use anabranch_engine::identity::Digest;
use anabranch_engine::index::holds;
use anabranch_engine::store::{DropError, StoreFault};

use super::condemned::unused_blocks;
use super::mark::{ENTRY, Entry, Groups};
use super::superseded::{Size, Unit, disturbed, last_recording};
use super::sweep::{Progress, Release, Sweeper};
use super::{Freed, Group, Reason, Skipped, begin, finish};
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{FUNCTIONS, HISTORIES, LINKS, RECORDINGS};
use crate::catalog::{Reader, Rows};
use crate::leases::Leases;
use crate::results::key_runs;
use crate::results::removals;
use crate::results::withdrawn;
use crate::store::Store;

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
    pub fn drop_from(&self, target: &DropTarget, force: bool) -> Result<DropReport, DropError> {
        let mut sweeper = begin(self)?;
        let disk_before = self.catalog().disk_bytes();
        let wanted = Wanted::find(sweeper.rows(), target)?;
        wanted.check_alive(&*sweeper.leases, target)?;
        let mut report = DropReport { disk_before, ..DropReport::default() };
        report.dependants = wanted.dependants(sweeper.rows())?;
        if report.dependants.is_empty() || force {
            wanted.remove(&mut sweeper, &mut report)?;
            finish(&mut sweeper)?;
            report.dropped = report.left.is_empty();
        } else {
            wanted.foretell(sweeper.rows(), &mut report)?;
        }
        report.disk_after = self.catalog().disk_bytes();
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
    fn find(rows: &dyn Rows, target: &DropTarget) -> Result<Self, DropError> {
        let last_recording = last_recording(rows)?;
        let (functions, recordings) = match target {
            DropTarget::Function { name, fingerprint } => {
                let functions = functions(rows, name, fingerprint)?;
                let users = users(rows, &functions)?;
                (functions, users)
            }
            DropTarget::Recordings { pipeline, node, run } => {
                let mut wanted = recordings().equal("pipeline", pipeline);
                for (column, value) in [("node", node), ("run", run)] {
                    if let Some(value) = value {
                        wanted = wanted.equal(column, value);
                    }
                }
                (Vec::new(), entries(rows, &wanted)?)
            }
        };
        if functions.is_empty() && recordings.is_empty() {
            return Err(DropError::Nothing { target: describe(target) });
        }
        Ok(Self { functions, recordings, last_recording })
    }

    /// Data that a run at work may need cannot be removed.
    fn check_alive(&self, leases: &dyn Leases, target: &DropTarget) -> Result<(), DropError> {
        let alive = if self.functions.is_empty() {
            let mut alive = None;
            for (entry, _) in &self.recordings {
                if leases.is_alive(&entry.run)? {
                    alive = Some(entry.run.clone());
                    break;
                }
            }
            alive
        } else {
            leases.any_alive()?
        };
        match alive {
            Some(run) => Err(DropError::Alive { target: describe(target), run }),
            None => Ok(()),
        }
    }

    fn dependants(&self, rows: &dyn Rows) -> Result<Vec<String>, StoreFault> {
        let mut names = Vec::new();
        if !self.functions.is_empty() {
            for (entry, node) in self.recordings.iter().filter(|(entry, _)| entry.complete) {
                names.push(format!(
                    "the recording of node \"{node}\" of pipeline \"{}\" in run {}",
                    entry.pipeline, entry.run
                ));
            }
        }
        let links = self.links(rows)?;
        for (entry, node) in &self.recordings {
            let histories = Query::of(&HISTORIES, &["source_id"]).equal("recording", entry.id);
            for source in rows.all(&histories, |row| row.string(0))? {
                names.push(format!("all that the cumulative source \"{source}\" has read (node \"{node}\")"));
            }
            for (reader, run) in links.get(&entry.id).into_iter().flatten() {
                names.push(format!(
                    "the lineage of derived source \"{reader}\" in run {run} (node \"{node}\" in run {})",
                    entry.run
                ));
            }
        }
        if names.len() > MOST_NAMES {
            let more = names.len() - MOST_NAMES;
            names.truncate(MOST_NAMES);
            names.push(format!("{more} more"));
        }
        Ok(names)
    }

    /// The derived sources, by node and run, that have read each recording.
    fn links(&self, rows: &dyn Rows) -> Result<HashMap<i64, Vec<(String, String)>>, StoreFault> {
        let mut links: HashMap<i64, Vec<_>> =
            self.recordings.iter().map(|(entry, _)| (entry.id, Vec::new())).collect();
        let all = Query::of(&LINKS, &["recording", "node", "run"]).equal("store", ".");
        rows.each(&all, |row| {
            if let Some(readers) = links.get_mut(&row.number(0)?) {
                readers.push((row.string(1)?, row.string(2)?));
            }
            Ok::<_, StoreFault>(Continue(()))
        })?;
        Ok(links)
    }

    /// Adds up the data that removal would free.
    fn foretell(&self, reader: &dyn Reader, report: &mut DropReport) -> Result<(), StoreFault> {
        let mut groups = Groups::default();
        for (entry, _) in &self.recordings {
            groups.add(entry, Reason::Dropped);
        }
        report.recordings = groups.list();
        let condemned = self.recordings.iter().map(|(entry, _)| entry.id).collect();
        report.record_blocks = unused_blocks(reader, &condemned)?;
        for function in &self.functions {
            Size::each(reader, *function, |size| {
                report.result_blocks.add(size.bytes);
                report.versions += size.rows;
            })?;
        }
        Ok(())
    }

    fn remove(&self, sweeper: &mut Sweeper, report: &mut DropReport) -> Result<(), StoreFault> {
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
    ) -> Result<(), StoreFault> {
        let leases = Arc::clone(&sweeper.leases);
        sweeper.steps(|transaction, clock| {
            if let Some(reason) = disturbed(transaction, &*leases, self.last_recording)? {
                report.left.push(reason);
                return Ok(Progress::Done);
            }
            removals::add(transaction)?;
            // In each step, since another process may have sorted the rest meanwhile.
            key_runs::forget(transaction, function)?;
            while !clock.is_over() {
                let Some(unit) = Unit::any(transaction, function)? else {
                    withdrawn::forget(transaction, function)?;
                    return Ok(Progress::Done);
                };
                let size = unit.remove(transaction)?;
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
fn functions(rows: &dyn Rows, name: &str, fingerprint: &str) -> Result<Vec<i64>, StoreFault> {
    let beginning = fingerprint.to_ascii_lowercase();
    let named = Query::of(&FUNCTIONS, &["id", "fingerprint"]).equal("name", name).ascending("id");
    let mut functions = Vec::new();
    rows.each(&named, |row| {
        let id = row.number(0)?;
        // One that is damaged can be dropped by the name alone.
        let is_meant = beginning.is_empty()
            || row.hash(1).is_ok_and(|hash| Digest(hash).to_string().starts_with(&beginning));
        if is_meant && Unit::any(rows, id)?.is_some() {
            functions.push(id);
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(functions)
}

/// Recordings whose outputs are in the results of these functions.
fn users(rows: &dyn Rows, functions: &[i64]) -> Result<Vec<(Entry, String)>, StoreFault> {
    let mut users = Vec::new();
    for function in functions {
        users.extend(entries(rows, &recordings().equal("function", *function))?);
    }
    Ok(users)
}

/// All recordings, with their nodes.
fn recordings<'a>() -> Query<'a> {
    let [id, pipeline, run, complete, rows] = ENTRY;
    Query::of(&RECORDINGS, &[id, pipeline, run, complete, rows, "node"]).ascending("id")
}

fn entries(rows: &dyn Rows, wanted: &Query<'_>) -> Result<Vec<(Entry, String)>, StoreFault> {
    rows.all(wanted, |row| Ok((Entry::read(row)?, row.string(ENTRY.len())?)))
}
