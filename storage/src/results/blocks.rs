//! Reading results: blocks and packs by number.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{StoreFault, StoreProblem};

use super::cache::{Cache, Weigh};
use super::packs::{self, Pack, PackEntry};
use super::result_block::ResultBlock;
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::tables::RESULT_BLOCKS;
use crate::catalog::{Reader, Rows};

/// Location of a block's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BlockLocation {
    /// In a block of their own.
    Block(u64),
    /// In a pack of several blocks.
    Pack(u64),
}

impl fmt::Display for BlockLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(id) => write!(f, "result block {id}"),
            Self::Pack(id) => write!(f, "result pack {id}"),
        }
    }
}

/// Rows that were read, with what blocks they belong to.
#[derive(Debug)]
pub(crate) struct LoadedBlock {
    pub(crate) rows: ResultBlock,
    /// The blocks that were put together, in order; empty for a block of its own.
    pub(crate) entries: Vec<PackEntry>,
}

impl Weigh for LoadedBlock {
    fn bytes(&self) -> usize {
        self.rows.bytes() + size_of_val(self.entries.as_slice())
    }
}

/// Blocks and packs that were read lately. Neither ever changes.
pub(crate) type ResultCache = Cache<BlockLocation, LoadedBlock>;

/// A block: some rows of what it is kept in.
#[derive(Debug, Clone)]
pub(crate) struct BlockSlice {
    pub(crate) loaded: Arc<LoadedBlock>,
    /// Its first row there.
    pub(crate) offset: usize,
    /// Number of its rows.
    pub(crate) rows: usize,
}

impl BlockSlice {
    /// Bytes of the outputs of one of its rows; none if it does not have the row.
    pub(crate) fn row_bytes(&self, row: usize) -> Option<usize> {
        (row < self.rows).then(|| self.loaded.rows.row_bytes(self.offset + row))
    }

    /// The packet hash of one of its rows; none if it does not have the row.
    pub(crate) fn key(&self, row: usize) -> Option<PacketHash> {
        (row < self.rows).then(|| self.loaded.rows.key(self.offset + row))
    }
}

/// Reads blocks of one function by number.
pub(crate) struct BlockReader<'a> {
    pub(crate) rows: &'a dyn Rows,
    /// Takes snapshots; none within a transaction.
    reader: Option<&'a dyn Reader>,
    cache: &'a ResultCache,
    pub(crate) function: i64,
    /// The last block that the reader may give out: later ones may vanish with the transaction, or
    /// are not yet there in what the reader sees.
    ceiling: Cell<u64>,
    /// Block or pack that was read last: most blocks of a pack are read one after the other.
    last: RefCell<Option<Arc<LoadedBlock>>>,
    snapshot: RefCell<Option<Snapshot<'a>>>,
}

impl<'a> BlockReader<'a> {
    /// A reader outside a writing transaction.
    pub(crate) fn new(reader: &'a dyn Reader, cache: &'a ResultCache, function: i64) -> Self {
        Self { reader: Some(reader), ..Self::within(reader, cache, function, i64::MAX.unsigned_abs()) }
    }

    /// A reader inside a transaction that has itself written the blocks after `ceiling`.
    pub(crate) fn within(rows: &'a dyn Rows, cache: &'a ResultCache, function: i64, ceiling: u64) -> Self {
        let (last, snapshot) = (RefCell::new(None), RefCell::new(None));
        Self { rows, reader: None, cache, function, ceiling: Cell::new(ceiling), last, snapshot }
    }

    /// Takes a snapshot that lasts until the reader is dropped: blocks do not move and runs of keys are not removed
    /// while it reads.
    pub(crate) fn take_snapshot(&self) -> Result<(), StoreFault> {
        let mut held = self.snapshot.borrow_mut();
        if let (None, Some(reader)) = (&*held, self.reader) {
            let snapshot = Snapshot::take(reader)?;
            if snapshot.is_begun() {
                self.ceiling.set(newest_block(self.rows)?);
                *held = Some(snapshot);
            }
        }
        Ok(())
    }

    /// The last block that the reader may give out.
    pub(crate) fn ceiling(&self) -> u64 {
        self.ceiling.get()
    }

    /// Last block of the snapshot that the reader holds; 0 without one.
    pub(crate) fn snapshot(&self) -> u64 {
        if self.snapshot.borrow().is_some() { self.ceiling() } else { 0 }
    }

    /// A block, verified.
    pub(crate) fn load(&self, id: u64) -> Result<BlockSlice, StoreFault> {
        let last = self.last.borrow().as_ref().and_then(|loaded| packs::locate(loaded, id));
        if let Some(slice) = last {
            return Ok(slice);
        }
        if let Some(loaded) = self.cache.get(BlockLocation::Block(id)) {
            return Ok(whole(loaded));
        }
        let message = || format!("result block {id} is not in the store; run again to compute its results");
        let missing = || StoreFault::from(StoreProblem::Missing(message()));
        // A recording may refer to a number that no block has.
        let number = i64::try_from(id).map_err(|_| missing())?;
        if let Some(loaded) = self.block(number)? {
            let loaded = Arc::new(loaded);
            if id <= self.ceiling() {
                self.cache.put(BlockLocation::Block(id), &loaded);
            }
            return Ok(whole(loaded));
        }
        if let Some(slice) = self.in_pack(number)? {
            *self.last.borrow_mut() = Some(Arc::clone(&slice.loaded));
            return Ok(slice);
        }
        Err(missing())
    }

    fn block(&self, id: i64) -> Result<Option<LoadedBlock>, StoreFault> {
        let by_id = Query::of(&RESULT_BLOCKS, &["prefixes", "data", "checksum"]).equal("id", id);
        self.rows.one(&by_id, |row| {
            let (prefixes, data) = (row.bytes(0)?.to_vec(), row.bytes(1)?.to_vec());
            let rows = ResultBlock::read(&[], prefixes, data, row.bytes(2)?)
                .map_err(|found| StoreFault::damaged(format!("result block {id}"), found))?;
            Ok(LoadedBlock { rows, entries: Vec::new() })
        })
    }

    fn in_pack(&self, number: i64) -> Result<Option<BlockSlice>, StoreFault> {
        let id = number.unsigned_abs();
        let pack = Pack::around(self.rows, self.function, number)?;
        let Some(pack) = pack else { return Ok(None) };
        if let Some(loaded) = self.cache.get(BlockLocation::Pack(pack.0)) {
            return Ok(packs::locate(&loaded, id));
        }
        let loaded = Arc::new(pack.read(self.rows)?);
        self.cache.put(BlockLocation::Pack(pack.0), &loaded);
        Ok(packs::locate(&loaded, id))
    }
}

fn whole(loaded: Arc<LoadedBlock>) -> BlockSlice {
    let rows = loaded.rows.rows();
    BlockSlice { loaded, offset: 0, rows }
}

/// Number of the newest block there ever was; later ones have larger numbers.
pub(crate) fn newest_block(rows: &dyn Rows) -> Result<u64, StoreFault> {
    rows.last_number(&RESULT_BLOCKS).map(i64::unsigned_abs)
}
