//! Python functions that are bound without a look at their code, by who only reads what was recorded.
//!
//! No interpreter is started, so nothing of the user's is imported. What a worker would say is taken from what the
//! store knows of the function, as long as all its files still have the bytes that they had.

use std::path::{Path, PathBuf};

use anabranch_engine::identity::Fingerprint;

use crate::worker::Inspected;

/// Prefix of the labels of modules outside the file's folder.
const ALONG_PATH: &str = "sys.path/";

/// The report on a Python file from functions of earlier runs, the newest first; nothing where its files, or
/// those of the modules that it loads, have changed.
///
/// A module that cannot be found without the interpreter, in an archive say, counts as what it was.
pub(super) fn inspected(file: &Path, earlier: &[Fingerprint]) -> Inspected {
    let known = earlier.iter().map(of_components);
    known.into_iter().find(|known| !known.modules.is_empty() && is_unchanged(file, known)).unwrap_or_default()
}

/// The report of the worker of an earlier run.
fn of_components(fingerprint: &Fingerprint) -> Inspected {
    let mut inspected = Inspected::default();
    for component in fingerprint.components() {
        let value = component.value.clone();
        match component.name.split_once(' ').unwrap_or((&component.name, "")) {
            ("interpreter", "") => inspected.python = value,
            ("python", "version") => inspected.full = value,
            ("file" | "module", label) => drop(inspected.modules.insert(label.to_owned(), value)),
            ("package", name) => drop(inspected.packages.insert(name.to_owned(), value)),
            _ => {}
        }
    }
    inspected
}

fn is_unchanged(file: &Path, known: &Inspected) -> bool {
    known.modules.iter().all(|(label, digest)| {
        let files = places(file, label).into_iter().filter(|place| place.is_file());
        let mut found = files.filter_map(|file| std::fs::read(file).ok()).peekable();
        found.peek().is_none() || found.any(|bytes| blake2(&bytes) == *digest)
    })
}

/// Files of the modules that the file has loaded in earlier runs, as far as they can be found.
pub(super) fn files(file: &Path, earlier: &[Fingerprint]) -> Vec<PathBuf> {
    let labels = earlier.iter().flat_map(|fingerprint| of_components(fingerprint).modules.into_keys());
    labels.flat_map(|label| places(file, &label)).filter(|place| place.is_file()).collect()
}

/// Possible paths of a module.
fn places(file: &Path, label: &str) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let Some(rest) = label.strip_prefix(ALONG_PATH) else { return vec![folder.join(label)] };
    let along = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let roots = folder.ancestors().map(Path::to_owned).chain(std::env::split_paths(&along));
    roots.map(|root| root.join(rest)).collect()
}

/// The hash of a module's bytes as a worker reports it.
fn blake2(bytes: &[u8]) -> String {
    blake2b_simd::Params::new().hash_length(32).hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use anabranch_engine::identity::FingerprintBuilder;

    use super::*;

    #[test]
    fn the_hash_is_that_of_pythons_library() {
        assert_eq!(blake2(b""), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    }

    #[test]
    fn a_function_is_known_as_long_as_all_its_files_have_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, helper) = (folder.path().join("steps/f.py"), folder.path().join("common/helper.py"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::create_dir_all(helper.parent().unwrap()).unwrap();
        std::fs::write(&file, "import common.helper\n").unwrap();
        std::fs::write(&helper, "A = 1\n").unwrap();
        let digest = |path: &Path| blake2(&std::fs::read(path).unwrap());
        let earlier = FingerprintBuilder::default()
            .with("interpreter", "cpython 3.11")
            .with("file f.py", digest(&file))
            .with("module sys.path/common/helper.py", digest(&helper))
            .with("module sys.path/lib.zip/other.py", "of an archive")
            .build();
        let known = || inspected(&file, std::slice::from_ref(&earlier));
        assert_eq!((known().python.as_str(), known().modules.len()), ("cpython 3.11", 3));
        std::fs::write(&helper, "A = 2\n").unwrap();
        assert_eq!(known(), Inspected::default());
        std::fs::write(&helper, "A = 1\n").unwrap();
        std::fs::write(&file, "import common.helper  # edited\n").unwrap();
        assert_eq!(known(), Inspected::default());
    }
}
