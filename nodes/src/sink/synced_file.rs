//! A file that the disk gets while it is written, so that waiting for it at the end is short.

use std::fs::File;
use std::io::{self, Write};
use std::thread::{Builder, JoinHandle};

/// Bytes that are written between two synchronisations.
const STRETCH_BYTES: usize = 32 << 20;

/// A file whose bytes go to the disk in stretches, on a thread of their own, while more are written.
///
/// Guarantee: once [`SyncedFile::finish`] succeeds, the disk has everything. The system reports an error of an earlier
/// stretch once, so it is kept for `finish`.
#[derive(Debug)]
pub(super) struct SyncedFile {
    file: File,
    stretch_bytes: usize,
    /// Bytes written since a stretch was begun.
    unsynced: usize,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl SyncedFile {
    pub(super) fn new(file: File) -> Self {
        Self { file, stretch_bytes: STRETCH_BYTES, unsynced: 0, syncing: None }
    }

    /// Begins a stretch, unless one is under way.
    fn begin(&mut self) -> io::Result<()> {
        if self.syncing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        self.wait()?;
        self.unsynced = 0;
        let file = self.file.try_clone()?;
        // Without a thread the disk gets everything at the end.
        self.syncing = Builder::new().name("sync".to_owned()).spawn(move || file.sync_data()).ok();
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let Some(thread) = self.syncing.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits until the disk has everything.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let earlier = self.wait();
        self.file.sync_all().and(earlier)
    }
}

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written;
        if self.unsynced >= self.stretch_bytes {
            self.begin()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for SyncedFile {
    /// No thread outlives the file; of one that is given up, an error changes nothing.
    fn drop(&mut self) {
        drop(self.syncing.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_are_synchronised_meanwhile_leave_the_bytes_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = SyncedFile::new(File::create(&path).unwrap());
        file.stretch_bytes = 1_000;
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for part in bytes.chunks(700) {
            file.write_all(part).unwrap();
        }
        assert!(file.syncing.is_some());
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_file_that_the_disk_refuses_is_an_error() {
        // Bytes of a pipe are on no disk.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut file = SyncedFile::new(File::from(std::os::fd::OwnedFd::from(writer)));
        file.stretch_bytes = 4;
        file.write_all(b"1234").unwrap();
        file.finish().unwrap_err();
        drop(reader);
    }
}
