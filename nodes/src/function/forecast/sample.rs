//! Selection of the packets of a function node that are computed again and compared with their results.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::Item;
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::ResultStore;
use futures::future::BoxFuture;

use super::super::bound::BoundFunction;
use super::super::machine::lookup::{HashedChunk, LookupMachine};
use super::{look_up_next, unknown_rows};
use crate::Counter;
use crate::arrived::Arrived;

/// Counters of the rows that a sample is taken from.
#[derive(Debug, Default)]
pub struct SampleCounters {
    /// Rows that came in.
    pub rows: Counter,
    /// Rows whose packets have no result.
    pub without: Counter,
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
    input: Arrived,
    lookup: LookupMachine,
    leaving: VecDeque<Chunk>,
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
            lookup: LookupMachine::new(true),
            input: Arrived::default(),
            leaving,
        }
    }

    async fn choose(&mut self, chunk: Chunk) -> Result<(), StageError> {
        let taken = self.function.taken_columns(&chunk);
        let hashes = Arc::new(self.function.hasher.hash(&taken, chunk.rows())?);
        let unknown = unknown_rows(&self.function, &chunk);
        let known = (0_u32..).zip(&unknown).filter(|(_, unknown)| !**unknown);
        let rows = Some(known.map(|(row, _)| row).collect());
        self.lookup.push(HashedChunk { number: 0, hashes: Arc::clone(&hashes), taken, rows });
        let mut hits: Vec<u32> = Vec::new();
        while let Some(looked_up) =
            look_up_next(&mut self.lookup, &*self.results, &self.function.stored).await?
        {
            hits.extend(looked_up.hits.iter().map(|(id, _)| id.row));
        }
        self.counters.rows.add(chunk.rows());
        self.counters.without.add(chunk.rows() - hits.len());
        let Some(size) = self.size else {
            if !hits.is_empty() {
                self.leaving.push_back(chunk.take(&hits)?);
            }
            return Ok(());
        };
        for row in hits {
            let packet = hashes.at(row as usize, "each row of a chunk is hashed");
            self.keep(size, packet, row, &chunk)?;
        }
        Ok(())
    }

    /// Keeps a row if its packet is among those of the smallest hashes until now.
    fn keep(&mut self, size: usize, packet: &PacketHash, row: u32, chunk: &Chunk) -> Result<(), StageError> {
        let smaller = self.chosen.last_key_value().is_none_or(|(largest, _)| packet.0.0 < *largest);
        if self.chosen.len() >= size && !smaller {
            return Ok(());
        }
        if let Entry::Vacant(place) = self.chosen.entry(packet.0.0) {
            place.insert(chunk.take(&[row])?);
        }
        while self.chosen.len() > size {
            self.chosen.pop_last();
        }
        Ok(())
    }
}

impl Stage for SampleStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        self.input.accept(item);
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async {
            if let Some(chunk) = self.input.take() {
                self.choose(chunk).await?;
            }
            if let Some(chunk) = self.leaving.pop_front() {
                return Ok(StageStep::Output(chunk));
            }
            if !self.input.ended {
                return Ok(StageStep::NeedInput(vec![0]));
            }
            Ok(self.chosen.pop_first().map_or(StageStep::Done, |(_, chunk)| StageStep::Output(chunk)))
        })
    }
}
