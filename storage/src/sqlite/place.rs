//! Checks of the folder that holds a store.

use std::path::Path;

use anabranch_engine::store::{StoreFault, StoreProblem};

/// Access for which a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Full,
    /// Reading, since it cannot be written.
    ReadOnly,
}

impl Access {
    /// The access that a store can be opened for, which has to be there.
    pub(crate) fn of(dir: &Path) -> Self {
        use rustix::fs::{Access as Asked, access};
        let is_refused = |path: &Path| match access(path, Asked::WRITE_OK) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => false,
            Err(_) => true,
        };
        let files = ["store.db", "store.db-wal", "store.db-shm", "opening", "runs"];
        if is_refused(dir) || files.iter().any(|name| is_refused(&dir.join(name))) {
            return Self::ReadOnly;
        }
        Self::Full
    }
}

/// Makes the folder where it is missing, and refuses places where a store is not safe.
pub(crate) fn prepare(dir: &Path, allow_network: bool) -> Result<(), StoreFault> {
    if dir.exists() && !dir.is_dir() {
        let message = format!("\"{}\" is a file, expected a folder; choose another name", dir.display());
        return Err(StoreFault::from(StoreProblem::Place(message)));
    }
    std::fs::create_dir_all(dir).map_err(|e| StoreFault::file(dir, e))?;
    let runs = dir.join("runs");
    std::fs::create_dir_all(&runs).map_err(|e| StoreFault::file(&runs, e))?;
    check_network(dir, allow_network)
}

/// Refuses network file systems, unless they are allowed.
pub(crate) fn check_network(dir: &Path, allow_network: bool) -> Result<(), StoreFault> {
    match network(dir)? {
        Some(kind) if !allow_network => {
            let message = format!(
                "\"{}\" is on a network file system ({kind}), where locks and synchronisation cannot be relied on; choose a folder on a local disk, or allow network stores explicitly",
                dir.display()
            );
            Err(StoreFault::from(StoreProblem::Place(message)))
        }
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn network(dir: &Path) -> Result<Option<&'static str>, StoreFault> {
    let found = rustix::fs::statfs(dir).map_err(|e| StoreFault::file(dir, e.into()))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "magic numbers have 32 bits; the field's type depends on the platform"
    )]
    Ok(network_name(found.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Result<Option<&'static str>, StoreFault> {
    Ok(None)
}

/// The name of a network file system by its magic number, as `statfs(2)` lists them.
fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 => "SMB",
        0xff53_4d42 => "CIFS",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x564c => "NCP",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anabranch_engine::store::StoreErrorKind;

    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        for local in [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994] {
            assert_eq!(network_name(local), None);
        }
    }

    #[test]
    fn a_local_folder_is_made_and_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&dir.path().join("a/b"), false).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = prepare(&file, false).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Place);
        assert!(error.to_string().contains("is a file, expected a folder"), "{error}");
    }
}
