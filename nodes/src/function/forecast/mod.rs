//! Forecast of a function node: packets are hashed and looked up, and nothing is computed.
//!
//! Rows whose packets have results pass on with them. Rows that would have to be computed pass on
//! with null outputs that have no origin: such a value is unknown to every node below.

mod sample;

pub use sample::{SampleCounters, SampleStage};

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::operator::Item;
use anabranch_engine::provenance::{OriginId, Origins, ProvenanceColumn};
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::{ResultStore, StoredFunction};
use futures::future::BoxFuture;

use super::bound::BoundFunction;
use super::machine::lookup::{HashedChunk, LookedUp, LookupCommand, LookupMachine};
use super::machine::reorder_buffer::{ReorderBuffer, RowId};
use crate::Counter;
use crate::arrived::Arrived;
use crate::call::{CacheMode, OutputOrder};

/// Packets that are distinguished; beyond, each row without a result counts as a packet of its own.
const MOST_KEYS: usize = 1 << 22;

/// Counters of a function node that computes nothing.
#[derive(Debug, Default)]
pub struct ForecastCounters {
    /// Rows that came in.
    pub rows: Counter,
    /// Distinct packets without a result; rows whose packets are unknown count each.
    pub compute: Counter,
    /// Rows whose results say that they give no packet.
    pub dropped: Counter,
    /// True if there were too many packets to be distinguished, so that `compute` is an upper bound.
    pub rough: AtomicBool,
}

/// A row whose packet would be computed.
#[derive(Debug, Clone, Copy)]
pub struct MissedRow {
    /// The row in its chunk.
    pub row: u32,
    /// The packet's hash; of no meaning if it is unknown.
    pub packet: PacketHash,
    /// True if the packet takes a value that is not computed yet.
    pub unknown: bool,
}

/// Sees the input rows whose packets would be computed.
pub type MissedRows = Box<dyn FnMut(&Chunk, &[MissedRow]) -> Result<(), StageError> + Send>;

/// Parts of a forecast.
pub struct ForecastParts {
    /// The function.
    pub function: Arc<BoundFunction>,
    /// Use of stored results.
    pub cache: CacheMode,
    /// Store of results; none if there is no store.
    pub results: Option<Arc<dyn ResultStore>>,
    /// The origin table of the rows.
    pub origins: Arc<Origins>,
    /// Counters.
    pub counters: Arc<ForecastCounters>,
    /// Receives the rows that would be computed.
    pub missed: Option<MissedRows>,
}

/// A function that computes nothing.
///
/// Memory: one chunk, outcomes of its rows as one look-up gives them, and 16 bytes for each of at most 4,194,304 packets.
pub struct ForecastStage {
    parts: ForecastParts,
    outputs: Vec<OriginId>,
    seen: HashSet<u128>,
    lookup: LookupMachine,
    buffer: ReorderBuffer,
    current: Option<ForecastChunk>,
    input: Arrived,
}

impl std::fmt::Debug for ForecastStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForecastStage").field("function", &self.parts.function).finish_non_exhaustive()
    }
}

/// The chunk whose rows leave.
struct ForecastChunk {
    chunk: Chunk,
    hashes: Arc<Vec<PacketHash>>,
    /// For each row, true if it takes a value that is not computed yet.
    unknown: Vec<bool>,
    /// For each row, true if its packet would be computed.
    missed: Vec<bool>,
    /// Rows that have an outcome, or will have none.
    done: usize,
}

impl ForecastStage {
    /// A stage that is ready for its first chunk.
    #[must_use]
    pub fn new(parts: ForecastParts) -> Self {
        let outputs = parts.function.output_origins(&parts.origins, None);
        Self {
            parts,
            outputs,
            seen: HashSet::new(),
            lookup: LookupMachine::new(true),
            buffer: ReorderBuffer::new(OutputOrder::Input),
            current: None,
            input: Arrived::default(),
        }
    }

    /// Hashes a chunk, and has the rows looked up whose packets are known.
    fn begin(&mut self, chunk: Chunk) -> Result<(), StageError> {
        let function = Arc::clone(&self.parts.function);
        let taken = function.taken_columns(&chunk);
        let hashes = Arc::new(function.hasher.hash(&taken, chunk.rows())?);
        let unknown = unknown_rows(&function, &chunk);
        let number = self.buffer.push(chunk.clone(), Arc::clone(&hashes));
        let reads = self.reads();
        let looked_up = |row: &usize| reads && !unknown.at(*row, "a row is in its chunk");
        let rows: Vec<u32> = (0..chunk.rows()).filter(looked_up).map(row_number).collect();
        let missed: Vec<bool> = (0..chunk.rows()).map(|row| !looked_up(&row)).collect();
        let rows_without = (0_u32..).zip(&missed).filter(|(_, missed)| **missed);
        self.buffer.set_unknown(rows_without.map(|(row, _)| RowId { chunk: number, row }));
        if !rows.is_empty() {
            let (hashes, rows) = (Arc::clone(&hashes), Some(rows));
            self.lookup.push(HashedChunk { number, hashes, taken, rows });
        }
        self.current = Some(ForecastChunk { chunk, hashes, unknown, missed, done: 0 });
        Ok(())
    }

    /// Looks up the next packets; the rows that are known then as the function would give them.
    async fn pass(&mut self) -> Result<Option<Chunk>, StageError> {
        if let Some(results) = &self.parts.results
            && let Some(looked_up) =
                look_up_next(&mut self.lookup, &**results, &self.parts.function.stored).await?
        {
            let LookedUp { chunk, batch, hits, missed, .. } = looked_up;
            self.buffer.fill(&batch, hits);
            self.buffer.set_unknown(missed.iter().map(|row| RowId { chunk, row: *row }));
            if let Some(current) = &mut self.current {
                for row in missed {
                    *current.missed.at_mut(row as usize, "a row is in its chunk") = true;
                }
            }
        }
        let (ready, whole) = self.buffer.front();
        if ready == 0 {
            return Ok(None);
        }
        self.count(ready)?;
        if whole {
            self.current = None;
        }
        let types = &self.parts.function.signature.outputs;
        let Some(leaving) = self.buffer.pop(types)? else { return Ok(None) };
        let rows = leaving.assemble(&self.parts.function, &self.outputs, None)?;
        self.parts.counters.dropped.add(rows.dropped);
        Ok(Some(rows.chunk))
    }

    fn reads(&self) -> bool {
        self.parts.results.is_some() && !matches!(self.parts.cache, CacheMode::Off | CacheMode::Refresh)
    }

    /// Counts the next rows of the chunk, and passes those on whose packets would be computed.
    fn count(&mut self, rows: usize) -> Result<(), StageError> {
        let Some(mut current) = self.current.take() else {
            panic!("rows that leave belong to the current chunk");
        };
        let part = current.chunk.slice(current.done, rows);
        let mut missed = Vec::new();
        for row in 0..rows {
            let place = current.done + row;
            if !current.missed.at(place, "a row is in its chunk") {
                continue;
            }
            let unknown = *current.unknown.at(place, "a row is in its chunk");
            let packet = *current.hashes.at(place, "each row of a chunk is hashed");
            missed.push(MissedRow { row: row_number(row), packet, unknown });
            if unknown || self.is_new(&packet) {
                self.parts.counters.compute.add(1);
            }
        }
        self.parts.counters.rows.add(rows);
        current.done += rows;
        self.current = Some(current);
        match &mut self.parts.missed {
            Some(watch) => watch(&part, &missed),
            None => Ok(()),
        }
    }

    fn is_new(&mut self, hash: &PacketHash) -> bool {
        let prefix = u128::from_le_bytes(*hash.0.0.first_chunk().unwrap_or(&[0; 16]));
        if self.seen.len() < MOST_KEYS {
            return self.seen.insert(prefix);
        }
        let new = !self.seen.contains(&prefix);
        self.parts.counters.rough.fetch_or(new, Relaxed);
        new
    }
}

/// Executes the next look-up of a machine whose packets are never computed; none if nothing is left to look up.
async fn look_up_next(
    lookup: &mut LookupMachine,
    results: &dyn ResultStore,
    function: &Arc<StoredFunction>,
) -> Result<Option<LookedUp>, StageError> {
    match lookup.advance(true)? {
        None => Ok(None),
        Some(LookupCommand::Find(keys)) => {
            let found = results.find(Arc::clone(function), keys).await?;
            Ok(Some(lookup.found(found)?))
        }
        Some(LookupCommand::LeaveOut(_) | LookupCommand::Compute(_)) => {
            panic!("packets that are only looked up are neither computed nor failed")
        }
    }
}

/// For each row, true if it takes a value without an origin.
fn unknown_rows(function: &BoundFunction, chunk: &Chunk) -> Vec<bool> {
    let sources = &chunk.provenance().sources;
    let source = |column: &usize| sources.at(*column, "a taken column has provenance");
    let taken: Vec<&ProvenanceColumn> = function.taken.iter().map(source).collect();
    (0..chunk.rows()).map(|row| taken.iter().any(|source| lacks_origin(source, row))).collect()
}

/// True if a row's value, or an item of it, has no origin: it is not computed yet.
#[must_use]
pub fn lacks_origin(source: &ProvenanceColumn, row: usize) -> bool {
    match source {
        ProvenanceColumn::Flat(flat) => flat.origins.get(row) == OriginId::NULL,
        ProvenanceColumn::Lists(lists) => lists.range(row).any(|item| lacks_origin(&lists.items, item)),
    }
}

impl Stage for ForecastStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        self.input.accept(item);
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async {
            loop {
                if self.current.is_some() {
                    if let Some(chunk) = self.pass().await? {
                        return Ok(StageStep::Output(chunk));
                    }
                    continue;
                }
                match self.input.take() {
                    Some(chunk) => self.begin(chunk)?,
                    None if self.input.ended => return Ok(StageStep::Done),
                    None => return Ok(StageStep::NeedInput(vec![0])),
                }
            }
        })
    }
}
