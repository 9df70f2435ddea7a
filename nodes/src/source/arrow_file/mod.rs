//! Rows from Arrow IPC files.

mod lengths;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;

use super::cast::FileFields;
use super::error::SourceError;
use super::options::{file_methods, option_methods};
use super::paths::SourceFile;
use super::typed::{BatchFile, OpenedFile, TypedFiles, guarded};
use super::{PlannedSource, Source, SourceOptions};
use lengths::check_lengths;

/// Rows of Arrow IPC files (the file format, also called Feather 2).
///
/// `types` names types that columns are cast to; a value that would lose something is an error.
/// Memory: one batch of the file, and its dictionaries.
#[derive(Debug, Clone)]
pub struct ArrowFile {
    path: PathBuf,
    options: SourceOptions,
}

impl ArrowFile {
    file_methods!();
    option_methods!();
}

impl Source for ArrowFile {
    fn kind(&self) -> &'static str {
        "arrow"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let fields_of = |file: &SourceFile| Ok(OpenArrow::open(file)?.fields);
        TypedFiles::plan(&self.path, &self.options, fields_of, |file, _| OpenArrow::open(file))
    }
}

const FORMAT: &str = "Arrow IPC";

type ArrowFileBatches = FileReader<BufReader<File>>;

struct OpenArrow {
    name: String,
    batches: ArrowFileBatches,
}

impl OpenArrow {
    fn open(file: &SourceFile) -> Result<OpenedFile<Self>, SourceError> {
        let (opened, name) = (file.open()?, file.name.clone());
        let batches = guarded(&name, FORMAT, || {
            check_lengths(&opened)?;
            ArrowFileBatches::try_new_buffered(opened, None)
        })?;
        let fields = FileFields::plain(batches.schema().fields().clone());
        Ok(OpenedFile { file: Self { name, batches }, fields })
    }
}

impl BatchFile for OpenArrow {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        guarded(&self.name, FORMAT, || self.batches.next().transpose())
    }
}
