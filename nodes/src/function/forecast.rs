//! What a function node would do: packets are hashed and looked up, and nothing is computed.
//!
//! Rows whose packets have results pass on with them. Rows that would have to be computed pass on
//! with null outputs that have no origin: whoever takes such a value below knows that it is unknown.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{PacketHash, ResultKey};
use anabranch_engine::operator::Item;
use anabranch_engine::provenance::{
    Origin, OriginColumn, OriginId, Origins, Positions, Provenance, ProvenanceColumn, output_position,
};
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::{Outcomes, ResultStore};
use arrow::array::{Array as _, ArrayRef, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::take;
use futures::future::BoxFuture;

use super::CacheMode;
use super::bound::BoundFunction;
use super::portion::LookupPortion;

/// Packets told apart; beyond, each row without a result counts as a packet of its own.
const MOST_KEYS: usize = 1 << 22;

/// What is counted of a function node that computes nothing.
#[derive(Debug, Default)]
pub struct ForecastCounters {
    rows: AtomicU64,
    compute: AtomicU64,
    unknown: AtomicU64,
    dropped: AtomicU64,
    rough: AtomicBool,
}

impl ForecastCounters {
    /// Rows that came in.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Distinct packets without a result; rows whose packets are unknown count each.
    #[must_use]
    pub fn compute(&self) -> u64 {
        self.compute.load(Relaxed)
    }

    /// Rows that take a value which is not computed yet.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Relaxed)
    }

    /// Rows whose results say that they give no packet.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Whether there were too many packets to be told apart, so that `compute` is an upper bound.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.rough.load(Relaxed)
    }
}

/// A row whose packet would be computed.
#[derive(Debug, Clone, Copy)]
pub struct MissedRow {
    /// The row in its chunk.
    pub row: u32,
    /// The packet's hash; of no meaning if it is unknown.
    pub packet: PacketHash,
    /// Whether the packet takes a value that is not computed yet.
    pub unknown: bool,
}

/// Sees the input rows whose packets would be computed.
pub type MissedRows = Box<dyn FnMut(&Chunk, &[MissedRow]) -> Result<(), StageError> + Send>;

/// What a forecast is put together from.
pub struct ForecastParts {
    /// The function.
    pub function: Arc<BoundFunction>,
    /// What it does with stored results.
    pub cache: CacheMode,
    /// Where results are looked up; nothing if there is no store.
    pub results: Option<Arc<dyn ResultStore>>,
    /// The origin table of the rows.
    pub origins: Arc<Origins>,
    /// What is counted.
    pub counters: Arc<ForecastCounters>,
    /// Who sees the rows that would be computed.
    pub missed: Option<MissedRows>,
}

/// A function that computes nothing.
///
/// Memory: one chunk, outcomes of its rows as one look-up gives them, and 16 bytes for each of at most 4,194,304 packets.
pub struct ForecastStage {
    parts: ForecastParts,
    outputs: Vec<OriginId>,
    seen: HashSet<u128>,
    portion: LookupPortion,
    arrived: Option<Chunk>,
    ended: bool,
}

impl std::fmt::Debug for ForecastStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForecastStage").field("function", &self.parts.function).finish_non_exhaustive()
    }
}

/// What is known of the rows of a chunk.
struct Known {
    hashes: Vec<PacketHash>,
    /// For each row, where its outcome is.
    outcome: Vec<Option<u32>>,
    outcomes: Option<Outcomes>,
}

impl ForecastStage {
    /// A stage that is ready for its first chunk.
    #[must_use]
    pub fn new(parts: ForecastParts) -> Self {
        let stored = &parts.function.stored;
        let (function, fingerprint): (Arc<str>, Arc<str>) =
            (stored.name.as_str().into(), stored.fingerprint.short().into());
        let origin = |output: &str| {
            parts.origins.add(Origin::Output {
                function: Arc::clone(&function),
                fingerprint: Arc::clone(&fingerprint),
                output: output.into(),
                recording: None,
            })
        };
        let outputs = stored.outputs.iter().map(|f| origin(f.name())).collect();
        Self {
            parts,
            outputs,
            seen: HashSet::new(),
            portion: LookupPortion::default(),
            arrived: None,
            ended: false,
        }
    }

    /// The rows as the function would give them; where their outcomes are large, the first of them, and the
    /// others come next.
    async fn pass(&mut self, chunk: Chunk) -> Result<Chunk, StageError> {
        let function = Arc::clone(&self.parts.function);
        let rows = if self.reads() { self.portion.of(chunk.rows()) } else { chunk.rows() };
        let first = chunk.slice(0, rows);
        let taken: Vec<ArrayRef> =
            function.taken.iter().filter_map(|at| first.packets().get(*at)).map(Arc::clone).collect();
        let hashes = function.hasher.hash(&taken, first.rows())?;
        let unknown = unknown_rows(&function, &first);
        let known = self.look_up(hashes, &unknown).await?;
        let answered = known.hashes.len();
        let (chunk, rest) = (chunk.slice(0, answered), chunk.slice(answered, chunk.rows()));
        self.arrived = Some(rest).filter(|rest| rest.rows() > 0);
        let missed = self.count(&known, &unknown);
        if let Some(watch) = &mut self.parts.missed {
            watch(&chunk, &missed)?;
        }
        self.build(&chunk, &known)
    }

    fn reads(&self) -> bool {
        self.parts.results.is_some() && !matches!(self.parts.cache, CacheMode::Off | CacheMode::Refresh)
    }

    async fn look_up(&mut self, hashes: Vec<PacketHash>, unknown: &[bool]) -> Result<Known, StageError> {
        let mut known = Known { outcome: vec![None; hashes.len()], hashes, outcomes: None };
        let Some(results) = self.parts.results.clone().filter(|_| self.reads()) else { return Ok(known) };
        let mut rows: HashMap<PacketHash, Vec<usize>> = HashMap::new();
        let mut keys = Vec::new();
        for (row, (hash, _)) in known.hashes.iter().zip(unknown).enumerate().filter(|(_, (_, u))| !**u) {
            let asked = rows.entry(*hash).or_insert_with(|| {
                keys.push(*hash);
                Vec::new()
            });
            asked.push(row);
        }
        let found = results.find(Arc::clone(&self.parts.function.stored), keys.clone()).await?;
        let answered = found.answered(keys.len())?;
        if !keys.is_empty() {
            self.portion.adapt(known.hashes.len(), &found);
        }
        let hits = keys.iter().zip(&found.hits).filter(|(_, hit)| **hit);
        for (at, (key, _)) in (0_u32..).zip(hits) {
            for row in rows.get(key).into_iter().flatten() {
                if let Some(place) = known.outcome.get_mut(*row) {
                    *place = Some(at);
                }
            }
        }
        known.outcomes = Some(found.outcomes);
        let first_without = keys.get(answered).and_then(|key| rows.get(key)?.first());
        if let Some(row) = first_without {
            known.hashes.truncate(*row);
            known.outcome.truncate(*row);
        }
        Ok(known)
    }

    fn count(&mut self, known: &Known, unknown: &[bool]) -> Vec<MissedRow> {
        let mut missed = Vec::new();
        let rows = (0_u32..).zip(known.hashes.iter().zip(&known.outcome)).zip(unknown);
        for ((row, (hash, _)), unknown) in rows.filter(|((_, (_, outcome)), _)| outcome.is_none()) {
            missed.push(MissedRow { row, packet: *hash, unknown: *unknown });
            if *unknown || self.is_new(hash) {
                self.parts.counters.compute.fetch_add(1, Relaxed);
            }
            self.parts.counters.unknown.fetch_add(u64::from(*unknown), Relaxed);
        }
        self.parts.counters.rows.fetch_add(known.hashes.len() as u64, Relaxed);
        missed
    }

    fn is_new(&mut self, hash: &PacketHash) -> bool {
        let prefix = hash.0.0.first_chunk().map_or(0, |prefix| u128::from_le_bytes(*prefix));
        if self.seen.len() < MOST_KEYS {
            return self.seen.insert(prefix);
        }
        let new = !self.seen.contains(&prefix);
        self.parts.counters.rough.fetch_or(new, Relaxed);
        new
    }

    /// The rows as the function would give them, as far as that is known.
    fn build(&self, chunk: &Chunk, known: &Known) -> Result<Chunk, StageError> {
        let function = &self.parts.function;
        let emitted = |outcome: Option<u32>| match (outcome, &known.outcomes) {
            (Some(at), Some(found)) => found.emitted.get(at as usize).copied().unwrap_or(false),
            _ => true,
        };
        let rows = (0_u32..).zip(&known.outcome).filter(|(_, outcome)| emitted(**outcome));
        let (rows, picks): (Vec<u32>, Vec<Option<u32>>) = rows.map(|(row, outcome)| (row, *outcome)).unzip();
        self.parts.counters.dropped.fetch_add((chunk.rows() - rows.len()) as u64, Relaxed);
        let picks = UInt32Array::from(picks);
        let (tags, packets, provenance) = chunk.take(&rows)?.into_parts();
        let mut columns = if function.keep { packets } else { Vec::new() };
        for (at, field) in function.stored.outputs.iter().enumerate() {
            let values = known.outcomes.as_ref().and_then(|outcomes| outcomes.values.get(at));
            columns.push(match values {
                Some(values) => take(values, &picks, None)?,
                None if rows.is_empty() => new_empty_array(field.data_type()),
                None => new_null_array(field.data_type(), rows.len()),
            });
        }
        let sources = self.sources(&rows, &picks, known, provenance.sources);
        let provenance = Provenance { tags: provenance.tags, sources };
        Ok(Chunk::new(Arc::clone(&function.contract.schema), rows.len(), tags, columns, provenance)?)
    }

    fn sources(
        &self,
        rows: &[u32],
        picks: &UInt32Array,
        known: &Known,
        kept: Vec<ProvenanceColumn>,
    ) -> Vec<ProvenanceColumn> {
        let function = &self.parts.function;
        let key = |row: &u32| {
            let hash = known.hashes.get(*row as usize);
            hash.map_or(0, |hash| ResultKey::of(&function.stored.fingerprint, hash).short())
        };
        let keys = Positions::keys(rows.iter().map(|row| output_position(key(row), None)).collect());
        let mut sources = if function.keep { kept } else { Vec::new() };
        sources.extend(self.outputs.iter().map(|origin| {
            let origin = |row| if picks.is_valid(row) { *origin } else { OriginId::NULL };
            ProvenanceColumn::of(OriginColumn::compact((0..rows.len()).map(origin).collect()), keys.clone())
        }));
        sources
    }
}

/// For each row, whether it takes a value without an origin.
pub(super) fn unknown_rows(function: &BoundFunction, chunk: &Chunk) -> Vec<bool> {
    let sources = &chunk.provenance().sources;
    let taken: Vec<&ProvenanceColumn> = function.taken.iter().filter_map(|at| sources.get(*at)).collect();
    (0..chunk.rows()).map(|row| taken.iter().any(|source| lacks_origin(source, row))).collect()
}

/// Whether a row's value, or an item of it, has no origin: it is not computed yet.
#[must_use]
pub fn lacks_origin(source: &ProvenanceColumn, row: usize) -> bool {
    match source {
        ProvenanceColumn::Flat(flat) => flat.origins.get(row) == OriginId::NULL,
        ProvenanceColumn::Lists(lists) => lists.range(row).any(|item| lacks_origin(&lists.items, item)),
    }
}

impl Stage for ForecastStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        match item {
            Item::Chunk(chunk) => self.arrived = Some(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async {
            match self.arrived.take() {
                Some(chunk) if chunk.rows() > 0 => self.pass(chunk).await.map(StageStep::Output),
                _ if self.ended => Ok(StageStep::Done),
                _ => Ok(StageStep::NeedInput(vec![0])),
            }
        })
    }
}
