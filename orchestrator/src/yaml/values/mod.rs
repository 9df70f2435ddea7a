//! Values of a pipeline file: the tree with places, the fields that describe it, and readings of what has been checked.

pub(crate) mod body;
pub(crate) mod coerce;
pub(crate) mod diagnostic;
pub(crate) mod fields;
pub(crate) mod literals;
pub(crate) mod nearest;
pub(crate) mod number;
pub(crate) mod report;
pub(crate) mod sizes;
pub(crate) mod tree;
