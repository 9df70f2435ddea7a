//! One loop on one thread: each chunk of a source goes through the graph before the next is read.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::interpreter::{BEYOND_THE_END, Effect, Interpreter};
use super::plan::{Plan, SpillAreas, Task, TaskId, Work};
use super::{Job, RunError, guarded};
use crate::chunk::Chunk;
use crate::index::{At as _, IndexVec};
use crate::operator::{Item, OperatorError};
use crate::stage::StageStep;

/// Runs a job to its end on the calling thread.
///
/// `runtime` serves stages that wait, and the calls of async functions.
///
/// Order: sources are read in turn, a chunk each. Memory: no edge holds more than one chunk.
/// Cancellation: by the token, between two steps and during the wait of a stage.
pub fn run_synchronous(job: Job, runtime: &Runtime, cancel: &CancellationToken) -> Result<(), RunError> {
    let mut graph = Graph::new(Plan::of(job.nodes), runtime, cancel);
    let is_source = |id: &TaskId| matches!(graph.tasks[*id].work, Work::Source(_));
    let (sources, others): (Vec<TaskId>, Vec<TaskId>) = graph.tasks.indices().partition(is_source);
    // Every node steps before the first row, as it may be done at once.
    graph.agenda.extend(others.into_iter().rev().map(Event::Resume));
    graph.settle()?;
    graph.read_all(sources.into())?;
    graph.check_done()
}

enum Event {
    Deliver { task: TaskId, port: usize, item: Item },
    Resume(TaskId),
}

/// The next event of a task that has stepped.
enum Next {
    Resume,
    /// Rows go to the consumers, then it resumes.
    Output(Chunk),
    /// Its output ends, then it resumes.
    End,
    /// It resumes when something is delivered.
    Wait,
    /// Its output ends, and it never resumes.
    EndAndStop,
    /// It never resumes.
    Stop,
}

struct Graph<'a> {
    tasks: IndexVec<TaskId, Task>,
    /// For each task and port, the number of tasks it reads from that have not ended.
    open: IndexVec<TaskId, Vec<usize>>,
    /// Tasks that have stopped; what still comes for them is passed over.
    done: IndexVec<TaskId, bool>,
    runtime: &'a Runtime,
    cancel: &'a CancellationToken,
    /// Last in, first out: what is downstream is done before more comes from upstream.
    agenda: Vec<Event>,
}

impl<'a> Graph<'a> {
    fn new(plan: Plan, runtime: &'a Runtime, cancel: &'a CancellationToken) -> Self {
        let feeders = |task: &Task| task.inputs.iter().map(Vec::len).collect();
        let open = plan.tasks.iter().map(feeders).collect();
        let done = plan.tasks.iter().map(|_| false).collect();
        Self { tasks: plan.tasks, open, done, runtime, cancel, agenda: Vec::new() }
    }

    /// Reads the sources in turn, a chunk each.
    fn read_all(&mut self, mut sources: VecDeque<TaskId>) -> Result<(), RunError> {
        while let Some(id) = sources.pop_front() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let Work::Source(source) = &mut self.tasks[id].work else {
                unreachable!("only sources are read")
            };
            if let Some(chunk) = source.read()? {
                if chunk.rows() > 0 {
                    self.publish(id, &Item::Chunk(chunk));
                }
                sources.push_back(id);
            } else {
                self.done[id] = true;
                self.publish(id, &Item::End);
            }
            self.settle()?;
        }
        Ok(())
    }

    fn publish(&mut self, id: TaskId, item: &Item) {
        let deliver =
            |(task, port): &(TaskId, usize)| Event::Deliver { task: *task, port: *port, item: item.clone() };
        self.agenda.extend(self.tasks[id].consumers.iter().rev().map(deliver));
    }

    /// Every source has ended and every task has had what there was for it.
    fn check_done(&self) -> Result<(), RunError> {
        match self.tasks.iter().zip(&self.done).find(|(_, done)| !**done) {
            Some((task, _)) => {
                let cause = OperatorError::Protocol(BEYOND_THE_END).into();
                Err(RunError::Node { node: task.name.to_string(), cause })
            }
            None => Ok(()),
        }
    }

    /// Works until every task waits for input.
    fn settle(&mut self) -> Result<(), RunError> {
        while let Some(event) = self.agenda.pop() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            match event {
                Event::Deliver { task, .. } | Event::Resume(task) if self.done[task] => {}
                Event::Deliver { task, port, item } => self.deliver(task, port, item)?,
                Event::Resume(task) => self.resume(task)?,
            }
        }
        Ok(())
    }

    fn deliver(&mut self, id: TaskId, port: usize, item: Item) -> Result<(), RunError> {
        if matches!(item, Item::End) {
            let open = self.open[id].at_mut(port, "port");
            *open -= 1;
            if *open > 0 {
                return Ok(());
            }
        }
        match &mut self.tasks[id].work {
            Work::Source(_) => unreachable!("a source has no ports"),
            Work::Machines(interpreter, _) => interpreter.push(port, item, 0)?,
            Work::Stage(stage) => stage.push(port, item, 0)?,
        }
        self.agenda.push(Event::Resume(id));
        Ok(())
    }

    fn resume(&mut self, id: TaskId) -> Result<(), RunError> {
        let next = match &mut self.tasks[id].work {
            Work::Source(_) => unreachable!("a source is read, not resumed"),
            Work::Machines(interpreter, areas) => resume_machines(interpreter, areas)?,
            Work::Stage(stage) => self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => Err(RunError::Cancelled),
                    step = stage.step() => step.map(Next::from),
                }
            })?,
        };
        self.done[id] = matches!(next, Next::EndAndStop | Next::Stop);
        if matches!(next, Next::Resume | Next::Output(_) | Next::End) {
            self.agenda.push(Event::Resume(id));
        }
        match next {
            Next::Output(chunk) => self.publish(id, &Item::Chunk(chunk)),
            Next::End | Next::EndAndStop => self.publish(id, &Item::End),
            Next::Resume | Next::Wait | Next::Stop => {}
        }
        Ok(())
    }
}

/// Resumes machines and carries out what they need, but for input and output.
fn resume_machines(interpreter: &mut Interpreter, areas: &mut SpillAreas) -> Result<Next, RunError> {
    let effect = interpreter.resume()?;
    let begun = Instant::now();
    match effect {
        Effect::Continue | Effect::Yield => {}
        Effect::NeedInput(_) => return Ok(Next::Wait),
        Effect::Output(chunk) => return Ok(Next::Output(chunk)),
        Effect::End => return Ok(Next::End),
        Effect::Done => return Ok(Next::Stop),
        Effect::Spill(op, request) => {
            let area = &mut *areas[op];
            let outcome = guarded(interpreter.name(op), || Ok(request.run(area)))?;
            interpreter.spilled(op, outcome, begun.elapsed())?;
        }
        Effect::Spawn(op, subtask) => {
            // There is nothing beside this loop, so the subtask is done at once.
            guarded(interpreter.name(op), || Ok(subtask.run()?))?;
            interpreter.subtask_done(begun.elapsed())?;
        }
        Effect::Join => unreachable!("a subtask is done as soon as it is spawned, so none is under way"),
    }
    Ok(Next::Resume)
}

impl From<StageStep> for Next {
    fn from(step: StageStep) -> Self {
        match step {
            StageStep::NeedInput(_) => Self::Wait,
            StageStep::Output(chunk) => Self::Output(chunk),
            StageStep::Done => Self::EndAndStop,
        }
    }
}
