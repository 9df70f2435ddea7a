//! Rows in folders by the values of columns: `col=value/part-0.parquet`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::types::logical_type;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use indexmap::IndexMap;
use tempfile::TempDir;

use super::encoder::{self, Encoder};
use super::error::{SinkError, encoding, refused, unfit};
use super::target::sync_folder;
use super::{Format, JsonOptions, WriteSpec};
use crate::source::text::TextForm;

/// Files open at once; beyond that the one not used for longest is closed, and its folder goes on
/// with another part.
const OPEN_FILES: usize = 64;
/// Encoded bytes of a row group of one of many files.
const GROUP_BYTES: usize = 2 * 1024 * 1024;
/// The folder of nulls, as other programs name it.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Columns that partition, and the files within the folder.
#[derive(Debug)]
pub(super) struct Plan {
    format: Format,
    json: JsonOptions,
    path: PathBuf,
    /// Names of the partition columns as folders have them, and their places.
    by: Vec<(String, usize)>,
    rest: Vec<usize>,
    schema: SchemaRef,
}

impl Plan {
    pub(super) fn new(spec: &WriteSpec, schema: &Schema) -> Result<Self, SinkError> {
        let path = || spec.path.display().to_string();
        let mut by = Vec::new();
        for name in &spec.partition_by {
            let Some((at, field)) = schema.column_with_name(name) else {
                let available = schema.fields().iter().map(|f| f.name().clone()).collect();
                return Err(SinkError::UnknownColumn { column: name.clone(), available });
            };
            if !TextForm::exists_for(field.data_type()) || by.iter().any(|(_, known)| *known == at) {
                return Err(SinkError::Column {
                    path: path(),
                    column: name.clone(),
                    found: logical_type(field.data_type()),
                    expected: "a scalar type, named once under partition_by",
                    remedy: "name other columns under partition_by",
                });
            }
            by.push((encoded(name), at));
        }
        let rest: Vec<usize> =
            (0..schema.fields().len()).filter(|at| by.iter().all(|(_, known)| known != at)).collect();
        let schema = schema.project(&rest).map_err(|e| encoding(&spec.path, e))?;
        if rest.is_empty() {
            return Err(unfit(
                &spec.path,
                "no column to write",
                "at least one",
                "leave one out of partition_by",
            ));
        }
        encoder::check(spec.format, &spec.path, &schema)?;
        let (format, json, path) = (spec.format, spec.json, spec.path.clone());
        Ok(Self { format, json, path, by, rest, schema: schema.into() })
    }

    /// Prefix of the names of all entries of the folder.
    pub(super) fn first_folder_prefix(&self) -> String {
        self.by.first().map_or_else(String::new, |(name, _)| format!("{name}="))
    }

    /// The rows of each folder.
    fn rows_by_folder<'a>(&'a self, batch: &'a RecordBatch) -> IndexMap<String, Vec<u32>> {
        let form = |(name, place): &'a (String, usize)| {
            let column = batch.columns().at(*place, "a column that partitions is in the batch");
            let form = TextForm::of(column.as_ref());
            (
                name.as_str(),
                form.unwrap_or_else(|| panic!("columns that partition have strings for their values")),
            )
        };
        let columns: Vec<(&str, TextForm<'_>)> = self.by.iter().map(form).collect();
        let mut rows: IndexMap<String, Vec<u32>> = IndexMap::new();
        let (mut folder, mut value) = (String::new(), String::new());
        for row in 0..row_number(batch.num_rows()) {
            folder.clear();
            for (name, form) in &columns {
                value.clear();
                let separator = if folder.is_empty() { "" } else { "/" };
                let text =
                    if form.write(row as usize, &mut value) { encoded(&value) } else { NULL_VALUE.into() };
                // Writing to a string cannot fail.
                let _ = write!(folder, "{separator}{name}={text}");
            }
            match rows.get_mut(&folder) {
                Some(rows) => rows.push(row),
                None => {
                    rows.insert(folder.clone(), vec![row]);
                }
            }
        }
        rows
    }
}

/// A text in which everything but letters, digits, `_`, `-` and `.` is percent-encoded, so that no
/// value leaves its folder or passes for another.
fn encoded(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let first_encoded = text == NULL_VALUE;
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if plain && !(first_encoded && at == 0) {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

/// A folder being filled.
#[derive(Debug, Default)]
struct OpenPartition {
    /// Files begun.
    begun: usize,
    open: Option<Encoder>,
    last_used: u64,
}

/// Folders being filled. Memory: a name per folder, and the open files.
#[derive(Debug)]
pub(super) struct Partitions {
    plan: Plan,
    parts: IndexMap<String, OpenPartition>,
    open_files: usize,
    clock: u64,
    /// Values that are `NaN` or infinite in files that are closed.
    non_finite: u64,
    // Removed last, when all files in it are closed.
    folder: TempDir,
}

impl Partitions {
    pub(super) fn new(plan: Plan, folder: TempDir) -> Self {
        Self { plan, parts: IndexMap::new(), open_files: 0, clock: 0, non_finite: 0, folder }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let path = self.plan.path.clone();
        let rest = batch.project(&self.plan.rest).map_err(|e| encoding(&path, e))?;
        for (folder, rows) in self.plan.rows_by_folder(batch) {
            let rows = take_record_batch(&rest, &UInt32Array::from(rows)).map_err(|e| encoding(&path, e))?;
            self.write_to(&folder, &rows)?;
        }
        Ok(())
    }

    fn write_to(&mut self, name: &str, rows: &RecordBatch) -> Result<(), SinkError> {
        self.clock += 1;
        let is_open = self.parts.get(name).is_some_and(|part| part.open.is_some());
        if !is_open && self.open_files >= OPEN_FILES {
            self.close_oldest()?;
        }
        let part = self.parts.entry(name.to_owned()).or_default();
        part.last_used = self.clock;
        if let Some(encoder) = &mut part.open {
            return encoder.write(rows);
        }
        let encoder = part.open.insert(begin(&self.plan, self.folder.path(), name, part.begun)?);
        part.begun += 1;
        self.open_files += 1;
        encoder.write(rows)
    }

    fn close_oldest(&mut self) -> Result<(), SinkError> {
        let open = self.parts.values_mut().filter(|part| part.open.is_some());
        if let Some(encoder) = open.min_by_key(|part| part.last_used).and_then(|part| part.open.take()) {
            self.open_files -= 1;
            self.non_finite += encoder.non_finite();
            encoder.finish()?;
        }
        Ok(())
    }

    /// Values so far that are `NaN` or infinite, in JSON lines.
    pub(super) fn non_finite(&self) -> u64 {
        let open = self.parts.values().filter_map(|part| part.open.as_ref());
        self.non_finite + open.map(Encoder::non_finite).sum::<u64>()
    }

    /// Closes all files and makes their names durable.
    pub(super) fn finish(mut self) -> Result<TempDir, SinkError> {
        for part in self.parts.values_mut() {
            if let Some(encoder) = part.open.take() {
                encoder.finish()?;
            }
        }
        let mut folders = std::collections::BTreeSet::from([self.folder.path().to_owned()]);
        for name in self.parts.keys() {
            let full = self.folder.path().join(name);
            folders.extend(full.ancestors().take(self.plan.by.len()).map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        Ok(self.folder)
    }
}

fn begin(plan: &Plan, root: &Path, name: &str, number: usize) -> Result<Encoder, SinkError> {
    let folder = root.join(name);
    let shown = plan.path.join(name);
    fs::create_dir_all(&folder).map_err(|e| refused("making folder", &shown, e))?;
    let file_name = format!("part-{number}.{}", plan.format.ending());
    let file = File::create_new(folder.join(&file_name));
    let file = file.map_err(|e| refused("making file", &shown.join(&file_name), e))?;
    Encoder::create((plan.format, plan.json), file, &plan.schema, &shown.join(&file_name), GROUP_BYTES)
}
