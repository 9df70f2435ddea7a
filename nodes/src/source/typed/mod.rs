//! Files that hold the types of their columns, in a header or a footer, and give batches of rows.

mod batch_slicer;
mod damage;

pub(in crate::source) use batch_slicer::BatchSlicer;
pub(in crate::source) use damage::guarded;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;

use super::cast::{Casts, FileFields, StreamTypes};
use super::error::SourceError;
use super::paths::{SourceFile, expand, seeks};
use super::stream::STANDARD_INPUT;
use super::{PlannedSource, Reader, SourceOptions};

/// The files of a source, which all have the same columns by name.
pub(in crate::source) struct TypedFiles<F> {
    options: SourceOptions,
    files: Vec<SourceFile>,
    columns: Vec<FieldRef>,
    open: OpenBatches<F>,
}

/// Opens a file of a format, for batches of so many rows.
type OpenBatches<F> = Box<dyn Fn(&SourceFile, usize) -> Result<OpenedFile<F>, SourceError> + Send + Sync>;

impl<F: BatchFile + 'static> TypedFiles<F> {
    /// Finds the files; `fields_of` gives the columns of one, and `open` opens one for batches of so many rows.
    pub(in crate::source) fn plan(
        path: &Path,
        options: &SourceOptions,
        fields_of: impl Fn(&SourceFile) -> Result<FileFields, SourceError>,
        open: impl Fn(&SourceFile, usize) -> Result<OpenedFile<F>, SourceError> + Send + Sync + 'static,
    ) -> Result<Box<dyn PlannedSource>, SourceError> {
        if path == Path::new(STANDARD_INPUT) && !path.exists() {
            return Err(seeks("standard input".to_owned()));
        }
        let files = expand(path)?;
        let mut types = StreamTypes::default();
        for file in &files {
            types.add(&file.name, &fields_of(file)?, &options.types)?;
        }
        let (options, columns) = (options.clone(), types.finish()?);
        Ok(Box::new(Arc::new(Self { options, files, columns, open: Box::new(open) })))
    }
}

impl<F: BatchFile + 'static> PlannedSource for Arc<TypedFiles<F>> {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn files(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.files)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let (files, chunk_rows) = (Self::clone(self), chunk_rows.max(1));
        let slicer = BatchSlicer::new(chunk_rows);
        Ok(Box::new(TypedReader { files, chunk_rows, slicer, next_file: 0, current: None }))
    }
}

/// An open file of a format whose library gives batches.
pub(in crate::source) trait BatchFile: Send {
    /// The next batch in the format's types; none at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError>;

    /// Error at the end of the file; none if it is whole.
    fn check_end(&self, rows: u64) -> Result<(), SourceError> {
        let _ = rows;
        Ok(())
    }
}

/// A file that was opened to be read.
pub(in crate::source) struct OpenedFile<F> {
    /// The file.
    pub(in crate::source) file: F,
    /// Its columns.
    pub(in crate::source) fields: FileFields,
}

/// Reads files one after the other, in batches of a chunk's rows and in the columns' canonical types.
struct TypedReader<F> {
    files: Arc<TypedFiles<F>>,
    chunk_rows: usize,
    slicer: BatchSlicer,
    next_file: usize,
    current: Option<CurrentFile<F>>,
}

struct CurrentFile<F> {
    name: String,
    file: F,
    casts: Casts,
    /// Rows read of this file.
    rows: u64,
}

impl<F: BatchFile> TypedReader<F> {
    /// Opens the next file; false if there is none.
    fn open_next(&mut self) -> Result<bool, SourceError> {
        let TypedFiles { options, files, columns, open } = &*self.files;
        let Some(file) = files.get(self.next_file) else { return Ok(false) };
        let OpenedFile { file: opened, fields } = open(file, self.chunk_rows)?;
        // It may have changed since it was planned.
        let casts = Casts::new(columns, &file.name, &fields, &options.types)?;
        self.current = Some(CurrentFile { name: file.name.clone(), file: opened, casts, rows: 0 });
        self.next_file += 1;
        Ok(true)
    }
}

impl<F: BatchFile> Reader for TypedReader<F> {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            let Some(CurrentFile { name, file, casts, rows }) = &mut self.current else {
                if self.open_next()? {
                    continue;
                }
                return Ok(None);
            };
            if let Some(part) = self.slicer.next(name)? {
                return Ok(Some(part));
            }
            if let Some(batch) = file.next()? {
                self.slicer.push(casts.apply(&batch, name, *rows)?);
                *rows += batch.num_rows() as u64;
            } else {
                file.check_end(*rows)?;
                self.current = None;
            }
        }
    }
}
