//! Verifying a store: everything in it is read and compared with what guards it.
//!
//! Each item is read in a transaction of its own, so that writers and collections of garbage go
//! on meanwhile; an item that was removed since it was listed is no fault.

mod recordings;
mod results;
mod unhashed;

use std::collections::{BTreeMap, BTreeSet};

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use crate::results::blocks::BlockLocation;
use crate::results::functions;
use crate::results::key_runs;
use crate::results::withdrawn;
use crate::sqlite::pool::PooledReader;
use crate::sqlite::schema::has_table;
use crate::store::Store;

pub use unhashed::read_unhashed;

use recordings::{name, read_recording};
use results::{ReadResults, read_result_block, read_result_pack};

/// Faults that are reported one by one; of the others only the number is.
const MOST_FAULTS: usize = 1_000;
/// Users of a damaged block that are named.
const MOST_USERS: usize = 20;
/// Numbers that are read at once.
const PAGE: i64 = 4_096;

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
    pub fn verify(&self) -> Result<ScrubReport, StoreError> {
        let connection = self.reader()?;
        let mut scrub = Scrub { connection, report: ScrubReport::default(), damaged: BTreeMap::new() };
        scrub.database();
        scrub.functions();
        scrub.results("result_blocks", read_result_block);
        scrub.results("result_packs", read_result_pack);
        scrub.key_runs();
        scrub.withdrawn();
        scrub.record_blocks();
        scrub.recordings();
        scrub.set_aside();
        Ok(scrub.finish())
    }
}

struct Scrub {
    connection: PooledReader,
    report: ScrubReport,
    /// Faults of result blocks, whose users are found later.
    damaged: BTreeMap<BlockLocation, (Fault, BTreeSet<i64>)>,
}

impl Scrub {
    fn finish(mut self) -> ScrubReport {
        for (mut fault, users) in std::mem::take(&mut self.damaged).into_values() {
            fault.users = self.names(&users);
            self.report.add(fault);
        }
        self.report
    }

    /// Checks pages and indexes by `SQLite` itself, and finds rows that refer to none.
    fn database(&mut self) {
        let found = strings(&self.connection, "PRAGMA integrity_check(100)");
        match found {
            Ok(lines) => {
                for line in lines.into_iter().filter(|line| line != "ok") {
                    self.report.fault("the database", line, "unknown");
                }
            }
            Err(cause) => self.report.fault("the database", cause.to_string(), "unknown"),
        }
        let query = "SELECT \"table\" || ' row ' || coalesce(rowid, '') || ' refers to no ' || parent
             FROM pragma_foreign_key_check LIMIT 100";
        match strings(&self.connection, query) {
            Ok(lines) => {
                for line in lines {
                    self.report.fault("the database", line, "unknown");
                }
            }
            Err(cause) => self.report.fault("the database", cause.to_string(), "unknown"),
        }
    }

    fn functions(&mut self) {
        self.all("functions", |scrub, id| {
            let name: Option<String> = scrub
                .connection
                .query_row("SELECT name FROM functions WHERE id = ?1", [id], |row| row.get(0))
                .optional()?;
            let Some(name) = name else { return Ok(()) };
            scrub.report.functions += 1;
            if let Err(error) = functions::fingerprint(&scrub.connection, id) {
                scrub.report.fault(
                    format!("function {id}"),
                    error.to_string(),
                    format!("the fingerprint of function \"{name}\""),
                );
            }
            Ok(())
        });
    }

    fn results(&mut self, table: &'static str, read: ReadResults) {
        self.all(table, |scrub, id| {
            let Some(found) = read(&scrub.connection, id)? else { return Ok(()) };
            scrub.report.result_blocks += 1;
            scrub.report.bytes += found.bytes;
            scrub.report.versions += found.rows;
            if let Some(fault) = found.fault {
                let held = format!("{} results of {}", found.rows, found.function);
                let number = id.unsigned_abs();
                let location = match table {
                    "result_packs" => BlockLocation::Pack(number),
                    _ => BlockLocation::Block(number),
                };
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
        self.all("key_runs", |scrub, id| {
            let Some((run, function)) = key_runs::of_id(&scrub.connection, id)? else { return Ok(()) };
            if let Err(found) = key_runs::check(&scrub.connection, &run) {
                let held =
                    format!("keys of results of function {function}; without them they are computed again");
                scrub.report.fault(format!("key run {id}"), found, held);
            }
            Ok(())
        });
    }

    /// Checks that withdrawn rows are rows of blocks.
    fn withdrawn(&mut self) {
        match withdrawn::faults(&self.connection, MOST_FAULTS) {
            Ok(faults) => {
                for (place, found) in faults {
                    self.report.fault(place, found, "results that are not to be found");
                }
            }
            Err(cause) => self.report.fault("table \"withdrawn_results\"", cause.to_string(), "unknown"),
        }
    }

    fn recordings(&mut self) {
        self.all("recordings", |scrub, id| {
            let Some(found) = read_recording(&scrub.connection, id)? else { return Ok(()) };
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
        match has_table(&self.connection, "set_aside_blocks") {
            Ok(true) => {}
            // It is made with the first packet that is set aside.
            Ok(false) => return,
            Err(cause) => {
                return self.report.fault("table \"set_aside_blocks\"", cause.to_string(), "unknown");
            }
        }
        self.all("set_aside_blocks", |scrub, id| {
            let found: Option<(Vec<u8>, Vec<u8>, String)> = scrub
                .connection
                .prepare_cached(
                    "SELECT data, checksum, packets || ' packets that node \"' || node || '\" set aside in run ' || run
                     FROM set_aside_blocks WHERE id = ?1",
                )?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((data, checksum, held)) = found else { return Ok(()) };
            scrub.report.bytes += data.len() as u64;
            if *blake3::hash(&data).as_bytes() != *checksum {
                scrub.report.fault(format!("block {id} of packets set aside"), "its checksum does not match", held);
            }
            Ok(())
        });
    }

    /// Does something to all rows of a table, each in a transaction that only reads.
    fn all(&mut self, table: &'static str, mut work: impl FnMut(&mut Self, i64) -> rusqlite::Result<()>) {
        let query = format!("SELECT id FROM {table} WHERE id > ?1 ORDER BY id LIMIT {PAGE}");
        let mut last = i64::MIN;
        loop {
            let ids: rusqlite::Result<Vec<i64>> = self
                .connection
                .prepare_cached(&query)
                .and_then(|mut select| select.query_map([last], |row| row.get(0))?.collect());
            let ids = match ids {
                Ok(ids) => ids,
                Err(cause) => {
                    let held = format!("numbers after {last}");
                    return self.report.fault(format!("table \"{table}\""), cause.to_string(), held);
                }
            };
            let Some(newest) = ids.last() else { return };
            last = *newest;
            for id in ids {
                let worked = self.connection.execute_batch("BEGIN").and_then(|()| work(self, id));
                if let Err(cause) = worked {
                    self.report.fault(
                        format!("table \"{table}\""),
                        cause.to_string(),
                        format!("number {id}"),
                    );
                }
                // A transaction that could not begin has no end.
                let _ = self.connection.execute_batch("COMMIT");
            }
        }
    }

    /// Recordings, for messages.
    fn names(&self, ids: &BTreeSet<i64>) -> Vec<String> {
        let name = |id: &i64| name(&self.connection, *id).unwrap_or_else(|_| format!("recording {id}"));
        let mut names: Vec<String> = ids.iter().take(MOST_USERS).map(name).collect();
        if ids.len() > MOST_USERS {
            names.push(format!("{} more", ids.len() - MOST_USERS));
        }
        names
    }
}

fn strings(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}
