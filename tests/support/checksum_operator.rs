//! An operator that lets rows pass and keeps a digest of them, through the public trait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use anabranch::Chunk;
use anabranch::engine::identity::Structure;
use anabranch::engine::operator::{
    BindError, Bound, Context, Contract, Input, Item, Machine, Operator, OperatorError, Step, UnknownValues,
};
use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};

/// Digest of the rows that have passed. Cheap to clone; clones see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChecksumOperator {
    seen: Arc<Seen>,
    /// Is told when so many rows have passed.
    told: Option<(u64, SyncSender<()>)>,
}

#[derive(Debug, Default)]
struct Seen {
    rows: AtomicU64,
    digest: AtomicU64,
}

impl ChecksumOperator {
    pub(crate) fn telling(rows: u64, sender: SyncSender<()>) -> Self {
        Self { seen: Arc::default(), told: Some((rows, sender)) }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.seen.rows.load(Ordering::Relaxed)
    }

    /// Sum of the rows' hashes: the same for the same rows in any order, with their multiplicity.
    pub(crate) fn digest(&self) -> u64 {
        self.seen.digest.load(Ordering::Relaxed)
    }

    fn pass(&self, chunk: &Chunk) {
        let mut columns: Vec<(&str, &ArrayRef)> = chunk
            .schema()
            .columns()
            .map(|field| (field.name().as_str(), chunk.column(field.name()).unwrap()))
            .collect();
        columns.sort_unstable_by_key(|(name, _)| *name);
        let fields = columns.iter().map(|(_, c)| SortField::new(c.data_type().clone())).collect();
        let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, c)| Arc::clone(c)).collect();
        let rows = RowConverter::new(fields).unwrap().convert_columns(&columns).unwrap();
        let digest = rows.iter().map(|row| hash(row.as_ref())).fold(0, u64::wrapping_add);
        self.seen.digest.fetch_add(digest, Ordering::Relaxed);
        let before = self.seen.rows.fetch_add(chunk.rows() as u64, Ordering::Relaxed);
        if let Some((rows, sender)) = &self.told
            && before < *rows
            && before + chunk.rows() as u64 >= *rows
        {
            // Whoever waited may be gone.
            let _ = sender.try_send(());
        }
    }
}

/// 64-bit FNV-1a over words, then mixed, so that sums of it tell rows apart.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        state = (state ^ u64::from_le_bytes(padded)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 29;
    }
    state.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (state >> 32)
}

impl Operator for ChecksumOperator {
    fn kind(&self) -> &'static str {
        "witness"
    }

    fn identify(&self, _: &mut Structure) {}

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let Input { schema, ordered, bounded, .. } = inputs[0].clone();
        Ok(Box::new(BoundChecksum { contract: Contract { schema, ordered, bounded }, witness: self.clone() }))
    }
}

struct BoundChecksum {
    contract: Contract,
    witness: ChecksumOperator,
}

impl Bound for BoundChecksum {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn with_unknown_values(&self) -> UnknownValues {
        UnknownValues::Run
    }

    fn start(&self, _: &Context) -> Box<dyn Machine> {
        Box::new(Passing { witness: self.witness.clone(), chunks: VecDeque::new(), ended: false })
    }
}

struct Passing {
    witness: ChecksumOperator,
    chunks: VecDeque<Chunk>,
    ended: bool,
}

impl Machine for Passing {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(chunk) => self.chunks.push_back(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        Ok(match self.chunks.pop_front() {
            Some(chunk) => {
                self.witness.pass(&chunk);
                Step::Output(chunk)
            }
            None if self.ended => Step::Done,
            None => Step::NeedInput(vec![0]),
        })
    }
}
