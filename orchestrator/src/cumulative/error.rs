//! The error of cumulative sources.

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::names::list;
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::spill::SpillError;
use anabranch_engine::store::StoreError;
use anabranch_engine::types::logical_type;
use anabranch_nodes::source::SourceError;

use crate::store::History;

/// Error of reading, storing or merging the records of a cumulative source. Messages contain no values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CumulativeError {
    /// Columns that are not those of the records kept so far.
    #[error(
        "reading cumulative source \"{source_id}\": found {found}, expected the columns of the records that the store has under this source id; {remedy}give the changed source a source_id of its own"
    )]
    Columns { source_id: String, found: String, remedy: String },
    /// Record ids made of other columns.
    #[error(
        "reading cumulative source \"{source_id}\": found record_id {}, expected {}, of which the record ids in the store are made; give the changed source a source_id of its own",
        list(found),
        list(expected)
    )]
    RecordId { source_id: String, found: Vec<String>, expected: Vec<String> },
    /// A recording that is not one of a source.
    #[error(
        "reading cumulative source \"{source_id}\": its records in the store have no record ids, expected one each; the store is damaged"
    )]
    NoRecordIds { source_id: String },
    /// Two record ids that cannot be distinguished.
    #[error(
        "reading cumulative source \"{source_id}\": two record ids have the same hash, expected distinct ones; choose other record_id columns"
    )]
    Hash { source_id: String },
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows that are put together do not fit on disk.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Rows cannot be put together.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Columns cannot be put together.
    #[error("records could not be put together")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Numbers of records could not be kept on disk.
    #[error("keeping record ids on disk failed; make room in the store's folder")]
    Disk(#[from] std::io::Error),
}

/// Checks that the records kept so far have the source's columns and record ids.
pub(super) fn check(
    source_id: &str,
    schema: &StreamSchema,
    record_id: &[String],
    history: &History,
) -> Result<(), CumulativeError> {
    if history.record_id != record_id {
        let (found, expected) = (record_id.to_vec(), history.record_id.clone());
        return Err(CumulativeError::RecordId { source_id: source_id.to_owned(), found, expected });
    }
    let kept = &history.recording.schema;
    let (mut found, mut types) = (Vec::new(), Vec::new());
    for field in schema.columns() {
        match kept.find(field.name()) {
            None => found.push(format!("column \"{}\" added", field.name())),
            Some((_, _, before)) if before.data_type() != field.data_type() => {
                let before = logical_type(before.data_type());
                let now = logical_type(field.data_type());
                found.push(format!("column \"{}\" now {now}, {before} before", field.name()));
                types.push(format!("{}: {before}", field.name()));
            }
            Some(_) => {}
        }
    }
    let gone = kept.columns().filter(|field| schema.find(field.name()).is_none());
    found.extend(gone.map(|field| format!("column \"{}\" gone", field.name())));
    if found.is_empty() {
        return Ok(());
    }
    // The inferred types of a file may change with its text, or with a later version of this program.
    let remedy = match &types[..] {
        [] => "give it its columns back, or ".to_owned(),
        types => format!("read it as before by `types: {{ {} }}`, or ", types.join(", ")),
    };
    Err(CumulativeError::Columns { source_id: source_id.to_owned(), found: found.join(", "), remedy })
}

crate::store::from_store_errors!(CumulativeError: ReadError, RecordError);
