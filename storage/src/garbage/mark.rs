//! The mark phase: recordings that are removed, recordings that stay, and the reasons.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow::Continue;

use anabranch_engine::store::StoreFault;

use super::{Group, Reason};
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::tables::{HISTORIES, LINKS, RECORDINGS, RUNS};
use crate::catalog::value::Row;
use crate::catalog::{Reader, Rows};
use crate::leases::Leases;

/// Columns of an [`Entry`].
pub(super) const ENTRY: [&str; 5] = ["id", "pipeline", "run", "complete", "rows"];

/// A recording, as far as the mark phase needs it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) pipeline: String,
    pub(super) run: String,
    pub(super) complete: bool,
    pub(super) rows: u64,
}

/// Recordings by pipeline and by the reason why they are removed or stay.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<(String, Reason), (HashSet<String>, u64, u64)>);

impl Groups {
    pub(super) fn add(&mut self, entry: &Entry, reason: Reason) {
        let (runs, recordings, rows) = self.0.entry((entry.pipeline.clone(), reason)).or_default();
        runs.insert(entry.run.clone());
        *recordings += 1;
        *rows += entry.rows;
    }

    pub(super) fn list(self) -> Vec<Group> {
        let group = |((pipeline, reason), (runs, recordings, rows)): (_, (HashSet<String>, u64, u64))| {
            Group { pipeline, reason, runs: runs.len() as u64, recordings, rows }
        };
        self.0.into_iter().map(group).collect()
    }
}

/// The mark phase's decision about each recording.
///
/// Memory: some hundred bytes for each recording that is removed, and the names of the runs.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) condemned: Vec<(Entry, Reason)>,
    pub(super) kept: Groups,
}

impl Marks {
    /// Decides by the store's state now; the removal checks again.
    pub(super) fn new(
        reader: &dyn Reader,
        leases: &dyn Leases,
        keep_runs: Option<NonZeroUsize>,
    ) -> Result<Self, StoreFault> {
        let policy = keep_runs.map(|count| Policy::new(reader, count)).transpose()?;
        let mut alive: HashMap<String, bool> = HashMap::new();
        let mut marks = Self::default();
        let mut old = Vec::new();
        let mut staying: HashSet<String> = HashSet::new();
        reader.each(&Query::of(&RECORDINGS, &ENTRY).ascending("id"), |row| {
            let entry = Entry::read(row)?;
            let alive = match alive.entry(entry.run.clone()) {
                MapEntry::Occupied(known) => *known.get(),
                MapEntry::Vacant(new) => *new.insert(leases.is_alive(&entry.run)?),
            };
            let reason = match (&policy, entry.complete) {
                _ if alive => Reason::RunAlive,
                (_, false) => Reason::Incomplete,
                (None, true) => Reason::Complete,
                (Some(policy), true) => policy.reason(&entry),
            };
            match reason {
                Reason::Incomplete => marks.condemned.push((entry, reason)),
                Reason::OlderRun => old.push(entry),
                _ => {
                    marks.kept.add(&entry, reason);
                    staying.insert(entry.run);
                }
            }
            Ok::<_, StoreFault>(Continue(()))
        })?;
        let linked = linked(reader, &mut staying, &old)?;
        for entry in old {
            if linked.contains(&entry.id) {
                marks.kept.add(&entry, Reason::Linked);
            } else if leases.remove(entry.id)?.is_none() {
                marks.kept.add(&entry, Reason::BeingRead);
            } else {
                marks.condemned.push((entry, Reason::OlderRun));
            }
        }
        Ok(marks)
    }
}

impl Entry {
    /// Reads the columns of [`ENTRY`], with which a row begins.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreFault> {
        Ok(Self {
            id: row.number(0)?,
            pipeline: row.string(1)?,
            run: row.string(2)?,
            complete: row.flag(3)?,
            rows: row.unsigned(4)?,
        })
    }
}

/// Keeps the newest complete runs of each pipeline, and what stands for more than its run.
#[derive(Debug)]
struct Policy {
    pipelines: HashMap<String, Newest>,
    newest_of_node: HashSet<i64>,
    histories: HashSet<i64>,
    count: NonZeroUsize,
}

#[derive(Debug, Default)]
struct Newest {
    runs: HashSet<String>,
    /// The first recording of any of these runs.
    first: i64,
}

impl Policy {
    fn new(reader: &dyn Reader, count: NonZeroUsize) -> Result<Self, StoreFault> {
        let _snapshot = Snapshot::take(reader)?;
        let histories = reader.all(&Query::of(&HISTORIES, &["recording"]), |row| row.number(0))?;
        let mut policy = Self {
            pipelines: HashMap::new(),
            newest_of_node: newest_of_node(reader)?,
            histories: histories.into_iter().collect(),
            count,
        };
        let runs = Query::of(&RUNS, &["run"]).equal("status", "ok").descending("id");
        reader.each(&runs, |row| {
            let run = row.string(0)?;
            for (pipeline, first) in first_by_pipeline(reader, &run)? {
                policy.add(pipeline, &run, first);
            }
            Ok::<_, StoreFault>(Continue(()))
        })?;
        Ok(policy)
    }

    /// Adds the next older run of a pipeline, with its first recording there.
    fn add(&mut self, pipeline: String, run: &str, first: i64) {
        let newest = self.pipelines.entry(pipeline).or_default();
        if newest.runs.len() < self.count.get() {
            newest.first = if newest.runs.is_empty() { first } else { newest.first.min(first) };
            newest.runs.insert(run.to_owned());
        }
    }

    fn reason(&self, entry: &Entry) -> Reason {
        let newest = self.pipelines.get(&entry.pipeline);
        match newest.filter(|newest| newest.runs.len() == self.count.get()) {
            None => Reason::NewestRuns,
            Some(newest) if newest.runs.contains(&entry.run) || entry.id > newest.first => Reason::NewestRuns,
            _ if self.histories.contains(&entry.id) => Reason::History,
            _ if self.newest_of_node.contains(&entry.id) => Reason::NewestOfNode,
            _ => Reason::OlderRun,
        }
    }
}

/// The newest complete recording of each node of each pipeline.
fn newest_of_node(rows: &dyn Rows) -> Result<HashSet<i64>, StoreFault> {
    let mut newest: HashMap<(String, String), i64> = HashMap::new();
    let complete = Query::of(&RECORDINGS, &["pipeline", "node", "id"]).equal("complete", true);
    rows.each(&complete, |row| {
        let id = row.number(2)?;
        let newest = newest.entry((row.string(0)?, row.string(1)?)).or_insert(id);
        *newest = id.max(*newest);
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(newest.into_values().collect())
}

/// The first complete recording of a run in each pipeline that it has any of.
fn first_by_pipeline(rows: &dyn Rows, run: &str) -> Result<HashMap<String, i64>, StoreFault> {
    let mut pipelines: HashMap<String, i64> = HashMap::new();
    let complete = Query::of(&RECORDINGS, &["pipeline", "id"]).equal("run", run).equal("complete", true);
    rows.each(&complete, |row| {
        let id = row.number(1)?;
        let first = pipelines.entry(row.string(0)?).or_insert(id);
        *first = id.min(*first);
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(pipelines)
}

/// Recordings that derived sources of staying runs have read, and so on through their runs.
fn linked(rows: &dyn Rows, staying: &mut HashSet<String>, old: &[Entry]) -> Result<HashSet<i64>, StoreFault> {
    let mut linked = HashSet::new();
    if old.is_empty() {
        return Ok(linked);
    }
    let runs: HashMap<i64, &str> = old.iter().map(|entry| (entry.id, entry.run.as_str())).collect();
    let mut links: Vec<(String, i64)> = Vec::new();
    rows.each(&Query::of(&LINKS, &["run", "recording"]).equal("store", "."), |row| {
        let recording = row.number(1)?;
        if runs.contains_key(&recording) {
            links.push((row.string(0)?, recording));
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    loop {
        let before = linked.len();
        for (_, recording) in links.iter().filter(|(run, _)| staying.contains(run)) {
            linked.insert(*recording);
        }
        staying.extend(linked.iter().filter_map(|id| runs.get(id)).map(|run| (*run).to_owned()));
        if linked.len() == before {
            return Ok(linked);
        }
    }
}
