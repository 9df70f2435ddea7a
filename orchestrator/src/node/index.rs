//! Positions of nodes in their pipeline.

use std::ops::{Index, IndexMut};

/// Position of a node in its pipeline. Nodes stand behind those that they read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeIndex(pub(crate) usize);

/// One value for each node of a pipeline.
///
/// Panics: a position that belongs to a larger pipeline breaks the invariant that both are of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct PerNode<T>(Vec<T>);

impl<T: Clone> PerNode<T> {
    pub(crate) fn new(value: T, nodes: usize) -> Self {
        Self(vec![value; nodes])
    }
}

impl<T> PerNode<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.0.into_iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> FromIterator<T> for PerNode<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T> Index<NodeIndex> for PerNode<T> {
    type Output = T;

    fn index(&self, node: NodeIndex) -> &T {
        let count = self.0.len();
        self.0
            .get(node.0)
            .unwrap_or_else(|| panic!("node {} is none of the {count} nodes of its pipeline", node.0))
    }
}

impl<T> IndexMut<NodeIndex> for PerNode<T> {
    fn index_mut(&mut self, node: NodeIndex) -> &mut T {
        let count = self.0.len();
        self.0
            .get_mut(node.0)
            .unwrap_or_else(|| panic!("node {} is none of the {count} nodes of its pipeline", node.0))
    }
}
