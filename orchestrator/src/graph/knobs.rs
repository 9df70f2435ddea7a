//! Knobs of nodes, set on a pipeline.

use std::num::NonZeroUsize;
use std::time::Duration;

use anabranch_nodes::function::{CacheMode, OnError, OutputOrder, Rate, Retry};
use anabranch_nodes::recording::RecordMode;

use super::{NodeHandle, Pipeline};
use crate::node::{CallKnobs, Knob, Node, PlanError};

/// Setters of knobs. Each returns an error for a node of another pipeline and for a kind of node without that knob.
impl Pipeline {
    /// Sets the use of stored results by a function node.
    pub fn set_cache(&mut self, node: NodeHandle, cache: CacheMode) -> Result<(), PlanError> {
        self.with_knob(node, Knob::Cache)?.cache = cache;
        Ok(())
    }

    /// Sets the recording of an operator's rows, and their reuse in place of running it. Function nodes always record
    /// their rows; sources have [`SourceOptions::cumulative`](anabranch_nodes::source::SourceOptions).
    pub fn set_recording(&mut self, node: NodeHandle, mode: RecordMode) -> Result<(), PlanError> {
        self.with_knob(node, Knob::Recording)?.record = mode;
        Ok(())
    }

    /// Sets the maximum number of concurrent calls of a function node.
    pub fn set_concurrency(&mut self, node: NodeHandle, concurrency: NonZeroUsize) -> Result<(), PlanError> {
        self.set_calls(node, Knob::Concurrency, |calls| calls.concurrency = Some(concurrency))
    }

    /// Sets the time that an attempt at a packet may take.
    ///
    /// A blocking closure runs to its end and occupies the place of a call until then; an async one is dropped.
    pub fn set_timeout(&mut self, node: NodeHandle, timeout: Duration) -> Result<(), PlanError> {
        self.set_calls(node, Knob::Timeout, |calls| calls.timeout = Some(timeout))
    }

    /// Sets the number of attempts at a packet of a function node.
    pub fn set_retry(&mut self, node: NodeHandle, retry: Retry) -> Result<(), PlanError> {
        self.set_calls(node, Knob::Retry, |calls| calls.retry = retry)
    }

    /// Sets the maximum number of calls per second of a function node.
    pub fn set_rate(&mut self, node: NodeHandle, rate: Rate) -> Result<(), PlanError> {
        self.set_calls(node, Knob::Rate, |calls| calls.rate = Some(rate))
    }

    /// Sets the treatment of packets of a function node that fail for good.
    pub fn set_on_error(&mut self, node: NodeHandle, on_error: OnError) -> Result<(), PlanError> {
        self.set_calls(node, Knob::OnError, |calls| calls.on_error = Some(on_error))
    }

    /// Sets the order in which a function node emits rows. Nodes behind it may require a defined order.
    ///
    /// Errors: also a node that others already read from, since they were checked against its order.
    pub fn set_order(&mut self, node: NodeHandle, order: OutputOrder) -> Result<(), PlanError> {
        let found = self.with_knob(node, Knob::Order)?;
        let (name, inputs) = (found.name.clone(), found.inputs.clone());
        let index = self.index(node);
        let reader = self.nodes().find(|other| other.inputs.iter().any(|input| Some(*input) == index));
        if let Some(reader) = reader {
            let reason = format!(
                "order: found \"{}\", which reads from it and was checked against its order, expected no reader yet; set the order before nodes are added behind it",
                reader.name
            );
            return Err(PlanError::new(&name, reason));
        }
        let ordered = inputs.iter().all(|input| self.at(*input).contract.ordered);
        let node = self.with_knob(node, Knob::Order)?;
        node.contract.ordered = ordered && order == OutputOrder::Input;
        node.calls.order = order;
        Ok(())
    }

    /// Sets a label for people, shown beside the name.
    pub fn set_label(&mut self, node: NodeHandle, label: impl Into<String>) -> Result<(), PlanError> {
        let foreign = self.foreign("label");
        self.node_mut(node).ok_or(foreign)?.label = Some(label.into());
        Ok(())
    }

    fn set_calls(
        &mut self,
        node: NodeHandle,
        knob: Knob,
        set: impl FnOnce(&mut CallKnobs),
    ) -> Result<(), PlanError> {
        set(&mut self.with_knob(node, knob)?.calls);
        Ok(())
    }

    /// Returns a node, if it has this knob.
    fn with_knob(&mut self, node: NodeHandle, knob: Knob) -> Result<&mut Node, PlanError> {
        let foreign = self.foreign(knob.name());
        let node = self.node_mut(node).ok_or(foreign)?;
        if node.work.traits().knobs.contains(&knob) {
            return Ok(node);
        }
        let reason = format!(
            "{}: found a node of kind {}, which has no such knob, expected {}; remove it",
            knob.name(),
            node.kind,
            knob.owners()
        );
        Err(PlanError::new(&node.name, reason))
    }

    fn foreign(&self, knob: &str) -> PlanError {
        let reason = format!("{knob}: found a node of another pipeline, expected one of \"{}\"", self.name());
        PlanError::new("", reason)
    }
}
