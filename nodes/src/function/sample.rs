//! Which packets of a function node are computed again to be compared with their results.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::operator::Item;
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::ResultStore;
use arrow::array::ArrayRef;
use futures::future::BoxFuture;

use super::bound::BoundFunction;
use super::forecast::unknown_rows;
use super::portion::LookupPortion;

/// What is counted of the rows that a sample is taken from.
#[derive(Debug, Default)]
pub struct SampleCounters {
    rows: AtomicU64,
    without: AtomicU64,
}

impl SampleCounters {
    /// Rows that came in.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Rows whose packets have no result.
    #[must_use]
    pub fn without(&self) -> u64 {
        self.without.load(Relaxed)
    }
}

/// Lets those rows pass whose packets have results; of a sample, one row for each of the packets
/// with the smallest hashes, which are the same ones every time.
///
/// Memory: one chunk, or a row for each packet of the sample.
pub struct SampleStage {
    function: Arc<BoundFunction>,
    results: Arc<dyn ResultStore>,
    counters: Arc<SampleCounters>,
    size: Option<usize>,
    chosen: BTreeMap<[u8; 32], Chunk>,
    arrived: Option<Chunk>,
    portion: LookupPortion,
    leaving: VecDeque<Chunk>,
    ended: bool,
}

impl std::fmt::Debug for SampleStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleStage").field("size", &self.size).finish_non_exhaustive()
    }
}

impl SampleStage {
    /// A stage in front of a function; without a size, all packets with results pass.
    #[must_use]
    pub fn new(
        function: Arc<BoundFunction>,
        results: Arc<dyn ResultStore>,
        counters: Arc<SampleCounters>,
        size: Option<usize>,
    ) -> Self {
        let (chosen, leaving) = (BTreeMap::new(), VecDeque::new());
        Self {
            function,
            results,
            counters,
            size,
            chosen,
            portion: LookupPortion::default(),
            arrived: None,
            leaving,
            ended: false,
        }
    }

    async fn choose(&mut self, chunk: Chunk) -> Result<(), StageError> {
        let function = Arc::clone(&self.function);
        let taken: Vec<ArrayRef> =
            function.taken.iter().filter_map(|at| chunk.packets().get(*at)).map(Arc::clone).collect();
        let hashes = function.hasher.hash(&taken, chunk.rows())?;
        let unknown = unknown_rows(&function, &chunk);
        let mut rows: HashMap<PacketHash, Vec<u32>> = HashMap::new();
        // In the order of the rows, which is that of the store's blocks more often than not.
        let mut keys = Vec::new();
        for ((row, hash), _) in (0_u32..).zip(&hashes).zip(&unknown).filter(|(_, unknown)| !**unknown) {
            let places = rows.entry(*hash).or_default();
            if places.is_empty() {
                keys.push(*hash);
            }
            places.push(row);
        }
        let mut hits: Vec<&PacketHash> = Vec::new();
        let mut rest = keys.as_slice();
        while !rest.is_empty() {
            let portion = self.portion.of(rest.len());
            let looked_up = rest.get(..portion).unwrap_or(rest).to_vec();
            let found = self.results.find(Arc::clone(&function.stored), looked_up).await?;
            hits.extend(rest.iter().zip(&found.hits).filter_map(|(key, hit)| hit.then_some(key)));
            rest = rest.split_at(found.answered(portion)?).1;
            self.portion.adapt(portion, &found);
        }
        let known: usize = hits.iter().filter_map(|key| rows.get(*key)).map(Vec::len).sum();
        self.counters.rows.fetch_add(chunk.rows() as u64, Relaxed);
        self.counters.without.fetch_add((chunk.rows() - known) as u64, Relaxed);
        let Some(size) = self.size else {
            let mut places: Vec<u32> =
                hits.iter().filter_map(|key| rows.get(*key)).flatten().copied().collect();
            places.sort_unstable();
            if !places.is_empty() {
                self.leaving.push_back(chunk.take(&places)?);
            }
            return Ok(());
        };
        for key in hits {
            self.keep(size, key, rows.get(key).and_then(|rows| rows.first()), &chunk)?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        size: usize,
        key: &PacketHash,
        row: Option<&u32>,
        chunk: &Chunk,
    ) -> Result<(), StageError> {
        let larger = self.chosen.last_key_value().is_none_or(|(largest, _)| key.0.0 < *largest);
        let room = self.chosen.len() < size;
        let Some(row) = row.filter(|_| room || larger) else { return Ok(()) };
        if let Entry::Vacant(place) = self.chosen.entry(key.0.0) {
            place.insert(chunk.take(&[*row])?);
        }
        while self.chosen.len() > size {
            self.chosen.pop_last();
        }
        Ok(())
    }
}

impl Stage for SampleStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        match item {
            Item::Chunk(chunk) => self.arrived = Some(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async {
            if let Some(chunk) = self.arrived.take().filter(|chunk| chunk.rows() > 0) {
                self.choose(chunk).await?;
            }
            if let Some(chunk) = self.leaving.pop_front() {
                return Ok(StageStep::Output(chunk));
            }
            if !self.ended {
                return Ok(StageStep::NeedInput(vec![0]));
            }
            Ok(self.chosen.pop_first().map_or(StageStep::Done, |(_, chunk)| StageStep::Output(chunk)))
        })
    }
}
