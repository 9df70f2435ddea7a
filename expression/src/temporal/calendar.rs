//! The proleptic Gregorian calendar, exact for every day that a date holds.

pub(crate) const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;
pub(crate) const MICROSECONDS: i64 = 1_000_000;
pub(crate) const NANOSECONDS_PER_DAY: i128 = 86_400_000_000_000;

/// Year, month (1 to 12) and day (1 to 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

const DAYS_PER_ERA: i64 = 146_097;

/// The civil date of a number of days since 1970, by eras of 400 years that begin in March.
pub(crate) fn civil(days: i64) -> Civil {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * march_month + 2) / 5 + 1,
    }
}

/// Days since 1970 of a date of the calendar; the month is 1 to 12, the day is not checked.
pub(crate) fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - 719_468
}

/// Days since 1970 of a date; `None` where there is no such day.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> Option<i32> {
    let valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if valid { i32::try_from(days_from(year, month, day)).ok() } else { None }
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Day of the week, Monday 1 to Sunday 7.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Day of the year from 1.
pub(crate) fn day_of_year(days: i64) -> i64 {
    days - days_from(civil(days).year, 1, 1) + 1
}

/// ISO year and week.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days + 4 - iso_weekday(days);
    let year = civil(thursday).year;
    (year, (thursday - days_from(year, 1, 1)) / 7 + 1)
}

/// The days with so many months added; a day beyond the month's end becomes its last.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let Civil { year, month, day } = civil(days);
    let total = year * 12 + (month - 1) + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days_from(year, month, day.min(days_in_month(year, month)))
}

/// The first day of the unit that holds the day.
pub(crate) fn truncate_days(part: &str, days: i64) -> Option<i64> {
    let Civil { year, month, .. } = civil(days);
    Some(match part {
        "millennium" => days_from((year - 1).div_euclid(1_000) * 1_000 + 1, 1, 1),
        "century" => days_from((year - 1).div_euclid(100) * 100 + 1, 1, 1),
        "decade" => days_from(year.div_euclid(10) * 10, 1, 1),
        "year" => days_from(year, 1, 1),
        "isoyear" => {
            let fourth = days_from(iso_week(days).0, 1, 4);
            fourth - (iso_weekday(fourth) - 1)
        }
        "quarter" => days_from(year, (month - 1) / 3 * 3 + 1, 1),
        "month" => days_from(year, month, 1),
        "isoweek" => days - (iso_weekday(days) - 1),
        "day" => days,
        _ => return None,
    })
}

/// Number of the unit that holds the day, counted from any fixed one: differences count its borders.
pub(crate) fn ordinal(part: &str, days: i64) -> Option<i64> {
    let Civil { year, month, .. } = civil(days);
    Some(match part {
        "millennium" => (year - 1).div_euclid(1_000),
        "century" => (year - 1).div_euclid(100),
        "decade" => year.div_euclid(10),
        "year" => year,
        "isoyear" => iso_week(days).0,
        "quarter" => year * 4 + (month - 1) / 3,
        "month" => year * 12 + month,
        "isoweek" => (days + 3).div_euclid(7),
        "day" => days,
        _ => return None,
    })
}

/// The period of so many years that holds the year; there is no period 0, as there is none in the count of centuries.
fn period(year: i64, years: i64) -> i64 {
    if year > 0 { (year - 1) / years + 1 } else { year / years - 1 }
}

/// A part of a date as SQL counts it, and as `DuckDB` does for years before the first; `None` for parts of the clock.
pub(crate) fn date_part(part: &str, days: i64) -> Option<i64> {
    let Civil { year, month, day } = civil(days);
    Some(match part {
        "millennium" => period(year, 1_000),
        "century" => period(year, 100),
        "decade" => year / 10,
        "isoyear" => iso_week(days).0,
        "year" => year,
        "quarter" => (month - 1) / 3 + 1,
        "month" => month,
        "dayofyear" => day_of_year(days),
        "dayofweek" => iso_weekday(days) % 7,
        "isoweek" => iso_week(days).1,
        "isodow" => iso_weekday(days),
        "day" => day,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn days_are_those_of_another_calendar() {
        let mut days = -1_000_000_i64;
        while days < 4_000_000 {
            let known = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days + 719_163).unwrap()).unwrap();
            let found = civil(days);
            assert_eq!(found.year, i64::from(known.year()), "{days}");
            assert_eq!((found.month, found.day), (i64::from(known.month()), i64::from(known.day())));
            assert_eq!(days_from(found.year, found.month, found.day), days);
            assert_eq!(
                iso_week(days),
                (i64::from(known.iso_week().year()), i64::from(known.iso_week().week()))
            );
            assert_eq!(iso_weekday(days), i64::from(known.weekday().number_from_monday()));
            assert_eq!(day_of_year(days), i64::from(known.ordinal()));
            days += 37;
        }
    }

    #[test]
    fn periods_of_years_are_counted_from_the_first_year_to_either_side() {
        let parts = |year: i64| {
            let part = |name| date_part(name, days_from(year, 7, 1)).unwrap();
            (part("millennium"), part("century"), part("decade"))
        };
        assert_eq!(parts(2_001), (3, 21, 200));
        assert_eq!(parts(2_000), (2, 20, 200));
        assert_eq!(parts(1), (1, 1, 0));
        assert_eq!(parts(0), (-1, -1, 0));
        assert_eq!(parts(-99), (-1, -1, -9));
        assert_eq!(parts(-100), (-1, -2, -10));
        assert_eq!(parts(-1_000), (-2, -11, -100));
    }

    #[test]
    fn months_end_where_they_end() {
        let day = |y, m, d| days_from(y, m, d);
        assert_eq!(add_months(day(2024, 1, 31), 1), day(2024, 2, 29));
        assert_eq!(add_months(day(2024, 3, 31), -13), day(2023, 2, 28));
        assert_eq!(truncate_days("quarter", day(2024, 6, 30)), Some(day(2024, 4, 1)));
        assert_eq!(truncate_days("isoweek", day(2024, 2, 29)), Some(day(2024, 2, 26)));
        assert_eq!(civil(i64::from(i32::MIN)).year, -5_877_641);
    }
}
