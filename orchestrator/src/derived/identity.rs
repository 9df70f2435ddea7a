//! Record ids of recorded rows: digests of their provenance.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::Structure;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

/// Computes digests of rows of one schema.
///
/// A digest covers every system tag pair and every source info token of the row, with the names of
/// their columns, in the order of these names.
#[derive(Debug)]
pub(super) struct RowDigests {
    /// Names and positions, sorted.
    tags: Vec<(String, usize)>,
    packets: Vec<(String, usize)>,
}

impl RowDigests {
    pub(super) fn new(schema: &StreamSchema) -> Self {
        let sorted = |names: Vec<String>| {
            let mut named: Vec<(String, usize)> = names.into_iter().zip(0..).collect();
            named.sort_unstable();
            named
        };
        Self {
            tags: sorted(schema.system_tags().iter().map(|tag| tag.stem().to_string()).collect()),
            packets: sorted(schema.packets().iter().map(|field| field.name().clone()).collect()),
        }
    }

    /// Returns the first 128 bits of the digest of each row.
    ///
    /// Errors: a record id string that could not be read back from disk.
    pub(super) fn of(&self, chunk: &Chunk, origins: &Origins) -> std::io::Result<Vec<u128>> {
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        for (name, at) in &self.tags {
            let (sources, records) = origins.pairs(chunk.provenance().tags.at(*at, "system tag"))?;
            columns.extend([(name.as_str(), sources), (name.as_str(), records)]);
        }
        for (name, at) in &self.packets {
            columns.push((name.as_str(), origins.tokens(chunk.provenance().sources.at(*at, "source info"))?));
        }
        let digest = |row: usize| {
            let mut structure = Structure::new("recorded row");
            structure.list(columns.len());
            for (name, column) in &columns {
                structure.text(name);
                put(&mut structure, column, row);
            }
            let digest = structure.finish();
            digest.0.iter().take(16).fold(0, |first, byte| (first << 8) | u128::from(*byte))
        };
        Ok((0..chunk.rows()).map(digest).collect())
    }
}

/// Writes a string, or lists of strings.
fn put(structure: &mut Structure, column: &ArrayRef, row: usize) {
    structure.flag(column.is_valid(row));
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            structure.list(items.len());
            (0..items.len()).for_each(|item| put(structure, &items, item));
        }
        _ => structure.text(column.as_string_view().value(row)),
    }
}

/// Returns the record id of a row from its digest and the number of rows before it with the same digest.
pub(super) fn record_id(digest: u128, earlier: u64) -> String {
    format!("{digest:032x}.{earlier}")
}
