//! Operators' state in a file without a name.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encode::{decode, encode};
use super::space::{Extent, Space};
use super::{SpillArea, SpillBudget, SpillError};
use crate::chunk::Chunk;
use crate::operator::PartId;
use crate::schema::StreamSchema;

/// Parts of one machine's state in an unnamed file, which is gone when the process is, however it
/// ends. The file is made when the first part is put away.
///
/// Rows come back exactly as they were put, provenance included; origins stay numbers, so the
/// area is good for one run. Room that is given back is used again, the nearest to the start first,
/// and leaves the disk once nothing lies behind it; so the file is never longer than what was in
/// use at once.
///
/// Memory: about 64 bytes for each put that is not forgotten; during a put or a read its bytes
/// once more.
#[derive(Debug)]
pub struct FileArea {
    directory: PathBuf,
    budget: SpillBudget,
    file: Option<File>,
    space: Space,
    parts: BTreeMap<PartId, Vec<Put>>,
    /// The schemas of all chunks that were put; chunks on disk name theirs by number.
    schemas: Vec<Arc<StreamSchema>>,
}

/// The extent of the rows of one call.
#[derive(Debug)]
struct Put {
    bytes: usize,
    extents: Vec<Extent>,
}

impl Put {
    fn room(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes).sum()
    }
}

impl FileArea {
    /// An area in a folder, which has to be there when the first part is put away.
    #[must_use]
    pub fn new(directory: &Path, budget: &SpillBudget) -> Self {
        Self {
            directory: directory.to_owned(),
            budget: budget.clone(),
            file: None,
            space: Space::default(),
            parts: BTreeMap::new(),
            schemas: Vec::new(),
        }
    }

    fn failed(&self, operation: &'static str) -> impl Fn(std::io::Error) -> SpillError + use<> {
        let directory = self.directory.clone();
        move |cause| SpillError::Disk { operation, directory: directory.clone(), cause }
    }

    fn open(&mut self) -> Result<(), SpillError> {
        if self.file.is_none() {
            let file = tempfile::tempfile_in(&self.directory);
            self.file = Some(file.map_err(self.failed("creating a file for operators' state"))?);
        }
        Ok(())
    }

    fn write(&self, mut bytes: &[u8], extents: &[Extent]) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        for extent in extents {
            let (now, later) = bytes.split_at(length(extent).min(bytes.len()));
            file.write_all_at(now, extent.start)?;
            bytes = later;
        }
        Ok(())
    }

    fn read_put(&self, put: &Put) -> std::io::Result<Vec<Chunk>> {
        let mut bytes = vec![0; put.bytes];
        let mut rest = bytes.as_mut_slice();
        for extent in &put.extents {
            let (now, later) = rest.split_at_mut(length(extent).min(rest.len()));
            if let Some(file) = &self.file {
                file.read_exact_at(now, extent.start)?;
            }
            rest = later;
        }
        decode(&bytes, &self.schemas)
    }

    /// Makes room free, in the file and on the disk.
    fn release(&mut self, put: &Put) -> Result<(), SpillError> {
        self.budget.give_back(put.room());
        let end = self.space.end();
        for extent in &put.extents {
            self.space.give_back(*extent);
        }
        let Some(file) = &self.file else { return Ok(()) };
        if self.space.end() < end {
            file.set_len(self.space.end()).map_err(self.failed("giving back room of operators' state"))?;
        }
        Ok(())
    }
}

impl SpillArea for FileArea {
    fn put(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), SpillError> {
        let failed = self.failed("writing operators' state to a file");
        let bytes = encode(&chunks, &mut self.schemas).map_err(&failed)?;
        drop(chunks);
        let extents = self.space.take(bytes.len() as u64);
        let put = Put { bytes: bytes.len(), extents };
        if let Err(error) = self.budget.take(put.room()) {
            for extent in put.extents {
                self.space.give_back(extent);
            }
            return Err(error);
        }
        let written = self.open().and_then(|()| self.write(&bytes, &put.extents).map_err(&failed));
        if let Err(error) = written {
            // The first error is the one to report.
            let _ = self.release(&put);
            return Err(error);
        }
        self.budget.wrote(bytes.len() as u64);
        self.parts.entry(part).or_default().push(put);
        Ok(())
    }

    fn read(&mut self, part: PartId) -> Result<Vec<Chunk>, SpillError> {
        let puts = self.parts.get(&part).ok_or(SpillError::Missing(part.0))?;
        let mut chunks = Vec::new();
        for put in puts {
            let read = self.read_put(put);
            chunks.extend(read.map_err(self.failed("reading operators' state from a file"))?);
        }
        Ok(chunks)
    }

    fn forget(&mut self, part: PartId) -> Result<(), SpillError> {
        let puts = self.parts.remove(&part).ok_or(SpillError::Missing(part.0))?;
        puts.iter().try_for_each(|put| self.release(put))
    }
}

impl Drop for FileArea {
    fn drop(&mut self) {
        self.budget.give_back(self.parts.values().flatten().map(Put::room).sum());
    }
}

fn length(extent: &Extent) -> usize {
    usize::try_from(extent.bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
