//! Time, processor time and memory of this process.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::error::BenchError;

/// The time that one round took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// By the clock.
    pub(crate) wall: Duration,
    /// Of all threads together.
    pub(crate) processor: Duration,
}

/// Times some work.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Round) {
    let (processor, wall) = (processor_time(), Instant::now());
    let done = work();
    let wall = wall.elapsed();
    (done, Round { wall, processor: processor_time().saturating_sub(processor) })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Share of the machine's cores that other processes take, from its making on.
#[derive(Debug)]
pub(crate) struct Others {
    busy: Duration,
    own: Duration,
    begun: Instant,
}

/// A tick of the kernel's counters: it tells them to users in hundredths of a second.
const TICK_MILLISECONDS: u64 = 10;

impl Others {
    /// Begins to watch.
    pub(crate) fn watch() -> Result<Self, BenchError> {
        Ok(Self { busy: machine_busy()?, own: processor_time(), begun: Instant::now() })
    }

    /// Their share of all cores since then: 0 where this process was alone, 1 where it stood still.
    pub(crate) fn share(&self) -> Result<f64, BenchError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let there_was = self.begun.elapsed().as_secs_f64() * f64::from(u32::try_from(cores).unwrap_or(1));
        let busy = machine_busy()?.saturating_sub(self.busy);
        let others = busy.saturating_sub(processor_time().saturating_sub(self.own));
        Ok(others.as_secs_f64() / there_was)
    }
}

/// The time that all cores together were not idle, what the host took away included.
fn machine_busy() -> Result<Duration, BenchError> {
    let fault = |cause| BenchError::Io { what: "/proc/stat", cause };
    let text = std::fs::read_to_string("/proc/stat").map_err(fault)?;
    let counters = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = counters.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen] = *ticks.as_slice() else {
        return Err(fault(std::io::ErrorKind::InvalidData.into()));
    };
    let busy: u64 = [user, nice, system, interrupts, soft_interrupts, stolen].into_iter().sum();
    Ok(Duration::from_millis(busy.saturating_mul(TICK_MILLISECONDS)))
}

/// Middle, least and greatest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The middle one; the mean of the middle two of an even count.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The greatest.
    pub(crate) greatest: f64,
}

impl Spread {
    /// None of no numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
        Some(Self { median: f64::midpoint(lower, upper), least: *sorted.first()?, greatest: *sorted.last()? })
    }
}

/// Bytes in memory now.
pub(crate) fn resident() -> Result<u64, BenchError> {
    status("VmRSS:")
}

/// The most bytes that were in memory since [`forget_peak`].
pub(crate) fn peak() -> Result<u64, BenchError> {
    status("VmHWM:")
}

/// Lets [`peak`] begin anew.
pub(crate) fn forget_peak() -> Result<(), BenchError> {
    std::fs::write("/proc/self/clear_refs", "5")
        .map_err(|cause| BenchError::Io { what: "/proc/self/clear_refs", cause })
}

fn status(line: &str) -> Result<u64, BenchError> {
    let fault = |cause| BenchError::Io { what: "/proc/self/status", cause };
    let text = std::fs::read_to_string("/proc/self/status").map_err(fault)?;
    let kibibytes = text.lines().find_map(|l| l.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
    kibibytes.map(|kib: u64| kib * 1024).ok_or_else(|| fault(std::io::ErrorKind::InvalidData.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Some(Spread { median: 2.5, least: 1.0, greatest: 4.0 }));
        assert_eq!(Spread::of([5.0, 1.0, 9.0]).map(|s| s.median), Some(5.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_share_of_others_is_a_share() {
        let others = Others::watch().unwrap();
        let begun = Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // A thread that works alone on a core leaves the others at most the rest; a tick may be astray.
        let cores = std::thread::available_parallelism().unwrap().get();
        let own = processor_time().saturating_sub(others.own).as_secs_f64();
        let there_was = others.begun.elapsed().as_secs_f64() * f64::from(u32::try_from(cores).unwrap());
        let share = others.share().unwrap();
        let astray = 2.0 * f64::from(u32::try_from(cores).unwrap()) * 0.01 / there_was;
        assert!((0.0..=1.0 - own / there_was + astray).contains(&share), "a share of {share}");
    }

    #[test]
    fn the_peak_rises_with_memory_in_use_and_can_be_forgotten() {
        forget_peak().unwrap();
        let before = peak().unwrap();
        let filled = vec![1_u8; 64 << 20];
        assert!(std::hint::black_box(&filled).iter().all(|byte| *byte == 1));
        assert!(peak().unwrap() >= before + (60 << 20));
        drop(filled);
    }
}
