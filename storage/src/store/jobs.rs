//! The jobs of the thread that writes.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    FailingNode, InputLineage, NewResults, Outcomes, RecordLayout, RecordingKey, SetAside, StoreError,
    StoredFunction, VersionSpan,
};
use anabranch_engine::task_thread::TaskThread;
use arrow::array::Array;
use tokio::sync::oneshot;

use crate::block::BLOCK_ROWS;
use crate::error::{SharedError, stopped, task};
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

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Queues a job on a thread of the store and waits for its answer.
pub(super) async fn submit<J: Send + 'static, T>(
    thread: &TaskThread<J>,
    operation: &'static str,
    job: impl FnOnce(Answer<T>) -> J,
) -> Result<T, StoreError> {
    queue(thread, operation, job).await?.await.map_err(|_| stopped(operation))?
}

/// Queues a job on a thread of the store, and returns the receiver of its answer.
pub(super) async fn queue<J: Send + 'static, T>(
    thread: &TaskThread<J>,
    operation: &'static str,
    job: impl FnOnce(Answer<T>) -> J,
) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
    let (answer, outcome) = oneshot::channel();
    thread.send(job(answer)).await.map_err(|e| task(operation, e))?;
    Ok(outcome)
}

/// A job of the writer, with the channel for its answer.
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
    Maintain(Answer<()>),
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

    /// Answers with an error instead of doing the job.
    pub(super) fn refuse(self, error: &SharedError) {
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
            | Self::Maintain(answer) => drop(answer.send(Err(error.to_error()))),
        }
    }
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
