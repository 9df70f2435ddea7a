//! The nodes that a command concerns.

use super::{RunError, RunOptions};
use crate::graph::{NodeHandle, Pipeline};
use crate::node::{NodeIndex, PerNode};

impl Pipeline {
    /// Marks the nodes of a run: those up to the last one, and those whose rows are written beside the sinks. A run of
    /// a limited number of rows has no sinks.
    pub(crate) fn needed(&self, options: &RunOptions) -> Result<PerNode<bool>, RunError> {
        let mut needed = self.needed_until(options.until)?;
        for (node, _) in &options.outputs {
            self.mark_needed(&mut needed, self.known(*node)?);
        }
        if options.limit.is_some() {
            for index in self.indices_of_nodes() {
                needed[index] &= self.at(index).work.traits().gives_rows;
            }
        }
        Ok(needed)
    }

    /// Marks the nodes up to the last one: all, or that and those that it needs.
    pub(crate) fn needed_until(&self, until: Option<NodeHandle>) -> Result<PerNode<bool>, RunError> {
        if self.reading.is_some() {
            return Err(RunError::Unread { pipeline: self.name().to_owned() });
        }
        let mut needed = self.per_node(|_| until.is_none());
        if let Some(until) = until {
            self.mark_needed(&mut needed, self.known(until)?);
        }
        Ok(needed)
    }

    /// Marks a node and those that it needs.
    pub(crate) fn needed_for(&self, last: NodeIndex) -> PerNode<bool> {
        let mut needed = self.per_node(|_| false);
        self.mark_needed(&mut needed, last);
        needed
    }

    /// Returns the position of a node.
    ///
    /// Errors: a node of another pipeline.
    pub(crate) fn known(&self, node: NodeHandle) -> Result<NodeIndex, RunError> {
        self.index(node).ok_or_else(|| RunError::Foreign { pipeline: self.name().to_owned() })
    }

    fn mark_needed(&self, needed: &mut PerNode<bool>, last: NodeIndex) {
        let mut open = vec![last];
        while let Some(index) = open.pop() {
            // A node that is marked already was reached by another path.
            if !std::mem::replace(&mut needed[index], true) {
                open.extend(&self.at(index).inputs);
            }
        }
    }
}
