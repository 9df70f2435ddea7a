//! Rows from Arrow IPC files.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use arrow::ipc::reader::FileReader;

use super::batch_slicer::BatchSlicer;
use super::cast::{Casts, FileFields};
use super::damage::guarded;
use super::error::SourceError;
use super::footed::FootedFiles;
use super::ipc_lengths::check_lengths;
use super::options::option_methods;
use super::paths::SourceFile;
use super::{PlannedSource, Reader, Source, SourceOptions};

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
    /// The file, or the files that a pattern matches, sorted by name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), options: SourceOptions::default() }
    }

    option_methods!();

    /// The path or pattern.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
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
        let files = FootedFiles::plan(&self.path, &self.options, fields_of)?;
        Ok(Box::new(PlannedArrow(files)))
    }
}

struct PlannedArrow(FootedFiles);

type Batches = FileReader<BufReader<File>>;

impl PlannedSource for PlannedArrow {
    fn columns(&self) -> &[FieldRef] {
        self.0.columns()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.paths()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let slicer = BatchSlicer::new(chunk_rows);
        Ok(Box::new(ArrowReader { files: self.0.clone(), slicer, next_file: 0, open: None }))
    }
}

const FORMAT: &str = "Arrow IPC";

fn open(file: &SourceFile) -> Result<Batches, SourceError> {
    let opened = file.open()?;
    guarded(&file.name, FORMAT, || {
        check_lengths(&opened)?;
        Batches::try_new_buffered(opened, None)
    })
}

struct ArrowReader {
    files: FootedFiles,
    slicer: BatchSlicer,
    next_file: usize,
    open: Option<OpenArrow>,
}

struct OpenArrow {
    name: String,
    batches: Batches,
    casts: Casts,
    /// Rows read of this file.
    row: u64,
}

impl ArrowReader {
    fn advance(&mut self, file: &SourceFile) -> Result<(), SourceError> {
        let batches = open(file)?;
        let casts = self.files.casts(file, &FileFields::plain(batches.schema().fields().clone()))?;
        self.next_file += 1;
        self.open = Some(OpenArrow { name: file.name.clone(), batches, casts, row: 0 });
        Ok(())
    }
}

impl Reader for ArrowReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(OpenArrow { name, batches, casts, row }) = &mut self.open {
                if let Some(piece) = self.slicer.next(name)? {
                    return Ok(Some(piece));
                }
                if let Some(batch) = guarded(name, FORMAT, || batches.next().transpose())? {
                    self.slicer.push(casts.apply(&batch, name, *row)?);
                    *row += batch.num_rows() as u64;
                    continue;
                }
                self.open = None;
            }
            let Some(file) = self.files.get(self.next_file).cloned() else { return Ok(None) };
            self.advance(&file)?;
        }
    }
}
