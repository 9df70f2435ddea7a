//! Each edge between tasks a bounded channel.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, Task, TaskId, Work};
use super::ports::Ports;
use super::source::SourceRunner;
use super::task::{ChainTask, Disk, Outputs, StageTask};
use super::{Job, RunError, Stop, panic_message};
use crate::channel::{Receiver, Sender, merging_channel};
use crate::chunk::Chunk;
use crate::index::IndexVec;

/// Time that a run which stops waits for a source to come back from a read, and for the disk.
const GRACE: Duration = Duration::from_millis(250);

/// Runs a job to its end on the current tokio runtime, whose timers are used.
///
/// Each source reads on a thread of its own, and state moves to and from disk on threads that may
/// block; everything else is a task. The first failure stops all. When the future resolves, every
/// task and thread of the run has ended; only a source that is stuck in a read, or a disk that is
/// stuck, for longer than a quarter of a second is left to end by itself.
///
/// Cancellation: by the token; answers [`RunError::Cancelled`] once all has stopped, unless all
/// was done already.
pub async fn run_streaming(job: Job, cancel: &CancellationToken) -> Result<(), RunError> {
    let stop = cancel.child_token();
    // Sources learn it too if this future is dropped.
    let _stopped = stop.clone().drop_guard();
    let plan = Plan::of(job.nodes);
    let ends = wire(&plan, job.capacity);
    let (disk, mut idle) = Disk::new();
    let mut tasks = TaskSet { set: JoinSet::new(), names: BTreeMap::new(), stop: stop.clone(), disk };
    let mut fault =
        plan.tasks.into_iter().zip(ends).try_for_each(|(task, ends)| tasks.start(task, ends)).err();
    if fault.is_some() {
        stop.cancel();
    }
    let mut whole = true;
    // The first fault is the cause; what follows it is not worth telling.
    while let Some(ended) = tasks.next().await {
        whole &= ended.is_ok();
        if let Err(Stop::Failed(error)) = ended {
            stop.cancel();
            fault.get_or_insert(error);
        }
    }
    drop(tasks);
    // Nothing is ever sent; all senders are gone when nothing is under way.
    let _ = tokio::time::timeout(GRACE, idle.recv()).await;
    match fault {
        Some(error) => Err(error),
        None if whole => Ok(()),
        None => Err(RunError::Cancelled),
    }
}

/// The ends of a task's edges, in the order of its ports and of its consumers.
#[derive(Default)]
struct Ends {
    ports: Vec<Receiver<Chunk>>,
    outputs: Vec<Sender<Chunk>>,
}

/// Returns the edges of each task, which has one for each port.
fn wire(plan: &Plan, capacity: NonZeroUsize) -> IndexVec<TaskId, Ends> {
    let mut ends: IndexVec<TaskId, Ends> = plan.tasks.iter().map(|_| Ends::default()).collect();
    for (id, task) in plan.tasks.enumerated() {
        for feeders in &task.inputs {
            // Without a task that feeds it, the edge is abandoned from the start.
            let count = NonZeroUsize::new(feeders.len()).unwrap_or(NonZeroUsize::MIN);
            let (senders, receiver) = merging_channel(capacity, count);
            for (feeder, sender) in feeders.iter().zip(senders) {
                ends[*feeder].outputs.push(sender);
            }
            ends[id].ports.push(receiver);
        }
    }
    ends
}

struct TaskSet {
    set: JoinSet<Result<(), Stop>>,
    names: BTreeMap<Id, Arc<str>>,
    stop: CancellationToken,
    disk: Disk,
}

impl TaskSet {
    fn start(&mut self, task: Task, Ends { ports, outputs }: Ends) -> Result<(), RunError> {
        let (ports, name) = (Ports::new(ports), task.name);
        match task.work {
            Work::Source(source) => self.start_source(name, source, outputs)?,
            Work::Stage(stage) => {
                let outputs = Outputs(outputs);
                self.spawn(name, StageTask { stage, ports, outputs }.drive());
            }
            Work::Machines(interpreter, areas) => {
                let (disk, subtasks) = (self.disk.clone(), self.disk.subtasks());
                let outputs = Outputs(outputs);
                self.spawn(name, ChainTask { interpreter, ports, outputs, areas, disk, subtasks }.drive());
            }
        }
        Ok(())
    }

    fn start_source(
        &mut self,
        name: Arc<str>,
        source: SourceRunner,
        outputs: Vec<Sender<Chunk>>,
    ) -> Result<(), RunError> {
        let done = source.start(outputs, self.stop.clone())?;
        // A thread that vanished without an answer has panicked.
        let panicked = RunError::Panicked { node: name.to_string(), message: "no message".into() };
        let stop = self.stop.clone();
        let given_up = async move {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let handle = self.set.spawn(async move {
            tokio::select! {
                biased;
                ended = done => ended.unwrap_or(Err(Stop::Failed(panicked))),
                () = given_up => Err(Stop::Followed),
            }
        });
        self.names.insert(handle.id(), name);
        Ok(())
    }

    fn spawn(&mut self, name: Arc<str>, task: impl Future<Output = Result<(), Stop>> + Send + 'static) {
        let stop = self.stop.clone();
        let handle = self.set.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(Stop::Followed),
                ended = task => ended,
            }
        });
        self.names.insert(handle.id(), name);
    }

    /// Waits for the next task to end; none when all have.
    async fn next(&mut self) -> Option<Result<(), Stop>> {
        Some(match self.set.join_next().await? {
            Ok(ended) => ended,
            Err(join) => {
                let node = self.names.get(&join.id()).map_or_else(String::new, ToString::to_string);
                let message =
                    join.try_into_panic().map_or_else(|_| "ended early".into(), |p| panic_message(&*p));
                Err(Stop::Failed(RunError::Panicked { node, message }))
            }
        })
    }
}
