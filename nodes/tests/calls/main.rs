//! The one path of a packet, against a store in memory: every outcome, every mode.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test that cannot go on panics, and its rows are there"
)]

mod bounds;
mod cancelled;
mod fake;
mod modes;
mod node;
mod outcomes;
mod timing;
