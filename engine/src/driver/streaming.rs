//! Each edge between tasks a bounded channel.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::chain::{Chain, FusedOp};
use super::ports::Ports;
use super::source::Source;
use super::task::{ChainTask, Disk, Outputs, StageTask};
use super::{Job, Plan, RunError, Stop, Work, Worker, panic_message};
use crate::channel::{Receiver, Sender, merging_channel};
use crate::chunk::Chunk;

/// How long a run that stops waits for a source to come back from a read, and for the disk.
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
    let chains = chains(&plan);
    let ends = wire(&plan, &chains, job.capacity);
    let (disk, mut idle) = Disk::new();
    let mut tasks = Tasks { set: JoinSet::new(), names: BTreeMap::new(), stop: stop.clone(), disk };
    let mut fault = tasks.start_all(plan.workers, &chains, ends).err();
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

/// The workers that share a task, in the order of the rows.
///
/// A machine with one input shares the task of the machine it reads from if nobody else reads from
/// that one, which has one input too. Machines of a node that is split are alone.
fn chains(plan: &Plan) -> Vec<Vec<usize>> {
    let mut chains: Vec<Vec<usize>> = Vec::new();
    let mut chain_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, place) in plan.nodes.iter().enumerate() {
        let upstream = place.inputs.first().filter(|from| fused(plan, **from, at));
        let known = upstream.and_then(|from| chain_of.get(from).copied());
        chain_of.insert(at, known.unwrap_or(chains.len()));
        match known.and_then(|chain| chains.get_mut(chain)) {
            Some(chain) => chain.extend(place.workers.clone()),
            None => chains.extend(place.workers.clone().map(|worker| vec![worker])),
        }
    }
    chains
}

fn fused(plan: &Plan, from: usize, to: usize) -> bool {
    let alone = |node: usize| {
        plan.nodes.get(node).is_some_and(|place| {
            let machine = plan.workers.get(place.workers.start);
            place.inputs.len() == 1
                && place.workers.len() == 1
                && machine.is_some_and(|worker| matches!(worker.work, Work::Machine(_)))
        })
    };
    alone(from) && alone(to) && plan.nodes.get(from).is_some_and(|place| place.consumers == [(to, 0)])
}

/// The ends of a worker's edges, in the order of its ports and of its consumers.
#[derive(Default)]
struct Ends {
    ports: Vec<Receiver<Chunk>>,
    outputs: Vec<Sender<Chunk>>,
}

/// The edges of each worker: every worker of a node reads from all workers of each input.
fn wire(plan: &Plan, chains: &[Vec<usize>], capacity: NonZeroUsize) -> Vec<Ends> {
    let mut ends: Vec<Ends> = plan.workers.iter().map(|_| Ends::default()).collect();
    let mut followers = vec![false; plan.workers.len()];
    for worker in chains.iter().flat_map(|chain| chain.iter().skip(1)) {
        if let Some(follows) = followers.get_mut(*worker) {
            *follows = true;
        }
    }
    for (to, place) in plan.nodes.iter().enumerate() {
        let follows = followers.get(place.workers.clone()).is_some_and(|place| place.contains(&true));
        for from in place.inputs.iter().filter(|from| !(follows && fused(plan, **from, to))) {
            let Some(upstream) = plan.nodes.get(*from) else { continue };
            // Without a worker nobody says the end, and the edge is abandoned from the start.
            let count = NonZeroUsize::new(upstream.workers.len()).unwrap_or(NonZeroUsize::MIN);
            for worker in place.workers.clone() {
                let (senders, receiver) = merging_channel(capacity, count);
                for (sender, giver) in senders.into_iter().zip(upstream.workers.clone()) {
                    if let Some(giver) = ends.get_mut(giver) {
                        giver.outputs.push(sender);
                    }
                }
                if let Some(taker) = ends.get_mut(worker) {
                    taker.ports.push(receiver);
                }
            }
        }
    }
    ends
}

struct Tasks {
    set: JoinSet<Result<(), Stop>>,
    names: BTreeMap<Id, Arc<str>>,
    stop: CancellationToken,
    disk: Disk,
}

impl Tasks {
    fn start_all(
        &mut self,
        workers: Vec<Worker>,
        chains: &[Vec<usize>],
        ends: Vec<Ends>,
    ) -> Result<(), RunError> {
        let mut slots: Vec<_> = workers.into_iter().zip(ends).map(Some).collect();
        for chain in chains {
            let workers = chain.iter().filter_map(|at| slots.get_mut(*at).and_then(Option::take)).collect();
            self.start(workers)?;
        }
        Ok(())
    }

    /// Starts the workers of one task: one, or machines that are fused.
    fn start(&mut self, workers: Vec<(Worker, Ends)>) -> Result<(), RunError> {
        let (mut ports, mut outputs, mut ops) = (None, Vec::new(), Vec::new());
        let mut first = None;
        for (Worker { name, work, spill, tally }, ends) in workers {
            let name_of_first = first.get_or_insert_with(|| Arc::clone(&name)).clone();
            ports.get_or_insert(ends.ports);
            outputs = ends.outputs;
            match work {
                Work::Source(reader) => {
                    return self.start_source(Source { name, reader, outputs, tally });
                }
                Work::Stage(stage) => {
                    let ports = Ports::new(ports.unwrap_or_default());
                    let task =
                        StageTask { name: name_of_first, stage, tally, ports, outputs: Outputs(outputs) };
                    self.spawn(name, task.drive());
                    return Ok(());
                }
                Work::Machine(machine) => {
                    ops.push(FusedOp { name, machine, tally, spill: Some(spill), done: false });
                }
            }
        }
        let Some(name) = first else { return Ok(()) };
        let task = ChainTask {
            name: Arc::clone(&name),
            chain: Chain::new(ops),
            ports: Ports::new(ports.unwrap_or_default()),
            outputs: Outputs(outputs),
            disk: self.disk.clone(),
            subtasks: self.disk.subtasks(),
        };
        self.spawn(name, task.drive());
        Ok(())
    }

    fn start_source(&mut self, source: Source) -> Result<(), RunError> {
        let name = Arc::clone(&source.name);
        let done = source.start(self.stop.clone())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{NoSpill, NodeJob, NodeMetrics};
    use crate::operator::{Item, Machine, OperatorError, Step};
    use crate::stage::{ChunkReader, Running, StageError};

    struct Nothing;

    impl Machine for Nothing {
        fn accept(&mut self, _: usize, _: Item) -> Result<(), OperatorError> {
            Ok(())
        }

        fn step(&mut self) -> Result<Step, OperatorError> {
            Ok(Step::Done)
        }
    }

    impl ChunkReader for Nothing {
        fn next(&mut self) -> Result<Option<Chunk>, StageError> {
            Ok(None)
        }
    }

    /// The chains of these nodes: how many machines each has (none for a source), and its inputs.
    fn chains_of(nodes: &[(usize, &[usize])]) -> Vec<Vec<usize>> {
        let node = |(machines, inputs): &(usize, &[usize])| NodeJob {
            name: "node".into(),
            inputs: inputs.to_vec(),
            running: match machines {
                0 => Running::Source(Box::new(Nothing)),
                1 => Running::Machine(Box::new(Nothing)),
                _ => Running::Split(
                    (0..*machines).map(|_| (Box::new(Nothing) as _, Box::new(NoSpill) as _)).collect(),
                ),
            },
            spill: Box::new(NoSpill),
            metrics: Arc::new(NodeMetrics::new(inputs.len())),
        };
        chains(&Plan::of(nodes.iter().map(node).collect()))
    }

    #[test]
    fn machines_with_one_input_that_follow_on_each_other_share_a_task() {
        let line = chains_of(&[(0, &[]), (1, &[0]), (1, &[1]), (1, &[2])]);
        assert_eq!(line, [vec![0], vec![1, 2, 3]]);
        let apart = chains_of(&[(0, &[]), (1, &[0]), (0, &[]), (1, &[2]), (1, &[1]), (1, &[3])]);
        assert_eq!(apart, [vec![0], vec![1, 4], vec![2], vec![3, 5]]);
    }

    #[test]
    fn a_fork_a_join_or_a_split_node_ends_a_chain() {
        let fork = chains_of(&[(0, &[]), (1, &[0]), (1, &[1]), (1, &[1])]);
        assert_eq!(fork, [[0], [1], [2], [3]]);
        let join = chains_of(&[(0, &[]), (1, &[0]), (1, &[0, 1]), (1, &[2]), (1, &[3])]);
        assert_eq!(join, [vec![0], vec![1], vec![2], vec![3, 4]]);
        let split = chains_of(&[(0, &[]), (1, &[0]), (2, &[1]), (1, &[2])]);
        assert_eq!(split, [[0], [1], [2], [3], [4]]);
    }
}
