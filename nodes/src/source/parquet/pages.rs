//! Pages of a column, with checks that the format's library leaves out.
//!
//! - A data page of version 2 should end with a row, and some writers let a row go on in the next one.
//!   The library takes the page's end for the row's end, so that a list would be torn in two. Here the
//!   first repetition level of the next page decides.
//! - The pages of a column chunk have as many values as the footer counts.
//! - INT96 timestamps fit the unit that they are read in; the library lets them wrap.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::TimeUnit;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::sizes::PagedFile;
use crate::source::error::{Place, SourceError};

/// Bytes of an INT96 value.
const INT96_BYTES: usize = 12;
const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;
const DAY_NANOS: i128 = 86_400_000_000_000;

/// Why pages of a file were refused, since the library keeps but a text of it.
#[derive(Debug, Clone, Default)]
pub(super) struct PageFaults(Arc<OnceLock<PageFault>>);

#[derive(Debug)]
struct PageFault {
    column: String,
    found: &'static str,
    expected: &'static str,
    remedy: &'static str,
}

impl PageFaults {
    /// The error that a page was refused with, if one was.
    pub(super) fn explain(&self, path: &str) -> Option<SourceError> {
        let fault = self.0.get()?;
        let found = format!("{} in column \"{}\"", fault.found, fault.column);
        Some(SourceError::format(Place::Whole(path.to_owned()), found, fault.expected, fault.remedy))
    }
}

/// The pages of one column chunk.
pub(super) struct CheckedPages {
    pages: SerializedPageReader<PagedFile>,
    /// The next page, where it had to be looked at.
    ahead: Option<Page>,
    column: String,
    levels: Levels,
    /// Values that the footer counts, and those in the pages so far.
    counted: i64,
    values: i64,
    int96_unit: Option<TimeUnit>,
    faults: PageFaults,
}

/// Greatest levels of a column.
#[derive(Debug, Clone, Copy)]
struct Levels {
    repetition: i16,
    definition: i16,
}

impl CheckedPages {
    pub(super) fn new(
        pages: SerializedPageReader<PagedFile>,
        chunk: &ColumnChunkMetaData,
        int96_unit: Option<TimeUnit>,
        faults: PageFaults,
    ) -> Self {
        let descriptor = chunk.column_descr();
        let levels =
            Levels { repetition: descriptor.max_rep_level(), definition: descriptor.max_def_level() };
        let column = descriptor.path().string();
        Self {
            pages,
            ahead: None,
            column,
            levels,
            counted: chunk.num_values(),
            values: 0,
            int96_unit,
            faults,
        }
    }

    fn refuse(&self, found: &'static str, expected: &'static str, remedy: &'static str) -> ParquetError {
        let fault = PageFault { column: self.column.clone(), found, expected, remedy };
        // The first fault is the one that ends the reading.
        let _ = self.faults.0.set(fault);
        ParquetError::General(format!("column {} has {found}", self.column))
    }

    /// The next page that has values, or a dictionary.
    fn fetch(&mut self) -> Result<Option<Page>> {
        loop {
            let Some(page) = self.pages.get_next_page()? else {
                if self.values == self.counted {
                    return Ok(None);
                }
                let expected = "as many values as the footer counts";
                return Err(self.refuse("another number of values", expected, "write the file again"));
            };
            self.check_timestamps(&page)?;
            if matches!(page, Page::DictionaryPage { .. }) {
                return Ok(Some(page));
            }
            self.values = self.values.saturating_add(page.num_values().into());
            if page.num_values() > 0 {
                return Ok(Some(page));
            }
        }
    }

    fn check_timestamps(&self, page: &Page) -> Result<()> {
        let Some(unit) = self.int96_unit else { return Ok(()) };
        let Some(values) = int96_values(page, self.levels) else { return Ok(()) };
        let (values, _) = values.as_chunks::<INT96_BYTES>();
        if values.iter().all(|value| fits(*value, unit)) {
            return Ok(());
        }
        let expected = "INT96 timestamps that 64 bits hold in the unit of the column";
        let remedy =
            "name the other unit: `types: { COLUMN: timestamp }` reads microseconds, none nanoseconds";
        Err(self.refuse("a timestamp that cannot be read without loss", expected, remedy))
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        match self.ahead.take() {
            Some(page) => Ok(Some(page)),
            None => self.fetch(),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.ahead.is_none() {
            self.ahead = self.fetch()?;
        }
        Ok(self.ahead.as_ref().map(|page| PageMetadata {
            // Unknown, since a row may begin in the page before.
            num_rows: None,
            num_levels: Some(page.num_values() as usize),
            is_dict: matches!(page, Page::DictionaryPage { .. }),
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(drop)
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.peek_next_page()?;
        let Some(page) = &self.ahead else { return Ok(true) };
        first_repetition(page, self.levels.repetition)
            .map(|level| level == 0)
            .ok_or_else(|| ParquetError::General(format!("a page of column {} has no levels", self.column)))
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Bits that levels up to the greatest one take.
fn bits(max_level: i16) -> u32 {
    i16::BITS - max_level.max(0).leading_zeros()
}

/// The first repetition level of a data page; none where there is no whole one.
fn first_repetition(page: &Page, max_level: i16) -> Option<u32> {
    let width = bits(max_level);
    match page {
        _ if width == 0 => Some(0),
        Page::DataPageV2 { buf, rep_levels_byte_len, .. } => {
            first_of_runs(buf.get(..usize::try_from(*rep_levels_byte_len).ok()?)?, width)
        }
        Page::DataPage { buf, rep_level_encoding: Encoding::RLE, .. } => {
            let (length, rest) = buf.split_first_chunk::<4>()?;
            first_of_runs(rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?, width)
        }
        // The old form has no lengths, and its first bits are the highest.
        Page::DataPage { buf, .. } => Some(u32::from_be_bytes(padded(buf)) >> (u32::BITS - width)),
        Page::DictionaryPage { .. } => None,
    }
}

fn padded(bytes: &[u8]) -> [u8; 4] {
    let mut padded = [0; 4];
    padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    padded
}

/// The first value of runs that repeat a value or pack several, least bits first.
fn first_of_runs(mut data: &[u8], width: u32) -> Option<u32> {
    loop {
        let (mut header, mut shift) = (0_u64, 0);
        loop {
            let (byte, rest) = data.split_first()?;
            data = rest;
            header |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let packed = header & 1 == 1;
        let bytes = if packed { 1 } else { width.div_ceil(8) as usize };
        if header >> 1 == 0 {
            data = if packed { data } else { data.get(bytes..)? };
            continue;
        }
        data.get(..bytes)?;
        let value = u32::from_le_bytes(padded(data));
        return Some(value & (1_u32.checked_shl(width)? - 1));
    }
}

/// The plain INT96 values of a page; none where they refer to a dictionary, which was checked before.
fn int96_values(page: &Page, levels: Levels) -> Option<&[u8]> {
    match page {
        Page::DictionaryPage { buf, .. } => Some(buf),
        Page::DataPageV2 {
            buf, encoding: Encoding::PLAIN, rep_levels_byte_len, def_levels_byte_len, ..
        } => buf.get(usize::try_from(rep_levels_byte_len.checked_add(*def_levels_byte_len)?).ok()?..),
        Page::DataPage { buf, encoding: Encoding::PLAIN, .. } => {
            let mut rest: &[u8] = buf;
            for max_level in [levels.repetition, levels.definition] {
                if max_level > 0 {
                    let (length, behind) = rest.split_first_chunk::<4>()?;
                    rest = behind.get(usize::try_from(u32::from_le_bytes(*length)).ok()?..)?;
                }
            }
            Some(rest)
        }
        _ => None,
    }
}

/// True if an INT96 timestamp is a whole number of units within 64 bits.
fn fits(value: [u8; INT96_BYTES], unit: TimeUnit) -> bool {
    let (Some(nanos), Some(day)) = (value.first_chunk(), value.last_chunk()) else { return false };
    let nanos = i64::from_le_bytes(*nanos);
    let day = i64::from(i32::from_le_bytes(*day)) - JULIAN_DAY_OF_EPOCH;
    let instant = i128::from(day) * DAY_NANOS + i128::from(nanos);
    let per_unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    instant % per_unit == 0 && i64::try_from(instant / per_unit).is_ok()
}
