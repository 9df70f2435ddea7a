//! Forecasts of runs: sources are read, packets hashed and looked up, and nothing is computed.
//!
//! A function all of whose packets have results emits them, so that the counts below it are exact too. Below a
//! function that would compute, the rows that it drops and the values that operators read are unknown: there counts
//! are upper bounds. The first pass finds the functions that would compute; if there are any, a second pass counts the
//! nodes below them.

mod reason;
mod report;
mod verify;

pub use reason::{ComponentChange, EarlierFunction, Reason};
pub(crate) use reason::{changes, earlier_function};
pub use report::{Count, Forecast, ForecastCalls, ForecastNode};
pub use verify::{Certificate, VerifiedNode, VerifyOptions};

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use anabranch_engine::driver::run_synchronous;
use anabranch_engine::provenance::Origins;
use anabranch_nodes::function::MissedRows;
use tokio_util::sync::CancellationToken;

use crate::graph::{NodeHandle, Pipeline};
use crate::node::{Certainty, ForecastMode, JobBuilder, Mode, Node, NodeIndex, NodeStats, PerNode, Watch};
use crate::plan::{LoweredJob, NodeAction, RunError, lower};
use crate::store::Store;

/// Name of the thread that drives a forecast.
const FORECAST: &str = "anabranch forecast";

/// Options of a forecast.
#[derive(Debug, Clone, Default)]
pub struct ForecastOptions {
    /// Forecast of a run in which every function computes again.
    pub no_reuse: bool,
    /// Last node: only this one and the nodes that it needs are covered.
    pub until: Option<NodeHandle>,
}

impl Pipeline {
    /// Forecasts a run: it reads the sources and runs operators, but computes no function and
    /// writes nothing. Without a store, there are no results.
    ///
    /// Memory: as a synchronous run; state beyond the limits is spilled to unnamed files in the system's temporary folder.
    /// Blocks; works inside a runtime too.
    pub fn forecast(&self, store: Option<&Store>, options: &ForecastOptions) -> Result<Forecast, RunError> {
        let begun = Instant::now();
        if let Some(recalled) = self.recalled_from(store)? {
            return recalled.forecast(store, options);
        }
        let passes = Passes { pipeline: self, store, no_reuse: options.no_reuse };
        let needed = self.needed_until(options.until)?;
        let (pass, certainties) = passes.run(&needed, None)?;
        let mut nodes = Vec::with_capacity(self.nodes().len());
        for index in self.indices_of_nodes() {
            if let Some(stats) = &pass[index] {
                nodes.push(passes.node(self.at(index), index, stats, &certainties)?);
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Forecast { pipeline: self.name().to_owned(), nodes, seconds })
    }

    /// Reads up to a function node and shows its input rows whose packets would be computed.
    pub(crate) fn watch_missed(
        &self,
        store: Option<&Store>,
        index: NodeIndex,
        missed: impl Fn(&Arc<Origins>) -> MissedRows,
    ) -> Result<ForecastNode, RunError> {
        let passes = Passes { pipeline: self, store, no_reuse: false };
        let needed = self.needed_for(index);
        let (pass, certainties) = passes.run(&needed, Some(Watch { node: index, missed: &missed }))?;
        let node = self.at(index);
        let stats =
            pass[index].as_ref().unwrap_or_else(|| panic!("\"{}\" is needed and did not run", node.name));
        passes.node(node, index, stats, &certainties)
    }
}

/// The passes of one forecast.
struct Passes<'a> {
    pipeline: &'a Pipeline,
    store: Option<&'a Store>,
    no_reuse: bool,
}

impl Passes<'_> {
    /// Reads the sources once to find the functions that compute. It reads them once more if rows below these were counted
    /// as if they did not compute, or if rows are watched.
    fn run(
        &self,
        needed: &PerNode<bool>,
        watch: Option<Watch<'_>>,
    ) -> Result<(PerNode<Option<NodeStats>>, PerNode<Certainty>), RunError> {
        let exact = self.pipeline.per_node(|_| Certainty::Exact);
        let first = self.pass(needed, &exact, None)?;
        let certainties = self.certainties(&first);
        if watch.is_none() && certainties.iter().all(|certainty| *certainty == Certainty::Exact) {
            return Ok((first, certainties));
        }
        let second = self.pass(needed, &certainties, watch)?;
        Ok((second, certainties))
    }

    fn pass(
        &self,
        needed: &PerNode<bool>,
        certainties: &PerNode<Certainty>,
        watch: Option<Watch<'_>>,
    ) -> Result<PerNode<Option<NodeStats>>, RunError> {
        // There may be a second pass if something may have to be computed.
        let keeps_sources = self.pipeline.nodes().any(|node| node.work.as_function().is_some());
        let (store, no_reuse) = (self.store, self.no_reuse);
        let mode = Mode::Forecast(ForecastMode { store, no_reuse, keeps_sources, certainties, watch });
        drive(self.pipeline, needed, &mode)
    }

    /// Returns the certainties of each node's rows, given the functions that compute.
    fn certainties(&self, pass: &PerNode<Option<NodeStats>>) -> PerNode<Certainty> {
        let mut certainties = self.pipeline.per_node(|_| Certainty::Exact);
        for index in self.pipeline.indices_of_nodes() {
            let node = self.pipeline.at(index);
            let above = above(node, &certainties);
            let calls = pass[index].as_ref().and_then(|stats| stats.forecast.as_ref());
            certainties[index] =
                node.work.certainty(above, calls.is_some_and(|calls| calls.compute.get() > 0));
        }
        certainties
    }

    fn node(
        &self,
        node: &Node,
        index: NodeIndex,
        stats: &NodeStats,
        certainties: &PerNode<Certainty>,
    ) -> Result<ForecastNode, RunError> {
        let rows_in = node.inputs.iter().zip(stats.metrics.rows_in());
        let rows_in = rows_in.map(|(input, rows)| count(certainties[*input], rows)).collect();
        let gives_rows = node.work.traits().gives_rows;
        let rows_out =
            if gives_rows { count(certainties[index], stats.metrics.rows_out()) } else { Count::Exactly(0) };
        let calls = self.calls(node, stats, above(node, certainties))?;
        Ok(ForecastNode { name: node.name.clone(), kind: node.kind, rows_in, rows_out, gives_rows, calls })
    }

    fn calls(
        &self,
        node: &Node,
        stats: &NodeStats,
        above: Certainty,
    ) -> Result<Option<ForecastCalls>, RunError> {
        let (Some(function), Some(counters)) = (node.work.as_function(), &stats.forecast) else {
            return Ok(None);
        };
        let compute = match above {
            Certainty::Exact if counters.rough.load(Relaxed) => Certainty::Bounded,
            above => above,
        };
        let reason = if counters.compute.get() == 0 && above != Certainty::Unknown {
            None
        } else {
            let computes_above = above != Certainty::Exact;
            Some(Reason::of(self.pipeline, self.store, node, &function.bound, computes_above)?)
        };
        Ok(Some(ForecastCalls {
            compute: count(compute, counters.compute.get()),
            reuse: count(compute, counters.rows.get() - counters.compute.get()),
            dropped: count(above, counters.dropped.get()),
            reason,
        }))
    }
}

/// Returns the least certainty of a node's inputs.
fn above(node: &Node, certainties: &PerNode<Certainty>) -> Certainty {
    node.inputs.iter().map(|input| certainties[*input]).max().unwrap_or(Certainty::Exact)
}

fn count(certainty: Certainty, number: u64) -> Count {
    match certainty {
        Certainty::Exact => Count::Exactly(number),
        Certainty::Bounded => Count::AtMost(number),
        Certainty::Unknown => Count::Unknown,
    }
}

/// Moves the rows of a mode that computes nothing for the store, on one thread; returns the counters of the nodes that
/// ran.
fn drive(
    pipeline: &Pipeline,
    needed: &PerNode<bool>,
    mode: &Mode<'_>,
) -> Result<PerNode<Option<NodeStats>>, RunError> {
    let scratch = std::env::temp_dir();
    let action = |needed: &bool| if *needed { NodeAction::Run } else { NodeAction::Skip };
    let actions: PerNode<NodeAction> = needed.iter().map(action).collect();
    let builder = JobBuilder::new(pipeline.settings(), &scratch, 1);
    let LoweredJob { job, nodes, .. } = lower(pipeline, &actions, mode, builder)?;
    let refused = |cause| RunError::Thread { name: FORECAST, cause };
    // A runtime must not be entered from within another; a thread of its own has none.
    let driven: Result<(), RunError> = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(FORECAST.into());
        let driving = thread.spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(refused)?;
            Ok(run_synchronous(job, &runtime, &CancellationToken::new())?)
        });
        driving.map_err(refused)?.join().unwrap_or(Err(RunError::Lost))
    });
    driven.map(|()| nodes)
}
