//! Which parts of the state lie on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::operator::{PartId, Step};
use anabranch_engine::schema::StreamSchema;

use super::buffer::KeyRows;
use super::keyset::PARTITIONS;

/// Numbers for parts, and the steps that a driver still has to hear of.
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
pub(super) struct Shelves(Vec<Shelf>);

#[derive(Debug, Clone, Default)]
struct Shelf {
    parts: Vec<PartId>,
    /// Bytes in the last part.
    last: usize,
}

impl Shelves {
    pub(super) fn new() -> Self {
        Self(vec![Shelf::default(); PARTITIONS])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|shelf| shelf.parts.is_empty())
    }

    /// The parts of a partition.
    pub(super) fn parts(&self, partition: usize) -> &[PartId] {
        self.0.get(partition).map_or(&[], |shelf| &shelf.parts)
    }

    /// Takes the parts of a partition off.
    pub(super) fn take(&mut self, partition: usize) -> Vec<PartId> {
        self.0.get_mut(partition).map(std::mem::take).map_or_else(Vec::new, |shelf| shelf.parts)
    }

    /// All parts.
    pub(super) fn into_parts(self) -> impl Iterator<Item = PartId> {
        self.0.into_iter().flat_map(|shelf| shelf.parts)
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
        let Some(own) = self.0.get_mut(partition) else { return Ok(()) };
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
