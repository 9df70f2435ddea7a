//! Sinks: rows are written to files, which appear when the run is done.

use std::sync::Arc;

use anabranch_engine::operator::InputOrder;
use anabranch_engine::stage::Running;
use anabranch_nodes::sink::{SinkStage, WriteSpec};

use super::stand_in::OnePort;
use super::{
    Certainty, Identity, JobBuilder, JobIndex, KindTraits, LowerError, Lowered, Mode, Node, NodeKind,
    NodeStats, PlanError, Planned, Planning, Protected, RunMode, Site, only_input,
};

/// Name of the kind.
const KIND: &str = "write";

/// A planned sink.
pub(crate) struct WriteKind {
    spec: WriteSpec,
}

impl WriteKind {
    /// Checks that the format can hold the input's columns.
    pub(crate) fn plan(name: &str, spec: WriteSpec, inputs: &[&Node]) -> Result<Planned, PlanError> {
        let only = only_input(name, inputs)?;
        spec.check(&only.contract.schema).map_err(|e| PlanError::sink(name, &e))?;
        let identity = Identity::derived(inputs, InputOrder::Ordered, |structure| spec.identify(structure));
        Ok(Planned { kind: KIND, work: Arc::new(Self { spec }), contract: only.contract.clone(), identity })
    }
}

static TRAITS: KindTraits =
    KindTraits { knobs: &[], brackets: ("[/", "/]"), shape: "note", gives_rows: false };

impl NodeKind for WriteKind {
    fn files(&self, name: &str) -> Vec<Protected> {
        vec![Protected::output(&self.spec, &format!("\"{name}\" writes as well"))]
    }

    fn traits(&self) -> &'static KindTraits {
        &TRAITS
    }

    fn certainty(&self, above: Certainty, _computes: bool) -> Certainty {
        above
    }

    fn plan_again(&self, node: &Node, inputs: &[&Node], _: &Planning<'_>) -> Result<Planned, PlanError> {
        Self::plan(&node.name, self.spec.clone(), inputs)
    }

    fn lower(&self, site: &Site<'_>, job: &mut JobBuilder<'_>) -> Result<Lowered, LowerError> {
        let node = site.node;
        match site.mode {
            Mode::Run(run) => lower_file((&node.name, KIND), (node, &self.spec), &site.inputs, run, job),
            Mode::Forecast(_) | Mode::Verify(_) => {
                let stage = Running::Stage(Box::new(OnePort::new(site.inputs.len(), None)));
                Ok(job.push_node(node, &site.inputs, stage))
            }
        }
    }

    fn as_write(&self) -> Option<&WriteSpec> {
        Some(&self.spec)
    }
}

/// Adds the entry that writes rows of a node to a file, under a name and kind of its own.
pub(crate) fn lower_file(
    (name, kind): (&str, &'static str),
    (node, spec): (&Node, &WriteSpec),
    inputs: &[JobIndex],
    run: &RunMode<'_>,
    job: &mut JobBuilder<'_>,
) -> Result<Lowered, LowerError> {
    let schema = &node.contract.schema;
    let sink = SinkStage::create(spec, schema, Arc::clone(&job.origins), run.outbox.clone());
    let sink = sink.map_err(LowerError::start)?;
    let counters = sink.counters();
    let (rows, metrics) = job.push(name, inputs, Running::Stage(Box::new(sink)));
    let stats = NodeStats { sink: Some(counters), ..NodeStats::new(name, kind, metrics) };
    Ok(Lowered { rows, stats })
}
