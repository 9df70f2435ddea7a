//! Ranges of integers, by which their type is inferred.

use arrow::datatypes::DataType;

use super::parse::plain_integer;

/// Properties of some integers that decide their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IntegerRange {
    negative: bool,
    /// Beyond a signed 64-bit number.
    large: bool,
    /// Beyond 2^53, up to which a double holds every integer.
    beyond_double: bool,
}

impl IntegerRange {
    /// The range of one integer; none if it does not fit 64 bits.
    pub(crate) fn of(digits: &str) -> Option<Self> {
        const DOUBLE: u64 = 1 << 53;
        let (size, negative, large) = match plain_integer::<i64>(digits) {
            Some(value) => (value.unsigned_abs(), value < 0, false),
            None => (plain_integer::<u64>(digits)?, false, true),
        };
        Some(Self { negative, large, beyond_double: size > DOUBLE })
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            negative: self.negative || other.negative,
            large: self.large || other.large,
            beyond_double: self.beyond_double || other.beyond_double,
        }
    }

    pub(crate) fn fits_double(self) -> bool {
        !self.beyond_double
    }

    /// The type of all integers of the range; none if no integer type holds them.
    pub(crate) fn data_type(self) -> Option<DataType> {
        match self {
            Self { large: false, .. } => Some(DataType::Int64),
            Self { negative: false, .. } => Some(DataType::UInt64),
            Self { .. } => None,
        }
    }
}
