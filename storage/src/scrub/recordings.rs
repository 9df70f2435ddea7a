//! Verification of recordings: their rows, their blocks and the references between them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::results::location;
use super::{Fault, Scrub};
use crate::record_blocks::RecordBlock;
use crate::recordings::{schema, seal};

impl Scrub {
    pub(super) fn record_blocks(&mut self) {
        self.all("blocks", |scrub, id| {
            let Some((hash, bytes, data)) = scrub
                .connection
                .prepare_cached("SELECT hash, bytes, data FROM blocks WHERE id = ?1")?
                .query_row([id], |row| {
                    Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
                })
                .optional()?
            else {
                return Ok(());
            };
            scrub.report.record_blocks += 1;
            scrub.report.bytes += data.len() as u64;
            let users = users(&scrub.connection, id)?;
            let fault = if usize::try_from(bytes) == Ok(data.len()) {
                scrub.record_block(data, &hash, &users)?
            } else {
                Some(format!("it has {} bytes, expected {bytes}", data.len()))
            };
            if let Some(found) = fault {
                let rows = users.iter().map(|user| user.rows).max().unwrap_or(0);
                let ids = users.iter().map(|user| user.recording).collect();
                let users = scrub.names(&ids);
                let held = format!("{rows} rows of recordings");
                scrub.report.add(Fault { place: format!("block {id}"), found, held, users });
            }
            Ok(())
        });
    }

    /// Returns the fault of a block of records, its references included.
    fn record_block(
        &mut self,
        data: Vec<u8>,
        hash: &[u8],
        users: &[User],
    ) -> rusqlite::Result<Option<String>> {
        let block = match RecordBlock::read(data, hash) {
            Ok(block) => block,
            Err(found) => return Ok(Some(found)),
        };
        let rows = block.rows() as u64;
        if let Some(user) = users.iter().find(|user| user.rows != rows) {
            return Ok(Some(format!("it has {rows} rows, expected {}", user.rows)));
        }
        let with_results: Vec<&User> = users.iter().filter(|user| user.function.is_some()).collect();
        let Some(function) = with_results.first().and_then(|user| user.function) else { return Ok(None) };
        let references = match block.references() {
            Ok(references) => references,
            Err(found) => return Ok(Some(found)),
        };
        // The highest row that is referred to in each block.
        let mut highest: BTreeMap<i64, u32> = BTreeMap::new();
        for reference in references {
            let row = highest.entry(reference.block.cast_signed()).or_default();
            *row = (*row).max(reference.row);
        }
        for (block, row) in highest {
            let Some((location, owner, rows)) = location(&self.connection, function, block)? else {
                return Ok(Some(format!("it refers to result block {block}, which is not in the store")));
            };
            if let Some((_, recordings)) = self.damaged.get_mut(&location) {
                recordings.extend(with_results.iter().map(|user| user.recording));
            }
            if owner != function {
                return Ok(Some(format!("it refers to result block {block} of another function")));
            }
            if u64::from(row) >= rows {
                return Ok(Some(format!("it refers to row {row} of result block {block}, which has {rows}")));
            }
        }
        Ok(None)
    }
}

/// The recording's node, pipeline and run, for messages.
pub(super) fn name(connection: &Connection, recording: i64) -> rusqlite::Result<String> {
    connection.prepare_cached("SELECT pipeline, node, run FROM recordings WHERE id = ?1")?.query_row(
        [recording],
        |row| {
            let [pipeline, node, run]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
            Ok(format!("node \"{node}\" of pipeline \"{pipeline}\" in run {run}"))
        },
    )
}

/// A recording that has a block.
struct User {
    recording: i64,
    rows: u64,
    function: Option<i64>,
}

fn users(connection: &Connection, block: i64) -> rusqlite::Result<Vec<User>> {
    connection
        .prepare_cached(
            "SELECT r.id, rb.rows, r.function FROM recording_blocks rb JOIN recordings r ON r.id = rb.recording
             WHERE rb.block = ?1 ORDER BY r.id",
        )?
        .query_map([block], |row| {
            let rows: i64 = row.get(1)?;
            Ok(User { recording: row.get(0)?, rows: rows.unsigned_abs(), function: row.get(2)? })
        })?
        .collect()
}

/// A complete recording, and what is wrong with it.
pub(super) struct FoundRecording {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) fault: Option<String>,
}

pub(super) fn read_recording(connection: &Connection, id: i64) -> rusqlite::Result<Option<FoundRecording>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, Vec<u8>>(2)?))
    };
    let found = connection
        .prepare_cached("SELECT complete, rows, schema FROM recordings WHERE id = ?1")?
        .query_row([id], read)
        .optional()?;
    let Some((true, rows, bytes)) = found else { return Ok(None) };
    let name = name(connection, id)?;
    let holds = seal::holds(connection, id)?;
    let fault = if holds == Some(false) {
        Some("its checksum does not match".to_owned())
    } else if let Err(found) = schema::decode(&bytes) {
        Some(found)
    } else {
        missing(connection, id, rows)?
    };
    Ok(Some(FoundRecording { name, rows, fault }))
}

/// Checks that a recording's blocks follow on each other and have all its rows.
fn missing(connection: &Connection, id: i64, rows: u64) -> rusqlite::Result<Option<String>> {
    let (blocks, last, held, gone): (i64, i64, i64, i64) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(rb.position), -1), coalesce(sum(rb.rows), 0), count(*) - count(b.id)
             FROM recording_blocks rb LEFT JOIN blocks b ON b.id = rb.block WHERE rb.recording = ?1",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(if gone > 0 {
        Some(format!("{gone} of its {blocks} blocks are not in the store"))
    } else if last + 1 != blocks {
        Some(format!("it has {blocks} blocks, expected {}", last + 1))
    } else if held.unsigned_abs() != rows {
        Some(format!("its blocks have {held} rows, expected {rows}"))
    } else {
        None
    })
}
