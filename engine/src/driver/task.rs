//! The asynchronous shells of the streaming executor: a chain of machines, or a stage, each on its task.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::interpreter::{Effect, Interpreter, OpId, SpillRequest};
use super::plan::SpillAreas;
use super::ports::Ports;
use super::stage_runner::StageRunner;
use super::subtasks::Subtasks;
use super::{NoSpill, RunError, Stop, guarded};
use crate::channel::Sender;
use crate::chunk::Chunk;
use crate::stage::StageStep;

/// Sending ends of the edges to all consumers.
pub(super) struct Outputs(pub(super) Vec<Sender<Chunk>>);

impl Outputs {
    async fn send(&self, chunk: Chunk) {
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
    pub(super) interpreter: Interpreter,
    pub(super) ports: Ports,
    pub(super) outputs: Outputs,
    pub(super) areas: SpillAreas,
    pub(super) disk: Disk,
    pub(super) subtasks: Subtasks,
}

impl ChainTask {
    pub(super) async fn drive(mut self) -> Result<(), Stop> {
        loop {
            tokio::task::consume_budget().await;
            match self.interpreter.resume()? {
                Effect::Continue => continue,
                Effect::Spawn(op, subtask) => {
                    self.subtasks.spawn(Arc::clone(self.interpreter.name(op)), subtask);
                    continue;
                }
                Effect::Yield => tokio::task::yield_now().await,
                Effect::Join => {
                    let time = self.subtasks.join().await?;
                    self.interpreter.subtask_done(time)?;
                }
                Effect::NeedInput(wanted) => self.receive(&wanted).await?,
                Effect::Output(chunk) => self.outputs.send(chunk).await,
                Effect::Spill(op, request) => self.spill(op, request).await?,
                Effect::End => self.outputs.end().await,
                Effect::Done => return Ok(()),
            }
            self.interpreter.waited();
        }
    }

    async fn receive(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        let received = tokio::select! {
            biased;
            time = self.subtasks.join() => return Ok(self.interpreter.subtask_done(time?)?),
            received = self.ports.receive(wanted) => received,
        };
        let (port, item) = received.ok_or(Stop::Followed)?;
        let queued = self.ports.queued(port);
        Ok(self.interpreter.push(port, item, queued)?)
    }

    async fn spill(&mut self, op: OpId, request: SpillRequest) -> Result<(), Stop> {
        let begun = Instant::now();
        let mut area = std::mem::replace(&mut self.areas[op], Box::new(NoSpill));
        let node = Arc::clone(self.interpreter.name(op));
        let work = move || {
            let outcome = request.run(&mut *area);
            (area, outcome)
        };
        let (area, outcome) = self.disk.run(node, work).await?;
        self.areas[op] = area;
        Ok(self.interpreter.spilled(op, outcome, begun.elapsed())?)
    }
}

/// The threads that may block, for work that waits for the disk.
///
/// Work that is under way when its task is dropped goes on to its end; the receiver of [`Disk::new`] waits for it.
#[derive(Clone)]
pub(super) struct Disk(mpsc::Sender<()>);

impl Disk {
    /// The disk of a run, and a receiver that ends when no work is under way any more.
    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Subtasks without I/O, which the run waits for as well.
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
    pub(super) stage: StageRunner,
    pub(super) ports: Ports,
    pub(super) outputs: Outputs,
}

impl StageTask {
    pub(super) async fn drive(mut self) -> Result<(), Stop> {
        loop {
            tokio::task::consume_budget().await;
            match self.stage.step().await? {
                StageStep::NeedInput(wanted) => self.receive(&wanted).await?,
                StageStep::Output(chunk) => self.outputs.send(chunk).await,
                StageStep::Done => break,
            }
        }
        self.outputs.end().await;
        Ok(())
    }

    /// Pushes what comes next at one of the wanted ports, or nothing if the stage has work without input.
    async fn receive(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        let received = tokio::select! {
            biased;
            received = self.ports.receive(wanted) => received,
            () = self.stage.progress() => return Ok(()),
        };
        let (port, item) = received.ok_or(Stop::Followed)?;
        let queued = self.ports.queued(port);
        Ok(self.stage.push(port, item, queued)?)
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}
