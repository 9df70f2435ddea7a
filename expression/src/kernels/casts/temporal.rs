//! Casts of dates, times and timestamps among each other.

use arrow::datatypes::{DataType, Int64Type, Time64NanosecondType};

use crate::kernels::by_row::{collect, each};
use crate::kernels::numbers::{Wide, counted};
use crate::kernels::{Function, Reason};
use crate::temporal::calendar::NANOSECONDS_PER_DAY;
use crate::temporal::nanoseconds_per;

/// The cast of a point or a span of time to another type of them; `None` where SQL has none.
pub(super) fn temporal(from: &DataType, to: &DataType) -> Option<Function> {
    let (mine, other) = match (from, to) {
        (DataType::Date32, DataType::Timestamp(unit, _)) => {
            (NANOSECONDS_PER_DAY, i128::from(nanoseconds_per(*unit)))
        }
        (DataType::Timestamp(unit, _), DataType::Date32) => {
            (i128::from(nanoseconds_per(*unit)), NANOSECONDS_PER_DAY)
        }
        (DataType::Timestamp(unit, _), DataType::Timestamp(target, _))
        | (DataType::Duration(unit), DataType::Duration(target)) => {
            (i128::from(nanoseconds_per(*unit)), i128::from(nanoseconds_per(*target)))
        }
        (DataType::Timestamp(unit, _), DataType::Time64(_)) => {
            let per_unit = i128::from(nanoseconds_per(*unit));
            return Some(Function::of_one(move |value, rows| {
                let wide = Wide::of(value);
                Ok(collect::<Time64NanosecondType>(rows, |row| {
                    let of_day = |count: i128| (count * per_unit).rem_euclid(NANOSECONDS_PER_DAY);
                    wide.get(row).map(|v| i64::try_from(of_day(v)).map_err(|_| Reason::Time)).transpose()
                }))
            }));
        }
        _ => return None,
    };
    let to = to.clone();
    Some(Function::of_one(move |value, rows| {
        let wide = Wide::of(value);
        let convert = |count: i128| {
            let nanoseconds = count.checked_mul(mine)?;
            // The day that holds it, or the nearest unit.
            let day = || Some(nanoseconds.div_euclid(other));
            if other == NANOSECONDS_PER_DAY { day() } else { to_unit(nanoseconds, other) }
        };
        let answer = each::<i128, Int64Type>(wide.side(), value, rows, |count| {
            convert(count).and_then(|count| count.try_into().ok()).ok_or(Reason::Time)
        });
        counted(answer, &to, Reason::Time)
    }))
}

/// The nearest unit, half away from 1970, as `DuckDB` does where the standard leaves the choice.
pub(super) fn to_unit(nanoseconds: i128, unit: i128) -> Option<i128> {
    nanoseconds.checked_add(nanoseconds.signum() * (unit / 2)).map(|n| n / unit)
}
