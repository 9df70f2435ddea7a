//! Values of operands: one for each row, or one for all.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::error::ArrowError;

/// Values of an operand: one for each row, or one for all.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Rows(ArrayRef),
    Constant(ArrayRef),
}

impl Value {
    pub(crate) fn array(&self) -> &ArrayRef {
        match self {
            Self::Rows(array) | Self::Constant(array) => array,
        }
    }

    /// Another array in its place, of as many values.
    pub(crate) fn with_array(&self, array: ArrayRef) -> Self {
        match self {
            Self::Rows(_) => Self::Rows(array),
            Self::Constant(_) => Self::Constant(array),
        }
    }

    /// One value for each row.
    pub(crate) fn into_rows(self, rows: usize) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Rows(array) => Ok(array),
            Self::Constant(array) => take(&array, &UInt32Array::from(vec![0; rows]), None),
        }
    }

    /// The place of a row's value in the array.
    pub(crate) fn at(&self, row: usize) -> usize {
        match self {
            Self::Rows(_) => row,
            Self::Constant(_) => 0,
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array().is_null(self.at(row))
    }

    /// A reader of the values as numbers of a type.
    pub(crate) fn numbers<A: ArrowPrimitiveType>(&self) -> Numbers<'_, A> {
        Numbers { array: self.array().as_primitive::<A>(), constant: matches!(self, Self::Constant(_)) }
    }
}

/// Values of a primitive type by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a, A: ArrowPrimitiveType> {
    pub(crate) array: &'a PrimitiveArray<A>,
    constant: bool,
}

impl<A: ArrowPrimitiveType> Numbers<'_, A> {
    pub(crate) fn get(&self, row: usize) -> Option<A::Native> {
        let at = if self.constant { 0 } else { row };
        self.array.is_valid(at).then(|| self.array.value(at))
    }

    /// The value of a constant that is not null.
    pub(crate) fn constant(&self) -> Option<A::Native> {
        if self.constant { self.get(0) } else { None }
    }
}

impl<'a, A: ArrowPrimitiveType> Numbers<'a, A> {
    /// The values for a loop over rows; `None` for a null that stands for all.
    pub(crate) fn side(&self) -> Option<Side<'a, A::Native>> {
        if self.constant { self.get(0).map(Side::One) } else { Some(Side::Each(self.array.values())) }
    }
}

/// Values of an operand for a loop over rows, whatever stands where it is null.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side<'a, N> {
    Each(&'a [N]),
    One(N),
}

/// The rows in which an operand is null; none for a constant, whose null has no [`Side`].
pub(super) fn nulls_of(value: &Value) -> Option<&NullBuffer> {
    match value {
        Value::Rows(array) => array.nulls(),
        Value::Constant(_) => None,
    }
}

/// The rows in which one of two operands is null.
pub(crate) fn nulls_of_both(left: &Value, right: &Value) -> Option<NullBuffer> {
    NullBuffer::union(nulls_of(left), nulls_of(right))
}
