//! Committing results inside a transaction of the writer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{
    CommitMode, NewResults, Outcomes, ResultRef, StoreError, StoreErrorKind, StoredFunction,
};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{interleave, take};
use rusqlite::blob::ZeroBlob;
use rusqlite::{Connection, MAIN_DB};

use super::blocks::{BlockReader, ResultCache, gather, newest_block};
use super::functions::{self, Known};
use super::index::KeyIndex;
use super::packs::SMALL_ROWS;
use super::page::hash_of;
use super::sole_writer::{SoleWriter, newest_of};
use crate::block::exact::value_bytes;
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::error::{arrow, failure, sql};
use crate::results::result_block::EncodedResults;

/// Bytes of a block above which it is written in place.
const LARGE_BLOCK_BYTES: usize = 16 << 20;

const OPERATION: &str = "commit results";

/// What one transaction has committed so far, which look-ups outside do not see yet.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The last result block before this transaction.
    ceiling: u64,
    /// What was written and nobody has looked for yet; most transactions end without.
    batches: Vec<Batch>,
    current: KeyMap<(i64, PacketHash), ResultRef>,
    /// What the functions have got.
    pub(crate) added: HashMap<i64, Added>,
}

/// What a commit wrote of a function: rows of its keys, and a reference for each.
#[derive(Debug)]
struct Batch {
    function: i64,
    keys: Vec<PacketHash>,
    rows: Vec<usize>,
    references: Vec<ResultRef>,
}

/// What a function has got.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) keys: usize,
    pub(crate) small_blocks: usize,
}

impl Pending {
    /// Begins with what is committed; the transaction keeps every other writer out.
    pub(crate) fn new(connection: &Connection) -> Result<Self, StoreError> {
        Ok(Self {
            ceiling: newest_block(connection)?,
            batches: Vec::new(),
            current: KeyMap::default(),
            added: HashMap::new(),
        })
    }

    /// What this transaction has written is later than what was there before.
    fn look_up(&mut self, function: i64, keys: &[PacketHash], known: &mut [Option<ResultRef>]) {
        for Batch { function, keys, rows, references } in self.batches.drain(..) {
            let keys = rows.iter().filter_map(|row| keys.get(*row));
            self.current.extend(keys.zip(references).map(|(key, found)| ((function, *key), found)));
        }
        if self.current.is_empty() {
            return;
        }
        for (known, key) in known.iter_mut().zip(keys) {
            *known = self.current.get(&(function, *key)).copied().or(*known);
        }
    }

    fn add(&mut self, batch: Batch) {
        let added = self.added.entry(batch.function).or_default();
        added.keys += batch.rows.len();
        let blocks = batch.references.chunk_by(|a, b| a.block == b.block);
        added.small_blocks += blocks.filter(|rows| rows.len() <= SMALL_ROWS).count();
        self.batches.push(batch);
    }
}

/// A map of keys, which are hashes already.
type KeyMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Takes the last eight bytes of what it is given, which are as good as any others of a hash.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let last = bytes.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.0 = self.0.rotate_left(1) ^ last;
    }

    // Numbers of functions and lengths tell nothing that the hash does not.
    fn write_i64(&mut self, _: i64) {}

    fn write_usize(&mut self, _: usize) {}
}

/// Checks the shapes of what is to be committed, before a transaction begins.
pub(crate) fn check(function: &StoredFunction, results: &NewResults) -> Result<(), StoreError> {
    let rows = results.keys.len();
    let wrong = |what: &str, found: String, expected: String| {
        let message = format!("function \"{}\": {what}: found {found}, expected {expected}", function.name);
        Err(failure(StoreErrorKind::System, OPERATION, message))
    };
    if results.emitted.len() != rows {
        return wrong("outcomes", results.emitted.len().to_string(), rows.to_string());
    }
    if results.values.len() != function.outputs.len() {
        return wrong("outputs", results.values.len().to_string(), function.outputs.len().to_string());
    }
    for (field, values) in function.outputs.iter().zip(&results.values) {
        if values.len() != rows {
            return wrong(field.name(), format!("{} rows", values.len()), rows.to_string());
        }
        if values.data_type() != field.data_type() {
            return wrong(field.name(), values.data_type().to_string(), field.data_type().to_string());
        }
    }
    Ok(())
}

/// What commits share with look-ups, and from transaction to transaction.
#[derive(Debug)]
pub(crate) struct CommitContext<'a> {
    pub(crate) cache: &'a ResultCache,
    pub(crate) index: &'a KeyIndex,
    pub(crate) sole_writer: &'a mut SoleWriter,
}

/// Writes outcomes; where the first version stays current, keys that have one are left out.
pub(crate) fn commit(
    connection: &Connection,
    context: CommitContext<'_>,
    pending: &mut Pending,
    function: &StoredFunction,
    results: NewResults,
) -> Result<Outcomes, StoreError> {
    let CommitContext { cache, index, sole_writer } = context;
    let Known { id, several_versions } = functions::ensure(connection, function)?;
    let reader = BlockReader::within(connection, cache, id, pending.ceiling);
    let newest = newest_of(connection, id)?;
    // Empty where no key is known.
    let mut known = Vec::new();
    match results.mode {
        CommitMode::First => {
            let missed = results.missed.as_ref();
            if !missed.is_some_and(|missed| sole_writer.still_missing(id, missed, newest)) {
                let found = index.find(&reader, several_versions, &results.keys)?;
                known = found.into_iter().map(|found| found.map(|current| current.version)).collect();
                pending.look_up(id, &results.keys, &mut known);
            }
        }
        CommitMode::Refresh => {
            functions::note_several_versions(connection, &Known { id, several_versions })?;
        }
    }
    let (new, repeats) = tell_apart(&results.keys, &known);
    let written = write(connection, id, function, &results, &new)?;
    if let Some(last) = written.last() {
        sole_writer.note(id, results.missed.as_ref(), newest, last.block);
    }
    let outcomes = if new.len() == results.keys.len() {
        let (emitted, values) = (results.emitted.clone(), results.values.clone());
        Outcomes { references: written.clone(), emitted, values }
    } else {
        known.resize(results.keys.len(), None);
        let place = |(at, known): (usize, &Option<ResultRef>)| known.map_or(Place::Given(at), Place::Stored);
        let mut places: Vec<Place> = known.iter().enumerate().map(place).collect();
        let mut references = known;
        for (at, reference) in new.iter().zip(&written) {
            set(&mut references, *at, Some(*reference));
        }
        for (at, first) in repeats {
            let reference = references.get(first).copied().flatten();
            set(&mut references, at, reference);
            set(&mut places, at, Place::Given(first));
        }
        answer(&reader, function, &results, &references, &places)?
    };
    pending.add(Batch { function: id, keys: results.keys, rows: new, references: written });
    Ok(outcomes)
}

/// The rows to write, and the rows whose key stands among them already, each with the first row
/// of that key.
fn tell_apart(keys: &[PacketHash], known: &[Option<ResultRef>]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let mut new = Vec::with_capacity(keys.len());
    new.extend((0..keys.len()).filter(|at| known.get(*at).is_none_or(Option::is_none)));
    if all_differ(keys) {
        return (new, Vec::new());
    }
    let mut first: KeyMap<PacketHash, usize> =
        KeyMap::with_capacity_and_hasher(keys.len(), BuildHasherDefault::new());
    let mut repeats = Vec::new();
    new.retain(|at| {
        let Some(key) = keys.get(*at) else { return false };
        let place = *first.entry(*key).or_insert(*at);
        if place != *at {
            repeats.push((*at, place));
        }
        place == *at
    });
    (new, repeats)
}

/// Whether no two keys have the first bytes in common; a quick look, since they nearly always differ.
fn all_differ(keys: &[PacketHash]) -> bool {
    let mut table = vec![0; (keys.len() * 2).next_power_of_two()];
    let mask = table.len() - 1;
    for key in keys {
        // Zero marks a free place; a hash that is zero is taken for one that came before.
        let hash = hash_of(key);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let mut at = hash as usize & mask;
        loop {
            match table.get_mut(at) {
                Some(free) if *free == 0 && hash != 0 => {
                    *free = hash;
                    break;
                }
                Some(other) if *other != hash => at = (at + 1) & mask,
                _ => return false,
            }
        }
    }
    true
}

/// Where an outcome is: among those given, or in the store.
#[derive(Debug, Clone, Copy)]
enum Place {
    Given(usize),
    Stored(ResultRef),
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

fn answer(
    reader: &BlockReader<'_>,
    function: &StoredFunction,
    results: &NewResults,
    references: &[Option<ResultRef>],
    places: &[Place],
) -> Result<Outcomes, StoreError> {
    let references: Vec<ResultRef> = references.iter().flatten().copied().collect();
    let kept: Vec<ResultRef> =
        places.iter().filter_map(|p| if let Place::Stored(r) = p { Some(*r) } else { None }).collect();
    let kept = gather(reader, &function.outputs, &kept)?;
    let mut next_kept = 0;
    let mut rows = Vec::with_capacity(places.len());
    for place in places {
        rows.push(match place {
            Place::Given(at) => (0, *at),
            Place::Stored(_) => {
                next_kept += 1;
                (1, next_kept - 1)
            }
        });
    }
    let flag = |(from, at): &(usize, usize)| {
        let flags = if *from == 0 { &results.emitted } else { &kept.emitted };
        flags.get(*at).copied().unwrap_or(false)
    };
    let emitted = rows.iter().map(flag).collect();
    let pick = |(given, kept): (&ArrayRef, &ArrayRef)| interleave(&[given.as_ref(), kept.as_ref()], &rows);
    let values = results.values.iter().zip(&kept.values).map(pick).collect::<Result<_, _>>();
    Ok(Outcomes { references, emitted, values: values.map_err(|e| arrow(OPERATION, e))? })
}

/// Writes the named rows as blocks and returns a reference for each.
fn write(
    connection: &Connection,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
) -> Result<Vec<ResultRef>, StoreError> {
    let mut references = Vec::with_capacity(rows.len());
    for part in rows.chunks(BLOCK_ROWS) {
        write_part(connection, id, function, results, part, &mut references)?;
    }
    Ok(references)
}

/// Writes one block, or two halves where it would be too large.
fn write_part(
    connection: &Connection,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
    references: &mut Vec<ResultRef>,
) -> Result<(), StoreError> {
    let picked = Picked::new(rows, results.keys.len());
    let values = picked.arrays(&results.values)?;
    let bytes: usize = values.iter().map(|v| value_bytes(v, 0, v.len())).sum();
    if bytes > BLOCK_BYTES && rows.len() > 1 {
        let (first, second) = rows.split_at(rows.len() / 2);
        write_part(connection, id, function, results, first, references)?;
        return write_part(connection, id, function, results, second, references);
    }
    let (keys, emitted) = (picked.of(&results.keys), picked.of(&results.emitted));
    let values = blank_dropped(values, &emitted)?;
    let encoded =
        EncodedResults::new(&keys, &emitted, &function.outputs, &values).map_err(|e| arrow(OPERATION, e))?;
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let block = insert_block(connection, id, count, &encoded)?;
    references.extend((0..).take(rows.len()).map(|row| ResultRef { block, row }));
    Ok(())
}

/// Inserts a block and returns its number.
///
/// A value is copied twice on its way into the pages of `SQLite`. A large one is written in place instead.
fn insert_block(
    connection: &Connection,
    function: i64,
    rows: i64,
    encoded: &EncodedResults,
) -> Result<u64, StoreError> {
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO result_blocks (function, rows, checksum, prefixes, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .map_err(|e| sql(OPERATION, e))?;
    let (checksum, prefixes, data) = (encoded.checksum(&[]), &encoded.prefixes, &encoded.data);
    let in_place = data.len() > LARGE_BLOCK_BYTES;
    let inserted = if in_place {
        insert.execute((function, rows, checksum, prefixes, ZeroBlob(data.len() as u64)))
    } else {
        insert.execute((function, rows, checksum, prefixes, data))
    };
    inserted.map_err(|e| sql(OPERATION, e))?;
    let block = connection.last_insert_rowid();
    if in_place {
        let opened = connection.blob_open(MAIN_DB, "result_blocks", "data", block, false);
        let written = opened.and_then(|mut blob| blob.write_at(data, 0).and_then(|()| blob.close()));
        written.map_err(|e| sql(OPERATION, e))?;
    }
    Ok(block.unsigned_abs())
}

/// Rows by their places.
enum Picked<'a> {
    /// They follow each other, and are taken as they stand.
    Span(Range<usize>),
    Places(&'a [usize]),
}

impl<'a> Picked<'a> {
    fn new(rows: &'a [usize], all: usize) -> Self {
        let first = rows.first().copied().unwrap_or(0);
        let span = first..(first + rows.len()).min(all);
        if rows.iter().copied().eq(span.clone()) { Self::Span(span) } else { Self::Places(rows) }
    }

    fn of<'b, T: Copy>(&self, all: &'b [T]) -> Cow<'b, [T]> {
        match self {
            Self::Span(span) => Cow::Borrowed(all.get(span.clone()).unwrap_or_default()),
            Self::Places(rows) => {
                let mut picked = Vec::with_capacity(rows.len());
                picked.extend(rows.iter().filter_map(|at| all.get(*at)));
                Cow::Owned(picked)
            }
        }
    }

    fn arrays(&self, all: &[ArrayRef]) -> Result<Vec<ArrayRef>, StoreError> {
        match self {
            Self::Span(span) => Ok(all.iter().map(|v| v.slice(span.start, span.len())).collect()),
            Self::Places(rows) => {
                let rows: UInt32Array =
                    rows.iter().map(|at| u32::try_from(*at).unwrap_or(u32::MAX)).collect();
                let picked = all.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
                picked.map_err(|e| arrow(OPERATION, e))
            }
        }
    }
}

/// A dropped outcome has no values, whatever was given.
fn blank_dropped(values: Vec<ArrayRef>, emitted: &[bool]) -> Result<Vec<ArrayRef>, StoreError> {
    if emitted.iter().all(|emitted| *emitted) {
        return Ok(values);
    }
    let rows = (0..).zip(emitted).map(|(row, emitted)| emitted.then_some(row));
    let rows: UInt32Array = rows.collect();
    let blanked = values.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
    blanked.map_err(|e| arrow(OPERATION, e))
}
