//! Verifying a store: everything in it is read and compared with what guards it.
//!
//! Each item is read in a snapshot of its own, so that writers and collections of garbage go
//! on meanwhile; an item that was removed since it was listed is no fault.

mod recordings;
mod results;
mod unhashed;

use std::collections::{BTreeMap, BTreeSet};

use anabranch_engine::store::{ReadError, StoreFault, StoreProblem};

use crate::catalog::Reader;
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::table::Table;
use crate::catalog::tables::{
    FUNCTIONS, KEY_RUNS, RECORDINGS, RESULT_BLOCKS, RESULT_PACKS, SET_ASIDE_BLOCKS,
};
use crate::results::blocks::BlockLocation;
use crate::results::functions;
use crate::results::key_runs;
use crate::results::withdrawn;
use crate::store::Store;

pub use unhashed::read_unhashed;

use recordings::{name, read_recording};
use results::{ReadResults, read_result_block, read_result_pack};

/// Faults that are reported one by one; of the others only the number is.
const MOST_FAULTS: usize = 1_000;
/// Users of a damaged block that are named.
const MOST_USERS: usize = 20;
/// Numbers that are read at once.
const PAGE: u64 = 4_096;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The damaged item: `result block 7`, `recording 3 of node "speed" in run ..`.
    pub place: String,
    /// The damage that was found.
    pub found: String,
    /// Its contents, as far as they are known.
    pub held: String,
    /// Recordings that cannot be read because of it; at most 20 are named.
    pub users: Vec<String>,
}

/// Amounts that were read, and faults.
#[derive(Debug, Clone, Default)]
pub struct ScrubReport {
    /// Blocks of results that were read.
    pub result_blocks: u64,
    /// Versions of results in them.
    pub versions: u64,
    /// Blocks of recordings that were read.
    pub record_blocks: u64,
    /// Complete recordings that were checked.
    pub recordings: u64,
    /// Functions whose components were checked.
    pub functions: u64,
    /// Bytes of all blocks that were read.
    pub bytes: u64,
    /// The faults, at most 1,000 of them.
    pub faults: Vec<Fault>,
    /// Faults beyond these.
    pub more_faults: u64,
}

impl ScrubReport {
    /// Returns true if there is no fault.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, place: impl Into<String>, found: impl Into<String>, held: impl Into<String>) {
        self.add(Fault { place: place.into(), found: found.into(), held: held.into(), users: Vec::new() });
    }

    fn add(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}

impl Store {
    /// Reads everything and compares it with checksums, counts and references. Blocks until it is
    /// done.
    ///
    /// Memory: two blocks, and 1,000 faults.
    ///
    /// Errors: only if the store cannot be read at all; damage is in the report.
    pub fn verify(&self) -> Result<ScrubReport, ReadError> {
        let reader = self.reader()?;
        let mut scrub = Scrub { reader: &*reader, report: ScrubReport::default(), damaged: BTreeMap::new() };
        scrub.medium();
        scrub.functions();
        scrub.results(&RESULT_BLOCKS, BlockLocation::Block, read_result_block);
        scrub.results(&RESULT_PACKS, BlockLocation::Pack, read_result_pack);
        scrub.key_runs();
        scrub.withdrawn();
        scrub.record_blocks();
        scrub.recordings();
        scrub.set_aside();
        Ok(scrub.finish())
    }
}

struct Scrub<'a> {
    reader: &'a dyn Reader,
    report: ScrubReport,
    /// Faults of result blocks, whose users are found later.
    damaged: BTreeMap<BlockLocation, (Fault, BTreeSet<i64>)>,
}

impl Scrub<'_> {
    fn finish(mut self) -> ScrubReport {
        for (mut fault, users) in std::mem::take(&mut self.damaged).into_values() {
            fault.users = self.names(&users);
            self.report.add(fault);
        }
        self.report
    }

    /// Checks what holds the tables.
    fn medium(&mut self) {
        for found in self.reader.check() {
            self.report.fault("the database", found, "unknown");
        }
    }

    fn functions(&mut self) {
        self.all(&FUNCTIONS, |scrub, id| {
            let name = Query::of(&FUNCTIONS, &["name"]).equal("id", id);
            let Some(name) = scrub.reader.one(&name, |row| row.string(0))? else { return Ok(()) };
            scrub.report.functions += 1;
            if let Err(fault) = functions::fingerprint(scrub.reader, id) {
                scrub.report.fault(
                    format!("function {id}"),
                    damage(fault),
                    format!("the fingerprint of function \"{name}\""),
                );
            }
            Ok(())
        });
    }

    fn results(&mut self, table: &'static Table, location: fn(u64) -> BlockLocation, read: ReadResults) {
        self.all(table, |scrub, id| {
            let Some(found) = read(scrub.reader, id)? else { return Ok(()) };
            scrub.report.result_blocks += 1;
            scrub.report.bytes += found.bytes;
            scrub.report.versions += found.rows;
            if let Some(fault) = found.fault {
                let held = format!("{} results of {}", found.rows, found.function);
                let location = location(id.unsigned_abs());
                let fault = Fault { place: location.to_string(), found: fault, held, users: Vec::new() };
                if scrub.damaged.len() < MOST_FAULTS {
                    scrub.damaged.insert(location, (fault, BTreeSet::new()));
                } else {
                    scrub.report.add(fault);
                }
            }
            Ok(())
        });
    }

    /// Checks that each page of keys is whole, and that a run has as many keys as its row says.
    fn key_runs(&mut self) {
        self.all(&KEY_RUNS, |scrub, id| {
            let Some((run, function)) = key_runs::of_id(scrub.reader, id)? else { return Ok(()) };
            if let Err(found) = key_runs::check(scrub.reader, &run) {
                let held =
                    format!("keys of results of function {function}; without them they are computed again");
                scrub.report.fault(format!("key run {id}"), found, held);
            }
            Ok(())
        });
    }

    /// Checks that withdrawn rows are rows of blocks.
    fn withdrawn(&mut self) {
        match withdrawn::faults(self.reader, MOST_FAULTS) {
            Ok(faults) => {
                for (place, found) in faults {
                    self.report.fault(place, found, "results that are not to be found");
                }
            }
            Err(fault) => self.report.fault("table \"withdrawn_results\"", damage(fault), "unknown"),
        }
    }

    fn recordings(&mut self) {
        self.all(&RECORDINGS, |scrub, id| {
            let Some(found) = read_recording(scrub.reader, id)? else { return Ok(()) };
            scrub.report.recordings += 1;
            if let Some(fault) = found.fault {
                let place = format!("recording {id}");
                let users = vec![found.name];
                let held = format!("{} rows", found.rows);
                scrub.report.add(Fault { place, found: fault, held, users });
            }
            Ok(())
        });
    }

    fn set_aside(&mut self) {
        self.all(&SET_ASIDE_BLOCKS, |scrub, id| {
            let by_id = Query::of(&SET_ASIDE_BLOCKS, &["data", "checksum", "packets", "node", "run"]);
            let found = scrub.reader.one(&by_id.equal("id", id), |row| {
                let data = row.bytes(0)?;
                let is_whole = blake3::hash(data).as_bytes() == row.bytes(1)?;
                let (packets, node, run) = (row.number(2)?, row.string(3)?, row.string(4)?);
                let held = format!("{packets} packets that node \"{node}\" set aside in run {run}");
                Ok((data.len() as u64, is_whole, held))
            })?;
            let Some((bytes, is_whole, held)) = found else { return Ok(()) };
            scrub.report.bytes += bytes;
            if !is_whole {
                let place = format!("block {id} of packets set aside");
                scrub.report.fault(place, "its checksum does not match", held);
            }
            Ok(())
        });
    }

    /// Does something to all rows of a table, each in a snapshot of its own.
    fn all(&mut self, table: &'static Table, mut work: impl FnMut(&mut Self, i64) -> Result<(), StoreFault>) {
        let reader = self.reader;
        let place = format!("table \"{}\"", table.name);
        let mut last = i64::MIN;
        loop {
            let page = Query::of(table, &["id"]).after("id", last).ascending("id").first(PAGE);
            let ids = match reader.all(&page, |row| row.number(0)) {
                Ok(ids) => ids,
                Err(fault) => {
                    return self.report.fault(place, damage(fault), format!("numbers after {last}"));
                }
            };
            let Some(newest) = ids.last() else { return };
            last = *newest;
            for id in ids {
                if let Err(fault) = Snapshot::take(reader).and_then(|_snapshot| work(self, id)) {
                    self.report.fault(place.as_str(), damage(fault), format!("number {id}"));
                }
            }
        }
    }

    /// Recordings, for messages.
    fn names(&self, ids: &BTreeSet<i64>) -> Vec<String> {
        let name = |id: &i64| match name(self.reader, *id) {
            Ok(Some(name)) => name,
            _ => format!("recording {id}"),
        };
        let mut names: Vec<String> = ids.iter().take(MOST_USERS).map(name).collect();
        if ids.len() > MOST_USERS {
            names.push(format!("{} more", ids.len() - MOST_USERS));
        }
        names
    }
}

/// The damage of a fault, for a report that has its place already.
fn damage(fault: StoreFault) -> String {
    match (fault.problem, fault.source) {
        (StoreProblem::Damaged { found, .. }, _) => found,
        (_, Some(cause)) => cause.to_string(),
        (problem, None) => problem.to_string(),
    }
}
