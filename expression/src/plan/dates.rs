//! Arithmetic and functions of dates, times and durations.

use arrow::datatypes::{DataType, TimeUnit};

use super::arithmetic::number_type;
use super::common::finest;
use super::{Operand, Planned, Planner};
use crate::kernels::steps::Typed;
use crate::kernels::{Function, times};
use crate::syntax::tree::{Binary, Node};
use crate::temporal::format::{Format, Point};
use crate::temporal::interval::Interval;
use crate::temporal::nanoseconds_per;

const DAYS_REMEDY: &str = "cast one of them, or use AT TIME ZONE";

impl Planner<'_> {
    /// `left operator right` where one of them is a date, a time or a duration; `None` elsewhere.
    pub(super) fn temporal_arithmetic(
        &self,
        node: &Node,
        operator: Binary,
        left: &Operand,
        right: &Operand,
    ) -> Planned<Option<Typed>> {
        let is_temporal =
            |operand: &Operand| number_type(operand).is_some_and(|t| times::nanoseconds_of(&t).is_some());
        if !is_temporal(left) && !is_temporal(right) {
            return Ok(None);
        }
        let minus = operator == Binary::Subtract;
        let adds = minus || operator == Binary::Add;
        let moved = match (left, right) {
            (Operand::Typed(value), Operand::Span(span)) if adds => {
                let span = if minus { span.negated() } else { Some(*span) };
                let span = span.ok_or_else(|| self.apart(node, left, right))?;
                self.add_span(node, value.clone(), span)?
            }
            (Operand::Span(span), Operand::Typed(value)) if operator == Binary::Add => {
                self.add_span(node, value.clone(), *span)?
            }
            (Operand::Typed(value), Operand::String(text)) if adds => {
                let other = self.read_string(node, text, &value.data_type)?;
                self.combined(node, minus, value.clone(), other)?
            }
            (Operand::String(text), Operand::Typed(value)) if minus => {
                let other = self.read_string(node, text, &value.data_type)?;
                self.combined(node, minus, other, value.clone())?
            }
            (Operand::Typed(l), Operand::Typed(r)) if is_temporal(left) && is_temporal(right) => {
                match operator {
                    Binary::Divide if is_duration(l) && is_duration(r) => {
                        let function =
                            times::ratio(&l.data_type, &r.data_type).expect("durations are counts");
                        self.call(node, function, vec![l.clone(), r.clone()], DataType::Float64)?
                    }
                    _ if adds => self.combined(node, minus, l.clone(), r.clone())?,
                    _ => return Err(self.apart(node, left, right)),
                }
            }
            (Operand::Null, Operand::Typed(value)) | (Operand::Typed(value), Operand::Null) => {
                Typed::null(&value.data_type)
            }
            _ => self.with_count(node, operator, left, right)?,
        };
        Ok(Some(moved))
    }

    /// A date and a number of days, or a duration and a factor.
    fn with_count(&self, node: &Node, operator: Binary, left: &Operand, right: &Operand) -> Planned<Typed> {
        let wrong = || self.apart(node, left, right);
        let (value, count, first) = match (left, right) {
            (Operand::Typed(value), count) if times::nanoseconds_of(&value.data_type).is_some() => {
                (value.clone(), count.clone(), true)
            }
            (count, Operand::Typed(value)) => (value.clone(), count.clone(), false),
            _ => return Err(wrong()),
        };
        if !count.is_integer() {
            return Err(wrong());
        }
        let count = self.as_type(node, count, &DataType::Int64).map_err(|_| wrong())?;
        let data_type = value.data_type.clone();
        let function = match (&data_type, operator) {
            (DataType::Date32, Binary::Add) => times::add_days(false),
            (DataType::Date32, Binary::Subtract) if first => times::add_days(true),
            (DataType::Duration(_), Binary::Multiply) => times::scale(&data_type, false),
            (DataType::Duration(_), Binary::Divide | Binary::IntegerDivide) if first => {
                times::scale(&data_type, true)
            }
            _ => None,
        };
        self.call(node, function.ok_or_else(wrong)?, vec![value, count], data_type)
    }

    /// The sum or the difference of points in time and durations.
    fn combined(&self, node: &Node, minus: bool, left: Typed, right: Typed) -> Planned<Typed> {
        use DataType as D;
        let target = match (&left.data_type, &right.data_type) {
            (D::Date32, D::Date32) if minus => D::Duration(TimeUnit::Millisecond),
            (D::Timestamp(l, a), D::Timestamp(r, b)) if minus && a.is_some() == b.is_some() => {
                D::Duration(finest(*l, *r))
            }
            (D::Date32, D::Timestamp(unit, None)) | (D::Timestamp(unit, None), D::Date32) if minus => {
                D::Duration(*unit)
            }
            (D::Time64(_), D::Time64(_)) if minus => D::Duration(TimeUnit::Nanosecond),
            (D::Duration(l), D::Duration(r)) => D::Duration(finest(*l, *r)),
            (D::Timestamp(l, zone), D::Duration(r)) => D::Timestamp(finest(*l, *r), zone.clone()),
            (D::Duration(l), D::Timestamp(r, zone)) if !minus => D::Timestamp(finest(*l, *r), zone.clone()),
            (D::Date32, D::Duration(unit)) => D::Timestamp(*unit, None),
            (D::Duration(unit), D::Date32) if !minus => D::Timestamp(*unit, None),
            (l, r) => {
                let found = format!("types {} and {}", super::name(l), super::name(r));
                return Err(self.wrong(
                    node,
                    found,
                    "points in time whose difference or sum has a type",
                    DAYS_REMEDY,
                ));
            }
        };
        let function = times::combine(&left.data_type, &right.data_type, &target, minus);
        self.call(node, function.expect("points in time are counts"), vec![left, right], target)
    }

    /// A date stays one where only months and days are added; a timestamp takes a unit that holds the span.
    fn add_span(&self, node: &Node, value: Typed, span: Interval) -> Planned<Typed> {
        let holds = |unit: TimeUnit| span.nanoseconds % nanoseconds_per(unit) == 0;
        let finer = |unit: TimeUnit| {
            let units = [unit, TimeUnit::Microsecond, TimeUnit::Nanosecond];
            units.into_iter().find(|unit| holds(*unit)).unwrap_or(TimeUnit::Nanosecond)
        };
        let target = match &value.data_type {
            DataType::Date32 if span.nanoseconds == 0 => DataType::Date32,
            DataType::Date32 => DataType::Timestamp(finer(TimeUnit::Microsecond), None),
            DataType::Timestamp(unit, zone) => DataType::Timestamp(finer(*unit), zone.clone()),
            DataType::Time64(_) if span.months == 0 && span.days == 0 => value.data_type.clone(),
            other => {
                let found = format!("an interval beside type {}", super::name(other));
                return Err(self.wrong(
                    node,
                    found,
                    "an interval beside a date or a timestamp",
                    "cast it to one",
                ));
            }
        };
        let value = self.coerce(node, value, &target)?;
        let function = times::add(span, &target).expect("points in time are counts");
        self.call(node, function, vec![value], target)
    }

    pub(super) fn extract(&self, node: &Node, part: &'static str, value: &Node) -> Planned<Typed> {
        let value = self.point(node, value)?;
        let target = times::part_type(part, &value.data_type);
        let function = times::part(part, &value.data_type);
        let (Some(target), Some(function)) = (target, function) else {
            return Err(self.wrong(
                node,
                format!("type {}, which has no {part}", super::name(&value.data_type)),
                "a date, a time or a timestamp that has one",
                "cast it, as in CAST(x AS TIMESTAMP)",
            ));
        };
        self.call(node, function, vec![value], target)
    }

    /// An operand as a date, a time or a timestamp.
    pub(super) fn point(&self, node: &Node, value: &Node) -> Planned<Typed> {
        let operand = self.operand(value)?;
        match operand {
            Operand::Typed(value) if times::nanoseconds_of(&value.data_type).is_some() => Ok(value),
            Operand::Null => Ok(Typed::null(&DataType::Timestamp(TimeUnit::Microsecond, None))),
            other => {
                let found = super::describe(&other);
                Err(self.wrong(
                    node,
                    found,
                    "a date, a time or a timestamp",
                    "cast it, as in CAST(x AS TIMESTAMP)",
                ))
            }
        }
    }

    pub(super) fn truncated(&self, node: &Node, part: &'static str, value: &Node) -> Planned<Typed> {
        let value = self.point(node, value)?;
        let data_type = value.data_type.clone();
        let function =
            times::truncate(part, &data_type).ok_or_else(|| self.no_unit(node, part, &data_type))?;
        self.call(node, function, vec![value], data_type)
    }

    pub(super) fn difference(
        &self,
        node: &Node,
        part: &'static str,
        from: &Node,
        to: &Node,
    ) -> Planned<Typed> {
        let (from_value, to_value) = (self.operand(from)?, self.operand(to)?);
        let (data_type, values) = match (&from_value, &to_value) {
            (Operand::String(_), Operand::Typed(_)) | (Operand::Typed(_), Operand::String(_)) => {
                self.meet(node, vec![from_value, to_value])?
            }
            _ => (DataType::Null, vec![self.point(node, from)?, self.point(node, to)?]),
        };
        let mut values = values.into_iter();
        let (Some(from), Some(to)) = (values.next(), values.next()) else {
            unreachable!("two operands were given");
        };
        let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
        if zoned(&from.data_type) != zoned(&to.data_type) {
            return Err(self.apart(node, &Operand::Typed(from), &Operand::Typed(to)));
        }
        let function = times::difference(part, &from.data_type, &to.data_type).ok_or_else(|| {
            self.no_unit(node, part, if data_type == DataType::Null { &from.data_type } else { &data_type })
        })?;
        self.call(node, function, vec![from, to], DataType::Int64)
    }

    fn no_unit(&self, node: &Node, part: &str, data_type: &DataType) -> crate::error::ExpressionError {
        self.wrong(
            node,
            format!("type {} and the unit {part}", super::name(data_type)),
            "a unit of the type",
            "cast it, as in CAST(x AS TIMESTAMP)",
        )
    }

    pub(super) fn at_time_zone(&self, node: &Node, value: &Node, zone: &str) -> Planned<Typed> {
        let value = self.point(node, value)?;
        let (unit, to_instant) = match &value.data_type {
            DataType::Timestamp(unit, zone) => (*unit, zone.is_none()),
            other => {
                let found = format!("type {}", super::name(other));
                return Err(self.wrong(node, found, "a timestamp", "cast it, as in CAST(x AS TIMESTAMP)"));
            }
        };
        let function = times::shift_zone(zone, unit, to_instant).ok_or_else(|| {
            let found = format!("the zone \"{zone}\"");
            self.wrong(node, found, "a name of the IANA database, as 'Europe/Berlin'", "write such a name")
        })?;
        let target = DataType::Timestamp(unit, to_instant.then(|| "UTC".into()));
        self.call(node, function, vec![value], target)
    }

    /// `STRFTIME(t, format)`; a format that the type cannot fill is refused.
    pub(super) fn formatted(&self, node: &Node, value: &Node, format: &Node) -> Planned<Typed> {
        let value = self.point(node, value)?;
        let format = self.literal_string(node, format)?;
        let wrong = || {
            self.wrong(
                node,
                "a format that the type cannot fill",
                "a format of strftime with fields of the type",
                "use fields as %Y, %m, %d, %H, %M, %S",
            )
        };
        let format = Format::for_writing(&format).ok_or_else(wrong)?;
        let sample = match &value.data_type {
            DataType::Date32 => Point::date(0),
            DataType::Time64(_) => Point::time(0),
            DataType::Timestamp(_, zone) => Point::timestamp(0, zone.is_some()),
            _ => None,
        };
        sample.and_then(|sample| format.write(sample)).ok_or_else(wrong)?;
        let function = times::write(format, &value.data_type).ok_or_else(wrong)?;
        self.call(node, function, vec![value], DataType::Utf8View)
    }

    /// `STRPTIME(s, format)` and the like.
    pub(super) fn parsed(&self, node: &Node, name: &str, value: &Node, format: &Node) -> Planned<Typed> {
        let value = self.string(node, value)?;
        let format = self.literal_string(node, format)?;
        let format = Format::for_reading(&format).ok_or_else(|| {
            self.wrong(
                node,
                "a format that is none",
                "a format of strptime",
                "use fields as %Y, %m, %d, %H, %M, %S",
            )
        })?;
        let zone = format.zoned.then(|| "UTC".into());
        let target = match name {
            "DATE" => DataType::Date32,
            "TIME" => DataType::Time64(TimeUnit::Nanosecond),
            _ => DataType::Timestamp(TimeUnit::Microsecond, zone),
        };
        let function: Function = times::read(format, &target, name == "TRY_STRPTIME");
        self.call(node, function, vec![value], target)
    }
}

fn is_duration(value: &Typed) -> bool {
    matches!(value.data_type, DataType::Duration(_))
}
