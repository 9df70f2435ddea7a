//! The thread that looks results up.

use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{Found, LookUpError, StoredFunction};
use anabranch_engine::task_thread::Tasks;

use super::jobs::Answer;
use crate::catalog::Reader;
use crate::error::guarded;
use crate::results;
use crate::results::blocks::ResultCache;
use crate::results::index::KeyIndex;

/// A job of the look-up thread, with the channel for its answer.
#[derive(Debug)]
pub(super) enum FindJob {
    Find(Arc<StoredFunction>, Vec<PacketHash>, Answer<Found, LookUpError>),
    NewestBlock(Answer<u64, LookUpError>),
}

/// State of the look-up thread.
pub(super) struct Finder {
    pub(super) reader: Box<dyn Reader>,
    pub(super) cache: Arc<ResultCache>,
    pub(super) index: Arc<KeyIndex>,
}

impl Finder {
    pub(super) fn run(&self, queue: &Tasks<FindJob>) {
        while let Some(job) = queue.wait() {
            // The caller may have dropped its future, which changes nothing.
            match job {
                FindJob::Find(function, keys, answer) => {
                    let find =
                        || Ok(results::find(&*self.reader, &self.cache, &self.index, &function, &keys)?);
                    drop(answer.send(guarded(find)));
                }
                FindJob::NewestBlock(answer) => {
                    drop(answer.send(results::blocks::newest_block(&*self.reader).map_err(Into::into)));
                }
            }
        }
    }
}
