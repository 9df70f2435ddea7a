//! Damage, the same for the same seed.

/// Numbers that look random (`SplitMix64`).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers that lengths and offsets are set to.
const EXTREME: [u64; 10] = [
    0,
    u64::MAX,
    i64::MAX as u64,
    1 << 63,
    1 << 40,
    u32::MAX as u64,
    i32::MAX as u64,
    1 << 31,
    0x7f7f_7f7f_7f7f_7f7f,
    255,
];

/// The bytes after one to three kinds of damage: flipped bits, a cut, pieces that are doubled, lost, moved or
/// blank, numbers of four or eight bytes and of variable length that are extreme.
pub(crate) fn mutated(bytes: &[u8], seed: u64) -> Vec<u8> {
    let numbers = &mut Numbers::new(seed);
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(3) {
        damage(&mut bytes, numbers);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let to = (at + 1 + numbers.below(64)).min(bytes.len());
    match numbers.below(9) {
        0 | 1 => {
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
        2 => bytes.truncate(at),
        3 => {
            let piece = bytes[at..to].to_vec();
            bytes.splice(at..at, piece);
        }
        4 => drop(bytes.drain(at..to)),
        5 => bytes[at..to].fill(0),
        6 => {
            let piece = bytes[at..to].to_vec();
            let other = numbers.below(bytes.len());
            bytes.splice(other..other, piece);
        }
        7 => {
            // Mostly lengths lie at multiples of their size.
            let width = [4, 8][numbers.below(2)];
            let at = if numbers.below(2) == 0 { at } else { at / width * width };
            let value = EXTREME[numbers.below(EXTREME.len())].to_le_bytes();
            for (byte, new) in bytes.iter_mut().skip(at).zip(&value[..width]) {
                *byte = *new;
            }
        }
        _ => {
            // A number of variable length that is as large as they get.
            let long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            let width = [3, 5, 9][numbers.below(3)];
            let end = (at + 1).min(bytes.len());
            bytes.splice(at..end, long[9 - width..].iter().copied());
        }
    }
}
