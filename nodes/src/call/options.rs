//! Options of a function's calls: concurrency, timeout, retries, rate, and the treatment of failures.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use anabranch_engine::identity::PacketHash;

/// Use of stored results by a function node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Takes them, and stores what it computes.
    #[default]
    Reuse,
    /// Computes again and makes the new versions current.
    Refresh,
    /// Neither reads nor writes the store.
    Off,
    /// Takes them and computes nothing; a packet without a result is an error.
    Replay,
    /// Computes again, compares with them, and leaves the store as it is.
    Verify,
}

/// Treatment of a packet that failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The run fails; what was finished before is kept.
    #[default]
    Stop,
    /// Its rows are left out and counted.
    Skip,
    /// Its rows are left out, and it is written down with its input and its error.
    SetAside,
}

/// In which order a function node gives its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputOrder {
    /// As they came in; a slow packet holds up those behind it.
    #[default]
    Input,
    /// As they are computed: undefined.
    Arrival,
}

/// Calls per second at least: who wants fewer than one a day has mistaken the unit.
pub const LEAST_RATE: f64 = 1e-5;
/// Calls per second at most.
pub const MOST_RATE: f64 = 1e6;
/// The longest wait between two attempts.
pub const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// Number of attempts at a packet, and the waits between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    attempts: NonZeroU32,
    backoff: Duration,
    jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: NonZeroU32::MIN, backoff: Duration::from_millis(200), jitter: 0.5 }
    }
}

impl Retry {
    /// Number of attempts in all; one means none after a failure.
    ///
    /// The wait is 200 ms after the first attempt and doubles with each, up to five minutes.
    #[must_use]
    pub fn attempts(attempts: NonZeroU32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// The wait after the first attempt.
    #[must_use]
    pub fn backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// The part of a wait that is left to chance, from 0 to 1 (0.5 if not given): packets that failed
    /// together are not tried again together.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter: if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 }, ..self }
    }

    /// The wait after a failed attempt (the first is 1); none if there is no further attempt.
    ///
    /// The same packet waits equally long in each run.
    #[must_use]
    pub fn delay(&self, packet: &PacketHash, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts.get() {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let longest = self.backoff.saturating_mul(doubled).min(LONGEST_DELAY);
        Some(longest.mul_f64(1.0 - self.jitter * part(packet, attempt)))
    }
}

/// A number from 0 to 1 that a packet and an attempt always have.
fn part(packet: &PacketHash, attempt: u32) -> f64 {
    let bytes = packet.0.0.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    // One round of splitmix64, which spreads neighbouring attempts.
    let mut bits = bytes.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let high = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(high) / f64::from(u32::MAX)
}

/// A number of calls per second that was no such number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "rate: found {found}, expected calls per second, from {LEAST_RATE} (about one a day) to {MOST_RATE}; remove it for no limit"
)]
pub struct RateError {
    found: f64,
}

/// Calls per second at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// Number of calls per second: 0.5 is one every two seconds.
    pub fn per_second(calls: f64) -> Result<Self, RateError> {
        if (LEAST_RATE..=MOST_RATE).contains(&calls) {
            Ok(Self(calls))
        } else {
            Err(RateError { found: calls })
        }
    }

    /// The time from one call to the next.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

/// Options of a function node's calls; none of them is part of an identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallOptions {
    /// Calls that may be under way at once.
    pub concurrency: NonZeroUsize,
    /// Maximum time of an attempt.
    pub timeout: Option<Duration>,
    /// Number of attempts at a packet.
    pub retry: Retry,
    /// Calls per second at most.
    pub rate: Option<Rate>,
    /// Treatment of a packet that failed for good.
    pub on_error: OnError,
    /// The order of the rows.
    pub order: OutputOrder,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::MIN,
            timeout: None,
            retry: Retry::default(),
            rate: None,
            on_error: OnError::Stop,
            order: OutputOrder::Input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::Digest;

    fn packet(byte: u8) -> PacketHash {
        PacketHash(Digest([byte; 32]))
    }

    fn retry(attempts: u32, backoff: u64) -> Retry {
        Retry::attempts(NonZeroU32::new(attempts).unwrap()).backoff(Duration::from_millis(backoff))
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_end_with_the_attempts() {
        let plain = retry(4, 200).jitter(0.0);
        let waits: Vec<_> = (1..=4).map(|attempt| plain.delay(&packet(1), attempt)).collect();
        let millis = |n| Some(Duration::from_millis(n));
        assert_eq!(waits, [millis(200), millis(400), millis(800), None]);
        assert_eq!(Retry::default().delay(&packet(1), 1), None);
        let long = retry(u32::MAX, 200).jitter(0.0);
        for attempt in [12, 31, 32, 33, 64, u32::MAX - 1] {
            assert_eq!(long.delay(&packet(1), attempt), Some(LONGEST_DELAY));
        }
    }

    #[test]
    fn chance_shortens_waits_equally_in_each_run_and_differently_for_each_packet() {
        let half = retry(9, 1_000).jitter(0.5);
        let waits: Vec<Duration> = (0..200).map(|n| half.delay(&packet(n), 1).unwrap()).collect();
        assert!(waits.iter().all(|w| (500..=1_000).contains(&w.as_millis())), "{waits:?}");
        let again: Vec<Duration> = (0..200).map(|n| half.delay(&packet(n), 1).unwrap()).collect();
        assert_eq!(waits, again);
        let mut distinct = waits;
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 190);
        assert!(distinct[20] < Duration::from_millis(600) && distinct[180] > Duration::from_millis(900));
    }

    #[test]
    fn a_rate_is_a_number_that_somebody_can_mean() {
        assert_eq!(Rate::per_second(0.5).unwrap().interval(), Duration::from_secs(2));
        assert_eq!(Rate::per_second(1e-5).unwrap().interval(), Duration::from_secs(100_000));
        for wrong in [0.0, -1.0, 1e-300, 0.9e-5, f64::NAN, f64::INFINITY, 1e7] {
            assert!(Rate::per_second(wrong).is_err(), "{wrong}");
        }
    }
}
