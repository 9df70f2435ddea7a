//! Files that tell their columns by themselves, in a header or a footer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Fields};

use super::SourceOptions;
use super::cast::{bound_columns, same_columns};
use super::error::SourceError;
use super::paths::{SourceFile, expand};

/// The files of a source, which all have the same columns.
#[derive(Clone)]
pub(super) struct FootedFiles {
    options: SourceOptions,
    files: Arc<[SourceFile]>,
    columns: Vec<FieldRef>,
}

impl FootedFiles {
    /// Finds the files; `fields_of` opens one and gives the fields that it tells.
    pub(super) fn plan(
        path: &Path,
        options: &SourceOptions,
        fields_of: impl Fn(&SourceFile) -> Result<Fields, SourceError>,
    ) -> Result<Self, SourceError> {
        let files = expand(path)?;
        let mut planned = Self { options: options.clone(), columns: Vec::new(), files: files.into() };
        for (at, file) in planned.files.iter().enumerate() {
            let fields = fields_of(file)?;
            if at == 0 {
                planned.columns = bound_columns(&file.name, &fields, &planned.options.types)?;
            } else {
                planned.check(file, &fields)?;
            }
        }
        Ok(planned)
    }

    /// Whether a file that is opened to be read has the columns that were planned.
    pub(super) fn check(&self, file: &SourceFile, fields: &Fields) -> Result<(), SourceError> {
        let columns = bound_columns(&file.name, fields, &self.options.types)?;
        let first = self.files.first().map_or("", |f| &f.name);
        same_columns(&file.name, &columns, first, &self.columns)
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
