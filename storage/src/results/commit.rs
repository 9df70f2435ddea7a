//! Committing results inside a transaction of the writer.

use std::hash::BuildHasherDefault;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::open_table::OpenTable;
use anabranch_engine::store::{
    CommitError, CommitMode, NewResults, Outcomes, ResultId, StoreFault, StoredFunction,
};
use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;

use super::blocks::{BlockReader, ResultCache};
use super::functions::{self, Known};
use super::gather::gather;
use super::index::KeyIndex;
use super::page::hash_of;
use super::pending::{Batch, KeyMap, Pending};
use super::result_ref::ResultRef;
use super::sole_writer::{SoleWriter, newest_of};
use super::write::write;
use crate::catalog::Transaction;
use crate::error::arrow;

/// Checks the shapes of what is to be committed, before a transaction begins.
pub(crate) fn check(function: &StoredFunction, results: &NewResults) -> Result<(), CommitError> {
    let rows = results.keys.len();
    let wrong = |part: &str, found: String, expected: String| {
        let (function, part) = (function.name.clone(), part.to_owned());
        Err(CommitError::Shape { function, part, found, expected })
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

/// State that commits share with look-ups, and that lasts from transaction to transaction.
#[derive(Debug)]
pub(crate) struct CommitContext<'a> {
    pub(crate) cache: &'a ResultCache,
    pub(crate) index: &'a KeyIndex,
    pub(crate) sole_writer: &'a mut SoleWriter,
}

/// Writes outcomes; where the first version stays current, keys that have one are left out.
pub(crate) fn commit(
    transaction: &dyn Transaction,
    context: CommitContext<'_>,
    pending: &mut Pending,
    function: &StoredFunction,
    results: NewResults,
) -> Result<Outcomes, StoreFault> {
    let CommitContext { cache, index, sole_writer } = context;
    let Known { id, several_versions } = functions::ensure(transaction, function)?;
    let reader = BlockReader::within(transaction, cache, id, pending.ceiling);
    let newest = newest_of(transaction, id)?;
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
            functions::note_several_versions(transaction, &Known { id, several_versions })?;
        }
    }
    let (new, repeats) = tell_apart(&results.keys, &known);
    let written = write(transaction, id, function, &results, &new)?;
    if let Some(last) = written.references.last() {
        sole_writer.note(id, results.missed.as_ref(), newest, last.block);
    }
    let outcomes = if new.len() == results.keys.len() {
        let (emitted, values) = (results.emitted.clone(), results.values.clone());
        Outcomes { references: ResultRef::ids(written.references.clone()), emitted, values }
    } else {
        known.resize(results.keys.len(), None);
        let place = |(at, known): (usize, &Option<ResultRef>)| known.map_or(Place::Given(at), Place::Stored);
        let mut places: Vec<Place> = known.iter().enumerate().map(place).collect();
        let mut references = known;
        for (row, reference) in new.iter().zip(&written.references) {
            *references.at_mut(*row, ROWS) = Some(*reference);
        }
        for (repeat, first) in repeats {
            let reference = *references.at(first, ROWS);
            *references.at_mut(repeat, ROWS) = reference;
            *places.at_mut(repeat, ROWS) = Place::Given(first);
        }
        answer(&reader, function, &results, &references, &places)?
    };
    pending.add(Batch { function: id, keys: results.keys, rows: new, written });
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
    new.retain(|row| {
        let place = *first.entry(*keys.at(*row, ROWS)).or_insert(*row);
        if place != *row {
            repeats.push((*row, place));
        }
        place == *row
    });
    (new, repeats)
}

/// Returns true if no two keys have the first bytes in common; a quick check, since they nearly always differ.
fn all_differ(keys: &[PacketHash]) -> bool {
    let mut table = OpenTable::<u64, 8>::with_room(keys.len());
    keys.iter().map(hash_of).all(|hash| {
        // Zero marks a free place; a hash that is zero is taken for one that came before.
        hash != 0 && table.insert(hash, |other| *other == hash, || hash).is_some()
    })
}

/// Invariant of the rows of a commit.
const ROWS: &str = "rows are those of the keys of a commit";

/// Location of an outcome: among those given, or in the store.
#[derive(Debug, Clone, Copy)]
enum Place {
    Given(usize),
    Stored(ResultRef),
}

fn answer(
    reader: &BlockReader<'_>,
    function: &StoredFunction,
    results: &NewResults,
    references: &[Option<ResultRef>],
    places: &[Place],
) -> Result<Outcomes, StoreFault> {
    let references = references.iter().flatten().map(|version| ResultId::from(*version)).collect();
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
    let flag = |(from, row): &(usize, usize)| {
        let flags = if *from == 0 { &results.emitted } else { &kept.emitted };
        *flags.at(*row, "there is a flag for each outcome")
    };
    let emitted = rows.iter().map(flag).collect();
    let pick = |(given, kept): (&ArrayRef, &ArrayRef)| interleave(&[given.as_ref(), kept.as_ref()], &rows);
    let values = results.values.iter().zip(&kept.values).map(pick).collect::<Result<_, _>>();
    Ok(Outcomes { references, emitted, values: values.map_err(arrow)? })
}
