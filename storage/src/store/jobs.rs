//! The jobs of the thread that writes.

use std::sync::{Arc, Weak};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    CommitError, FailingNode, InputLineage, MaintainError, NewResults, Outcomes, RecordError, RecordLayout,
    RecordingKey, RunError, SetAside, SetAsideError, StoreFault, StoreProblem, StoredFunction, VersionSpan,
    WithdrawError,
};
use anabranch_engine::task_thread::TaskThread;
use arrow::array::Array;
use tokio::sync::oneshot;

use crate::block::BLOCK_ROWS;
use crate::error::{SharedFault, task};
use crate::recordings::histories::HistoryStep;
use crate::recordings::links::Link;
use crate::results::late::LateImport;
use crate::results::result_ref::ResultRef;
use crate::runs::{RunEnd, RunLease, RunStart};

/// Bytes that share a transaction at most, unless one job has more; likewise 8,192 results and 8,192 records.
const GROUP_BYTES: usize = 4 << 20;
/// Names a recording between its recorder and the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

pub(crate) type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// Queues a job on a thread of the store and waits for its answer.
pub(super) async fn submit<J: Send + 'static, T, E: From<StoreFault>>(
    thread: &TaskThread<J>,
    job: impl FnOnce(Answer<T, E>) -> J,
) -> Result<T, E> {
    queue(thread, job).await?.await.map_err(|_| StoreFault::from(StoreProblem::Stopped))?
}

/// Queues a job on a thread of the store, and returns the receiver of its answer.
pub(super) async fn queue<J: Send + 'static, T, E: From<StoreFault>>(
    thread: &TaskThread<J>,
    job: impl FnOnce(Answer<T, E>) -> J,
) -> Result<oneshot::Receiver<Result<T, E>>, E> {
    let (answer, outcome) = oneshot::channel();
    thread.send(job(answer)).await.map_err(task)?;
    Ok(outcome)
}

/// A job of the writer, with the channel for its answer.
#[derive(Debug)]
pub(crate) enum WriteJob {
    Commit(Arc<StoredFunction>, NewResults, Answer<Outcomes, CommitError>),
    Withdraw(Arc<StoredFunction>, Vec<VersionSpan>, Answer<u64, WithdrawError>),
    Begin(Ticket, Box<Beginning>, Answer<u64, RecordError>),
    Append(Ticket, Chunk, Vec<ResultRef>, InputLineage, Answer<(), RecordError>),
    Complete(Ticket, Answer<(), RecordError>),
    CompleteStep(Ticket, HistoryStep, Answer<Option<i64>, RecordError>),
    Link(Link, Answer<(), RunError>),
    Remember(LateImport, Answer<(), RunError>),
    SetAside(Box<NewFailures>, Answer<(), SetAsideError>),
    BeginRun(RunStart, Answer<RunLease, RunError>),
    EndRun(String, RunEnd, Answer<(), RunError>),
    Maintain(Answer<(), MaintainError>),
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
    pub(super) fn load(&self) -> Load {
        match self {
            Self::Commit(_, results, _) => {
                let bytes = results.values.iter().map(Array::get_array_memory_size).sum();
                Load { results: results.keys.len(), bytes, ..Load::default() }
            }
            Self::Append(_, chunk, ..) => Load { records: chunk.rows(), bytes: chunk.bytes(), results: 0 },
            _ => Load::default(),
        }
    }

    /// Returns true if it has a transaction to itself: it would not see the results of commits in the same transaction.
    pub(super) fn is_exclusive(&self) -> bool {
        matches!(self, Self::Withdraw(..))
    }

    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Begin(ticket, ..)
            | Self::Append(ticket, ..)
            | Self::Complete(ticket, _)
            | Self::CompleteStep(ticket, ..) => Some(*ticket),
            _ => None,
        }
    }

    /// Answers with a fault instead of doing the job.
    pub(super) fn refuse(self, fault: &SharedFault) {
        match self {
            Self::Commit(.., answer) => refuse(answer, fault),
            Self::Withdraw(.., answer) => refuse(answer, fault),
            Self::Begin(.., answer) => refuse(answer, fault),
            Self::Append(.., answer) | Self::Complete(.., answer) => refuse(answer, fault),
            Self::CompleteStep(.., answer) => refuse(answer, fault),
            Self::SetAside(_, answer) => refuse(answer, fault),
            Self::BeginRun(_, answer) => refuse(answer, fault),
            Self::Link(_, answer) | Self::Remember(_, answer) | Self::EndRun(.., answer) => {
                refuse(answer, fault);
            }
            Self::Maintain(answer) => refuse(answer, fault),
        }
    }
}

fn refuse<T, E: From<StoreFault>>(answer: Answer<T, E>, fault: &SharedFault) {
    // The caller may have dropped its future, which changes nothing.
    drop(answer.send(Err(fault.to_fault().into())));
}

/// Amount of data that a transaction writes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Load {
    results: usize,
    records: usize,
    bytes: usize,
}

impl Load {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            results: self.results + other.results,
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Returns true if it is not too much for one transaction.
    pub(super) fn fits(&self) -> bool {
        self.results <= BLOCK_ROWS && self.records <= BLOCK_ROWS && self.bytes <= GROUP_BYTES
    }
}
