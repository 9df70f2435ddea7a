//! One loop on one thread: each chunk of a source goes through the graph before the next is read.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Job, NONE_UNDER_WAY, Plan, RunError, Work, Worker, beyond_the_end, guarded};
use crate::operator::{Item, OperatorError, Step};

/// Runs a job to its end on the calling thread.
///
/// `runtime` serves stages that wait, and the calls of async functions.
///
/// Order: sources are read in turn, a chunk each. Memory: no edge holds more than one chunk.
/// Cancellation: by the token, between two steps and during the wait of a stage.
pub fn run_synchronous(job: Job, runtime: &Runtime, cancel: &CancellationToken) -> Result<(), RunError> {
    let mut graph = Graph::new(Plan::of(job.nodes), runtime, cancel);
    graph.begin()?;
    let mut sources: VecDeque<usize> = graph.sources().collect();
    while let Some(at) = sources.pop_front() {
        if graph.read(at)? {
            sources.push_back(at);
        }
        graph.settle()?;
    }
    graph.check_done()
}

enum Task {
    Deliver { worker: usize, port: usize, item: Item },
    Step(usize),
}

struct Graph<'a> {
    workers: Vec<Worker>,
    /// For each worker, the workers and ports that read from it.
    consumers: Vec<Vec<(Range<usize>, usize)>>,
    /// For each worker and port, the workers it reads from that have not ended.
    open: Vec<Vec<usize>>,
    /// Workers whose output is complete; what still comes for them is passed over.
    done: Vec<bool>,
    runtime: &'a Runtime,
    cancel: &'a CancellationToken,
    /// Last in, first out: what is downstream is done before more comes from upstream.
    tasks: Vec<Task>,
}

impl<'a> Graph<'a> {
    fn new(plan: Plan, runtime: &'a Runtime, cancel: &'a CancellationToken) -> Self {
        let range = |node: usize| plan.nodes.get(node).map_or(0..0, |place| place.workers.clone());
        let (mut consumers, mut open) = (Vec::new(), Vec::new());
        for place in &plan.nodes {
            let to: Vec<_> = place.consumers.iter().map(|(node, port)| (range(*node), *port)).collect();
            let from: Vec<usize> = place.inputs.iter().map(|node| range(*node).len()).collect();
            for _ in place.workers.clone() {
                consumers.push(to.clone());
                open.push(from.clone());
            }
        }
        let done = vec![false; plan.workers.len()];
        Self { workers: plan.workers, consumers, open, done, runtime, cancel, tasks: Vec::new() }
    }

    fn sources(&self) -> impl Iterator<Item = usize> + use<> {
        let source = |at: &usize| self.workers.get(*at).is_some_and(|w| matches!(w.work, Work::Source(_)));
        let sources: Vec<usize> = (0..self.workers.len()).filter(source).collect();
        sources.into_iter()
    }

    /// Lets every node say what it needs before the first row, as a node may be done at once.
    fn begin(&mut self) -> Result<(), RunError> {
        for at in (0..self.workers.len()).rev() {
            if self.workers.get(at).is_some_and(|w| !matches!(w.work, Work::Source(_))) {
                self.tasks.push(Task::Step(at));
            }
        }
        self.settle()
    }

    /// Reads one chunk of a source; false at its end.
    fn read(&mut self, at: usize) -> Result<bool, RunError> {
        if self.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let Some(node) = self.workers.get_mut(at) else { return Ok(false) };
        let Work::Source(reader) = &mut node.work else { return Ok(false) };
        let begun = Instant::now();
        let next = guarded(&node.name, || reader.next())?;
        node.tally.worked(begun.elapsed());
        if next.as_ref().is_some_and(|chunk| chunk.rows() == 0) {
            return Ok(true);
        }
        let more = next.is_some();
        let item = if let Some(chunk) = next {
            node.tally.gave(chunk.rows());
            Item::Chunk(chunk)
        } else {
            self.finish(at);
            Item::End
        };
        self.publish(at, &item);
        Ok(more)
    }

    fn publish(&mut self, at: usize, item: &Item) {
        let targets = self.consumers.get(at).map_or(&[][..], Vec::as_slice);
        for (workers, port) in targets.iter().rev() {
            for worker in workers.clone().rev() {
                self.tasks.push(Task::Deliver { worker, port: *port, item: item.clone() });
            }
        }
    }

    fn finish(&mut self, at: usize) {
        if let Some(done) = self.done.get_mut(at) {
            *done = true;
        }
    }

    fn is_done(&self, at: usize) -> bool {
        self.done.get(at).copied().unwrap_or(true)
    }

    /// Every source has ended and every node has had what there was for it.
    fn check_done(&self) -> Result<(), RunError> {
        match self.workers.iter().zip(&self.done).find(|(_, done)| !**done) {
            Some((node, _)) => {
                Err(RunError::Node { node: node.name.to_string(), cause: beyond_the_end().into() })
            }
            None => Ok(()),
        }
    }

    /// Works until every node waits for input.
    fn settle(&mut self) -> Result<(), RunError> {
        while let Some(task) = self.tasks.pop() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let (Task::Deliver { worker, .. } | Task::Step(worker)) = &task;
            if self.is_done(*worker) {
                continue;
            }
            match task {
                Task::Deliver { worker, port, item } => self.deliver(worker, port, item)?,
                Task::Step(worker) => self.step(worker)?,
            }
        }
        Ok(())
    }

    /// Whether that was the last end that the port has to hear of.
    fn ends(&mut self, at: usize, port: usize) -> bool {
        let Some(open) = self.open.get_mut(at).and_then(|ports| ports.get_mut(port)) else { return false };
        *open = open.saturating_sub(1);
        *open == 0
    }

    fn deliver(&mut self, at: usize, port: usize, item: Item) -> Result<(), RunError> {
        if matches!(item, Item::End) && !self.ends(at, port) {
            return Ok(());
        }
        let Some(node) = self.workers.get_mut(at) else { return Ok(()) };
        if let Item::Chunk(chunk) = &item {
            node.tally.took(port, chunk.rows(), 0);
        }
        guarded(&node.name, || match &mut node.work {
            Work::Source(_) => Err(OperatorError::Protocol("a source was given rows").into()),
            Work::Machine(machine) => Ok(machine.accept(port, item)?),
            Work::Stage(stage) => stage.accept(port, item),
        })?;
        self.tasks.push(Task::Step(at));
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<(), RunError> {
        let Some(node) = self.workers.get_mut(at) else { return Ok(()) };
        let begun = Instant::now();
        let (runtime, cancel) = (self.runtime, self.cancel);
        let step = guarded(&node.name, || match &mut node.work {
            Work::Source(_) => Err(OperatorError::Protocol("a source was driven as an operator").into()),
            Work::Machine(machine) => Ok(Some(machine.step()?)),
            Work::Stage(stage) => runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Ok(None),
                    step = stage.step() => step.map(Some),
                }
            }),
        })?;
        node.tally.worked(begun.elapsed());
        match step {
            None => Err(RunError::Cancelled),
            Some(step) => self.follow(at, step),
        }
    }

    /// Does what a step asked for.
    fn follow(&mut self, at: usize, step: Step) -> Result<(), RunError> {
        let Some(node) = self.workers.get_mut(at) else { return Ok(()) };
        match step {
            Step::NeedInput(_) => {}
            Step::More => self.tasks.push(Task::Step(at)),
            Step::Output(chunk) => {
                node.tally.gave(chunk.rows());
                self.tasks.push(Task::Step(at));
                self.publish(at, &Item::Chunk(chunk));
            }
            Step::Spill(part, chunks) => {
                guarded(&node.name, || Ok(node.spill.put(part, chunks)?))?;
                self.tasks.push(Task::Step(at));
            }
            Step::Load(part) => {
                let chunks = guarded(&node.name, || Ok(node.spill.read(part)?))?;
                if let Work::Machine(machine) = &mut node.work {
                    guarded(&node.name, || Ok(machine.loaded(part, chunks)?))?;
                }
                self.tasks.push(Task::Step(at));
            }
            Step::Forget(part) => {
                guarded(&node.name, || Ok(node.spill.forget(part)?))?;
                self.tasks.push(Task::Step(at));
            }
            Step::Spawn(subtask) => {
                // There is nothing beside this loop, so the subtask is done at once.
                let begun = Instant::now();
                guarded(&node.name, || Ok(subtask.run()?))?;
                node.tally.worked(begun.elapsed());
                if let Work::Machine(machine) = &mut node.work {
                    guarded(&node.name, || Ok(machine.subtask_done()?))?;
                }
                self.tasks.push(Task::Step(at));
            }
            Step::Join => {
                let cause = OperatorError::Protocol(NONE_UNDER_WAY).into();
                return Err(RunError::Node { node: node.name.to_string(), cause });
            }
            Step::Done => {
                if let Work::Machine(machine) = &node.work {
                    node.tally.matched(&machine.unmatched());
                }
                self.finish(at);
                self.publish(at, &Item::End);
            }
        }
        Ok(())
    }
}
