//! The one place that reads the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 in UTC; 0 if the clock stands before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now_unix_millis() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
