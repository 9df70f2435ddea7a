//! A symmetric hash join of two sides.
//!
//! Each chunk is first kept for the other side's later chunks, then looked up among the rows that
//! the other side has kept. So each pair is found once: when the later of its rows comes. Once a
//! side has ended, the other side's rows are only looked up, and those kept for it are let go.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::provenance::Provenance;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::layout::{ColumnFrom, Layout, SideOf, StagePlan};
use super::side::{Kept, Side};
use crate::keys::{equal_rows, hash_rows};
use crate::rows::{NO_ROW, RowTable};

/// One stage of the chain.
pub(super) struct Stage {
    layout: Arc<Layout>,
    number: usize,
    left: Side,
    right: Side,
    probe: Option<Probe>,
    output_rows: usize,
}

/// A chunk that is being looked up, and how far that has come.
struct Probe {
    side: SideOf,
    chunk: Chunk,
    keys: Vec<ArrayRef>,
    /// Number of its first row where it was kept.
    kept: Option<u32>,
    /// For each row, the newest kept row of its hash.
    heads: Vec<u32>,
    row: usize,
    candidate: u32,
    last_matched: Option<u32>,
}

/// Rows of the chunk that is looked up, each with a kept row of the other side.
#[derive(Default)]
struct Pairs {
    probe: Vec<u32>,
    kept: Vec<u32>,
}

impl Stage {
    /// The stage of that number; `None` if the layout has no such stage.
    pub(super) fn new(layout: &Arc<Layout>, number: usize, output_rows: usize) -> Option<Self> {
        let plan = layout.stages.get(number)?;
        Some(Self {
            layout: Arc::clone(layout),
            number,
            left: Side::new(&plan.left),
            right: Side::new(&plan.right),
            probe: None,
            output_rows: output_rows.max(1),
        })
    }

    fn plan(&self) -> Result<&StagePlan, OperatorError> {
        self.layout.stages.get(self.number).ok_or(OperatorError::Protocol("a join has lost its plan"))
    }

    pub(super) fn side(&self, side: SideOf) -> &Side {
        match side {
            SideOf::Left => &self.left,
            SideOf::Right => &self.right,
        }
    }

    fn side_mut(&mut self, side: SideOf) -> &mut Side {
        match side {
            SideOf::Left => &mut self.left,
            SideOf::Right => &mut self.right,
        }
    }

    /// Whether [`Stage::advance`] has something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.probe.is_some()
    }

    /// Whether no more output can come.
    pub(super) fn is_finished(&self) -> bool {
        let nothing = |side: &Side| side.ended && side.kept.is_empty();
        !self.is_busy() && (nothing(&self.left) || nothing(&self.right))
    }

    pub(super) fn bytes(&self) -> usize {
        self.left.kept.bytes() + self.right.kept.bytes()
    }

    /// Takes rows at a side; the stage is not busy.
    pub(super) fn arrive(&mut self, side: SideOf, chunk: Chunk) -> Result<(), OperatorError> {
        let keys: Vec<ArrayRef> =
            self.plan()?.side(side).keys.iter().filter_map(|at| chunk.tags().get(*at).cloned()).collect();
        let hashes = hash_rows(&keys, chunk.rows());
        let is_awaited = !self.side(side.other()).ended;
        let entering = self.side_mut(side);
        entering.saw(chunk.rows());
        let kept = if is_awaited { Some(entering.kept.insert(&chunk, &hashes)?) } else { None };
        let others = &self.side(side.other()).kept;
        if !others.is_empty() && chunk.rows() > 0 {
            let heads: Vec<u32> = hashes.iter().map(|hash| others.table.first(*hash)).collect();
            let candidate = heads.first().copied().unwrap_or(NO_ROW);
            self.probe =
                Some(Probe { side, chunk, keys, kept, heads, row: 0, candidate, last_matched: None });
        }
        Ok(())
    }

    /// Hears that a side has no more rows; the stage is not busy.
    pub(super) fn end(&mut self, side: SideOf) -> Result<(), OperatorError> {
        let layout = Arc::clone(&self.layout);
        let plan =
            layout.stages.get(self.number).ok_or(OperatorError::Protocol("a join has lost its plan"))?;
        self.side_mut(side).ended = true;
        let other = self.side_mut(side.other());
        other.release(plan.side(side.other()));
        Ok(())
    }

    /// Finds the next matches: at most `output_rows` rows, or `None` when the chunk is done with.
    pub(super) fn advance(&mut self) -> Result<Option<Chunk>, OperatorError> {
        let Some(mut probe) = self.probe.take() else { return Ok(None) };
        loop {
            let kept = &self.side(probe.side.other()).kept;
            let candidates = probe.candidates(&kept.table, self.output_rows);
            if candidates.probe.is_empty() {
                return Ok(None);
            }
            let plan = self.plan()?;
            let pairs = if plan.exact {
                candidates
            } else {
                probe.equal(candidates, kept, plan).map_err(ChunkError::Arrow)?
            };
            if pairs.probe.is_empty() {
                continue;
            }
            let output = probe.output(&pairs, kept, plan)?;
            self.count(&mut probe, &pairs);
            self.probe = Some(probe);
            return Ok(Some(output));
        }
    }

    fn count(&mut self, probe: &mut Probe, pairs: &Pairs) {
        let probing = self.side_mut(probe.side);
        for row in &pairs.probe {
            if probe.last_matched != Some(*row) {
                probe.last_matched = Some(*row);
                match probe.kept {
                    Some(first) => probing.mark_matched(first + row),
                    None => probing.count_matched(),
                }
            }
        }
        let others = self.side_mut(probe.side.other());
        pairs.kept.iter().for_each(|row| others.mark_matched(*row));
    }
}

impl Probe {
    /// The next pairs of equal hash, at most `limit`.
    fn candidates(&mut self, table: &RowTable, limit: usize) -> Pairs {
        let mut pairs = Pairs::default();
        while pairs.probe.len() < limit {
            if self.candidate == NO_ROW {
                self.row += 1;
                let Some(head) = self.heads.get(self.row) else { break };
                self.candidate = *head;
                continue;
            }
            let Ok(row) = u32::try_from(self.row) else { break };
            pairs.probe.push(row);
            pairs.kept.push(self.candidate);
            self.candidate = table.next(self.candidate);
        }
        pairs
    }

    /// The pairs whose keys are equal.
    fn equal(&self, pairs: Pairs, kept: &Kept, plan: &StagePlan) -> Result<Pairs, ArrowError> {
        let rows = UInt32Array::from(pairs.probe);
        let places = kept.store.places(&pairs.kept);
        let mine: Vec<ArrayRef> =
            self.keys.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?;
        let key_places = &plan.side(self.side.other()).keys;
        let theirs: Vec<ArrayRef> =
            key_places.iter().map(|at| kept.store.column(*at, &places)).collect::<Result<_, _>>()?;
        let equal = equal_rows(&mine, &theirs, places.len())?;
        if equal.count_set_bits() == places.len() {
            return Ok(Pairs { probe: rows.values().to_vec(), kept: pairs.kept });
        }
        let chosen = |values: &[u32]| equal.set_indices().filter_map(|at| values.get(at).copied()).collect();
        Ok(Pairs { probe: chosen(rows.values()), kept: chosen(&pairs.kept) })
    }

    /// The joined rows.
    fn output(&self, pairs: &Pairs, kept: &Kept, plan: &StagePlan) -> Result<Chunk, ChunkError> {
        let mine = if is_whole(&pairs.probe, self.chunk.rows()) {
            self.chunk.clone()
        } else {
            self.chunk.take(&pairs.probe)?
        };
        let rows = mine.rows();
        let places = kept.store.places(&pairs.kept);
        let their_provenance = kept.store.provenance(&pairs.kept);
        let theirs = self.side.other();
        let column = |from: &ColumnFrom, mine: &[ArrayRef], before: usize| match from.on(self.side) {
            Some(at) => mine.get(at).cloned().map(Ok),
            None => from.on(theirs).map(|at| kept.store.column(before + at, &places)),
        };
        let tags = plan.tags.iter().filter_map(|from| column(from, mine.tags(), 0));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        let before = plan.side(theirs).tags;
        let packets = plan.packets.iter().filter_map(|from| column(from, mine.packets(), before));
        let packets = packets.collect::<Result<Vec<_>, _>>()?;
        let provenance = self.provenance(mine.provenance(), &their_provenance, plan);
        Chunk::new(Arc::clone(&plan.schema), rows, tags, packets, provenance)
    }

    fn provenance(&self, mine: &Provenance, theirs: &Provenance, plan: &StagePlan) -> Provenance {
        let (left, right) = match self.side {
            SideOf::Left => (mine, theirs),
            SideOf::Right => (theirs, mine),
        };
        Provenance {
            tags: plan.system_tags.iter().filter_map(|from| from.pick(&left.tags, &right.tags)).collect(),
            sources: plan
                .packets
                .iter()
                .filter_map(|from| from.pick(&left.sources, &right.sources))
                .collect(),
        }
    }
}

/// Whether every row is named once, in order, as is usual where keys are unique on the other side.
fn is_whole(rows: &[u32], of: usize) -> bool {
    rows.len() == of && rows.iter().enumerate().all(|(at, row)| at == *row as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::{Digest, PipelineHash};
    use anabranch_engine::operator::Input;
    use anabranch_engine::schema::StreamSchema;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn stage_over(keys: &[&str]) -> (Stage, Arc<StreamSchema>) {
        let tags = keys.iter().map(|name| Arc::new(Field::new(*name, DataType::Int64, false))).collect();
        let schema = Arc::new(StreamSchema::new(tags, vec![], vec![]).unwrap());
        let input = |byte| Input {
            schema: Arc::clone(&schema),
            pipeline_hash: PipelineHash(Digest([byte; 32])),
            ordered: true,
            bounded: true,
        };
        let layout = Arc::new(Layout::of(&[input(1), input(2)], false).unwrap());
        (Stage::new(&layout, 0, 100).unwrap(), Arc::clone(&schema))
    }

    fn chunk(schema: &Arc<StreamSchema>, columns: &[Vec<i64>]) -> Chunk {
        let arrays = columns.iter().map(|c| Arc::new(Int64Array::from(c.clone())) as ArrayRef).collect();
        Chunk::new(Arc::clone(schema), columns[0].len(), arrays, vec![], Provenance::default()).unwrap()
    }

    /// A second key that gives `(first, it)` the hash of `(1, 10)`. The hash of a second column is
    /// a bijection of its word laid over what the first one left, so the difference is a constant.
    fn second_key_of_the_same_hash(first: i64) -> i64 {
        let left_by = |key: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![key]));
            hash_rows(&[column], 1)[0].wrapping_mul(crate::keys::ODD)
        };
        let second: i64 = 10;
        second ^ (left_by(1) ^ left_by(first)).cast_signed()
    }

    #[test]
    fn keys_of_one_hash_match_only_where_they_are_equal() {
        let (mut stage, schema) = stage_over(&["a", "b"]);
        let kept = chunk(&schema, &[vec![1, 2, 3], vec![10, second_key_of_the_same_hash(2), 10]]);
        let hashes = hash_rows(kept.tags(), 3);
        assert_eq!(hashes[0], hashes[1], "the keys were meant to collide");
        stage.arrive(SideOf::Left, kept).unwrap();
        stage.arrive(SideOf::Right, chunk(&schema, &[vec![1], vec![10]])).unwrap();
        let found = stage.advance().unwrap().unwrap();
        assert_eq!(found.tags()[0].as_primitive::<Int64Type>().values(), &[1]);
        assert!(stage.advance().unwrap().is_none());
        let unmatched = [SideOf::Left, SideOf::Right].map(|side| stage.side(side).unmatched());
        assert_eq!(unmatched, [2, 0]);
    }

    #[test]
    fn rows_kept_for_a_side_are_let_go_when_it_ends() {
        let (mut stage, schema) = stage_over(&["a"]);
        let empty = stage.bytes();
        stage.arrive(SideOf::Right, chunk(&schema, &[(0..1000).collect()])).unwrap();
        assert!(stage.bytes() > empty + 1000 * size_of::<i64>());
        stage.end(SideOf::Left).unwrap();
        assert_eq!(stage.bytes(), empty);
        assert_eq!(stage.side(SideOf::Right).unmatched(), 1000);
        assert!(stage.is_finished());
    }
}
