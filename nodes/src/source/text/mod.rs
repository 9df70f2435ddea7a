//! The one text form of each type: record ids, CSV fields and JSON strings are written by it and
//! read back from it.
//!
//! | type | text |
//! |---|---|
//! | bool | `true`, `false` |
//! | integers | decimal: `-7` |
//! | floats | fewest digits that read back as the same number, always with a point or an exponent: `1.0`, `0.1`, `1e300`; `NaN`, `inf`, `-inf` |
//! | string | as it is |
//! | binary | lower-case hex: `00ff` |
//! | date | `YYYY-MM-DD`; years beyond 0..9999 with sign: `+12345-01-01`, `-0044-03-15` |
//! | time | `HH:MM:SS`, then `.` and as many digits of the fraction as are needed |
//! | timestamp | `YYYY-MM-DDTHH:MM:SS` and fraction as above; `timestamp_utc` in UTC with `Z` at the end |
//! | duration | `PT1.5S`: seconds and fraction as above; negative ones `-PT1.5S` |
//! | decimal | plain, with all digits of its scale: `1.50` |
//!
//! The unit of a time makes no difference. Lists, structs and maps have no text form.

mod calendar;
mod form;
mod integer_range;
mod parse;
mod pattern;

pub(crate) use form::TextForm;
pub(crate) use integer_range::IntegerRange;
pub(super) use parse::{
    Float, bool_of, bytes_of, count, date, decimal, duration, float_of, integer, is_whole, per_second,
    plain_integer, special_float, time, timestamp,
};
pub(crate) use pattern::TimeFormat;
