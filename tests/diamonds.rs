//! Shapes in which a node waits for rows that come past another one end, with channels of one chunk.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use support::child::{Heavy, MIB, Told};

/// By how much a million rows may raise the memory of a process.
const ALLOWANCE_BYTES: u64 = 256 * MIB;
const MANY: u64 = 1_000_000;
const FEW: u64 = 20_000;

/// The shape ends with few rows under both executors, with equal rows, and with many in bounded
/// memory.
fn ends(shape: &'static str, rows_of: impl Fn(u64) -> u64) -> Told {
    let few = Heavy::new(shape, FEW);
    let (streaming, synchronous) = (few.run(), few.synchronous().run());
    assert_eq!(streaming.digest(), synchronous.digest(), "{shape}");
    assert_eq!(streaming.rows(), rows_of(FEW), "{shape}");
    bounded(Heavy::new(shape, MANY), rows_of(MANY))
}

fn bounded(heavy: Heavy, rows: u64) -> Told {
    let told = heavy.run();
    assert_eq!(told.rows(), rows, "{heavy:?}");
    let above = told.above_empty_bytes();
    assert!(above < ALLOWANCE_BYTES, "{heavy:?}: {above} bytes above an empty run");
    told
}

#[test]
fn a_source_on_both_sides_of_a_semijoin_or_an_antijoin_does_not_hang() {
    ends("diamond_semijoin", |rows| rows / 2);
    ends("diamond_antijoin", |rows| rows / 2);
}

#[test]
fn a_source_on_both_sides_of_a_join_does_not_hang() {
    ends("diamond_join", |rows| rows);
}

#[test]
fn a_source_merged_with_itself_or_with_a_part_of_itself_does_not_hang() {
    ends("itself_merge_join", |rows| rows);
    ends("diamond_merge_join", |rows| rows / 2);
}

#[test]
fn a_diamond_in_a_diamond_does_not_hang() {
    // Odd values of id * 3 % 1000003 in the inner one, those above 500000 in the outer one.
    let values = |rows: u64| (0..rows).map(|n| n * 3 % 1_000_003);
    ends("two_levels", |rows| values(rows).filter(|v| v % 2 == 1 && *v > 500_000).count() as u64);
}

#[test]
fn five_consumers_of_one_source_that_meet_again_do_not_hang() {
    // Rows of residue 2 pass both inputs of the antijoin's left; every row is in one of the others,
    // and twice unless its residue is 3 or 4.
    let twos = |rows: u64| (0..rows).map(|n| n * 3 % 1_000_003).filter(|v| v % 5 == 2).count() as u64;
    ends("five", |rows| 2 * twos(rows));
}

#[test]
fn two_nodes_that_wait_for_each_others_left_source_do_not_hang_with_little_memory_either() {
    let plenty = ends("crossed", |rows| rows);
    let little = bounded(Heavy::new("crossed", MANY).limited(32 * MIB), MANY);
    assert!(little.spilled_bytes() > 0);
    assert_eq!(little.digest(), plenty.digest());
}
