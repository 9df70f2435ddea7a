//! The thread that writes: one connection, one transaction for what waits together.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::store::{
    CommitError, InputLineage, MaintainError, NewResults, Outcomes, RecordError, RunError, StoreFault,
    StoreProblem, StoredFunction,
};
use anabranch_engine::task_thread::Tasks;

use super::jobs::{Answer, Beginning, NewFailures, Ticket, WriteJob};
use crate::catalog::{Transaction, Writer as CatalogWriter};
use crate::error::{SharedFault, guarded};
use crate::leases::Leases;
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
use crate::runs::{self, RunLease, RunStart, failures};

/// Jobs that share a transaction at most.
const GROUP_JOBS: usize = 64;

/// An answer that is given once its transaction has ended, with the error of the transaction if
/// that failed.
struct Done(Box<Notify>);

type Notify = dyn FnOnce(Option<&SharedFault>);

impl Done {
    fn new<T: 'static, E: From<StoreFault> + 'static>(answer: Answer<T, E>, outcome: Result<T, E>) -> Self {
        Self(Box::new(move |group| {
            // The caller may have dropped its future, which changes nothing.
            drop(answer.send(group.map_or(outcome, |fault| Err(fault.to_fault().into()))));
        }))
    }
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    catalog: Box<dyn CatalogWriter>,
    state: WriterState,
    maintenance: Maintenance,
    /// The next job, which did not fit into the transaction before.
    held: Option<WriteJob>,
}

/// A recording being written, as long as its recorder is alive.
type Recording = (Weak<()>, Writing);

#[derive(Debug)]
struct WriterState {
    leases: Arc<dyn Leases>,
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    recordings: HashMap<Ticket, Recording>,
    sole_writer: SoleWriter,
    /// Callers that wait for maintenance, which takes transactions of its own.
    maintain: Vec<Answer<(), MaintainError>>,
}

impl StoreWriter {
    pub(crate) fn new(
        catalog: Box<dyn CatalogWriter>,
        leases: Arc<dyn Leases>,
        cache: Arc<ResultCache>,
        index: Arc<KeyIndex>,
        maintenance: Maintenance,
    ) -> Self {
        Self {
            catalog,
            state: WriterState {
                leases,
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
                let done = self.maintenance.all(&mut *self.catalog, &self.state.cache);
                drop(answer.send(done.map_err(Into::into)));
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
            if !(idle && self.maintenance.step(&mut *self.catalog, &self.state.cache).unwrap_or(true)) {
                return self.held.take().or_else(|| queue.wait());
            }
        }
    }

    /// Does the jobs in one transaction; one that fails leaves no trace and does not stop the others.
    fn write(&mut self, group: Vec<WriteJob>) {
        let tickets: Vec<Ticket> = group.iter().filter_map(WriteJob::ticket).collect();
        let mut done = Vec::with_capacity(group.len());
        let mut jobs = group.into_iter();
        let outcome = transact(&mut *self.catalog, &mut self.state, &mut jobs, &mut done);
        for (function, added) in outcome.as_ref().map(|added| added.iter()).into_iter().flatten() {
            self.maintenance.note(*function, *added);
        }
        if let Err(error) = outcome {
            let error = SharedFault::new(error);
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
    writer: &mut dyn CatalogWriter,
    state: &mut WriterState,
    jobs: &mut impl Iterator<Item = WriteJob>,
    done: &mut Vec<Done>,
) -> Result<HashMap<i64, Added>, StoreFault> {
    let transaction = writer.begin()?;
    let mut pending = Pending::new(&*transaction)?;
    for job in jobs {
        done.push(state.work(&*transaction, &mut pending, job));
        if transaction.is_undone() {
            return Err(StoreProblem::Undone.into());
        }
    }
    transaction.commit()?;
    Ok(pending.added)
}

impl WriterState {
    fn work(&mut self, transaction: &dyn Transaction, pending: &mut Pending, job: WriteJob) -> Done {
        match job {
            WriteJob::Commit(function, results, answer) => {
                Done::new(answer, self.commit(transaction, pending, &function, results))
            }
            WriteJob::Withdraw(function, spans, answer) => Done::new(
                answer,
                attempt(transaction, || Ok(withdrawn::withdraw(transaction, &function, &spans)?)),
            ),
            WriteJob::Begin(ticket, beginning, answer) => {
                Done::new(answer, self.begin(transaction, ticket, *beginning))
            }
            WriteJob::Append(ticket, chunk, references, taken, answer) => {
                Done::new(answer, self.append(transaction, ticket, (&chunk, &references, taken)))
            }
            WriteJob::Complete(ticket, answer) => {
                let completed = self.complete(transaction, ticket, |writing| writing.complete(transaction));
                Done::new(answer, completed.map(drop))
            }
            WriteJob::CompleteStep(ticket, step, answer) => {
                let complete = |writing| complete_step(transaction, writing, &step);
                Done::new(answer, self.complete(transaction, ticket, complete))
            }
            WriteJob::Link(link, answer) => {
                Done::new(answer, attempt(transaction, || Ok(links::insert(transaction, &link)?)))
            }
            WriteJob::Remember(late, answer) => {
                Done::new(answer, attempt(transaction, || Ok(late::insert(transaction, &late)?)))
            }
            WriteJob::SetAside(new, answer) => {
                let NewFailures { node, packets, more } = &*new;
                let write = || Ok(failures::write(transaction, node, packets, more)?);
                Done::new(answer, attempt(transaction, write))
            }
            WriteJob::BeginRun(start, answer) => Done::new(answer, self.begin_run(transaction, &start)),
            WriteJob::EndRun(run, end, answer) => {
                Done::new(answer, attempt(transaction, || Ok(runs::end(transaction, &run, &end)?)))
            }
            WriteJob::Maintain(answer) => {
                self.maintain.push(answer);
                Done(Box::new(|_| ()))
            }
        }
    }

    /// The lease comes first, so that no process sees the run without it.
    fn begin_run(&self, transaction: &dyn Transaction, start: &RunStart) -> Result<RunLease, RunError> {
        let lease = RunLease::take(&*self.leases, &start.run)?;
        attempt(transaction, || runs::begin(transaction, start))?;
        Ok(lease)
    }

    fn commit(
        &mut self,
        transaction: &dyn Transaction,
        pending: &mut Pending,
        function: &StoredFunction,
        results: NewResults,
    ) -> Result<Outcomes, CommitError> {
        check(function, &results)?;
        let sole_writer = &mut self.sole_writer;
        let context = CommitContext { cache: &self.cache, index: &self.index, sole_writer };
        let work = || Ok(commit(transaction, context, pending, function, results)?);
        let outcome = attempt(transaction, work);
        if outcome.is_err() {
            self.sole_writer.clear();
        }
        outcome
    }

    fn begin(
        &mut self,
        transaction: &dyn Transaction,
        ticket: Ticket,
        Beginning { key, layout, origins, alive }: Beginning,
    ) -> Result<u64, RecordError> {
        let writing = attempt::<_, RecordError>(transaction, || {
            Ok(Writing::begin(transaction, key, layout, origins)?)
        })?;
        let id = writing.id();
        self.recordings.insert(ticket, (alive, writing));
        Ok(id)
    }

    /// Appends rows to a recording, which is given up if that fails.
    fn append(
        &mut self,
        transaction: &dyn Transaction,
        ticket: Ticket,
        (chunk, references, taken): (&Chunk, &[ResultRef], InputLineage),
    ) -> Result<(), RecordError> {
        let (alive, mut writing) = self.take_recording(ticket)?;
        attempt::<_, RecordError>(transaction, || {
            Ok(writing.append(transaction, chunk, references, taken)?)
        })?;
        self.recordings.insert(ticket, (alive, writing));
        Ok(())
    }

    fn complete<T>(
        &mut self,
        transaction: &dyn Transaction,
        ticket: Ticket,
        complete: impl FnOnce(Writing) -> Result<T, StoreFault>,
    ) -> Result<T, RecordError> {
        let (_, writing) = self.take_recording(ticket)?;
        attempt(transaction, || Ok(complete(writing)?))
    }

    fn take_recording(&mut self, ticket: Ticket) -> Result<Recording, RecordError> {
        self.recordings.remove(&ticket).ok_or(RecordError::GivenUp {})
    }
}

/// The transaction holds the write lock, so that no other moves the history in between.
fn complete_step(
    transaction: &dyn Transaction,
    writing: Writing,
    step: &HistoryStep,
) -> Result<Option<i64>, StoreFault> {
    if !histories::stands(transaction, step)? {
        return Ok(None);
    }
    let recording = writing.complete(transaction)?;
    histories::move_on(transaction, step, recording)?;
    Ok(Some(recording))
}

/// Works within a part of the transaction, which is undone if the work fails.
fn attempt<T, E: From<StoreFault>>(
    transaction: &dyn Transaction,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    transaction.begin_part()?;
    let outcome = guarded(work);
    if outcome.is_ok() {
        transaction.end_part()?;
    } else if !transaction.is_undone() {
        transaction.undo_part()?;
    }
    outcome
}
