//! A key with so many matches that nobody waits for their end: bounded memory, and a prompt cancel.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use support::child::{Heavy, MIB};

/// Far less than the pairs of a thousandth of the rows.
const ALLOWANCE_BYTES: u64 = 128 * MIB;

#[test]
fn ten_thousand_million_pairs_of_one_key_flow_in_bounded_memory_until_they_are_cancelled() {
    for heavy in [Heavy::new("hot", 100_000), Heavy::new("hot", 100_000).synchronous()] {
        let told = heavy.run();
        assert_eq!(told.0["cancelled"], true);
        assert!(told.number("joined") > 1_000_000);
        let seconds = told.0["seconds_to_end"].as_f64().unwrap();
        assert!(seconds < 1.0, "{heavy:?}: the run ended {seconds} s after the cancel");
        let above = told.above_empty_bytes();
        assert!(above < ALLOWANCE_BYTES, "{heavy:?}: {above} bytes above an empty run");
    }
}

#[test]
fn all_pairs_of_a_key_reach_the_filter_behind_the_join() {
    for heavy in [Heavy::new("hot_to_the_end", 3_000), Heavy::new("hot_to_the_end", 3_000).synchronous()] {
        let told = heavy.run();
        assert_eq!(told.rows(), 10);
        let nodes = told.0["summary"]["nodes"].as_array().unwrap();
        let both = nodes.iter().find(|node| node["name"] == "both").unwrap();
        assert_eq!(both["rows_out"], 9_000_000);
    }
}
