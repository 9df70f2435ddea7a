//! A hundred runs over a million packets, each with ten that are new, in one store.

use std::path::Path;
use std::time::{Duration, Instant};

use anabranch::Store;

use crate::error::{BenchError, Cause};
use crate::lines::{Line, millis, table};
use crate::measure::{forget_peak, peak, resident};
use crate::options::Options;
use crate::packets::{self, folder_bytes, native};

/// Runs after the first.
const RUNS: u32 = 100;
/// New packets of each.
const NEW: u32 = 10;
/// Rows of the small runs.
const FEW: u32 = 1_000;

/// Where new packets are among those that are known.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// Behind all others.
    Behind,
    /// Each in the place of another, all over the table.
    Between,
}

/// Measures all of it and gives tables.
pub(crate) fn measure(options: &Options) -> Result<String, BenchError> {
    let lines = |place| lines(options.rows, place).map_err(|cause| BenchError::Store { cause });
    let behind =
        table("a history of 100 runs, ten new packets behind the others in each", &lines(Where::Behind)?);
    let between = table("the same, ten packets all over the table changed in each", &lines(Where::Between)?);
    Ok(behind + "\n" + &between)
}

fn lines(rows: u32, place: Where) -> Result<Vec<Line>, Cause> {
    let dir = tempfile::tempdir()?;
    let (file, folder) = (dir.path().join("packets.arrow"), dir.path().join("store"));
    let mut numbers: Vec<u32> = (0..rows).collect();
    packets::write(&file, numbers.iter().copied())?;
    forget_peak()?;
    let base = resident()?;
    let first = run(&folder, &file)?;
    let (size_of_first, memory_of_first) = (folder_bytes(&folder)?, peak()?.saturating_sub(base));
    let mut times = Vec::new();
    forget_peak()?;
    let base = resident()?;
    for run in 0..RUNS {
        change(&mut numbers, rows, run, place);
        packets::write(&file, numbers.iter().copied())?;
        times.push(self::run(&folder, &file)?);
    }
    let (size, memory) = (folder_bytes(&folder)?, peak()?.saturating_sub(base));
    let mut small = Vec::new();
    for run in 0..NEW {
        change(&mut numbers, rows, RUNS + run, Where::Behind);
        // The last rows, of which the last ten are new.
        let last = numbers.iter().copied().skip(numbers.len().saturating_sub(FEW as usize));
        packets::write(&file, last)?;
        small.push(self::run(&folder, &file)?);
    }
    times.sort_unstable();
    small.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let ratio = size as f64 / size_of_first as f64;
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    Ok(vec![
        Line::new("first run", millis(first)),
        Line::new("a run of ten new ones among all, median", millis(middle(&times))).bounds("2,000 ms", ""),
        Line::new("the slowest of these", millis(longest(&times))).bounds("2,000 ms", ""),
        Line::new("a run of ten new ones among 1,000 rows, median", millis(middle(&small)))
            .bounds("1,000 ms", ""),
        Line::new("the slowest of these", millis(longest(&small))).bounds("1,000 ms", ""),
        Line::new("memory beyond that before, first run", mib(memory_of_first)),
        Line::new("memory beyond that before, later runs", mib(memory)),
        Line::new("store after the first run", mib(size_of_first)),
        Line::new("store after all of them, beside that", format!("{ratio:.2} x")).bounds("3 x", ""),
    ])
}

/// A run on a store that is opened for it, as a process does.
fn run(folder: &Path, file: &Path) -> Result<Duration, Cause> {
    let (pipeline, _) = native(file)?;
    let begun = Instant::now();
    let store = Store::open(folder)?;
    pipeline.run(&store)?;
    drop(store);
    Ok(begun.elapsed())
}

/// Brings ten numbers in that no run had before.
fn change(numbers: &mut Vec<u32>, rows: u32, run: u32, place: Where) {
    let new = (0..NEW).map(|n| rows + run * NEW + n);
    match place {
        Where::Behind => numbers.extend(new),
        Where::Between => {
            for number in new {
                // Steps without a common divisor with most numbers of rows.
                let at = (number as usize * 382_021) % numbers.len();
                if let Some(changed) = numbers.get_mut(at) {
                    *changed = number;
                }
            }
        }
    }
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn longest(sorted: &[Duration]) -> Duration {
    sorted.last().copied().unwrap_or_default()
}
