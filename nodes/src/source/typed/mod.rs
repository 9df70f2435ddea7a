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
use super::{Reader, SourceOptions};

/// The files of a source, which all have the same columns by name.
#[derive(Clone)]
pub(in crate::source) struct TypedFiles {
    options: SourceOptions,
    files: Arc<[SourceFile]>,
    columns: Vec<FieldRef>,
}

impl TypedFiles {
    /// Finds the files; `fields_of` opens one and gives its columns.
    pub(in crate::source) fn plan(
        path: &Path,
        options: &SourceOptions,
        fields_of: impl Fn(&SourceFile) -> Result<FileFields, SourceError>,
    ) -> Result<Self, SourceError> {
        if path == Path::new(STANDARD_INPUT) && !path.exists() {
            return Err(seeks("standard input".to_owned()));
        }
        let files = expand(path)?;
        let mut types = StreamTypes::default();
        for file in &files {
            types.add(&file.name, &fields_of(file)?, &options.types)?;
        }
        Ok(Self { options: options.clone(), columns: types.finish()?, files: files.into() })
    }

    /// The casts of a file that is opened to be read, if it still has the columns that were planned.
    pub(in crate::source) fn casts(
        &self,
        file: &SourceFile,
        fields: &FileFields,
    ) -> Result<Casts, SourceError> {
        Casts::new(&self.columns, &file.name, fields, &self.options.types)
    }

    pub(in crate::source) fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    pub(in crate::source) fn paths(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.files)
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

/// Opens the files of a format.
pub(in crate::source) type OpenBatches<F> =
    Box<dyn Fn(&SourceFile) -> Result<OpenedFile<F>, SourceError> + Send>;

/// Reads files one after the other, in batches of a chunk's rows and in the columns' canonical types.
pub(in crate::source) struct TypedReader<F> {
    files: TypedFiles,
    open: OpenBatches<F>,
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
    pub(in crate::source) fn new(files: TypedFiles, chunk_rows: usize, open: OpenBatches<F>) -> Self {
        Self { files, open, slicer: BatchSlicer::new(chunk_rows), next_file: 0, current: None }
    }

    /// Opens the next file; false if there is none.
    fn open_next(&mut self) -> Result<bool, SourceError> {
        let Some(file) = self.files.files.get(self.next_file) else { return Ok(false) };
        let OpenedFile { file: opened, fields } = (self.open)(file)?;
        let casts = self.files.casts(file, &fields)?;
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
