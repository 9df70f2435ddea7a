//! The vocabulary and the machinery of anabranch, without a graph.

pub mod chunk;
pub mod clock;
pub mod expression;
pub mod identity;
pub mod operator;
pub mod provenance;
pub mod schema;
pub mod store;
pub mod types;
