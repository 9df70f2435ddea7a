//! Positions of nodes in their pipeline.

use anabranch_engine::index::IndexVec;
use anabranch_engine::typed_index;

typed_index! {
    /// Position of a node in its pipeline. Nodes stand behind those that they read from.
    pub(crate) struct NodeIndex("node of the pipeline");
}

/// One value for each node of a pipeline.
pub(crate) type PerNode<T> = IndexVec<NodeIndex, T>;
