//! The thread that writes: one connection, one transaction for what waits together.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::store::{
    InputLineage, NewResults, Outcomes, StoreError, StoreErrorKind, StoredFunction,
};
use anabranch_engine::task_thread::Tasks;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::jobs::{Answer, Beginning, Ticket, WriteJob};
use crate::error::{SharedError, failure, guarded, sql};
use crate::recordings::histories::{self, HistoryStep};
use crate::recordings::links;
use crate::recordings::writing::Writing;
use crate::results::blocks::ResultCache;
use crate::results::commit::{CommitContext, check, commit};
use crate::results::index::KeyIndex;
use crate::results::late;
use crate::results::maintenance::Maintenance;
use crate::results::pending::{Added, Pending};
use crate::results::result_ref::ResultRef;
use crate::results::sole_writer::SoleWriter;
use crate::results::withdrawn;
use crate::runs::{self, RunLease, failures};

const OPERATION: &str = "commit to store";

/// Jobs that share a transaction at most.
const GROUP_JOBS: usize = 64;

/// An answer that is given once its transaction has ended, with the error of the transaction if
/// that failed.
struct Done(Box<Notify>);

type Notify = dyn FnOnce(Option<&SharedError>);

impl Done {
    fn new<T: 'static>(answer: Answer<T>, outcome: Result<T, StoreError>) -> Self {
        Self(Box::new(move |group| {
            // The caller may have dropped its future, which changes nothing.
            drop(answer.send(group.map_or(outcome, |error| Err(error.to_error()))));
        }))
    }
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    state: WriterState,
    maintenance: Maintenance,
    /// The next job, which did not fit into the transaction before.
    held: Option<WriteJob>,
}

/// A recording being written, as long as its recorder is alive.
type Recording = (Weak<()>, Writing);

#[derive(Debug)]
struct WriterState {
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    recordings: HashMap<Ticket, Recording>,
    sole_writer: SoleWriter,
    /// Callers that wait for maintenance, which takes transactions of its own.
    maintain: Vec<Answer<()>>,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        cache: Arc<ResultCache>,
        index: Arc<KeyIndex>,
        maintenance: Maintenance,
    ) -> Self {
        Self {
            connection,
            state: WriterState {
                cache,
                index,
                recordings: HashMap::new(),
                sole_writer: SoleWriter::default(),
                maintain: Vec::new(),
            },
            maintenance,
            held: None,
        }
    }

    /// Works off the queue until it is closed, with maintenance while no job waits.
    pub(crate) fn run(mut self, queue: &Tasks<WriteJob>) {
        while let Some(first) = self.next(queue) {
            let group = self.group(first, queue);
            self.write(group);
            for answer in std::mem::take(&mut self.state.maintain) {
                drop(answer.send(self.maintenance.all(&mut self.connection, &self.state.cache)));
            }
            // An abandoned recording drops its rows here, and stays invisible.
            self.state.recordings.retain(|_, (alive, _)| alive.strong_count() > 0);
        }
    }

    /// Jobs that wait already and fit into one transaction, in their order.
    fn group(&mut self, first: WriteJob, queue: &Tasks<WriteJob>) -> Vec<WriteJob> {
        let mut load = first.load();
        let alone = first.is_exclusive();
        let mut group = vec![first];
        while group.len() < GROUP_JOBS && !alone {
            let Some(next) = queue.poll() else { break };
            load = load.and(next.load());
            if !load.fits() || next.is_exclusive() {
                self.held = Some(next);
                break;
            }
            group.push(next);
        }
        group
    }

    fn next(&mut self, queue: &Tasks<WriteJob>) -> Option<WriteJob> {
        loop {
            let urgent = self.maintenance.is_urgent();
            if !urgent && let Some(job) = self.held.take().or_else(|| queue.poll()) {
                return Some(job);
            }
            // Closing the store waits for one step at most; the next process does the rest.
            let idle = urgent || !queue.is_closed();
            // A failure has no caller to report to; one that lasts is reported by the next commit.
            if !(idle && self.maintenance.step(&mut self.connection, &self.state.cache).unwrap_or(true)) {
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
            self.maintenance.note(*function, *added);
        }
        if let Err(error) = outcome {
            let error = SharedError::new(error);
            // The transaction was rolled back, with all that these had written.
            self.state.sole_writer.clear();
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
    state: &mut WriterState,
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

impl WriterState {
    fn work(&mut self, transaction: &mut Transaction<'_>, pending: &mut Pending, job: WriteJob) -> Done {
        match job {
            WriteJob::Commit(function, results, answer) => {
                Done::new(answer, self.commit(transaction, pending, &function, results))
            }
            WriteJob::Withdraw(function, spans, answer) => {
                Done::new(answer, attempt(transaction, |c| withdrawn::withdraw(c, &function, &spans)))
            }
            WriteJob::Begin(ticket, beginning, answer) => {
                Done::new(answer, self.begin(transaction, ticket, *beginning))
            }
            WriteJob::Append(ticket, chunk, references, taken, answer) => {
                Done::new(answer, self.append(transaction, ticket, (&chunk, &references, taken)))
            }
            WriteJob::Complete(ticket, answer) => {
                let completed = self.complete(transaction, ticket, |c, writing| writing.complete(c));
                Done::new(answer, completed.map(drop))
            }
            WriteJob::CompleteStep(ticket, step, answer) => {
                Done::new(answer, self.complete(transaction, ticket, |c, w| complete_step(c, w, &step)))
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
                // The lock comes first, so that no process sees the run without it.
                let lease = RunLease::take(&dir, &start.run);
                let begun =
                    lease.and_then(|lease| attempt(transaction, |c| runs::begin(c, &start)).map(|()| lease));
                Done::new(answer, begun)
            }
            WriteJob::EndRun(run, end, answer) => {
                Done::new(answer, attempt(transaction, |c| runs::end(c, &run, &end)))
            }
            WriteJob::Maintain(answer) => {
                self.maintain.push(answer);
                Done(Box::new(|_| ()))
            }
        }
    }

    fn commit(
        &mut self,
        transaction: &mut Transaction<'_>,
        pending: &mut Pending,
        function: &StoredFunction,
        results: NewResults,
    ) -> Result<Outcomes, StoreError> {
        let sole_writer = &mut self.sole_writer;
        let context = CommitContext { cache: &self.cache, index: &self.index, sole_writer };
        let checked = check(function, &results);
        let work = |c: &Connection| commit(c, context, pending, function, results);
        let outcome = checked.and_then(|()| attempt(transaction, work));
        if outcome.is_err() {
            self.sole_writer.clear();
        }
        outcome
    }

    fn begin(
        &mut self,
        transaction: &mut Transaction<'_>,
        ticket: Ticket,
        Beginning { key, layout, origins, alive }: Beginning,
    ) -> Result<u64, StoreError> {
        let writing = attempt(transaction, |c| Writing::begin(c, key, layout, origins))?;
        let id = writing.id();
        self.recordings.insert(ticket, (alive, writing));
        Ok(id)
    }

    /// Appends rows to a recording, which is given up if that fails.
    fn append(
        &mut self,
        transaction: &mut Transaction<'_>,
        ticket: Ticket,
        (chunk, references, taken): (&Chunk, &[ResultRef], InputLineage),
    ) -> Result<(), StoreError> {
        let (alive, mut writing) = self.take_recording(ticket)?;
        attempt(transaction, |c| writing.append(c, chunk, references, taken))?;
        self.recordings.insert(ticket, (alive, writing));
        Ok(())
    }

    fn complete<T>(
        &mut self,
        transaction: &mut Transaction<'_>,
        ticket: Ticket,
        complete: impl FnOnce(&Connection, Writing) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (_, writing) = self.take_recording(ticket)?;
        attempt(transaction, |c| complete(c, writing))
    }

    fn take_recording(&mut self, ticket: Ticket) -> Result<Recording, StoreError> {
        self.recordings.remove(&ticket).ok_or_else(|| {
            let message = "an earlier write of this recording failed, so that it was given up; run again";
            failure(StoreErrorKind::System, "record rows", message)
        })
    }
}

/// The transaction holds the write lock, so that no other moves the history in between.
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
