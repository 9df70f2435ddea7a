//! Rows from Arrow IPC files.

mod lengths;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use arrow::ipc::reader::FileReader;

use super::cast::FileFields;
use super::error::SourceError;
use super::options::{file_methods, option_methods};
use super::paths::SourceFile;
use super::typed::{BatchFile, OpenedFile, TypedFiles, TypedReader, guarded};
use super::{PlannedSource, Reader, Source, SourceOptions};
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
        let fields_of = |file: &SourceFile| Ok(FileFields::plain(open(file)?.schema().fields().clone()));
        let files = TypedFiles::plan(&self.path, &self.options, fields_of)?;
        Ok(Box::new(PlannedArrow(files)))
    }
}

struct PlannedArrow(TypedFiles);

impl PlannedSource for PlannedArrow {
    fn columns(&self) -> &[FieldRef] {
        self.0.columns()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.paths()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let open = |file: &SourceFile| {
            let batches = open(file)?;
            let fields = FileFields::plain(batches.schema().fields().clone());
            Ok(OpenedFile { file: OpenArrow { name: file.name.clone(), batches }, fields })
        };
        Ok(Box::new(TypedReader::new(self.0.clone(), chunk_rows, Box::new(open))))
    }
}

const FORMAT: &str = "Arrow IPC";

type ArrowFileBatches = FileReader<BufReader<File>>;

fn open(file: &SourceFile) -> Result<ArrowFileBatches, SourceError> {
    let opened = file.open()?;
    guarded(&file.name, FORMAT, || {
        check_lengths(&opened)?;
        ArrowFileBatches::try_new_buffered(opened, None)
    })
}

struct OpenArrow {
    name: String,
    batches: ArrowFileBatches,
}

impl BatchFile for OpenArrow {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        guarded(&self.name, FORMAT, || self.batches.next().transpose())
    }
}
