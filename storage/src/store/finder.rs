//! The thread that looks results up.

use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{Found, StoredFunction};
use anabranch_engine::task_thread::Tasks;
use rusqlite::Connection;

use super::jobs::Answer;
use crate::error::guarded;
use crate::results;
use crate::results::blocks::ResultCache;
use crate::results::index::KeyIndex;

pub(super) const LOOK_UP: &str = "look up results";

/// A job of the look-up thread, with the channel for its answer.
#[derive(Debug)]
pub(super) enum FindJob {
    Find(Arc<StoredFunction>, Vec<PacketHash>, Answer<Found>),
    NewestBlock(Answer<u64>),
}

/// State of the look-up thread.
pub(super) struct Finder {
    pub(super) connection: Connection,
    pub(super) cache: Arc<ResultCache>,
    pub(super) index: Arc<KeyIndex>,
}

impl Finder {
    pub(super) fn run(&self, queue: &Tasks<FindJob>) {
        while let Some(job) = queue.wait() {
            // The caller may have dropped its future, which changes nothing.
            match job {
                FindJob::Find(function, keys, answer) => {
                    let find = || results::find(&self.connection, &self.cache, &self.index, &function, &keys);
                    drop(answer.send(guarded(LOOK_UP, find)));
                }
                FindJob::NewestBlock(answer) => {
                    drop(answer.send(results::blocks::newest_block(&self.connection)));
                }
            }
        }
    }
}
