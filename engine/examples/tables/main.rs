//! Nanoseconds and bytes a key of the hash tables of this workspace, beside those of `hashbrown`:
//! `cargo run --release -p anabranch-engine --example tables [USE]`.
//!
//! All tables of a use do the same in turn, in one process, and their answers are compared. Printed are the least times of
//! several rounds, as a table of `bench/results.md`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::indexing_slicing, reason = "a measurement may fail")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the places of its tables are small numbers, and halves are halves"
)]

mod differ;
mod function;
mod members;
mod rows;
mod versions;

use std::time::{Duration, Instant};

use anabranch_engine::prefetch::{AHEAD, prefetched};

/// As in the other measurements.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a chunk, as in a pipeline.
const CHUNK_ROWS: usize = 8_192;

/// Keys of a use, by their hashes.
struct Keys {
    all: Vec<u64>,
    /// As many of them, in another order.
    hits: Vec<u64>,
    /// As many others.
    misses: Vec<u64>,
}

impl Keys {
    fn new(count: usize) -> Self {
        let count = count as u64;
        let all: Vec<u64> = (0..count).map(hash).collect();
        let hits = (0..count).map(|n| hash(hash(n) % count)).collect();
        Self { all, hits, misses: (count..2 * count).map(hash).collect() }
    }
}

/// A number that looks like a hash, another for each.
fn hash(n: u64) -> u64 {
    const ODD: u64 = 0xd6e8_feb8_6659_fd93;
    let once = (n ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(ODD);
    let twice = (once ^ once >> 32).wrapping_mul(ODD);
    twice ^ twice >> 32
}

/// Times and bytes of a table.
struct Outcome {
    times: Vec<Duration>,
    bytes: usize,
    /// The same for all tables of a use.
    answer: u64,
}

/// A table by its name, and what it does.
struct Contestant {
    name: &'static str,
    run: fn(&Keys) -> Outcome,
}

/// A table of one partition: rows by hash, or hashes alone.
trait Part: Default {
    /// Adds a row, later than those before; the number is that of the partition.
    fn add(&mut self, part: usize, hash: u64, row: u32);
    /// A number for what is there, another for what is not.
    fn find(&self, hash: u64) -> u64;
    fn prefetch(&self, _: u64) {}
    fn bytes(&self) -> usize;
}

const PARTS: usize = 256;

/// The partition of a hash, by other bits than those that choose places.
fn part_of(hash: u64) -> usize {
    usize::from(hash.to_le_bytes()[3])
}

/// The hash as `hashbrown` takes it, whose tag is the highest seven bits and whose places are the lowest: the bits that the
/// hashes of a partition have in common are among neither.
fn spread(hash: u64) -> u64 {
    hash.rotate_left(8)
}

/// Adds all keys, chunk by chunk; looks up what is there and what is not.
fn partitioned<P: Part>(keys: &Keys) -> Outcome {
    let (parts, added) = timed(|| {
        let mut parts: Vec<P> = (0..PARTS).map(|_| P::default()).collect();
        for (hashes, first) in keys.all.chunks(CHUNK_ROWS).zip((0..).step_by(CHUNK_ROWS)) {
            hashes.iter().take(AHEAD).for_each(|hash| parts[part_of(*hash)].prefetch(*hash));
            for (at, (hash, row)) in hashes.iter().zip(first..).enumerate() {
                if let Some(hash) = hashes.get(at + AHEAD) {
                    parts[part_of(*hash)].prefetch(*hash);
                }
                parts[part_of(*hash)].add(part_of(*hash), *hash, row);
            }
        }
        parts
    });
    let ((hits, hit), (misses, miss)) =
        (timed(|| found(&parts, &keys.hits)), timed(|| found(&parts, &keys.misses)));
    let bytes = parts.iter().map(P::bytes).sum();
    Outcome { times: vec![added, hit, miss], bytes, answer: hits.wrapping_mul(3).wrapping_add(misses) }
}

fn found<P: Part>(parts: &[P], hashes: &[u64]) -> u64 {
    let part = |hash: &u64| &parts[part_of(*hash)];
    let of_chunk = |hashes: &[u64]| -> u64 {
        let ahead = prefetched(hashes.iter(), |hash| part(hash).prefetch(*hash));
        ahead.map(|hash| part(hash).find(*hash)).fold(0, u64::wrapping_add)
    };
    hashes.chunks(CHUNK_ROWS).map(of_chunk).fold(0, u64::wrapping_add)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

/// A use of tables.
struct Use {
    name: &'static str,
    phases: &'static [&'static str],
    sizes: &'static [usize],
    contestants: &'static [Contestant],
}

const USES: &[Use] =
    &[members::HASHES, members::KEYS, rows::ROWS, versions::VERSIONS, differ::DIFFER, function::FLIGHTS];

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    for each in USES.iter().filter(|each| each.name.contains(&only)) {
        println!("| {} | keys | {}, ns | bytes a key |", each.name, each.phases.join(", ns | "));
        println!("|---|---|{}---|", "---|".repeat(each.phases.len()));
        for size in each.sizes {
            compare(each, *size);
        }
        println!();
    }
}

fn compare(each: &Use, size: usize) {
    let keys = Keys::new(size);
    let rounds = (20_000_000 / size).clamp(5, 300);
    let mut least: Vec<Outcome> = each.contestants.iter().map(|contestant| (contestant.run)(&keys)).collect();
    for _ in 1..rounds {
        for (contestant, least) in each.contestants.iter().zip(&mut least) {
            let outcome = (contestant.run)(&keys);
            least.times.iter_mut().zip(outcome.times).for_each(|(least, time)| *least = time.min(*least));
        }
    }
    for (contestant, outcome) in each.contestants.iter().zip(&least) {
        assert_eq!(
            outcome.answer, least[0].answer,
            "the answers of {} are those of the first",
            contestant.name
        );
        #[expect(clippy::cast_precision_loss, reason = "sizes and times are small enough")]
        let of_key = |sum: u128| sum as f64 / size as f64;
        let times: Vec<String> =
            outcome.times.iter().map(|time| format!("{:.1}", of_key(time.as_nanos()))).collect();
        let bytes = of_key(outcome.bytes as u128);
        println!("| {} | {size} | {} | {bytes:.1} |", contestant.name, times.join(" | "));
    }
}
