//! Local times of a named zone.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::calendar::NANOSECONDS_PER_SECOND;

/// The zone of a name of the IANA database.
pub(crate) fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The last year whose changes of the clock the tables of the database hold.
const LAST_YEAR: i32 = 2099;

/// The same time of a year that the tables hold: that of later years is of the 28 before the end of the tables that
/// begins on the same day of the week and is as long, so that its clocks change on the same days.
fn within_tables(seconds: i64) -> Option<i64> {
    let year = DateTime::from_timestamp(seconds, 0)?.year();
    if year <= LAST_YEAR {
        return Some(seconds);
    }
    let first = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1);
    let later = first(year)?;
    let like = |candidate: &NaiveDate| {
        candidate.weekday() == later.weekday() && candidate.leap_year() == later.leap_year()
    };
    let earlier = (LAST_YEAR - 27..=LAST_YEAR).filter_map(first).find(like)?;
    Some(seconds - later.signed_duration_since(earlier).num_seconds())
}

/// Seconds that the zone is ahead of UTC at an instant in seconds since 1970; `None` outside the
/// years that the database can work on.
pub(crate) fn offset_at(zone: Tz, seconds: i64) -> Option<i64> {
    let instant = DateTime::from_timestamp(within_tables(seconds)?, 0)?;
    Some(i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()))
}

/// The same for a local time. Where the clock was set back the later instant counts, where it was
/// set forward the offset before, as `PostgreSQL` and ICU have it.
pub(crate) fn offset_of_local(zone: Tz, seconds: i64) -> Option<i64> {
    let local: NaiveDateTime = DateTime::from_timestamp(within_tables(seconds)?, 0)?.naive_utc();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_time_goes_on_beyond_the_tables() {
        let zone = zone("America/New_York").expect("a zone of the database");
        for year in [2_037, 2_099, 2_100, 2_123, 2_400, 9_999] {
            for (month, hours) in [(1, -5), (7, -4)] {
                let day = NaiveDate::from_ymd_opt(year, month, 15).expect("a day");
                let noon = day.and_hms_opt(12, 0, 0).expect("a time").and_utc().timestamp();
                assert_eq!(offset_at(zone, noon), Some(hours * 3_600), "{year}-{month}");
                assert_eq!(offset_of_local(zone, noon), Some(hours * 3_600), "{year}-{month}");
            }
        }
    }
}
