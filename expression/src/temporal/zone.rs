//! Local times of a named zone.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::calendar::NANOSECONDS_PER_SECOND;

/// The zone of a name of the IANA database.
pub(crate) fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// Seconds that the zone is ahead of UTC at an instant in seconds since 1970; `None` outside the
/// years that the database can work on.
pub(crate) fn offset_at(zone: Tz, seconds: i64) -> Option<i64> {
    let instant = DateTime::from_timestamp(seconds, 0)?;
    Some(i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()))
}

/// The same for a local time. Where the clock was set back the later instant counts, where it was
/// set forward the offset before, as PostgreSQL and ICU have it.
pub(crate) fn offset_of_local(zone: Tz, seconds: i64) -> Option<i64> {
    let local: NaiveDateTime = DateTime::from_timestamp(seconds, 0)?.naive_utc();
    let offset = match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix(),
        LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::days(1))?;
            match zone.offset_from_local_datetime(&before) {
                LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix(),
                LocalResult::None => return None,
            }
        }
    };
    Some(i64::from(offset.local_minus_utc()))
}

/// Whole seconds, rounded down, of a count of units.
pub(crate) fn whole_seconds(count: i64, nanoseconds_per_unit: i64) -> i64 {
    count.div_euclid(NANOSECONDS_PER_SECOND / nanoseconds_per_unit)
}
