//! Positions of values that a function gave: the result's key, and the row that recorded it.

/// Bits of a result key in a position; those above hold the row.
const KEY_BITS: u32 = 80;
/// Rows of a recording that differ.
const MOST_ROWS: u64 = (1 << 48) - 1;

/// The position of an output: the first 80 bits of its result's key, and, where the node records,
/// the row's number in the recording of its [`Origin::Output`](super::Origin::Output).
///
/// The row is in no string and in no order: two runs that record the rows in another order give the
/// same tokens. It leads from a value to the very row that gave it, also where two rows have equal
/// packets.
#[must_use]
pub fn output_position(key: u128, row: Option<u64>) -> u128 {
    let number = row.filter(|row| *row < MOST_ROWS).map_or(0, |row| row + 1);
    output_key(key) | (u128::from(number) << KEY_BITS)
}

/// The key in the position of an output.
#[must_use]
pub fn output_key(position: u128) -> u128 {
    position & ((1 << KEY_BITS) - 1)
}

/// The row in the position of an output, if it has one.
#[must_use]
pub fn output_row(position: u128) -> Option<u64> {
    u64::try_from(position >> KEY_BITS).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_row_come_back_and_the_row_stands_in_no_key() {
        let key = (1 << 80) - 1;
        for row in [None, Some(0), Some(7), Some(MOST_ROWS - 1)] {
            let position = output_position(key, row);
            assert_eq!((output_key(position), output_row(position)), (key, row));
        }
        assert_eq!(output_row(output_position(key, Some(MOST_ROWS))), None);
    }
}
