//! Some rows with their keys.

use std::cell::OnceCell;
use std::cmp::Ordering;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::provenance::Origins;
use arrow::array::ArrayRef;
use arrow::row::{RowConverter, Rows};

use super::SortPlan;
use super::keys::EncodedKeys;
use super::ties::{TieOrder, sort_rows};
use crate::rows::{chunk_bytes, compact};

/// Rows that are sorted, or are about to be.
pub(super) struct SortedPart {
    pub(super) chunk: Chunk,
    keys: EncodedKeys,
    /// All values in a form that compares, made when provenance did not distinguish two rows.
    values: OnceCell<Rows>,
    bytes: usize,
}

impl SortedPart {
    /// Rows as they stand.
    pub(super) fn new(chunk: Chunk, plan: &SortPlan) -> Result<Self, OperatorError> {
        let keys = plan.keys.encode(chunk.tags(), chunk.rows()).map_err(ChunkError::Arrow)?;
        Ok(Self::of(chunk, keys))
    }

    fn of(chunk: Chunk, keys: EncodedKeys) -> Self {
        let bytes = chunk_bytes(&chunk) + keys.bytes();
        Self { chunk, keys, values: OnceCell::new(), bytes }
    }

    /// The rows in order.
    pub(super) fn sorted(chunk: Chunk, plan: &SortPlan, origins: &Origins) -> Result<Self, OperatorError> {
        let part = Self::new(chunk, plan)?;
        let mut order = part.keys.sorted();
        let mut ties = TieOrder::new(&plan.ties, origins);
        if !ties.is_arrival() {
            order = part.untied(&order, &mut ties)?;
        }
        if order.iter().zip(0..).all(|(row, at)| *row == at) {
            return Ok(Self::of(compact(&part.chunk)?, part.keys));
        }
        let keys = part.keys.arranged(&order, &plan.keys);
        Ok(Self::of(compact(&part.chunk.take(&order)?)?, keys))
    }

    /// Rows in the order of their keys, those of one key in the order that breaks ties.
    fn untied(&self, order: &[u32], ties: &mut TieOrder<'_>) -> Result<Vec<u32>, OperatorError> {
        let mut untied = Vec::with_capacity(order.len());
        let equal =
            |one: &u32, next: &u32| self.keys.compare(*one as usize, &self.keys, *next as usize).is_eq();
        for group in order.chunk_by(equal) {
            let mut group = group.to_vec();
            sort_rows(&mut group, |one, other| ties.compare((self, one as usize), (self, other as usize)))?;
            untied.extend(group);
        }
        Ok(untied)
    }

    pub(super) fn rows(&self) -> usize {
        self.chunk.rows()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.values.get().map_or(0, Rows::size)
    }

    /// The first bytes of a row's key.
    pub(super) fn prefix(&self, row: usize) -> u128 {
        self.keys.prefix(row)
    }

    /// Compares the keys of two rows.
    pub(super) fn compare_keys(&self, row: usize, other: (&Self, usize)) -> Ordering {
        self.keys.compare(row, &other.0.keys, other.1)
    }

    /// Compares all values of two rows.
    pub(super) fn compare_values(
        &self,
        row: usize,
        other: (&Self, usize),
        converter: &RowConverter,
    ) -> Result<Ordering, OperatorError> {
        let (mine, theirs) = (self.values(converter)?, other.0.values(converter)?);
        if row >= mine.num_rows() || other.1 >= theirs.num_rows() {
            // Rows without a column have no values.
            return Ok(Ordering::Equal);
        }
        Ok(mine.row(row).cmp(&theirs.row(other.1)))
    }

    fn values(&self, converter: &RowConverter) -> Result<&Rows, OperatorError> {
        if let Some(known) = self.values.get() {
            return Ok(known);
        }
        let columns: Vec<ArrayRef> = self.chunk.tags().iter().chain(self.chunk.packets()).cloned().collect();
        let rows = converter.convert_columns(&columns).map_err(ChunkError::Arrow)?;
        Ok(self.values.get_or_init(|| rows))
    }
}
