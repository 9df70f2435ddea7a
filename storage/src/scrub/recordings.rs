//! Verification of recordings: their rows, their blocks and the references between them.

use std::collections::BTreeMap;
use std::ops::ControlFlow::Continue;

use anabranch_engine::store::StoreFault;

use super::results::location;
use super::{Fault, Scrub};
use crate::catalog::Rows;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{BLOCKS, RECORDING_BLOCKS, RECORDINGS};
use crate::catalog::value::Row;
use crate::record_blocks::RecordBlock;
use crate::recordings::{schema, seal};

impl Scrub<'_> {
    pub(super) fn record_blocks(&mut self) {
        self.all(&BLOCKS, |scrub, id| {
            let by_id = Query::of(&BLOCKS, &["hash", "bytes", "data"]).equal("id", id);
            let found = scrub
                .reader
                .one(&by_id, |row| Ok((row.bytes(0)?.to_vec(), row.number(1)?, row.bytes(2)?.to_vec())))?;
            let Some((hash, bytes, data)) = found else { return Ok(()) };
            scrub.report.record_blocks += 1;
            scrub.report.bytes += data.len() as u64;
            let users = users(scrub.reader, id)?;
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
    ) -> Result<Option<String>, StoreFault> {
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
            let Some((location, owner, rows)) = location(self.reader, function, block)? else {
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

/// Columns of a recording's name.
const NAME: [&str; 3] = ["pipeline", "node", "run"];

/// The recording's node, pipeline and run, for messages; none if it is not in the store.
pub(super) fn name(rows: &dyn Rows, recording: i64) -> Result<Option<String>, StoreFault> {
    rows.one(&Query::of(&RECORDINGS, &NAME).equal("id", recording), read_name)
}

/// Reads the columns of [`NAME`], with which a row begins.
fn read_name(row: &Row<'_>) -> Result<String, StoreFault> {
    let (pipeline, node, run) = (row.string(0)?, row.string(1)?, row.string(2)?);
    Ok(format!("node \"{node}\" of pipeline \"{pipeline}\" in run {run}"))
}

/// A recording that has a block.
struct User {
    recording: i64,
    rows: u64,
    function: Option<i64>,
}

fn users(rows: &dyn Rows, block: i64) -> Result<Vec<User>, StoreFault> {
    let mut users = Vec::new();
    let places = Query::of(&RECORDING_BLOCKS, &["recording", "rows"]).equal("block", block);
    rows.each(&places.ascending("recording"), |row| {
        let recording = row.number(0)?;
        let function = Query::of(&RECORDINGS, &["function"]).equal("id", recording);
        let function = rows.one(&function, |row| row.optional(0, Row::number))?;
        if let Some(function) = function {
            users.push(User { recording, rows: row.unsigned(1)?, function });
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(users)
}

/// A complete recording, and what is wrong with it.
pub(super) struct FoundRecording {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) fault: Option<String>,
}

pub(super) fn read_recording(rows: &dyn Rows, id: i64) -> Result<Option<FoundRecording>, StoreFault> {
    let [pipeline, node, run] = NAME;
    let columns = [pipeline, node, run, "complete", "rows", "schema"];
    let found = rows.one(&Query::of(&RECORDINGS, &columns).equal("id", id), |row| {
        Ok((read_name(row)?, row.flag(3)?, row.unsigned(4)?, schema::decode(row.bytes(5)?)))
    })?;
    let Some((name, true, count, schema)) = found else { return Ok(None) };
    let fault = if seal::holds(rows, id)? == Some(false) {
        Some("its checksum does not match".to_owned())
    } else if let Err(found) = schema {
        Some(found)
    } else {
        missing(rows, id, count)?
    };
    Ok(Some(FoundRecording { name, rows: count, fault }))
}

/// Checks that a recording's blocks follow on each other and have all its rows.
fn missing(rows: &dyn Rows, id: i64, expected: u64) -> Result<Option<String>, StoreFault> {
    let (mut blocks, mut last, mut held, mut gone) = (0, -1, 0_u64, 0);
    let places = Query::of(&RECORDING_BLOCKS, &["position", "block", "rows"]).equal("recording", id);
    rows.each(&places, |row| {
        blocks += 1;
        last = row.number(0)?.max(last);
        held = row.unsigned(2)?.saturating_add(held);
        gone += i64::from(!rows.exists(&Query::of(&BLOCKS, &[]).equal("id", row.number(1)?))?);
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(if gone > 0 {
        Some(format!("{gone} of its {blocks} blocks are not in the store"))
    } else if last.saturating_add(1) != blocks {
        Some(format!("it has {blocks} blocks, expected {}", last.saturating_add(1)))
    } else if held != expected {
        Some(format!("its blocks have {held} rows, expected {expected}"))
    } else {
        None
    })
}
