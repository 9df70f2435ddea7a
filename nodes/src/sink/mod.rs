//! Sinks: rows become files, which appear under their names only when they are whole.
//!
//! ```text
//! Writer::create --write()*--> Writer --finish()--> Finished --publish()--> the file
//!      \______________________________\_________________\____ dropped: nothing is left
//! ```
//!
//! Rows go to a hidden file beside the target; [`Finished`] is on disk; [`Finished::publish`]
//! renames it. So all files of a run can be finished first and published together. A folder takes the
//! place of an earlier one in one step. A process that is killed leaves a hidden `.name.<unique>.tmp`,
//! never part of the target; the next run that writes the target removes it.
//!
//! Source: own.

mod csv;
mod destination;
mod encoder;
mod error;
pub(crate) mod json;
mod leaf_form;
mod parquet;
mod partition;
mod plain;
mod replace;
mod stage;
pub(crate) mod staging;
mod synced_file;
mod target;

pub use destination::Destination;
pub use error::SinkError;
pub use json::JsonText;
pub use stage::{Outbox, SinkCounters, SinkStage};

use std::path::{Path, PathBuf};

use anabranch_engine::chunk::{Columns, arrow_schema};
use anabranch_engine::identity::Structure;
use anabranch_engine::schema::StreamSchema;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use tempfile::TempPath;

use encoder::{Encoder, SINGLE_GROUP_BYTES};
use partition::Partitions;
use target::{Staged, Target, TargetKind};

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet, compressed with Snappy.
    Parquet,
    /// CSV with a header line; null is an empty field, an empty string is `""`, and a string that
    /// reads as another type, as a comment or as a usual sign of null stands in quotes. No lists, structs
    /// or maps.
    Csv,
    /// One JSON object per line with every column in it. Numbers have all their digits; those that JSON
    /// does not have (`NaN`, infinities) are null; times and binaries are strings. [`JsonOptions`] says
    /// otherwise.
    JsonLines,
    /// Arrow IPC file.
    Arrow,
}

impl Format {
    /// The format that a path's ending names.
    pub fn from_path(path: &Path) -> Result<Self, SinkError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            Some("jsonl") => Ok(Self::JsonLines),
            Some("arrow") => Ok(Self::Arrow),
            _ => {
                let expected = "one of .parquet, .csv, .jsonl, .arrow";
                Err(error::unfit(path, "no known ending", expected, "choose a path that ends in one"))
            }
        }
    }

    /// The ending of its files.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Arrow => "arrow",
        }
    }
}

/// Treatment of a target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// It is replaced when the new one is whole.
    #[default]
    Replace,
    /// Nothing is written.
    Error,
}

/// The form of numbers in JSON lines that not every reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// `NaN` and infinities, for which JSON has no number.
    pub nan: NonFinite,
    /// Decimals and 64-bit integers, which many readers take for floats.
    pub exact: Numbers,
}

/// Form of `NaN` and infinities in JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// They are null, and the summary of the run counts them.
    #[default]
    Null,
    /// They are `"NaN"`, `"Infinity"` and `"-Infinity"`.
    String,
    /// They are an error that names column and row.
    Error,
}

/// The form of decimals and 64-bit integers in JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// Numbers with all their digits.
    #[default]
    Number,
    /// The same digits in a string.
    String,
}

/// Specification of a file or folder to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteSpec {
    /// The form.
    pub format: Format,
    /// The file, or with `partition_by` the folder.
    pub path: PathBuf,
    /// Columns of the rows to be written; the writer takes them as they come.
    pub columns: Columns,
    /// Columns whose values become folders: `col=value/part-0.parquet`.
    pub partition_by: Vec<String>,
    /// Treatment of a target that exists.
    pub if_exists: IfExists,
    /// The form of numbers in JSON lines; of no effect in other formats.
    pub json: JsonOptions,
}

impl WriteSpec {
    /// Data columns to one file, replacing it.
    #[must_use]
    pub fn new(format: Format, path: impl Into<PathBuf>) -> Self {
        Self {
            format,
            path: path.into(),
            columns: Columns::Data,
            partition_by: Vec::new(),
            if_exists: IfExists::Replace,
            json: JsonOptions::default(),
        }
    }

    /// Checks at plan time what [`Writer::create`] checks again: whether the format can hold the
    /// columns, and whether `partition_by` names some of them.
    pub fn check(&self, schema: &StreamSchema) -> Result<(), SinkError> {
        let schema = arrow_schema(schema, self.columns);
        if self.partition_by.is_empty() {
            return encoder::check(self.format, &self.path, &schema);
        }
        partition::Plan::new(self, &schema).map(drop)
    }

    /// Hidden files and folders beside the target that killed processes have left.
    #[must_use]
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let kind =
            if self.partition_by.is_empty() { TargetKind::File } else { TargetKind::Folder(String::new()) };
        Target::leftovers(&self.path, &kind)
    }

    /// Writes what makes it this sink into its identity: everything but the path.
    pub fn identify(&self, structure: &mut Structure) {
        structure.text("write");
        structure.text(self.format.ending());
        structure.flag(self.columns == Columns::All);
        structure.texts(&self.partition_by);
        // Without options the identity is the one of versions that had none.
        match self.json.nan {
            NonFinite::Null => {}
            NonFinite::String => structure.text("nan as string"),
            NonFinite::Error => structure.text("nan as error"),
        }
        if self.json.exact == Numbers::String {
            structure.text("exact as string");
        }
    }
}

/// A target being written. Dropping it leaves nothing behind.
///
/// Memory: for Parquet 64 MiB of encoded rows, partitioned 2 MiB for each of at most 64 open
/// files; otherwise a buffer of 256 KiB per open file.
///
/// Example:
/// ```
/// use std::sync::Arc;
/// use anabranch_nodes::sink::{Format, WriteSpec, Writer};
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("out/numbers.csv");
/// let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
/// let batch = RecordBatch::try_from_iter([("n", numbers), ("m", Arc::new(Int64Array::from(vec![3, 4])))])?;
///
/// let mut writer = Writer::create(&WriteSpec::new(Format::Csv, &path), &batch.schema())?;
/// writer.write(&batch)?;
/// let finished = writer.finish()?;
/// assert!(!path.exists());
/// finished.publish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "n,m\n1,3\n,4\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "what is not finished and published is removed"]
#[derive(Debug)]
pub struct Writer {
    output: SinkOutput,
    // Dropped last: it removes the folders it made, which have to be empty by then.
    target: Target,
}

#[derive(Debug)]
enum SinkOutput {
    File { encoder: Box<Encoder>, staged: TempPath },
    Folder(Box<Partitions>),
}

impl Writer {
    /// Begins to write rows of these columns.
    ///
    /// Errors: columns that the format cannot hold, a target that is not to be replaced, and
    /// those of the system. Folders on the way are made.
    pub fn create(spec: &WriteSpec, schema: &Schema) -> Result<Self, SinkError> {
        if spec.partition_by.is_empty() {
            encoder::check(spec.format, &spec.path, schema)?;
            let mut target = Target::prepare(&spec.path, spec.if_exists, TargetKind::File)?;
            let (file, staged) = target.staging.file()?;
            let encoder =
                Encoder::create((spec.format, spec.json), file, schema, &spec.path, SINGLE_GROUP_BYTES)?;
            return Ok(Self { output: SinkOutput::File { encoder: Box::new(encoder), staged }, target });
        }
        let plan = partition::Plan::new(spec, schema)?;
        let kind = TargetKind::Folder(plan.first_folder_prefix());
        let mut target = Target::prepare(&spec.path, spec.if_exists, kind)?;
        let folder = target.staging.folder()?;
        let output = SinkOutput::Folder(Box::new(Partitions::new(plan, folder)));
        Ok(Self { output, target })
    }

    /// Appends rows. Blocks.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        match &mut self.output {
            SinkOutput::File { encoder, .. } => encoder.write(batch),
            SinkOutput::Folder(partitions) => partitions.write(batch),
        }
    }

    /// Values so far that are `NaN` or infinite and were written as null or as a string to JSON lines.
    #[must_use]
    pub fn non_finite(&self) -> u64 {
        match &self.output {
            SinkOutput::File { encoder, .. } => encoder.non_finite(),
            SinkOutput::Folder(partitions) => partitions.non_finite(),
        }
    }

    /// Writes what is left; when this returns, everything is on disk under a hidden name.
    pub fn finish(self) -> Result<Finished, SinkError> {
        let Self { output, target } = self;
        let staged = match output {
            SinkOutput::File { encoder, staged } => {
                encoder.finish()?;
                Staged::File(staged)
            }
            SinkOutput::Folder(partitions) => Staged::Folder(partitions.finish()?),
        };
        Ok(Finished { staged, target })
    }
}

/// A target that is whole, but not yet under its name. Dropping it leaves nothing behind.
#[must_use = "what is not published is removed"]
#[derive(Debug)]
pub struct Finished {
    staged: Staged,
    // Dropped last, as in `Writer`.
    target: Target,
}

impl Finished {
    /// Returns the target its name, durably.
    ///
    /// A file or folder is replaced in one step; where the file system cannot exchange two folders, by
    /// several renames that the next run finishes if this one is killed between them.
    pub fn publish(self) -> Result<(), SinkError> {
        self.target.publish(self.staged)
    }

    /// The path that will be published.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }
}
