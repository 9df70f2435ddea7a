//! Waiting while another process keeps the database busy.

use std::thread::sleep;
use std::time::Duration;

/// Longest time that a database may be busy before that is an error.
const PATIENCE: Duration = Duration::from_mins(1);
/// Waits before the first attempts; further ones wait as long as the last.
const WAITS_MS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, LAST_WAIT_MS];
const LAST_WAIT_MS: u64 = 100;

/// Called before each further attempt (the first is 0) at a database that another process keeps
/// busy, on the thread that waits; returns true to try again. The wait is up to the handler.
pub type BusyHandler = fn(attempt: i32) -> bool;

/// The wait before a further attempt at a busy database.
///
/// Example:
/// ```
/// use std::time::Duration;
/// use anabranch_storage::BusyWait;
///
/// fn handler(attempt: i32) -> bool {
///     let wait = BusyWait::before(attempt);
///     if wait.reaches(Duration::from_secs(1)) {
///         eprintln!("the store is busy");
///     }
///     wait.sleep()
/// }
/// assert!(handler(0));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BusyWait {
    wait: Duration,
    /// All waits before it.
    waited: Duration,
}

impl BusyWait {
    /// The wait before an attempt, of which the first is 0.
    #[must_use]
    pub fn before(attempt: i32) -> Self {
        let attempt = u64::from(attempt.unsigned_abs());
        let listed = WAITS_MS.iter().zip(0..attempt).map(|(wait, _)| wait).sum::<u64>();
        let further = attempt.saturating_sub(WAITS_MS.len() as u64) * LAST_WAIT_MS;
        let wait =
            usize::try_from(attempt).ok().and_then(|at| WAITS_MS.get(at)).copied().unwrap_or(LAST_WAIT_MS);
        Self { wait: Duration::from_millis(wait), waited: Duration::from_millis(listed + further) }
    }

    /// Returns true if all waits reach the total with this one, and did not before.
    #[must_use]
    pub fn reaches(&self, total: Duration) -> bool {
        self.waited < total && self.waited + self.wait >= total
    }

    /// Waits, unless all waits together become too long; returns true to try again.
    #[must_use]
    pub fn sleep(self) -> bool {
        let goes_on = self.waited < PATIENCE;
        if goes_on {
            sleep(self.wait);
        }
        goes_on
    }
}

/// Waits for up to a minute.
pub(crate) fn wait_quietly(attempt: i32) -> bool {
    BusyWait::before(attempt).sleep()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_add_up_to_a_minute_and_pass_each_sum_once() {
        let waits = || (0..).map(BusyWait::before).take_while(|wait| wait.waited < PATIENCE);
        let sum: Duration = waits().map(|wait| wait.wait).sum();
        assert!((PATIENCE..PATIENCE + Duration::from_millis(100)).contains(&sum), "{sum:?}");
        for total in [1, 500, 1_000, 10_000].map(Duration::from_millis) {
            assert_eq!(waits().filter(|wait| wait.reaches(total)).count(), 1, "{total:?}");
        }
        assert!(!BusyWait::before(10_000).sleep());
    }
}
