//! Lowering of a pipeline to a job.

use anabranch_engine::driver::Job;

use super::{NodeAction, RunError};
use crate::graph::Pipeline;
use crate::node::{
    Certainty, JobBuilder, JobIndex, LowerError, Lowered, Mode, NodeStats, PerNode, Site, lower_file,
    lower_recording,
};

/// A job, and the counters of its nodes.
pub(crate) struct LoweredJob {
    pub(crate) job: Job,
    /// Counters of each node that runs.
    pub(crate) nodes: PerNode<Option<NodeStats>>,
    /// Counters of files that rows are written to beside the sinks.
    pub(crate) outputs: Vec<NodeStats>,
}

/// Starts the nodes of a pipeline, each by its action. [`NodeKind::lower`](crate::node::NodeKind::lower) adds the
/// entries of a node.
pub(crate) fn lower(
    pipeline: &Pipeline,
    actions: &PerNode<NodeAction>,
    mode: &Mode<'_>,
    mut job: JobBuilder<'_>,
) -> Result<LoweredJob, RunError> {
    let mut rows: PerNode<Option<JobIndex>> = pipeline.per_node(|_| None);
    let mut nodes: PerNode<Option<NodeStats>> = pipeline.per_node(|_| None);
    for index in pipeline.indices_of_nodes() {
        let node = pipeline.at(index);
        let lowered = match &actions[index] {
            NodeAction::Skip => continue,
            NodeAction::Reuse(recording, store) => lower_recording(node, recording, store, &mut job),
            NodeAction::Run => {
                let input = |input| {
                    rows[input].unwrap_or_else(|| panic!("an input of \"{}\" does not run", node.name))
                };
                let inputs = node.inputs.iter().map(|at| input(*at)).collect();
                let above = node.inputs.iter().map(|at| mode.certainty(*at)).max();
                let site = Site { mode, index, node, inputs, above: above.unwrap_or(Certainty::Exact) };
                node.work.lower(&site, &mut job)
            }
        };
        let Lowered { rows: from, stats } = lowered.map_err(|error| failed(&node.name, error))?;
        rows[index] = Some(from);
        nodes[index] = Some(stats);
    }
    let mut outputs = Vec::new();
    if let Mode::Run(run) = mode {
        for (index, spec) in &run.outputs {
            let node = pipeline.at(*index);
            let from = rows[*index]
                .unwrap_or_else(|| panic!("\"{}\", whose rows are written, does not run", node.name));
            let name = format!("--out {}", node.name);
            let lowered = lower_file((&name, "out"), (node, spec), &[from], run, &mut job);
            outputs.push(lowered.map_err(|error| failed(&name, error))?.stats);
        }
    }
    Ok(LoweredJob { job: job.finish(), nodes, outputs })
}

fn failed(node: &str, error: LowerError) -> RunError {
    match error {
        LowerError::Start(cause) => RunError::Start { node: node.to_owned(), cause },
        LowerError::Store(cause) => RunError::Store(cause),
    }
}
