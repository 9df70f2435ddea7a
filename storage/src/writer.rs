//! The thread that writes: one connection, one transaction for what waits together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    FailingNode, InputLineage, NewResults, Outcomes, RecordLayout, RecordingKey, ResultRef, SetAside,
    StoreError, StoreErrorKind, StoredFunction, VersionSpan,
};
use anabranch_engine::task_thread::Tasks;
use arrow::array::Array;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::block::BLOCK_ROWS;
use crate::error::{SharedError, failure, guarded, sql};
use crate::failures;
use crate::histories::{self, HistoryStep};
use crate::late::{self, LateImport};
use crate::links::{self, Link};
use crate::recordings::writing::Writing;
use crate::results::alone::Alone;
use crate::results::blocks::ResultCache;
use crate::results::commit::{Added, Pending, Shared, check, commit};
use crate::results::index::KeyIndex;
use crate::results::upkeep::Upkeep;
use crate::results::withdrawn;
use crate::runs::{self, RunEnd, RunLease, RunStart};

const OPERATION: &str = "commit to store";

/// Bytes that share a transaction at most, unless one job has more; likewise 8,192 results and 8,192 records.
const GROUP_BYTES: usize = 4 << 20;
/// Jobs that share a transaction at most.
const GROUP_JOBS: usize = 64;

/// Names a recording between its recorder and the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer does, and who waits for it.
#[derive(Debug)]
pub(crate) enum WriteJob {
    Commit(Arc<StoredFunction>, NewResults, Answer<Outcomes>),
    Withdraw(Arc<StoredFunction>, Vec<VersionSpan>, Answer<u64>),
    Begin(Ticket, Box<Beginning>, Answer<u64>),
    Append(Ticket, Chunk, Vec<ResultRef>, InputLineage, Answer<()>),
    Complete(Ticket, Answer<()>),
    CompleteStep(Ticket, HistoryStep, Answer<Option<i64>>),
    Link(Link, Answer<()>),
    Remember(LateImport, Answer<()>),
    SetAside(Box<NewFailures>, Answer<()>),
    BeginRun(PathBuf, RunStart, Answer<RunLease>),
    EndRun(String, RunEnd, Answer<()>),
    Tidy(Answer<()>),
}

/// A recording to begin.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) key: RecordingKey,
    pub(crate) layout: RecordLayout,
    pub(crate) origins: Arc<Origins>,
    /// Gone once the recorder is dropped.
    pub(crate) alive: Weak<()>,
}

/// Packets to set aside.
#[derive(Debug)]
pub(crate) struct NewFailures {
    pub(crate) node: Arc<FailingNode>,
    pub(crate) packets: Vec<SetAside>,
    pub(crate) more: Vec<(PacketHash, u64)>,
}

impl WriteJob {
    fn load(&self) -> Load {
        match self {
            Self::Commit(_, results, _) => {
                let bytes = results.values.iter().map(Array::get_array_memory_size).sum();
                Load { results: results.keys.len(), bytes, ..Load::default() }
            }
            Self::Append(_, chunk, ..) => Load { records: chunk.rows(), bytes: chunk.bytes(), results: 0 },
            _ => Load::default(),
        }
    }

    /// Whether it has a transaction to itself: what commits of the same transaction know of results it would not see.
    fn is_alone(&self) -> bool {
        matches!(self, Self::Withdraw(..))
    }

    fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Begin(ticket, ..)
            | Self::Append(ticket, ..)
            | Self::Complete(ticket, _)
            | Self::CompleteStep(ticket, ..) => Some(*ticket),
            _ => None,
        }
    }

    /// Answers with an error instead of doing the job.
    fn refuse(self, error: &SharedError) {
        match self {
            Self::Commit(.., answer) => drop(answer.send(Err(error.to_error()))),
            Self::CompleteStep(.., answer) => drop(answer.send(Err(error.to_error()))),
            Self::BeginRun(.., answer) => drop(answer.send(Err(error.to_error()))),
            Self::Withdraw(.., answer) | Self::Begin(.., answer) => drop(answer.send(Err(error.to_error()))),
            Self::Append(.., answer)
            | Self::Complete(.., answer)
            | Self::Link(.., answer)
            | Self::Remember(.., answer)
            | Self::EndRun(.., answer)
            | Self::SetAside(_, answer)
            | Self::Tidy(answer) => drop(answer.send(Err(error.to_error()))),
        }
    }
}

/// What a transaction has to write.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    results: usize,
    records: usize,
    bytes: usize,
}

impl Load {
    fn and(self, other: Self) -> Self {
        Self {
            results: self.results + other.results,
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Whether it is not too much for one transaction.
    fn fits(&self) -> bool {
        self.results <= BLOCK_ROWS && self.records <= BLOCK_ROWS && self.bytes <= GROUP_BYTES
    }
}

/// An answer that is given once its transaction has ended, with the error of the transaction if
/// that failed.
struct Done(Box<Tell>);

type Tell = dyn FnOnce(Option<&SharedError>);

impl Done {
    fn new<T: 'static>(answer: Answer<T>, outcome: Result<T, StoreError>) -> Self {
        Self(Box::new(move |group| {
            // Who waited may have gone, which changes nothing.
            drop(answer.send(group.map_or(outcome, |error| Err(error.to_error()))));
        }))
    }
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    state: State,
    upkeep: Upkeep,
    /// The next job, which did not fit into the transaction before.
    held: Option<WriteJob>,
}

#[derive(Debug)]
struct State {
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    recordings: HashMap<Ticket, (Weak<()>, Writing)>,
    alone: Alone,
    /// Who waits until the store is tidy, which takes transactions of its own.
    tidy: Vec<Answer<()>>,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        cache: Arc<ResultCache>,
        index: Arc<KeyIndex>,
        upkeep: Upkeep,
    ) -> Self {
        Self {
            connection,
            state: State {
                cache,
                index,
                recordings: HashMap::new(),
                alone: Alone::default(),
                tidy: Vec::new(),
            },
            upkeep,
            held: None,
        }
    }

    /// Works off the queue until nobody can add to it; tidies up while nobody waits.
    pub(crate) fn run(mut self, queue: &Tasks<WriteJob>) {
        while let Some(first) = self.next(queue) {
            let group = self.group(first, queue);
            self.write(group);
            for answer in std::mem::take(&mut self.state.tidy) {
                drop(answer.send(self.upkeep.all(&mut self.connection, &self.state.cache)));
            }
            // An abandoned recording lets go of its rows here, and stays invisible.
            self.state.recordings.retain(|_, (alive, _)| alive.strong_count() > 0);
        }
    }

    /// What waits already and fits into one transaction, in its order.
    fn group(&mut self, first: WriteJob, queue: &Tasks<WriteJob>) -> Vec<WriteJob> {
        let mut load = first.load();
        let alone = first.is_alone();
        let mut group = vec![first];
        while group.len() < GROUP_JOBS && !alone {
            let Some(next) = queue.poll() else { break };
            load = load.and(next.load());
            if !load.fits() || next.is_alone() {
                self.held = Some(next);
                break;
            }
            group.push(next);
        }
        group
    }

    fn next(&mut self, queue: &Tasks<WriteJob>) -> Option<WriteJob> {
        loop {
            let urgent = self.upkeep.is_urgent();
            if !urgent && let Some(job) = self.held.take().or_else(|| queue.poll()) {
                return Some(job);
            }
            // Who closes the store waits for one step at most; the next process does the rest.
            let idle = urgent || !queue.is_closed();
            // A failure is nobody's: what has to be known of it, the next commit tells.
            if !(idle && self.upkeep.step(&mut self.connection, &self.state.cache).unwrap_or(true)) {
                return self.held.take().or_else(|| queue.wait());
            }
        }
    }

    /// Does the jobs in one transaction; one that fails leaves no trace and does not stop the others.
    fn write(&mut self, group: Vec<WriteJob>) {
        let tickets: Vec<Ticket> = group.iter().filter_map(WriteJob::ticket).collect();
        let mut done = Vec::with_capacity(group.len());
        let mut jobs = group.into_iter();
        let outcome = transact(&mut self.connection, &mut self.state, &mut jobs, &mut done);
        for (function, added) in outcome.as_ref().map(|added| added.iter()).into_iter().flatten() {
            self.upkeep.note(*function, *added);
        }
        if let Err(error) = outcome {
            let error = SharedError::new(error);
            // What these had written is gone with the transaction.
            self.state.alone.clear();
            self.state.recordings.retain(|ticket, _| !tickets.contains(ticket));
            for job in jobs {
                job.refuse(&error);
            }
            for done in done {
                done.0(Some(&error));
            }
        } else {
            for done in done {
                done.0(None);
            }
        }
    }
}

fn transact(
    connection: &mut Connection,
    state: &mut State,
    jobs: &mut impl Iterator<Item = WriteJob>,
    done: &mut Vec<Done>,
) -> Result<HashMap<i64, Added>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let mut pending = Pending::new(&transaction)?;
    for job in jobs {
        done.push(state.work(&mut transaction, &mut pending, job));
        if transaction.is_autocommit() {
            let message = "the disk refused a write, so that what waited with it was undone; make room on it and run again";
            return Err(failure(StoreErrorKind::Full, OPERATION, message));
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(pending.added)
}

impl State {
    fn work(&mut self, transaction: &mut Transaction<'_>, pending: &mut Pending, job: WriteJob) -> Done {
        match job {
            WriteJob::Commit(function, results, answer) => {
                let shared = Shared { cache: &self.cache, index: &self.index, alone: &mut self.alone };
                let checked = check(&function, &results);
                let work = |c: &Connection| commit(c, shared, pending, &function, results);
                let outcome = checked.and_then(|()| attempt(transaction, work));
                if outcome.is_err() {
                    self.alone.clear();
                }
                Done::new(answer, outcome)
            }
            WriteJob::Withdraw(function, spans, answer) => {
                Done::new(answer, attempt(transaction, |c| withdrawn::withdraw(c, &function, &spans)))
            }
            WriteJob::Begin(ticket, beginning, answer) => {
                let Beginning { key, layout, origins, alive } = *beginning;
                let begun = attempt(transaction, |c| Writing::begin(c, key, layout, origins));
                let begun = begun.map(|writing| {
                    let id = writing.id();
                    self.recordings.insert(ticket, (alive, writing));
                    id
                });
                Done::new(answer, begun)
            }
            WriteJob::Append(ticket, chunk, references, taken, answer) => {
                let outcome = match self.recordings.remove(&ticket) {
                    Some((alive, mut writing)) => {
                        let appended =
                            attempt(transaction, |c| writing.append(c, &chunk, &references, taken));
                        appended.map(|()| drop(self.recordings.insert(ticket, (alive, writing))))
                    }
                    None => Err(given_up()),
                };
                Done::new(answer, outcome)
            }
            WriteJob::Complete(ticket, answer) => {
                let completed = match self.recordings.remove(&ticket) {
                    Some((_, writing)) => attempt(transaction, |c| writing.complete(c)).map(drop),
                    None => Err(given_up()),
                };
                Done::new(answer, completed)
            }
            WriteJob::CompleteStep(ticket, step, answer) => {
                let completed = match self.recordings.remove(&ticket) {
                    Some((_, writing)) => attempt(transaction, |c| complete_step(c, writing, &step)),
                    None => Err(given_up()),
                };
                Done::new(answer, completed)
            }
            WriteJob::Link(link, answer) => {
                Done::new(answer, attempt(transaction, |c| links::insert(c, &link)))
            }
            WriteJob::Remember(late, answer) => {
                Done::new(answer, attempt(transaction, |c| late::insert(c, &late)))
            }
            WriteJob::SetAside(new, answer) => {
                let written =
                    attempt(transaction, |c| failures::write(c, &new.node, &new.packets, &new.more));
                Done::new(answer, written)
            }
            WriteJob::BeginRun(dir, start, answer) => {
                // The lock comes first, so that nobody sees the run without it.
                let lease = RunLease::take(&dir, &start.run);
                let begun =
                    lease.and_then(|lease| attempt(transaction, |c| runs::begin(c, &start)).map(|()| lease));
                Done::new(answer, begun)
            }
            WriteJob::EndRun(run, end, answer) => {
                Done::new(answer, attempt(transaction, |c| runs::end(c, &run, &end)))
            }
            WriteJob::Tidy(answer) => {
                self.tidy.push(answer);
                Done(Box::new(|_| ()))
            }
        }
    }
}

/// The transaction holds the write lock, so that nobody moves the history in between.
fn complete_step(
    connection: &Connection,
    writing: Writing,
    step: &HistoryStep,
) -> Result<Option<i64>, StoreError> {
    if !histories::stands(connection, step)? {
        return Ok(None);
    }
    let recording = writing.complete(connection)?;
    histories::move_on(connection, step, recording)?;
    Ok(Some(recording))
}

fn given_up() -> StoreError {
    let message = "an earlier write of this recording failed, so that it was given up; run again";
    failure(StoreErrorKind::System, "record rows", message)
}

/// Works within a savepoint, which is undone if the work fails.
fn attempt<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let savepoint = transaction.savepoint().map_err(|e| sql(OPERATION, e))?;
    let value = guarded(OPERATION, || work(&savepoint))?;
    savepoint.commit().map_err(|e| sql(OPERATION, e))?;
    Ok(value)
}
