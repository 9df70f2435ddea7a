//! One loop on one thread: each chunk of a source goes through the graph before the next is read.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Job, NodeJob, RunError, beyond_the_end, consumers, panic_message};
use crate::operator::{Item, OperatorError, Step};
use crate::stage::{Running, StageError};

/// Runs a job to its end on the calling thread.
///
/// `runtime` serves stages that wait, and the calls of async functions.
///
/// Order: sources are read in turn, a chunk each. Memory: no edge holds more than one chunk.
/// Cancellation: by the token, between two steps and during the wait of a stage.
pub fn run_synchronous(job: Job, runtime: &Runtime, cancel: &CancellationToken) -> Result<(), RunError> {
    let consumers = consumers(&job);
    let done = vec![false; job.nodes.len()];
    let mut graph = Graph { consumers, nodes: job.nodes, done, runtime, cancel, work: Vec::new() };
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

enum Work {
    Deliver { node: usize, port: usize, item: Item },
    Step(usize),
}

struct Graph<'a> {
    nodes: Vec<NodeJob>,
    consumers: Vec<Vec<(usize, usize)>>,
    /// Nodes whose output is complete; what still comes for them is passed over.
    done: Vec<bool>,
    runtime: &'a Runtime,
    cancel: &'a CancellationToken,
    /// Last in, first out: what is downstream is done before more comes from upstream.
    work: Vec<Work>,
}

impl Graph<'_> {
    fn sources(&self) -> impl Iterator<Item = usize> + use<> {
        let sources: Vec<usize> = (0..self.nodes.len())
            .filter(|at| self.nodes.get(*at).is_some_and(|n| matches!(n.running, Running::Source(_))))
            .collect();
        sources.into_iter()
    }

    /// Lets every node say what it needs before the first row, as a node may be done at once.
    fn begin(&mut self) -> Result<(), RunError> {
        for at in (0..self.nodes.len()).rev() {
            if self.nodes.get(at).is_some_and(|n| !matches!(n.running, Running::Source(_))) {
                self.work.push(Work::Step(at));
            }
        }
        self.settle()
    }

    /// Reads one chunk of a source; false at its end.
    fn read(&mut self, at: usize) -> Result<bool, RunError> {
        if self.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let Some(node) = self.nodes.get_mut(at) else { return Ok(false) };
        let Running::Source(reader) = &mut node.running else { return Ok(false) };
        let begun = Instant::now();
        let next = guarded(&node.name, || reader.next())?;
        node.metrics.worked(begun.elapsed());
        let more = next.is_some();
        let item = if let Some(chunk) = next {
            node.metrics.gave(chunk.rows());
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
        for (node, port) in targets.iter().rev() {
            self.work.push(Work::Deliver { node: *node, port: *port, item: item.clone() });
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
        match self.nodes.iter().zip(&self.done).find(|(_, done)| !**done) {
            Some((node, _)) => {
                Err(RunError::Node { node: node.name.to_string(), cause: beyond_the_end().into() })
            }
            None => Ok(()),
        }
    }

    /// Works until every node waits for input.
    fn settle(&mut self) -> Result<(), RunError> {
        while let Some(work) = self.work.pop() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let (Work::Deliver { node, .. } | Work::Step(node)) = &work;
            if self.is_done(*node) {
                continue;
            }
            match work {
                Work::Deliver { node, port, item } => self.deliver(node, port, item)?,
                Work::Step(node) => self.step(node)?,
            }
        }
        Ok(())
    }

    fn deliver(&mut self, at: usize, port: usize, item: Item) -> Result<(), RunError> {
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        if let Item::Chunk(chunk) = &item {
            node.metrics.took(port, chunk.rows(), 0);
        }
        guarded(&node.name, || node.running.accept(port, item))?;
        self.work.push(Work::Step(at));
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<(), RunError> {
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let begun = Instant::now();
        let (runtime, cancel) = (self.runtime, self.cancel);
        let step = guarded(&node.name, || match &mut node.running {
            Running::Source(_) => Err(OperatorError::Protocol("a source was driven as an operator").into()),
            Running::Machine(machine) => Ok(Some(machine.step()?)),
            Running::Stage(stage) => runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Ok(None),
                    step = stage.step() => step.map(Some),
                }
            }),
        })?;
        node.metrics.worked(begun.elapsed());
        match step {
            None => return Err(RunError::Cancelled),
            Some(Step::NeedInput(_)) => {}
            Some(Step::Output(chunk)) => {
                node.metrics.gave(chunk.rows());
                self.work.push(Work::Step(at));
                self.publish(at, &Item::Chunk(chunk));
            }
            Some(Step::Spill(part, chunks)) => {
                guarded(&node.name, || Ok(node.spill.put(part, chunks)?))?;
                self.work.push(Work::Step(at));
            }
            Some(Step::Load(part)) => {
                let chunks = guarded(&node.name, || Ok(node.spill.read(part)?))?;
                if let Running::Machine(machine) = &mut node.running {
                    guarded(&node.name, || Ok(machine.loaded(part, chunks)?))?;
                }
                self.work.push(Work::Step(at));
            }
            Some(Step::Forget(part)) => {
                guarded(&node.name, || Ok(node.spill.forget(part)?))?;
                self.work.push(Work::Step(at));
            }
            Some(Step::Done) => {
                if let Running::Machine(machine) = &node.running {
                    node.metrics.matched(machine.unmatched());
                }
                self.finish(at);
                self.publish(at, &Item::End);
            }
        }
        Ok(())
    }
}

/// Runs a node's own code, so that neither its error nor its panic loses the node's name.
fn guarded<T>(node: &str, work: impl FnOnce() -> Result<T, StageError>) -> Result<T, RunError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(RunError::Node { node: node.to_owned(), cause }),
        Err(panic) => Err(RunError::Panicked { node: node.to_owned(), message: panic_message(&*panic) }),
    }
}
