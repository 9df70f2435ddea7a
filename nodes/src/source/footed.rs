//! Files that tell their columns by themselves, in a header or a footer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::FieldRef;

use super::SourceOptions;
use super::cast::{Casts, FileFields, StreamTypes};
use super::error::SourceError;
use super::paths::{SourceFile, expand, seeks};
use super::stream::STANDARD_INPUT;

/// The files of a source, which all have the same columns by name.
#[derive(Clone)]
pub(super) struct FootedFiles {
    options: SourceOptions,
    files: Arc<[SourceFile]>,
    columns: Vec<FieldRef>,
}

impl FootedFiles {
    /// Finds the files; `fields_of` opens one and gives its columns.
    pub(super) fn plan(
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
    pub(super) fn casts(&self, file: &SourceFile, fields: &FileFields) -> Result<Casts, SourceError> {
        Casts::new(&self.columns, &file.name, fields, &self.options.types)
    }

    pub(super) fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.files)
    }

    pub(super) fn get(&self, number: usize) -> Option<&SourceFile> {
        self.files.get(number)
    }
}
