//! Each node a task, each edge a bounded channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::ports::Ports;
use super::{Job, NodeJob, NodeMetrics, RunError, SpillArea, Stop, beyond_the_end, consumers, panic_message};
use crate::channel::{Receiver, Sender, channel};
use crate::chunk::Chunk;
use crate::operator::{Item, Step};
use crate::stage::{ChunkReader, Running};

/// How long a run that stops waits for a source to come back from a read.
const GRACE: Duration = Duration::from_millis(250);

/// Runs a job to its end on the current tokio runtime, whose timers are used.
///
/// Each source reads on a thread of its own; everything else is a task. The first failure stops
/// all. When the future resolves, every task and thread of the run has ended; only a source that
/// is stuck in a read for longer than a quarter of a second is left to end with that read.
///
/// Cancellation: by the token; answers [`RunError::Cancelled`] once all has stopped, unless all
/// was done already.
pub async fn run_streaming(job: Job, cancel: &CancellationToken) -> Result<(), RunError> {
    let stop = cancel.child_token();
    // Sources learn it too if this future is dropped.
    let _stopped = stop.clone().drop_guard();
    let (inputs, outputs) = wire(&job);
    let mut tasks = Tasks { set: JoinSet::new(), names: BTreeMap::new() };
    let mut fault = None;
    let mut whole = true;
    for ((node, ports), outputs) in job.nodes.into_iter().zip(inputs).zip(outputs) {
        if let Err(error) = tasks.start(node, ports, outputs, &stop) {
            stop.cancel();
            fault = Some(error);
            break;
        }
    }
    // The first fault is the cause; what follows it is not worth telling.
    while let Some(ended) = tasks.next().await {
        whole &= ended.is_ok();
        if let Err(Stop::Failed(error)) = ended {
            stop.cancel();
            fault.get_or_insert(error);
        }
    }
    match fault {
        Some(error) => Err(error),
        None if whole => Ok(()),
        None => Err(RunError::Cancelled),
    }
}

/// The ends of a node's edges, in the order of its ports or of its consumers.
type Ends<T> = Vec<Vec<T>>;

fn wire(job: &Job) -> (Ends<Receiver<Chunk>>, Ends<Sender<Chunk>>) {
    let consumers = consumers(job);
    let mut senders: Ends<Sender<Chunk>> = job.nodes.iter().map(|_| Vec::new()).collect();
    let mut slots: Vec<Vec<Option<Receiver<Chunk>>>> =
        job.nodes.iter().map(|n| n.inputs.iter().map(|_| None).collect()).collect();
    for (from, targets) in consumers.iter().enumerate() {
        for (to, port) in targets {
            let (sender, receiver) = channel(job.capacity);
            if let (Some(list), Some(slot)) =
                (senders.get_mut(from), slots.get_mut(*to).and_then(|ports| ports.get_mut(*port)))
            {
                list.push(sender);
                *slot = Some(receiver);
            }
        }
    }
    (slots.into_iter().map(|ports| ports.into_iter().flatten().collect()).collect(), senders)
}

struct Tasks {
    set: JoinSet<Result<(), Stop>>,
    names: BTreeMap<Id, Arc<str>>,
}

impl Tasks {
    fn start(
        &mut self,
        node: NodeJob,
        ports: Vec<Receiver<Chunk>>,
        outputs: Vec<Sender<Chunk>>,
        stop: &CancellationToken,
    ) -> Result<(), RunError> {
        let name = Arc::clone(&node.name);
        let stop = stop.clone();
        let handle = match node.running {
            Running::Source(reader) => {
                let source = Source { name: Arc::clone(&name), reader, outputs, metrics: node.metrics };
                let done = source.start(stop.clone())?;
                // A thread that vanished without an answer has panicked.
                let panicked = RunError::Panicked { node: name.to_string(), message: "no message".into() };
                let given_up = async move {
                    stop.cancelled().await;
                    tokio::time::sleep(GRACE).await;
                };
                self.set.spawn(async move {
                    tokio::select! {
                        biased;
                        ended = done => ended.unwrap_or(Err(Stop::Failed(panicked))),
                        () = given_up => Err(Stop::Followed),
                    }
                })
            }
            running => {
                let task = Task {
                    name: Arc::clone(&name),
                    running,
                    ports: Ports::new(ports),
                    outputs,
                    spill: node.spill,
                    metrics: node.metrics,
                };
                self.set.spawn(async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => Err(Stop::Followed),
                        ended = task.drive() => ended,
                    }
                })
            }
        };
        self.names.insert(handle.id(), name);
        Ok(())
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

/// A source on its thread.
struct Source {
    name: Arc<str>,
    reader: Box<dyn ChunkReader>,
    outputs: Vec<Sender<Chunk>>,
    metrics: Arc<NodeMetrics>,
}

impl Source {
    fn start(self, stop: CancellationToken) -> Result<oneshot::Receiver<Result<(), Stop>>, RunError> {
        let (answer, done) = oneshot::channel();
        let node = self.name.to_string();
        let thread = std::thread::Builder::new().name(format!("source {node}"));
        let spawned = thread.spawn(move || {
            let name = Arc::clone(&self.name);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read(&stop)));
            let ended = ended.unwrap_or_else(|panic| {
                let message = panic_message(&*panic);
                Err(Stop::Failed(RunError::Panicked { node: name.to_string(), message }))
            });
            // Nobody listens only if the run was dropped.
            let _ = answer.send(ended);
        });
        spawned.map(|_| done).map_err(|cause| RunError::Thread { node, cause })
    }

    fn read(mut self, stop: &CancellationToken) -> Result<(), Stop> {
        loop {
            if stop.is_cancelled() {
                return Err(Stop::Followed);
            }
            let begun = Instant::now();
            let next = self.reader.next().map_err(|cause| Stop::failed(&self.name, cause))?;
            self.metrics.worked(begun.elapsed());
            let Some(chunk) = next else { break };
            self.metrics.gave(chunk.rows());
            for output in &self.outputs {
                // A consumer that is gone has all it wants, or the run is about to stop.
                let _ = output.send_blocking(chunk.clone());
            }
        }
        for output in self.outputs {
            let _ = output.end_blocking();
        }
        Ok(())
    }
}

/// A node that is no source, on its task.
struct Task {
    name: Arc<str>,
    running: Running,
    ports: Ports,
    outputs: Vec<Sender<Chunk>>,
    spill: Box<dyn SpillArea>,
    metrics: Arc<NodeMetrics>,
}

impl Task {
    async fn drive(mut self) -> Result<(), Stop> {
        loop {
            tokio::task::consume_budget().await;
            let begun = Instant::now();
            let step = self.running.step().await.map_err(|cause| Stop::failed(&self.name, cause))?;
            self.metrics.worked(begun.elapsed());
            match step {
                Step::NeedInput(wanted) => self.take(&wanted).await?,
                Step::Output(chunk) => self.give(&chunk).await,
                Step::Spill(part, chunks) => {
                    self.spill.put(part, chunks).map_err(|cause| Stop::failed(&self.name, cause))?;
                }
                Step::Load(part) => self.load(part)?,
                Step::Forget(part) => {
                    self.spill.forget(part).map_err(|cause| Stop::failed(&self.name, cause))?;
                }
                Step::Done => break,
            }
        }
        if let Running::Machine(machine) = &self.running {
            self.metrics.matched(machine.unmatched());
        }
        for output in self.outputs {
            let _ = output.end().await;
        }
        Ok(())
    }

    fn load(&mut self, part: crate::operator::PartId) -> Result<(), Stop> {
        let chunks = self.spill.read(part).map_err(|cause| Stop::failed(&self.name, cause))?;
        match &mut self.running {
            Running::Machine(machine) => {
                machine.loaded(part, chunks).map_err(|cause| Stop::failed(&self.name, cause))
            }
            _ => Ok(()),
        }
    }

    async fn give(&mut self, chunk: &Chunk) {
        self.metrics.gave(chunk.rows());
        for output in &self.outputs {
            // A consumer that is gone has all it wants, or the run is about to stop.
            let _ = output.send(chunk.clone()).await;
        }
    }

    /// Takes what comes next at one of the wanted ports, or nothing if the node has news itself.
    async fn take(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        if !matches!(self.running, Running::Stage(_)) && !self.ports.any_open(wanted) {
            return Err(Stop::failed(&self.name, beyond_the_end()));
        }
        let received = tokio::select! {
            biased;
            received = self.ports.receive(wanted) => received,
            () = self.running.progress() => return Ok(()),
        };
        let (port, item) = received.ok_or(Stop::Followed)?;
        if let Item::Chunk(chunk) = &item {
            self.metrics.took(port, chunk.rows(), self.ports.queued(port));
        }
        self.running.accept(port, item).map_err(|cause| Stop::failed(&self.name, cause))
    }
}
