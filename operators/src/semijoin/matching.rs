//! Undecided keys of a block against right's keys on disk, partition by partition.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{OperatorError, PartId};

use super::block::Block;
use super::buffer::StoredKeys;
use super::keyset::{KeyTable, PARTITIONS};
use super::spill::{Outbox, SpilledPartitions};
use super::word::Form;

/// The progress of the matching of a block.
///
/// Of a partition as many of right's keys are taken into memory as the budget has room for, at the
/// least one part; the block's keys of the partition pass by; then the next of right's keys.
/// Marking a row twice does no harm, so keys that are spilled meanwhile may be seen again.
///
/// Memory: the table of the keys at hand, at the least those of one part, and the part that came
/// back last.
#[derive(Debug)]
pub(super) struct Matching {
    form: Form,
    partition: usize,
    table: KeyTable,
    /// The part of right's keys that comes next.
    next_keys: usize,
    /// The part of the block's keys that comes next; none while right's keys are being taken in.
    next_block: Option<usize>,
}

/// The next action of a matching.
pub(super) enum Next {
    Load(PartId),
    /// Something was done; ask again.
    Again,
    Done,
}

impl Matching {
    pub(super) fn new(form: Form) -> Self {
        Self { form, partition: 0, table: KeyTable::new(form), next_keys: 0, next_block: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Goes on; with `full`, no more of right's keys are taken in.
    pub(super) fn advance(
        &mut self,
        keys: &SpilledPartitions,
        block: &mut Block,
        full: bool,
        outbox: &mut Outbox,
    ) -> Next {
        if self.partition >= PARTITIONS {
            return Next::Done;
        }
        if !block.waits_for(self.partition) {
            self.begin(self.partition + 1);
            return Next::Again;
        }
        let Some(at) = self.next_block else {
            let full = full && !self.table.is_empty();
            return match keys.parts(self.partition).get(self.next_keys) {
                Some(part) if !full => Next::Load(*part),
                _ => {
                    block.mark_in_memory(self.partition, |hash, key| self.table.has(hash, key));
                    self.next_block = Some(0);
                    Next::Again
                }
            };
        };
        if let Some(part) = block.parts(self.partition).get(at) {
            return Next::Load(*part);
        }
        self.table = KeyTable::new(self.form);
        self.next_block = None;
        if self.next_keys >= keys.parts(self.partition).len() {
            block.decide(self.partition, outbox);
            self.begin(self.partition + 1);
        }
        Next::Again
    }

    fn begin(&mut self, partition: usize) {
        *self = Self { partition, ..Self::new(self.form) };
    }

    /// Takes a part that was loaded.
    pub(super) fn loaded(&mut self, chunks: &[Chunk], block: &mut Block) -> Result<(), OperatorError> {
        for chunk in chunks {
            let stored =
                StoredKeys::of(chunk).ok_or(OperatorError::Protocol("spilled keys came back torn"))?;
            if self.next_block.is_some() {
                self.mark(&stored, block);
            } else {
                self.take_in(&stored);
            }
        }
        match &mut self.next_block {
            Some(next) => *next += 1,
            None => self.next_keys += 1,
        }
        Ok(())
    }

    fn take_in(&mut self, stored: &StoredKeys<'_>) {
        for at in 0..stored.len() {
            let (hash, key) = stored.get(at);
            self.table.insert(hash, self.form.word(key));
        }
    }

    fn mark(&self, stored: &StoredKeys<'_>, block: &mut Block) {
        for at in 0..stored.len() {
            let (hash, key) = stored.get(at);
            if self.table.has(hash, self.form.word(key)) {
                block.mark(stored.row(at));
            }
        }
    }
}
