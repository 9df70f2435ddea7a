//! Comparing what is computed with what the store has.

use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::store::Outcomes;
use arrow::array::Array as _;

use super::super::machine::flights::Flight;
use super::super::machine::reorder_buffer::OutcomeBatch;
use super::FunctionStage;
use crate::Counter;

/// Differences that are kept; more are counted only.
const KEPT: usize = 1_000;

/// An output that was computed otherwise than the store has it. It holds no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The packet.
    pub packet: PacketHash,
    /// The output; none where one of the two gave a packet and the other dropped it.
    pub output: Option<String>,
    /// Source id and record id, `source::record`, of the first row with this packet; empty where it
    /// has none or several.
    pub row: String,
}

/// Findings of [`CacheMode::Verify`](crate::function::CacheMode::Verify) at a node.
#[derive(Debug, Default)]
pub struct Differences {
    /// Packets whose outcome is bit for bit that of the store.
    pub same: Counter,
    /// Packets whose outcome differs.
    pub different: Counter,
    /// Packets that the store has no result of.
    pub unverified: Counter,
    found: Mutex<Vec<Difference>>,
}

impl Differences {
    /// The first differences, one for each output that differs; a thousand at most.
    #[must_use]
    pub fn found(&self) -> Vec<Difference> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, differences: Vec<Difference>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(found.len());
        found.extend(differences.into_iter().take(room));
    }
}

impl FunctionStage {
    /// The outcome that a packet's rows get where what was computed is only compared: what the store
    /// has, if it has the packet.
    pub(super) fn compared(
        &mut self,
        flight: &Flight,
        computed: (&Arc<OutcomeBatch>, u32),
    ) -> (Arc<OutcomeBatch>, u32) {
        let (batch, row) = computed;
        let differences = Arc::clone(&self.parts.differences);
        let Some((stored, place)) = self.stored.remove(&flight.packet) else {
            differences.unverified.add(1);
            return (Arc::clone(batch), row);
        };
        let outputs = differing((&batch.outcomes, row), (&stored.outcomes, place));
        if outputs.is_empty() {
            differences.same.add(1);
        } else {
            differences.different.add(1);
            let record = self.record_at(flight.first).unwrap_or_default();
            let outputs_of = &self.parts.function.stored.outputs;
            let name = |output: usize| outputs_of.at(output, "a value belongs to an output").name().clone();
            let difference = |output: Option<usize>| Difference {
                packet: flight.packet,
                output: output.map(name),
                row: record.clone(),
            };
            differences.add(outputs.into_iter().map(difference).collect());
        }
        (stored, place)
    }
}

/// Outputs that differ in any bit; none for the outcome as such.
fn differing(computed: (&Outcomes, u32), stored: (&Outcomes, u32)) -> Vec<Option<usize>> {
    let emitted = |(outcomes, row): (&Outcomes, u32)| {
        *outcomes.emitted.at(row as usize, "each outcome is emitted or dropped")
    };
    if emitted(computed) != emitted(stored) {
        return vec![None];
    }
    if !emitted(computed) {
        return Vec::new();
    }
    let pairs = computed.0.values.iter().zip(&stored.0.values).enumerate();
    // Arrays of floating point numbers are equal where their bits are.
    let differ =
        pairs.filter(|(_, (a, b))| *a.slice(computed.1 as usize, 1) != *b.slice(stored.1 as usize, 1));
    differ.map(|(output, _)| Some(output)).collect()
}
