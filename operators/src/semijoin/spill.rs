//! The parts of the state that lie on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{PartId, Step};
use anabranch_engine::schema::StreamSchema;

use super::buffer::KeyRows;
use super::keyset::PARTITIONS;

/// Numbers for parts, and steps that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    steps: VecDeque<Step>,
    next: u64,
}

impl Outbox {
    pub(super) fn number(&mut self) -> PartId {
        self.next += 1;
        PartId(self.next)
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push_back(step);
    }

    pub(super) fn pop(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(super) fn forget(&mut self, parts: impl IntoIterator<Item = PartId>) {
        self.steps.extend(parts.into_iter().map(Step::Forget));
    }
}

/// Spilled keys, by partition.
#[derive(Debug)]
pub(super) struct SpilledPartitions(Vec<KeyPartition>);

#[derive(Debug, Clone, Default)]
struct KeyPartition {
    parts: Vec<PartId>,
    /// Bytes in the last part.
    last: usize,
}

impl SpilledPartitions {
    pub(super) fn new() -> Self {
        Self(vec![KeyPartition::default(); PARTITIONS])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|partition| partition.parts.is_empty())
    }

    /// The parts of a partition.
    pub(super) fn parts(&self, partition: usize) -> &[PartId] {
        &self.0.at(partition, "partition").parts
    }

    /// Takes the parts of a partition off.
    pub(super) fn take(&mut self, partition: usize) -> Vec<PartId> {
        std::mem::take(self.0.at_mut(partition, "partition")).parts
    }

    /// All parts.
    pub(super) fn into_parts(self) -> impl Iterator<Item = PartId> {
        self.0.into_iter().flat_map(|partition| partition.parts)
    }

    /// Sends keys of a partition out, in parts of about so many bytes.
    pub(super) fn put(
        &mut self,
        partition: usize,
        keys: &KeyRows,
        schema: &Arc<StreamSchema>,
        part_bytes: usize,
        outbox: &mut Outbox,
    ) -> Result<(), ChunkError> {
        let own = self.0.at_mut(partition, "partition");
        for chunk in keys.chunks(schema, part_bytes)? {
            let bytes = chunk.bytes();
            let part = match own.parts.last() {
                Some(last) if own.last + bytes <= part_bytes => *last,
                _ => {
                    let part = outbox.number();
                    own.parts.push(part);
                    own.last = 0;
                    part
                }
            };
            own.last += bytes;
            outbox.push(Step::Spill(part, vec![chunk]));
        }
        Ok(())
    }
}
