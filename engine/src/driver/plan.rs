//! The tasks of a job, as both executors run them.

use std::sync::Arc;

use super::interpreter::{Interpreter, OpId};
use super::metrics::Tally;
use super::source::SourceRunner;
use super::stage_runner::StageRunner;
use super::{NodeJob, SpillArea};
use crate::index::{At as _, IndexVec, TypedIndex as _};
use crate::operator::Machine;
use crate::stage::Running;

crate::typed_index! {
    /// A task of a plan.
    pub(super) struct TaskId("task of the plan");
}

crate::typed_index! {
    /// A node of a job.
    struct NodeId("node of the job");
}

/// A job in tasks: a node that is split has several, and machines that follow on each other share one.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) tasks: IndexVec<TaskId, Task>,
}

/// Machines that run together without channels in between, or a source or stage.
pub(super) struct Task {
    /// The name of its first node.
    pub(super) name: Arc<str>,
    pub(super) work: Work,
    /// For each port, the tasks it reads from.
    pub(super) inputs: Vec<Vec<TaskId>>,
    /// The ports of other tasks that read from it.
    pub(super) consumers: Vec<(TaskId, usize)>,
}

/// The work of a task.
pub(super) enum Work {
    Source(SourceRunner),
    Machines(Interpreter, SpillAreas),
    Stage(StageRunner),
}

/// The areas of the machines of a chain.
pub(super) type SpillAreas = IndexVec<OpId, Box<dyn SpillArea>>;

impl Plan {
    /// Returns the tasks of nodes, each of which stands behind those it reads from.
    pub(super) fn of(nodes: Vec<NodeJob>) -> Self {
        let upstream = fused_upstream(&nodes);
        let mut plan = Self::default();
        let mut tasks_of: IndexVec<NodeId, Vec<TaskId>> = IndexVec::new();
        for (node, upstream) in nodes.into_iter().zip(upstream) {
            let NodeJob { name, inputs, running, spill, metrics } = node;
            let tally = || Tally::new(&metrics);
            let inputs: Vec<_> =
                inputs.into_iter().map(|from| tasks_of[NodeId::from_position(from)].clone()).collect();
            let shared = upstream.map(|node| tasks_of[node].clone());
            let mut machine = |machine: Box<dyn Machine>, spill| {
                let task = match shared.as_deref() {
                    Some([task]) => *task,
                    _ => plan.add(
                        &name,
                        Work::Machines(Interpreter::new(inputs.len()), IndexVec::new()),
                        &inputs,
                    ),
                };
                plan.fuse(task, &name, machine, spill, tally())
            };
            let tasks = match running {
                Running::Machine(only) => vec![machine(only, spill)],
                Running::Split(copies) => {
                    copies.into_iter().map(|(copy, spill)| machine(copy, spill)).collect()
                }
                Running::Source(reader) => {
                    let work = Work::Source(SourceRunner::new(&name, reader, tally()));
                    vec![plan.add(&name, work, &inputs)]
                }
                Running::Stage(stage) => {
                    let work = Work::Stage(StageRunner::new(&name, stage, tally()));
                    vec![plan.add(&name, work, &inputs)]
                }
            };
            tasks_of.push(tasks);
        }
        plan
    }

    fn add(&mut self, name: &Arc<str>, work: Work, inputs: &[Vec<TaskId>]) -> TaskId {
        let task = Task { name: Arc::clone(name), work, inputs: inputs.to_vec(), consumers: Vec::new() };
        let id = self.tasks.push(task);
        for (port, feeders) in inputs.iter().enumerate() {
            for feeder in feeders {
                self.tasks[*feeder].consumers.push((id, port));
            }
        }
        id
    }

    fn fuse(
        &mut self,
        task: TaskId,
        name: &Arc<str>,
        machine: Box<dyn Machine>,
        spill: Box<dyn SpillArea>,
        tally: Tally,
    ) -> TaskId {
        let Work::Machines(interpreter, areas) = &mut self.tasks[task].work else {
            unreachable!("only machines share a task")
        };
        interpreter.fuse(Arc::clone(name), machine, tally);
        areas.push(spill);
        task
    }
}

/// For each node, the one whose task it shares.
///
/// A machine with one input shares the task of the machine it reads from if no other node reads from that one, which
/// has one input too. Machines of a node that is split are alone.
fn fused_upstream(nodes: &[NodeJob]) -> Vec<Option<NodeId>> {
    let mut readers = vec![0; nodes.len()];
    for from in nodes.iter().flat_map(|node| &node.inputs) {
        *readers.at_mut(*from, "node of the job") += 1;
    }
    let fusible = |node: &NodeJob| match &node.running {
        Running::Machine(_) => node.inputs.len() == 1,
        Running::Split(copies) => node.inputs.len() == 1 && copies.len() == 1,
        Running::Source(_) | Running::Stage(_) => false,
    };
    let upstream = |node: &NodeJob| {
        let from = *node.inputs.first().filter(|_| fusible(node))?;
        let alone = *readers.at(from, "node of the job") == 1;
        (alone && fusible(nodes.at(from, "node of the job"))).then(|| NodeId::from_position(from))
    };
    nodes.iter().map(upstream).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::driver::{NoSpill, NodeMetrics};
    use crate::operator::{Item, OperatorError, Step};
    use crate::stage::{ChunkReader, StageError};

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

    /// The nodes of each task of these nodes: how many machines each has (none for a source), and its inputs.
    fn tasks_of(nodes: &[(usize, &[usize])]) -> Vec<Vec<usize>> {
        let node = |(at, (machines, inputs)): (usize, &(usize, &[usize]))| NodeJob {
            name: at.to_string().into(),
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
        let plan = Plan::of(nodes.iter().enumerate().map(node).collect());
        let members = |task: &Task| match &task.work {
            Work::Machines(interpreter, areas) => {
                areas.indices().map(|op| interpreter.name(op).parse().unwrap()).collect()
            }
            _ => vec![task.name.parse().unwrap()],
        };
        plan.tasks.iter().map(members).collect()
    }

    #[test]
    fn machines_with_one_input_that_follow_on_each_other_share_a_task() {
        let line = tasks_of(&[(0, &[]), (1, &[0]), (1, &[1]), (1, &[2])]);
        assert_eq!(line, [vec![0], vec![1, 2, 3]]);
        let apart = tasks_of(&[(0, &[]), (1, &[0]), (0, &[]), (1, &[2]), (1, &[1]), (1, &[3])]);
        assert_eq!(apart, [vec![0], vec![1, 4], vec![2], vec![3, 5]]);
    }

    #[test]
    fn a_fork_a_join_or_a_split_node_ends_a_chain() {
        let fork = tasks_of(&[(0, &[]), (1, &[0]), (1, &[1]), (1, &[1])]);
        assert_eq!(fork, [[0], [1], [2], [3]]);
        let join = tasks_of(&[(0, &[]), (1, &[0]), (1, &[0, 1]), (1, &[2]), (1, &[3])]);
        assert_eq!(join, [vec![0], vec![1], vec![2], vec![3, 4]]);
        let split = tasks_of(&[(0, &[]), (1, &[0]), (2, &[1]), (1, &[2])]);
        assert_eq!(split, [[0], [1], [2], [2], [3]]);
    }
}
