//! The form of the leaves of a row group of Parquet: with a dictionary or without, compressed or not.
//!
//! Motivation: a dictionary of values that nearly all differ is given up after a megabyte, and was hashed in vain in every
//! row group; compressing what does not get smaller costs a tenth of a run.
//!
//! ```text
//! a full row group --saves nothing by it--> candidate --a sample of the next group agrees--> that group does without
//!                                              \-------the sample disagrees------> with it, and to be shown anew
//! ```
//!
//! Guarantee: a form that a row group lacks would have saved some hundredths of a leaf, as far as the group before and the first
//! rows of the group itself tell.

use parquet::basic::{Compression, Encoding, PageType, Type};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::WriterPropertiesBuilder;

/// The form of one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeafForm {
    dictionary: bool,
    compressed: bool,
}

impl Default for LeafForm {
    fn default() -> Self {
        Self { dictionary: true, compressed: true }
    }
}

impl LeafForm {
    /// The form that is worth a trial in the next group, from a full group in this form.
    pub(super) fn after(self, group: &ColumnChunkMetaData) -> Self {
        let dictionary = self.dictionary && !was_given_up_early(group);
        Self { dictionary, compressed: self.compressed && is_smaller_compressed(group) }
    }

    /// The form for a group from a sample of its rows that was written with everything.
    pub(super) fn agreed(self, sample: &ColumnChunkMetaData) -> Self {
        let dictionary = self.dictionary || is_smaller_by_dictionary(sample);
        Self { dictionary, compressed: self.compressed || is_smaller_compressed(sample) }
    }

    /// Properties of a writer in which the leaf has this form.
    pub(super) fn set(
        self,
        leaf: &ColumnChunkMetaData,
        to: WriterPropertiesBuilder,
    ) -> WriterPropertiesBuilder {
        let path = || leaf.column_path().clone();
        let to = if self.dictionary { to } else { to.set_column_dictionary_enabled(path(), false) };
        if self.compressed { to } else { to.set_column_compression(path(), Compression::UNCOMPRESSED) }
    }
}

/// Bytes of a value in plain form, for types without a length of their own of which a dictionary never saves much once it is given
/// up early.
fn plain_bytes(leaf: &ColumnChunkMetaData) -> Option<i64> {
    match leaf.column_type() {
        Type::INT32 | Type::FLOAT => Some(4),
        Type::INT64 | Type::DOUBLE => Some(8),
        _ => None,
    }
}

/// True if at most a quarter of the pages were written with the dictionary, before it was full.
fn was_given_up_early(leaf: &ColumnChunkMetaData) -> bool {
    let pages = |wanted: &dyn Fn(Encoding) -> bool| -> i64 {
        let all = leaf.page_encoding_stats().into_iter().flatten();
        let data = all.filter(|pages| pages.page_type == PageType::DATA_PAGE && wanted(pages.encoding));
        data.map(|pages| i64::from(pages.count)).sum()
    };
    let with = pages(&|encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY));
    plain_bytes(leaf).is_some() && pages(&|_| true) > 0 && with * 4 <= pages(&|_| true)
}

fn is_smaller_by_dictionary(leaf: &ColumnChunkMetaData) -> bool {
    plain_bytes(leaf).is_none_or(|bytes| leaf.uncompressed_size() < leaf.num_values() * bytes)
}

/// True if compression saved three hundredths or more.
fn is_smaller_compressed(leaf: &ColumnChunkMetaData) -> bool {
    leaf.compressed_size() * 100 <= leaf.uncompressed_size() * 97
}
