//! Output of a run: a count of rows, and a sum that depends on every value but not on order.

use crate::data::mix;

/// Rows counted, and summed up where asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Number of rows.
    pub(crate) rows: u64,
    /// Sum of a hash of each row; 0 where values were not looked at.
    pub(crate) sum: u64,
}

impl Tally {
    /// Counts rows.
    pub(crate) fn count(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Counts and sums up rows, given as one word for each value of each column.
    pub(crate) fn add(&mut self, rows: usize, columns: &[Vec<u64>]) {
        self.count(rows);
        let mut hashes = vec![0_u64; rows];
        for column in columns {
            for (hash, word) in hashes.iter_mut().zip(column) {
                *hash = mix(*hash ^ word);
            }
        }
        self.sum = hashes.into_iter().fold(self.sum, u64::wrapping_add);
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// The word of a text.
pub(crate) fn text_word(text: &str) -> u64 {
    text.bytes().fold(text.len() as u64, |word, byte| mix(word ^ u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(columns: &[Vec<u64>]) -> Tally {
        let mut tally = Tally::default();
        tally.add(columns[0].len(), columns);
        tally
    }

    #[test]
    fn the_order_of_rows_makes_no_difference_but_their_pairing_does() {
        let whole = tally(&[vec![1, 2], vec![3, 4]]);
        assert_eq!(whole, tally(&[vec![2, 1], vec![4, 3]]));
        assert_ne!(whole, tally(&[vec![1, 2], vec![4, 3]]));
        assert_eq!(whole, tally(&[vec![1], vec![3]]).and(tally(&[vec![2], vec![4]])));
    }
}
