//! What is no source, each on its task: a chain of machines, or a stage.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::chain::{Chain, ChainAction, SpillRequest};
use super::metrics::Tally;
use super::ports::Ports;
use super::subtasks::{FinishedSubtask, Subtasks};
use super::{NONE_UNDER_WAY, RunError, Stop, beyond_the_end, guarded};
use crate::channel::Sender;
use crate::chunk::Chunk;
use crate::operator::{Item, OperatorError, Step};
use crate::stage::Stage;

/// Sending ends of the edges to all consumers.
pub(super) struct Outputs(pub(super) Vec<Sender<Chunk>>);

impl Outputs {
    async fn give(&self, chunk: Chunk) {
        let Some((last, others)) = self.0.split_last() else { return };
        for output in others {
            // A consumer that is gone has all it wants, or the run is about to stop.
            let _ = output.send(chunk.clone()).await;
        }
        let _ = last.send(chunk).await;
    }

    async fn end(&mut self) {
        for output in std::mem::take(&mut self.0) {
            let _ = output.end().await;
        }
    }
}

/// A chain of machines on its task.
pub(super) struct ChainTask {
    /// The name of the first machine's node.
    pub(super) name: Arc<str>,
    pub(super) chain: Chain,
    pub(super) ports: Ports,
    pub(super) outputs: Outputs,
    pub(super) disk: Disk,
    pub(super) subtasks: Subtasks,
}

impl ChainTask {
    pub(super) async fn drive(mut self) -> Result<(), Stop> {
        loop {
            tokio::task::consume_budget().await;
            match self.chain.turn()? {
                ChainAction::Again => continue,
                ChainAction::Yield => tokio::task::yield_now().await,
                ChainAction::Spawn(op, subtask) => {
                    let name = self.chain.name(op);
                    self.subtasks.begin(op, name, subtask);
                    continue;
                }
                ChainAction::Join => {
                    let finished = self.subtasks.next().await;
                    self.finished(finished)?;
                }
                ChainAction::NeedInput(wanted) => self.take(&wanted).await?,
                ChainAction::Output(chunk) => self.outputs.give(chunk).await,
                ChainAction::Disk(errand) => self.errand(errand).await?,
                ChainAction::Ended => self.outputs.end().await,
                ChainAction::Done => return Ok(()),
            }
            self.chain.waited();
        }
    }

    async fn take(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        if !self.ports.any_open(wanted) {
            return Err(Stop::failed(&self.name, beyond_the_end()));
        }
        let received = tokio::select! {
            biased;
            finished = self.subtasks.next(), if !self.subtasks.is_empty() => return self.finished(finished),
            received = self.ports.receive(wanted) => received,
        };
        let (port, item) = received.ok_or(Stop::Followed)?;
        let queued = self.ports.queued(port);
        Ok(self.chain.accept(port, item, queued)?)
    }

    fn finished(&mut self, subtask: Option<Result<FinishedSubtask, Stop>>) -> Result<(), Stop> {
        let Some(subtask) = subtask else {
            let name = self.chain.stepped().map_or(&self.name, |op| &op.name);
            return Err(Stop::failed(name, OperatorError::Protocol(NONE_UNDER_WAY)));
        };
        Ok(self.chain.finished(&subtask?)?)
    }

    async fn errand(&mut self, errand: SpillRequest) -> Result<(), Stop> {
        let Some(op) = self.chain.stepped() else { return Ok(()) };
        let Some(mut area) = op.spill.take() else {
            return Err(Stop::failed(&op.name, OperatorError::Protocol("its state is on the way already")));
        };
        let begun = Instant::now();
        let moved = self.disk.run(Arc::clone(&op.name), move || {
            let moved = errand.run(&mut *area);
            (area, moved)
        });
        let (area, moved) = moved.await?;
        op.spill = Some(area);
        op.tally.worked(begun.elapsed());
        let back = moved.map_err(|cause| Stop::failed(&op.name, cause))?;
        if let Some((part, chunks)) = back {
            guarded(&op.name, || Ok(op.machine.loaded(part, chunks)?))?;
        }
        Ok(())
    }
}

/// Where work that waits for the disk is done: on threads that may block.
///
/// Work that is under way when its task is dropped goes on to its end; [`Disk::idle`] waits for it.
#[derive(Clone)]
pub(super) struct Disk(mpsc::Sender<()>);

impl Disk {
    /// The disk of a run, and what tells when nothing is under way any more.
    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Work that needs no disk, which the run waits for as well.
    pub(super) fn subtasks(&self) -> Subtasks {
        Subtasks::new(self.0.clone())
    }

    async fn run<T: Send + 'static>(
        &self,
        node: Arc<str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let under_way = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = guarded(&node, || Ok(work()));
            drop(under_way);
            done
        });
        // It is cancelled only when the runtime goes away.
        Ok(done.await.map_err(|_| Stop::Followed)??)
    }
}

/// A stage on its task.
pub(super) struct StageTask {
    pub(super) name: Arc<str>,
    pub(super) stage: Box<dyn Stage>,
    pub(super) tally: Tally,
    pub(super) ports: Ports,
    pub(super) outputs: Outputs,
}

impl StageTask {
    pub(super) async fn drive(mut self) -> Result<(), Stop> {
        loop {
            tokio::task::consume_budget().await;
            let begun = Instant::now();
            let step = self.stage.step().await.map_err(|cause| self.failed(cause))?;
            self.tally.worked(begun.elapsed());
            match step {
                Step::NeedInput(wanted) => self.take(&wanted).await?,
                Step::Output(chunk) => {
                    self.tally.gave(chunk.rows());
                    self.outputs.give(chunk).await;
                }
                Step::More => {}
                Step::Done => break,
                Step::Spill(..) | Step::Load(_) | Step::Forget(_) => {
                    let wrong = OperatorError::Protocol("a stage has no state that leaves memory");
                    return Err(self.failed(wrong));
                }
                Step::Spawn(_) | Step::Join => {
                    let wrong = OperatorError::Protocol("a stage does its work by itself");
                    return Err(self.failed(wrong));
                }
            }
        }
        self.outputs.end().await;
        Ok(())
    }

    fn failed(&self, cause: impl Into<crate::stage::StageError>) -> Stop {
        Stop::failed(&self.name, cause)
    }

    /// Takes what comes next at one of the wanted ports, or nothing if the stage has news itself.
    async fn take(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        let received = tokio::select! {
            biased;
            received = self.ports.receive(wanted) => received,
            () = self.stage.progress() => return Ok(()),
        };
        let (port, item) = received.ok_or(Stop::Followed)?;
        if let Item::Chunk(chunk) = &item {
            self.tally.took(port, chunk.rows(), self.ports.queued(port));
        }
        self.stage.accept(port, item).map_err(|cause| self.failed(cause))
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}
