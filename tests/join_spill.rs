//! The state of joins beyond `memory_limit` leaves memory, and the answer stays the same.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use support::child::{MIB, spills};

#[test]
fn a_join_of_ten_times_its_memory_gives_the_same_rows() {
    let told = spills("join", 1_250_000, 32 * MIB);
    assert!(told.spilled_bytes() > 9 * 32 * MIB, "the state has only {} bytes", told.spilled_bytes());
}

#[test]
fn a_merge_join_beyond_its_memory_gives_the_same_rows() {
    spills("merge_join", 200_000, 4 * MIB);
}
