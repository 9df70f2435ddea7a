//! The memory that the machine's state takes, and the part of it that leaves.

use anabranch_engine::operator::{OperatorError, Step};

use super::machine::{SemijoinMachine, SemijoinPhase};

impl SemijoinMachine {
    /// Accounts for the state; returns whether it is too much.
    pub(super) fn account_for_state(&mut self) -> bool {
        let beside = match &self.phase {
            SemijoinPhase::Match(matching) => matching.bytes(),
            SemijoinPhase::Emit(marks, _) => marks.len() / 8,
            SemijoinPhase::Probe(keys) => keys.bytes(),
            _ => self.building.bytes(),
        };
        let bytes = self.waiting.bytes + self.keys.bytes() + self.block.bytes() + beside;
        if let Err(over) = self.account.set(bytes) {
            self.limit = Some(over.limit);
            self.pressed = true;
        }
        self.limit.is_some_and(|limit| self.memory.used() > limit)
    }

    /// Sends some of the state out of memory, if there has to be less; with a step where that has
    /// to wait.
    pub(super) fn relieve(&mut self) -> Result<Option<Step>, OperatorError> {
        let over = self.account_for_state();
        if self.pressed {
            if self.building.is_away() {
                return Ok(Some(Step::Join));
            }
            // Chunks that wait become keys first, which take less; they are few enough for that.
            if over && self.building.waits() {
                return Ok(None);
            }
            self.pressed = over && self.spill()?;
        }
        Ok(None)
    }

    /// Returns whether there was something to spill.
    fn spill(&mut self) -> Result<bool, OperatorError> {
        // A part comes back whole, so it is a small subtask of the budget.
        let part_bytes = (self.limit.unwrap_or(usize::MAX) / 32).clamp(1 << 12, 1 << 20);
        let log = match self.phase {
            SemijoinPhase::Build => Some(&mut self.waiting),
            SemijoinPhase::Gather | SemijoinPhase::Match(_) => Some(&mut self.block.log),
            SemijoinPhase::Probe(_) | SemijoinPhase::Decided(_) => return Ok(false),
            SemijoinPhase::Emit(..) => None,
        };
        if let Some(log) = log.filter(|log| !log.chunks.is_empty()) {
            let part = self.outbox.number();
            if let Some(chunks) = log.spill(part, part_bytes) {
                self.outbox.push(Step::Spill(part, chunks));
            }
            return Ok(true);
        }
        if self.block.spill_keys(&self.plan.numbered, part_bytes, &mut self.outbox)? {
            return Ok(true);
        }
        let Some((partition, keys)) = self.keys.take_largest() else { return Ok(false) };
        self.spilled.put(partition, &keys, &self.plan.stored, part_bytes, &mut self.outbox)?;
        Ok(true)
    }
}
