//! Links from a derived row back to the recorded row.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{ReadError, StoreError};

use super::identity::{RowDigests, record_id};
use crate::store::{Link, RecordingInfo, Store, StoreAddress};

/// Error of reading the rows behind a derived source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The store or the recording is gone.
    #[error(
        "lineage of source \"{source_id}\": found no recording {recording} in store {store}, expected the one that run \"{run}\" read; it was removed since"
    )]
    Gone {
        /// The source.
        source_id: String,
        /// The recording's number.
        recording: i64,
        /// The store's address; `.` for the store that has the link.
        store: String,
        /// The run that read it.
        run: String,
    },
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows cannot be taken out of a block.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A record id cannot be read back from disk.
    #[error("lineage: the text of a record id could not be read back")]
    Texts(#[from] std::io::Error),
}

crate::store::from_store_errors!(UpstreamError: ReadError, OpenError);

/// The recorded rows that a derived source read.
#[derive(Debug)]
pub struct UpstreamRows {
    store: Store,
    recording: RecordingInfo,
}

impl UpstreamRows {
    /// Returns the store that has them.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns their recording.
    #[must_use]
    pub fn recording(&self) -> &RecordingInfo {
        &self.recording
    }

    /// Returns the row at a place: the position of a derived row is that of the recorded one. None beyond the end. Reads
    /// one block.
    pub fn row(&self, place: u64) -> Result<Option<(Chunk, Arc<Origins>)>, UpstreamError> {
        let mut rows = self.store.inner().open_recording(&self.recording)?;
        let before = rows.skip_to(place);
        let Some(chunk) = rows.next().transpose()? else { return Ok(None) };
        match u32::try_from(before).ok().filter(|row| (*row as usize) < chunk.rows()) {
            Some(row) => Ok(Some((chunk.take(&[row])?, Arc::clone(rows.origins())))),
            None => Ok(None),
        }
    }

    /// Returns the place of the row with that record id; reads all rows up to it.
    pub fn place(&self, wanted: &str) -> Result<Option<u64>, UpstreamError> {
        let mut rows = self.store.inner().open_recording(&self.recording)?;
        let names = RowDigests::new(&self.recording.schema);
        let (mut place, mut earlier) = (0, 0);
        while let Some(chunk) = rows.next().transpose()? {
            for digest in names.of(&chunk, rows.origins())? {
                let found = record_id(digest, earlier);
                if found == wanted {
                    return Ok(Some(place));
                }
                let same = wanted.split('.').next() == found.split('.').next();
                earlier += u64::from(same);
                place += 1;
            }
        }
        Ok(None)
    }
}

impl Store {
    /// Returns links to the recordings that the derived sources of a run have read.
    pub fn links(&self, run: &str) -> Result<Vec<Link>, ReadError> {
        self.inner().links(run)
    }

    /// Returns the rows behind a link of this store.
    pub fn upstream(&self, link: &Link) -> Result<UpstreamRows, UpstreamError> {
        let gone = || UpstreamError::Gone {
            source_id: link.source_id.clone(),
            recording: link.recording,
            store: link.store.clone(),
            run: link.run.clone(),
        };
        let store = match link.store.as_str() {
            "." => Some(self.clone()),
            address => Self::at(&StoreAddress::parse(address))?,
        };
        let store = store.ok_or_else(gone)?;
        let recording = store.inner().recording(link.recording.unsigned_abs())?.ok_or_else(gone)?;
        Ok(UpstreamRows { store, recording })
    }

    /// Returns the name of a store within a link: its address, or `.` for this store.
    pub(crate) fn link_name(&self, of: &str) -> String {
        if self.inner().address().as_str() == of { ".".to_owned() } else { of.to_owned() }
    }
}
