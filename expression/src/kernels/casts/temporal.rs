//! Casts of dates, times and timestamps among each other.

use arrow::datatypes::DataType;

use crate::kernels::times::{mapped, nanoseconds_of};
use crate::kernels::{Function, Reason};
use crate::temporal::calendar::NANOSECONDS_PER_DAY;

/// The cast of a point or a span of time to another type of them; `None` where SQL has none.
pub(super) fn temporal(from: &DataType, to: &DataType) -> Option<Function> {
    use DataType as D;
    let known = matches!(
        (from, to),
        (D::Date32, D::Timestamp(..))
            | (D::Timestamp(..), D::Date32 | D::Timestamp(..) | D::Time64(_))
            | (D::Duration(_), D::Duration(_))
    );
    known.then_some(())?;
    let (mine, other) = (nanoseconds_of(from)?, nanoseconds_of(to)?);
    let of_day = matches!(to, D::Time64(_));
    mapped(to, move |count| {
        let nanoseconds = count.checked_mul(mine).ok_or(Reason::Time)?;
        if of_day {
            return Ok(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY));
        }
        // The day that holds it, or the nearest unit.
        if other == NANOSECONDS_PER_DAY {
            return Ok(nanoseconds.div_euclid(other));
        }
        to_unit(nanoseconds, other).ok_or(Reason::Time)
    })
}

/// The nearest unit, half away from 1970, as `DuckDB` does where the standard leaves the choice.
pub(super) fn to_unit(nanoseconds: i128, unit: i128) -> Option<i128> {
    nanoseconds.checked_add(nanoseconds.signum() * (unit / 2)).map(|n| n / unit)
}
