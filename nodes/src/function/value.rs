//! Conversion of packets to the arguments of Rust closures, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringViewArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;

/// Why a closure could not compute a packet.
///
/// Made from any error by `?`, or from a text by [`PacketError::new`]. The text should not quote
/// values of the packet: it reaches messages and logs.
#[derive(Debug)]
pub struct PacketError(Box<dyn std::error::Error + Send + Sync>);

impl PacketError {
    /// An error with a text of its own.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The error inside.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for PacketError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// Outcome of a packet for a closure that may also drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A packet.
    Give(T),
    /// None: the row is dropped.
    Drop,
}

/// A Rust type that stands for one value of a column.
pub trait Scalar: Sized + Send + 'static {
    /// A column that is ready to be read.
    type Column: Array;

    /// The column's type.
    fn data_type() -> DataType;

    /// The column, made ready; none if it has another type.
    fn column(array: &ArrayRef) -> Option<Self::Column>;

    /// The value in a row.
    fn read(column: &Self::Column, row: usize) -> Self;

    /// The column of values and nulls.
    fn gather(values: Vec<Option<Self>>) -> ArrayRef;
}

macro_rules! scalar {
    ($($rust:ty => $column:ty, $data_type:expr, $of_array:ident;)*) => { $(
        impl Scalar for $rust {
            type Column = $column;

            fn data_type() -> DataType {
                $data_type
            }

            fn column(array: &ArrayRef) -> Option<Self::Column> {
                array.$of_array().cloned()
            }

            fn read(column: &Self::Column, row: usize) -> Self {
                column.value(row).to_owned()
            }

            fn gather(values: Vec<Option<Self>>) -> ArrayRef {
                Arc::new(values.into_iter().collect::<$column>())
            }
        }
    )* };
}

scalar! {
    i8 => Int8Array, DataType::Int8, as_primitive_opt;
    i16 => Int16Array, DataType::Int16, as_primitive_opt;
    i32 => Int32Array, DataType::Int32, as_primitive_opt;
    i64 => Int64Array, DataType::Int64, as_primitive_opt;
    u8 => UInt8Array, DataType::UInt8, as_primitive_opt;
    u16 => UInt16Array, DataType::UInt16, as_primitive_opt;
    u32 => UInt32Array, DataType::UInt32, as_primitive_opt;
    u64 => UInt64Array, DataType::UInt64, as_primitive_opt;
    f32 => Float32Array, DataType::Float32, as_primitive_opt;
    f64 => Float64Array, DataType::Float64, as_primitive_opt;
    bool => BooleanArray, DataType::Boolean, as_boolean_opt;
    String => StringViewArray, DataType::Utf8View, as_string_view_opt;
    Vec<u8> => BinaryViewArray, DataType::BinaryView, as_binary_view_opt;
}

/// One parameter or output of a closure: a [`Scalar`], or an `Option` of one where null is allowed.
pub trait ClosureValue: Sized + Send + 'static {
    /// The type without its null.
    type Value: Scalar;

    /// The value, or null; none for a null that this type cannot take.
    fn of(value: Option<Self::Value>) -> Option<Self>;

    /// The value, or null.
    fn value(self) -> Option<Self::Value>;
}

impl<T: Scalar> ClosureValue for T {
    type Value = T;

    fn of(value: Option<T>) -> Option<Self> {
        value
    }

    fn value(self) -> Option<T> {
        Some(self)
    }
}

impl<T: Scalar> ClosureValue for Option<T> {
    type Value = T;

    fn of(value: Option<T>) -> Option<Self> {
        Some(value)
    }

    fn value(self) -> Option<T> {
        self
    }
}

fn argument<A: ClosureValue>(column: &<A::Value as Scalar>::Column, row: usize) -> Option<A> {
    A::of(column.is_valid(row).then(|| <A::Value as Scalar>::read(column, row)))
}

/// All parameters of a closure: a tuple of [`ClosureValue`]s, or a single one.
pub trait Arguments: Sized + Send + 'static {
    /// Columns that are ready to be read.
    type Columns;

    /// The columns' types.
    fn data_types() -> Vec<DataType>;

    /// The columns, made ready; none if one is missing or has another type.
    fn columns(arrays: &[ArrayRef]) -> Option<Self::Columns>;

    /// The values in a row; the position of the first null that cannot be taken otherwise.
    fn read(columns: &Self::Columns, row: usize) -> Result<Self, usize>;
}

/// Outputs of a closure: a [`Scalar`], an `Option` of one (null), a tuple of these, or an
/// [`Outcome`] of any.
pub trait Outputs: Send + 'static {
    /// Outputs by column.
    type Values: Send;

    /// The columns' types.
    fn data_types() -> Vec<DataType>;

    /// No outputs yet, with room for those of so many packets.
    fn with_capacity(rows: usize) -> Self::Values;

    /// Appends; false if the packet is dropped.
    fn append(self, values: &mut Self::Values) -> bool;

    /// Appends nulls, for a packet that is dropped.
    fn append_null(values: &mut Self::Values);

    /// The columns of everything appended.
    fn finish(values: Self::Values) -> Vec<ArrayRef>;
}

impl<T: Outputs> Outputs for Outcome<T> {
    type Values = T::Values;

    fn data_types() -> Vec<DataType> {
        T::data_types()
    }

    fn with_capacity(rows: usize) -> Self::Values {
        T::with_capacity(rows)
    }

    fn append(self, values: &mut Self::Values) -> bool {
        match self {
            Self::Give(value) => value.append(values),
            Self::Drop => {
                T::append_null(values);
                false
            }
        }
    }

    fn append_null(values: &mut Self::Values) {
        T::append_null(values);
    }

    fn finish(values: Self::Values) -> Vec<ArrayRef> {
        T::finish(values)
    }
}

/// A single parameter, without the tuple around it.
impl<A: ClosureValue> Arguments for A {
    type Columns = <A::Value as Scalar>::Column;

    fn data_types() -> Vec<DataType> {
        vec![A::Value::data_type()]
    }

    fn columns(arrays: &[ArrayRef]) -> Option<Self::Columns> {
        A::Value::column(arrays.first()?)
    }

    fn read(columns: &Self::Columns, row: usize) -> Result<Self, usize> {
        argument(columns, row).ok_or(0)
    }
}

/// A single output, without the tuple around it.
impl<O: ClosureValue> Outputs for O {
    type Values = Vec<Option<O::Value>>;

    fn data_types() -> Vec<DataType> {
        vec![O::Value::data_type()]
    }

    fn with_capacity(rows: usize) -> Self::Values {
        Vec::with_capacity(rows)
    }

    fn append(self, values: &mut Self::Values) -> bool {
        values.push(self.value());
        true
    }

    fn append_null(values: &mut Self::Values) {
        values.push(None);
    }

    fn finish(values: Self::Values) -> Vec<ArrayRef> {
        vec![O::Value::gather(values)]
    }
}

macro_rules! tuple {
    ($($name:ident $at:tt),*) => {
        impl<$($name: ClosureValue),*> Arguments for ($($name,)*) {
            type Columns = ($(<$name::Value as Scalar>::Column,)*);

            fn data_types() -> Vec<DataType> {
                vec![$(<$name::Value as Scalar>::data_type()),*]
            }

            fn columns(arrays: &[ArrayRef]) -> Option<Self::Columns> {
                Some(($(<$name::Value as Scalar>::column(arrays.get($at)?)?,)*))
            }

            fn read(columns: &Self::Columns, row: usize) -> Result<Self, usize> {
                Ok(($(argument(&columns.$at, row).ok_or::<usize>($at)?,)*))
            }
        }

        impl<$($name: ClosureValue),*> Outputs for ($($name,)*) {
            type Values = ($(Vec<Option<$name::Value>>,)*);

            fn data_types() -> Vec<DataType> {
                vec![$(<$name::Value as Scalar>::data_type()),*]
            }

            fn with_capacity(rows: usize) -> Self::Values {
                ($(Vec::<Option<$name::Value>>::with_capacity(rows),)*)
            }

            fn append(self, values: &mut Self::Values) -> bool {
                $(values.$at.push(self.$at.value());)*
                true
            }

            fn append_null(values: &mut Self::Values) {
                $(values.$at.push(None);)*
            }

            fn finish(values: Self::Values) -> Vec<ArrayRef> {
                vec![$(<$name::Value as Scalar>::gather(values.$at)),*]
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
