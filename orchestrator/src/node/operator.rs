//! Operators: synchronous machines, split where the cores can share the work.

use std::sync::Arc;

use anabranch_engine::operator::{Bound, Context, Input, Operator, Partition, UnknownValues};
use anabranch_engine::stage::Running;
use anabranch_nodes::recording::{RecordMode, RecordingStage};

use super::stand_in::{OnePort, PassUnknown};
use super::{
    Certainty, Identity, JobBuilder, JobIndex, KindTraits, Knob, LowerError, Lowered, Mode, Node, NodeKind,
    PlanError, Planned, Planning, Protected, RunMode, Site,
};

/// Maximum number of machines that share an operator's work; each filters all rows for its own.
const MOST_COPIES: u32 = 8;

/// A planned operator.
pub(crate) struct OperatorKind {
    specification: Arc<dyn Operator>,
    bound: Box<dyn Bound>,
}

impl OperatorKind {
    /// Binds an operator to its inputs.
    pub(crate) fn plan(
        name: &str,
        specification: Arc<dyn Operator>,
        inputs: &[&Node],
    ) -> Result<Planned, PlanError> {
        let given: Vec<Input> = inputs.iter().map(|node| node.as_input()).collect();
        let bound = specification.bind(&given).map_err(|error| {
            let names: Vec<&str> = inputs.iter().map(|node| node.name.as_str()).collect();
            PlanError::operator(name, &names, error)
        })?;
        let contract = bound.contract().clone();
        let mut identity = Identity::derived(inputs, specification.input_order(), |structure| {
            structure.text(specification.kind());
            specification.identify(structure);
        });
        identity.revisions.add(&specification.revisions());
        let kind = specification.kind();
        Ok(Planned { kind, work: Arc::new(Self { specification, bound }), contract, identity })
    }

    /// Creates the machine, or one for each core where they can share the work.
    fn machines(&self, job: &JobBuilder<'_>) -> Running {
        let context = job.context();
        let copies = u32::try_from(context.cores).unwrap_or(MOST_COPIES).min(MOST_COPIES);
        if copies < 2 || !self.bound.splits() {
            return Running::Machine(self.bound.start(&context));
        }
        let copy = |part| {
            let context = Context { partition: Partition::new(part, copies), ..context.clone() };
            (self.bound.start(&context), job.area())
        };
        Running::Split((0..copies).map(copy).collect())
    }

    fn running(&self, site: &Site<'_>, job: &JobBuilder<'_>) -> Running {
        let ports = site.inputs.len();
        let known = match site.above {
            Certainty::Exact => UnknownValues::Run,
            Certainty::Bounded | Certainty::Unknown => self.bound.with_unknown_values(),
        };
        match known {
            UnknownValues::Run => self.machines(job),
            UnknownValues::PassRow => {
                Running::Stage(Box::new(PassUnknown::new(self.bound.start(&job.context()))))
            }
            UnknownValues::AtMost(port) => Running::Stage(Box::new(OnePort::new(ports, Some(port)))),
            UnknownValues::Nothing => Running::Stage(Box::new(OnePort::new(ports, None))),
        }
    }
}

static TRAITS: KindTraits =
    KindTraits { knobs: &[Knob::Recording], brackets: ("[", "]"), shape: "box", gives_rows: true };

impl NodeKind for OperatorKind {
    fn files(&self, _: &str) -> Vec<Protected> {
        Vec::new()
    }

    fn traits(&self) -> &'static KindTraits {
        &TRAITS
    }

    fn certainty(&self, above: Certainty, _computes: bool) -> Certainty {
        match above {
            Certainty::Bounded if self.bound.with_unknown_values() == UnknownValues::Nothing => {
                Certainty::Unknown
            }
            above => above,
        }
    }

    fn plan_again(&self, node: &Node, inputs: &[&Node], _: &Planning<'_>) -> Result<Planned, PlanError> {
        Self::plan(&node.name, Arc::clone(&self.specification), inputs)
    }

    fn lower(&self, site: &Site<'_>, job: &mut JobBuilder<'_>) -> Result<Lowered, LowerError> {
        let node = site.node;
        let running = self.running(site, job);
        let mut lowered = job.push_node(node, &site.inputs, running);
        match site.mode {
            Mode::Run(run) => {
                lowered.stats.ran_because = ran_because(node, run);
                lowered.rows = recorded(node, lowered.rows, run, job)?;
            }
            Mode::Forecast(_) | Mode::Verify(_) => {}
        }
        Ok(lowered)
    }
}

/// Adds the recording of an operator's rows, where the node has that knob set.
fn recorded(
    node: &Node,
    machine: JobIndex,
    run: &RunMode<'_>,
    job: &mut JobBuilder<'_>,
) -> Result<JobIndex, LowerError> {
    if node.record == RecordMode::Off || run.limit.is_some() {
        return Ok(machine);
    }
    let recorder = run.recorder(node, None, &job.origins).map_err(LowerError::start)?;
    let stage = Running::Stage(Box::new(RecordingStage::new(recorder)));
    Ok(job.push(&node.name, &[machine], stage).0)
}

/// Reason why a node that could be served from a recording was not.
fn ran_because(node: &Node, run: &RunMode<'_>) -> Option<&'static str> {
    (node.record == RecordMode::Replay).then_some(if run.no_reuse {
        "nothing is reused in this run: it ran and was recorded anew"
    } else if run.limit.is_some() {
        "a limited run neither reads nor keeps a recording: it ran"
    } else {
        "no recording stands for it as it is now: it ran and was recorded, and the next run is served from that"
    })
}
