//! The two tables: computed from row numbers, so that every engine builds the same in its own form.
//!
//! | table | columns |
//! |---|---|
//! | left | key, a: int64, b: float64, c: string of 10 characters |
//! | right | key, d: int64, e: float64, f: string of 10 characters |

use std::ops::Range;

use crate::cases::{Case, KeyForm, Matching};

/// Rows of a batch or chunk.
pub(crate) const CHUNK_ROWS: usize = 8_192;

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its columns' names: key, whole number, float, text.
    pub(crate) names: [&'static str; 4],
    form: KeyForm,
    keys: Vec<u32>,
    salt: u64,
}

/// Both tables of a case. A test for membership finds every other left row.
pub(crate) fn tables(case: &Case, rows: u32) -> [Table; 2] {
    let fold = case.fold.max(1);
    let shift = if case.matching == Matching::Join { 0 } else { rows / fold / 2 };
    let table = |names, shift, salt| {
        let mut keys: Vec<u32> = (0..rows).map(|row| shift + row / fold).collect();
        shuffle(&mut keys, salt);
        Table { names, form: case.keys, keys, salt }
    };
    [table(["key", "a", "b", "c"], 0, 1), table(["key", "d", "e", "f"], shift, 2)]
}

impl Table {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// True if keys are texts.
    pub(crate) fn has_text_keys(&self) -> bool {
        self.form == KeyForm::Text
    }

    /// The row numbers, a batch at a time.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows();
        (0..rows).step_by(CHUNK_ROWS).map(move |start| start..(start + CHUNK_ROWS).min(rows))
    }

    fn keys(&self, rows: Range<usize>) -> impl Iterator<Item = u32> {
        self.keys.get(rows).unwrap_or_default().iter().copied()
    }

    /// Keys that are numbers.
    pub(crate) fn key_numbers(&self, rows: Range<usize>) -> impl Iterator<Item = i64> {
        let is_dense = self.form == KeyForm::Dense;
        self.keys(rows).map(move |key| if is_dense { i64::from(key) } else { scatter(key) })
    }

    /// Keys that are texts.
    pub(crate) fn key_texts(&self, rows: Range<usize>) -> impl Iterator<Item = String> {
        self.keys(rows).map(|key| format!("k{key:09}"))
    }

    /// The whole numbers.
    pub(crate) fn numbers(&self, rows: Range<usize>) -> impl Iterator<Item = i64> {
        rows.map(|row| self.value(row, 0).cast_signed() % 1_000_000_000)
    }

    /// The floats.
    pub(crate) fn floats(&self, rows: Range<usize>) -> impl Iterator<Item = f64> {
        rows.map(|row| f64::from((self.value(row, 1) >> 32) as u32) / 1_000.0)
    }

    /// The texts.
    pub(crate) fn texts(&self, rows: Range<usize>) -> impl Iterator<Item = String> {
        rows.map(|row| format!("{:010}", self.value(row, 2) % 10_000_000_000))
    }

    fn value(&self, row: usize, column: u64) -> u64 {
        mix((row as u64) << 8 | self.salt << 4 | column)
    }
}

/// A number that looks random, another for each key.
fn scatter(key: u32) -> i64 {
    mix(u64::from(key)).cast_signed()
}

/// A bijection of the 64-bit numbers that leaves no trace of their order (`SplitMix64`).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn shuffle(values: &mut [u32], salt: u64) {
    for at in (1..values.len()).rev() {
        let other = mix(at as u64 ^ (salt << 40)) % (at as u64 + 1);
        values.swap(at, usize::try_from(other).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cases::CASES;

    #[test]
    fn every_key_stands_in_each_table_as_often_as_told() {
        let case = CASES.iter().find(|case| case.fold == 4).unwrap();
        for table in tables(case, 1_000) {
            let keys: Vec<i64> = table.key_numbers(0..1_000).collect();
            assert_eq!(keys.len(), 1_000);
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 250);
            assert!(!keys.is_sorted());
        }
    }

    #[test]
    fn a_test_for_membership_finds_every_other_row() {
        let case = CASES.iter().find(|case| case.matching == Matching::Semijoin).unwrap();
        let [left, right] = tables(case, 1_000);
        let right: BTreeSet<i64> = right.key_numbers(0..1_000).collect();
        assert_eq!(left.key_numbers(0..1_000).filter(|key| right.contains(key)).count(), 500);
    }
}
