//! Files that a function consists of, as they were when it was planned.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::Structure;

/// Time for which the times of a file may stand still while it is written: some file systems count in seconds.
const COARSE_NANOS: i64 = 2_000_000_000;
/// Of no file.
const UNKNOWN: i64 = i64::MIN;

/// A file that is not what it was.
#[derive(Debug, thiserror::Error)]
#[error("{} has changed since the pipeline was planned; run it again", path.display())]
pub(crate) struct Changed {
    path: PathBuf,
}

/// A file as it was when the pipeline was planned.
///
/// Metadata show if it was written since. A file that has been written and put back is
/// changed too: a call in between has had the other bytes. Only where the times of the file cannot
/// tell are its bytes read again.
#[derive(Debug)]
pub(crate) struct FileStamp {
    pub(crate) path: PathBuf,
    state: FileMetadata,
    /// The hash of its bytes.
    pub(crate) digest: String,
    /// The change of metadata up to which the bytes are known to be those of the digest.
    confirmed: AtomicI64,
}

/// Metadata of a file that a write changes.
#[derive(Debug, PartialEq, Eq)]
struct FileMetadata {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileMetadata {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl FileStamp {
    /// Reads a file.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = path.metadata()?;
        if !metadata.is_file() {
            // Opening a pipe would wait for a writer.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        // Looked at before it is read: a write in between is noticed later.
        let digest = digest(path, metadata.len())?;
        let confirmed = if is_settled(&metadata) { changed_nanos(&metadata) } else { UNKNOWN };
        Ok(Self {
            path: path.to_owned(),
            state: FileMetadata::of(&metadata),
            digest,
            confirmed: confirmed.into(),
        })
    }

    /// True if the file is what it was. Blocks for a look at it.
    pub(crate) fn check(&self) -> Result<(), Changed> {
        if self.is_same().unwrap_or(false) { Ok(()) } else { Err(Changed { path: self.path.clone() }) }
    }

    fn is_same(&self) -> io::Result<bool> {
        let metadata = self.path.metadata()?;
        if FileMetadata::of(&metadata) != self.state {
            return Ok(false);
        }
        let changed = changed_nanos(&metadata);
        if self.confirmed.load(Relaxed) == changed {
            return Ok(true);
        }
        // It has another name or mode, or was written in the same moment as before it was looked at.
        let same = digest(&self.path, metadata.len())? == self.digest;
        if same && is_settled(&metadata) {
            self.confirmed.store(changed, Relaxed);
        }
        Ok(same)
    }
}

fn changed_nanos(metadata: &Metadata) -> i64 {
    metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec())
}

/// True if a write from now on shows in the times of the file.
fn is_settled(metadata: &Metadata) -> bool {
    let now = now_unix_millis().saturating_mul(1_000_000);
    now.saturating_sub(changed_nanos(metadata)) > COARSE_NANOS
}

fn digest(path: &Path, bytes: u64) -> io::Result<String> {
    let mut structure = Structure::new("file");
    structure.bytes_of(bytes, File::open(path)?)?;
    Ok(structure.finish().hex(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_until_it_is_written_whatever_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, "one").unwrap();
        let stamp = FileStamp::of(&path).unwrap();
        assert!(stamp.check().is_ok());
        // The same size, and maybe the same time.
        std::fs::write(&path, "two").unwrap();
        assert!(stamp.check().is_err());
        let stamp = FileStamp::of(&path).unwrap();
        std::fs::write(folder.path().join("other"), "two").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(stamp.check().is_err(), "another file with the same bytes");
        std::fs::remove_file(&path).unwrap();
        assert!(stamp.check().is_err());
    }

    #[test]
    fn a_second_name_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, "one").unwrap();
        let stamp = FileStamp::of(&path).unwrap();
        std::fs::hard_link(&path, folder.path().join("second")).unwrap();
        assert!(stamp.check().is_ok());
    }

    #[test]
    fn a_file_that_was_written_just_now_is_told_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, "one").unwrap();
        let times = std::fs::FileTimes::new().set_modified(path.metadata().unwrap().modified().unwrap());
        let stamp = FileStamp::of(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        assert!(stamp.check().is_err());
    }

    #[test]
    fn the_digest_is_that_of_the_structure_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let mut structure = Structure::new("file");
        structure.bytes(&vec![7; 100_000]);
        assert_eq!(FileStamp::of(&path).unwrap().digest, structure.finish().hex(64));
    }
}
