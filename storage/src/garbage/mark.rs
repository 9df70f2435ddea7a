//! The mark phase: recordings that are removed, recordings that stay, and the reasons.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;

use anabranch_engine::store::StoreError;
use rusqlite::Connection;

use super::{Group, Reason};
use crate::error::sql;
use crate::locks::reading::ReadingLock;
use crate::runs;
use crate::sqlite::schema::has_table;

pub(super) const OPERATION: &str = "collect garbage";

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
        connection: &Connection,
        dir: &Path,
        keep_runs: Option<NonZeroUsize>,
    ) -> Result<Self, StoreError> {
        let failed = |e| sql(OPERATION, e);
        let policy = match keep_runs {
            Some(count) => Some(Policy::new(connection, count).map_err(failed)?),
            None => None,
        };
        let mut alive: HashMap<String, bool> = HashMap::new();
        let mut marks = Self::default();
        let mut old = Vec::new();
        let mut staying: HashSet<String> = HashSet::new();
        each(connection, |entry| {
            let alive = *alive.entry(entry.run.clone()).or_insert_with(|| runs::is_alive(dir, &entry.run));
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
        })
        .map_err(failed)?;
        let linked = linked(connection, &mut staying, &old).map_err(failed)?;
        for entry in old {
            if linked.contains(&entry.id) {
                marks.kept.add(&entry, Reason::Linked);
            } else if ReadingLock::to_remove(dir, entry.id)?.is_none() {
                marks.kept.add(&entry, Reason::BeingRead);
            } else {
                marks.condemned.push((entry, Reason::OlderRun));
            }
        }
        Ok(marks)
    }
}

/// Hands out all recordings.
fn each(connection: &Connection, mut take: impl FnMut(Entry)) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT id, pipeline, run, complete, rows FROM recordings ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(read(row)?);
    }
    Ok(())
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        pipeline: row.get(1)?,
        run: row.get(2)?,
        complete: row.get(3)?,
        rows: row.get::<_, i64>(4)?.unsigned_abs(),
    })
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
    fn new(connection: &Connection, count: NonZeroUsize) -> rusqlite::Result<Self> {
        let newest = "SELECT max(id) FROM recordings WHERE complete = 1 GROUP BY pipeline, node";
        let newest_of_node = ids(connection, newest)?;
        let histories = histories(connection)?;
        let mut policy = Self { pipelines: HashMap::new(), newest_of_node, histories, count };
        let mut statement = connection.prepare_cached(
            "SELECT c.pipeline, r.run, min(c.id) FROM runs r JOIN recordings c ON c.run = r.run
             WHERE r.status = 'ok' AND c.complete = 1 GROUP BY r.id, c.pipeline ORDER BY r.id DESC",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let first: i64 = row.get(2)?;
            let newest = policy.pipelines.entry(row.get(0)?).or_default();
            if newest.runs.len() < count.get() {
                newest.first = if newest.runs.is_empty() { first } else { newest.first.min(first) };
                newest.runs.insert(row.get(1)?);
            }
        }
        Ok(policy)
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

fn ids(connection: &Connection, query: &str) -> rusqlite::Result<HashSet<i64>> {
    connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
}

/// The recordings that have what cumulative sources have read.
fn histories(connection: &Connection) -> rusqlite::Result<HashSet<i64>> {
    if !has_table(connection, "histories")? {
        return Ok(HashSet::new());
    }
    ids(connection, "SELECT recording FROM histories")
}

/// Recordings that derived sources of staying runs have read, and so on through their runs.
fn linked(
    connection: &Connection,
    staying: &mut HashSet<String>,
    old: &[Entry],
) -> rusqlite::Result<HashSet<i64>> {
    let mut linked = HashSet::new();
    if old.is_empty() || !has_table(connection, "links")? {
        return Ok(linked);
    }
    let runs: HashMap<i64, &str> = old.iter().map(|entry| (entry.id, entry.run.as_str())).collect();
    let mut statement = connection.prepare_cached("SELECT run, recording FROM links WHERE store = '.'")?;
    let links = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut links: Vec<(String, i64)> = links.collect::<rusqlite::Result<_>>()?;
    links.retain(|(_, recording)| runs.contains_key(recording));
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
