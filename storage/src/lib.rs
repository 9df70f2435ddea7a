//! Durable results, recordings and runs: Arrow IPC blocks in an `SQLite` database.
//!
//! ```text
//! ResultStore ----> look-up thread --read--> store.db <--read-- RecordingReader (no runtime)
//! ResultStore ----> writer thread --commit-> store.db
//! RecordingStore -/                          runs/<run>  locked by each run that is alive
//! ```
//!
//! 1. What a future answers with success is on the disk.
//! 2. A recording is seen whole or not at all.
//! 3. A version of a result never changes, and its reference is never used for another.
//! 4. Equal rows give equal blocks, which runs share.
//! 5. Several processes may use a store at once; of two that commit one key, the first wins.
//!
//! `design/formats.md` describes every table and block.

#[cfg(test)]
extern crate self as anabranch_storage;

mod block;
mod catalog;
#[cfg(test)]
mod contract;
mod error;
mod garbage;
mod leases;
mod memory;
mod record_blocks;
mod recordings;
mod results;
mod runs;
mod scrub;
mod sqlite;
mod store;

pub use garbage::{DropReport, DropTarget, Freed, GarbageOptions, GarbageReport, Group, Reason, Skipped};
pub use recordings::catalogue::RecordingInfo;
pub use recordings::histories::{History, HistoryStep};
pub use recordings::links::Link;
pub use recordings::reader::{RecordingReader, TracedRows};
pub use results::functions::FunctionInfo;
pub use results::late::LateImport;
pub use runs::failures::{SetAsideInfo, SetAsideReader};
pub use runs::{RunEnd, RunInfo, RunLease, RunStart, RunState};
#[doc(hidden)]
pub use scrub::read_unhashed;
pub use scrub::{Fault, ScrubReport};
pub use sqlite::busy::{BusyHandler, BusyWait};
pub use store::history::HistoryRecorder;
pub use store::inventory::{FunctionEntry, Inventory, RecordingEntry, StoreSize};
pub use store::{Store, StoreAddress, StoreOptions};
