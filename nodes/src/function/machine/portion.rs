//! Number of packets in one look-up.

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::store::Found;

/// Maximum number of packets in a look-up.
const MOST_ROWS: usize = 8_192;
/// Packets in the first look-up.
const FIRST_ROWS: usize = 256;
/// Bytes of outcomes that a look-up should return, estimated from the last one.
const OUTCOME_BYTES: usize = 8 << 20;

/// Number of packets to look up next: few at first, more as long as their outcomes stay small.
///
/// A store returns a bounded number of bytes, but reads every block that a look-up touches. Looking up all packets that
/// are left, again and again, would read the blocks of large outcomes once for each answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::function) struct LookupPortion(usize);

impl Default for LookupPortion {
    fn default() -> Self {
        Self(FIRST_ROWS)
    }
}

impl LookupPortion {
    /// Number of packets for the next look-up, of so many that are left.
    pub(in crate::function) fn of(self, left: usize) -> usize {
        self.0.min(left)
    }

    /// Adapts to the answer of a look-up of so many packets.
    pub(in crate::function) fn adapt(&mut self, packets: usize, found: &Found) {
        let bytes: usize = found.outcomes.values.iter().map(|column| array_bytes(column)).sum();
        let each = bytes.div_ceil(found.outcomes.emitted.len().max(1)).max(1);
        self.0 = packets.saturating_mul(8).min(OUTCOME_BYTES / each).clamp(1, MOST_ROWS);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anabranch_engine::store::{Outcomes, ResultId, Snapshot};
    use arrow::array::{ArrayRef, StringViewArray};

    use super::*;

    fn found(packets: usize, bytes: usize) -> Found {
        let text = "x".repeat(bytes);
        let values: ArrayRef =
            Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text.as_str(), packets)));
        let references = (0..).take(packets).map(|row| ResultId::new(1, row)).collect();
        let outcomes = Outcomes { references, emitted: vec![true; packets], values: vec![values] };
        Found { hits: vec![true; packets], outcomes, snapshot: Snapshot::EMPTY }
    }

    #[test]
    fn look_ups_grow_while_outcomes_are_small_and_shrink_to_what_fits() {
        let mut portion = LookupPortion::default();
        assert_eq!((portion.of(10), portion.of(100_000)), (10, 256));
        portion.adapt(256, &found(256, 8));
        assert_eq!(portion.of(100_000), 2_048);
        portion.adapt(2_048, &found(2_048, 8));
        portion.adapt(8_192, &found(8_192, 8));
        assert_eq!(portion.of(100_000), MOST_ROWS);
        // Two outcomes of 3 MB fit; one of 20 MB has to.
        portion.adapt(8_192, &found(2, 3_000_000));
        assert_eq!(portion.of(100_000), 2);
        portion.adapt(2, &found(1, 20_000_000));
        assert_eq!(portion.of(100_000), 1);
        // Packets without results say nothing about sizes.
        portion.adapt(1, &found(0, 0));
        assert_eq!(portion.of(100_000), 8);
    }
}
