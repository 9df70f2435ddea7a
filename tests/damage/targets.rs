//! Readers of bytes that may be anything: shared by the tests of damage and the fuzz targets.

use std::error::Error;
use std::path::Path;

use anabranch::nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Source, SourceError};
use anabranch::yaml::{self, LoadOptions};
use anabranch_storage::read_unhashed;

/// Reads bytes; gives the text of the error, if there was one.
pub(crate) type Target = fn(&[u8]) -> Option<String>;

/// The targets by the names of their corpora.
#[allow(dead_code, reason = "a fuzz target takes one of them")]
pub(crate) const ALL: [(&str, Target); 6] = [
    ("csv", |bytes| read_as(bytes, "rows.csv", |path| Box::new(Csv::new(path)))),
    ("jsonl", |bytes| read_as(bytes, "rows.jsonl", |path| Box::new(JsonLines::new(path)))),
    ("parquet", |bytes| read_as(bytes, "rows.parquet", |path| Box::new(Parquet::new(path)))),
    ("arrow", |bytes| read_as(bytes, "rows.arrow", |path| Box::new(ArrowFile::new(path)))),
    ("blocks", |bytes| in_folder(|folder| read_block(bytes, folder))),
    ("yaml", |bytes| {
        in_folder(|folder| {
            let path = folder.join("pipeline.yaml");
            std::fs::write(&path, bytes).unwrap();
            load(&path)
        })
    }),
];

/// Lets a fuzzer pass over panics of a library that are caught; others end it all the same.
#[allow(dead_code, reason = "for the fuzz targets whose libraries panic")]
pub(crate) fn ignore_caught_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn in_folder(work: impl FnOnce(&Path) -> Option<String>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    work(folder.path())
}

fn read_as(bytes: &[u8], name: &str, source: impl Fn(&Path) -> Box<dyn Source>) -> Option<String> {
    in_folder(|folder| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&*source(&path))
    })
}

pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

/// Reads all rows of a source.
pub(crate) fn read(source: &dyn Source) -> Option<String> {
    let rows = || {
        let planned = source.plan()?;
        let mut reader = planned.open(1_000)?;
        while let Some(batch) = reader.next()? {
            assert!(batch.num_rows() <= 1_000);
        }
        Ok(())
    };
    rows().err().map(|error: SourceError| told(&error))
}

/// Plans a pipeline file.
pub(crate) fn load(path: &Path) -> Option<String> {
    yaml::load(path, &LoadOptions::default()).err().map(|error| error.to_string())
}

/// Reads a block of a store.
pub(crate) fn read_block(bytes: &[u8], folder: &Path) -> Option<String> {
    read_unhashed(bytes, folder).err()
}
