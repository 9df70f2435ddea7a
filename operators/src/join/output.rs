//! The joined rows: columns of the side that is looked up, and of the build side.

use std::cmp::Ordering;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::At as _;
use anabranch_engine::operator::OperatorError;
use anabranch_engine::provenance::{Origins, PositionMemo, Provenance, ProvenanceColumn, ProvenanceOrder};
use anabranch_engine::types::convert;
use arrow::array::{Array, ArrayRef, ListArray, make_comparator};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

use super::layout::{ColumnFrom, SideOf, StagePlan};
use super::probe::{Pairs, Probe};
use super::side::BuildSide;
use crate::keys::one_zero_one_nan;

/// The rows of some pairs, as the stage's plan has them.
pub(super) fn joined(
    probe: &Probe,
    pairs: &Pairs,
    build: &BuildSide,
    plan: &StagePlan,
    origins: &Origins,
) -> Result<Chunk, OperatorError> {
    let chunk = &probe.prepared.chunk;
    let mine = if is_whole(&pairs.probe, chunk.rows()) { chunk.clone() } else { chunk.take(&pairs.probe)? };
    let their_provenance = build.store.provenance(&pairs.build_rows);
    let sides = JoinedRows {
        probing: probe.side,
        mine: &mine,
        their_provenance: &their_provenance,
        pairs,
        build,
        plan,
    };
    let mut tags = Vec::with_capacity(plan.tags.len());
    for from in &plan.tags {
        tags.push(sides.column(*from, mine.tags(), 0).map_err(ChunkError::Arrow)?);
    }
    let before = plan.sides[probe.side.other()].tags;
    let (left, right) = sides.provenance();
    let mut packets = Vec::with_capacity(plan.packets.len());
    let mut sources = Vec::with_capacity(plan.packets.len());
    for (from, field) in plan.packets.iter().zip(plan.schema.packets()) {
        if let (Some(at), Some(other)) = (from.left, from.right) {
            let merged = sides.merged(at, other, field, origins)?;
            packets.push(merged.0);
            sources.push(merged.1);
        } else {
            packets.push(sides.column(*from, mine.packets(), before).map_err(ChunkError::Arrow)?);
            sources.push(from.pick(&left.sources, &right.sources));
        }
    }
    let tag_provenance = plan.system_tags.iter().map(|from| from.pick(&left.tags, &right.tags)).collect();
    let provenance = Provenance { tags: tag_provenance, sources };
    Ok(Chunk::new(Arc::clone(&plan.schema), mine.rows(), tags, packets, provenance)?)
}

/// Both sides of the rows that are put together.
struct JoinedRows<'a> {
    probing: SideOf,
    mine: &'a Chunk,
    their_provenance: &'a Provenance,
    pairs: &'a Pairs,
    build: &'a BuildSide,
    plan: &'a StagePlan,
}

impl<'a> JoinedRows<'a> {
    /// A column that comes from one side; from the one at hand where both have it.
    fn column(&self, from: ColumnFrom, mine: &[ArrayRef], before: usize) -> Result<ArrayRef, ArrowError> {
        match (from.on(self.probing), from.on(self.probing.other())) {
            (Some(at), _) => Ok(mine.at(at, "column of the probe side").clone()),
            (None, Some(at)) => self.build.store.column(before + at, &self.pairs.build_rows),
            (None, None) => unreachable!("a joined column comes from one side or from both"),
        }
    }

    /// Provenance of the left and of the right side.
    fn provenance(&self) -> (&'a Provenance, &'a Provenance) {
        match self.probing {
            SideOf::Left => (self.mine.provenance(), self.their_provenance),
            SideOf::Right => (self.their_provenance, self.mine.provenance()),
        }
    }

    /// A packet column that both sides have: the list of the two values with their source info.
    fn merged(
        &self,
        left: usize,
        right: usize,
        field: &FieldRef,
        origins: &Origins,
    ) -> Result<(ArrayRef, ProvenanceColumn), OperatorError> {
        let DataType::List(item) = field.data_type() else { unreachable!("a merged column has lists") };
        let values = [
            self.value(SideOf::Left, left, field.name(), item.data_type())?,
            self.value(SideOf::Right, right, field.name(), item.data_type())?,
        ];
        let (one, other) = self.provenance();
        let (one, other) = (one.sources.at(left, "merged column"), other.sources.at(right, "merged column"));
        let picks = ascending(&values, [one, other], origins)?;
        let offsets = OffsetBuffer::<i32>::from_repeated_length(2, self.mine.rows());
        let [a, b] = &values;
        let items = interleave(&[a.as_ref(), b.as_ref()], &picks).map_err(ChunkError::Arrow)?;
        let list = ListArray::try_new(Arc::clone(item), offsets.clone(), items, None);
        let list = list.map_err(ChunkError::Arrow)?;
        let sources = ProvenanceColumn::interleave(&[one, other], &picks, &mut PositionMemo::default());
        Ok((Arc::new(list), sources.into_lists(offsets)))
    }

    /// One side's values of a merged column, in the form that holds both sides'.
    fn value(&self, side: SideOf, at: usize, name: &str, form: &DataType) -> Result<ArrayRef, OperatorError> {
        let column = if side == self.probing {
            self.mine.packets().at(at, "merged column").clone()
        } else {
            let built = self.build.store.column(self.plan.sides[side].tags + at, &self.pairs.build_rows);
            built.map_err(ChunkError::Arrow)?
        };
        convert(&column, form).map_err(|_| {
            OperatorError::data(
                "merge_join",
                format!("a value of column \"{name}\" that {form} cannot hold"),
                "values that fit the finer unit of both inputs",
                "give the column one unit in both inputs (with types: at the source)",
            )
        })
    }
}

/// For each row, its two values in ascending order, nulls last; equal ones by their source info.
fn ascending(
    values: &[ArrayRef; 2],
    sources: [&ProvenanceColumn; 2],
    origins: &Origins,
) -> Result<Vec<(usize, usize)>, ChunkError> {
    let [one, other] = values.clone().map(one_zero_one_nan);
    let compare = comparator(&one, &other)?;
    let [raw_one, raw_other] = values;
    let compare_raw = comparator(raw_one, raw_other)?;
    let mut order = ProvenanceOrder::by_text(origins);
    let mut picks = Vec::with_capacity(one.len() * 2);
    for row in 0..one.len() {
        let found = match compare(row, row) {
            // Zeros of one source differ by their sign at last, and not-a-numbers by their bits.
            Ordering::Equal => {
                order.cells((sources[0], row), (sources[1], row))?.then_with(|| compare_raw(row, row))
            }
            unequal => unequal,
        };
        let (first, second) = if found == Ordering::Greater { (1, 0) } else { (0, 1) };
        picks.extend([(first, row), (second, row)]);
    }
    Ok(picks)
}

/// Compares rows of two arrays of one type.
///
/// Errors: values that have no order.
pub(super) fn comparator(
    one: &ArrayRef,
    other: &ArrayRef,
) -> Result<arrow::array::DynComparator, ArrowError> {
    make_comparator(one.as_ref(), other.as_ref(), SortOptions { descending: false, nulls_first: false })
}

/// Returns whether every row is named once, in order, as is usual where keys are unique on the other side.
fn is_whole(rows: &[u32], of: usize) -> bool {
    rows.len() == of && rows.iter().enumerate().all(|(at, row)| at == *row as usize)
}
