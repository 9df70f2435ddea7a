//! Conversion of packets to the arguments of Rust closures, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, BooleanBuilder,
    PrimitiveArray, PrimitiveBuilder, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

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
    /// Gathers values into a column.
    type Builder: Send;

    /// The column's type.
    fn data_type() -> DataType;

    /// The column, made ready; none if it has another type.
    fn column(array: &ArrayRef) -> Option<Self::Column>;

    /// The value in a row.
    fn read(column: &Self::Column, row: usize) -> Self;

    /// A builder with room for so many rows.
    fn builder(rows: usize) -> Self::Builder;

    /// Appends a value, or null.
    fn append(builder: &mut Self::Builder, value: Option<Self>);

    /// The column of everything appended.
    fn finish(builder: &mut Self::Builder) -> ArrayRef;
}

macro_rules! primitive {
    ($($rust:ty => $arrow:ty),* $(,)?) => { $(
        impl Scalar for $rust {
            type Column = PrimitiveArray<$arrow>;
            type Builder = PrimitiveBuilder<$arrow>;

            fn builder(rows: usize) -> Self::Builder {
                PrimitiveBuilder::with_capacity(rows)
            }

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }

            fn column(array: &ArrayRef) -> Option<Self::Column> {
                array.as_primitive_opt().cloned()
            }

            fn read(column: &Self::Column, row: usize) -> Self {
                column.value(row)
            }

            fn append(builder: &mut Self::Builder, value: Option<Self>) {
                builder.append_option(value);
            }

            fn finish(builder: &mut Self::Builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
        }
    )* };
}

primitive! {
    i8 => Int8Type, i16 => Int16Type, i32 => Int32Type, i64 => Int64Type,
    u8 => UInt8Type, u16 => UInt16Type, u32 => UInt32Type, u64 => UInt64Type,
    f32 => Float32Type, f64 => Float64Type,
}

impl Scalar for bool {
    type Column = BooleanArray;
    type Builder = BooleanBuilder;

    fn builder(rows: usize) -> Self::Builder {
        BooleanBuilder::with_capacity(rows)
    }

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn column(array: &ArrayRef) -> Option<Self::Column> {
        array.as_boolean_opt().cloned()
    }

    fn read(column: &Self::Column, row: usize) -> Self {
        column.value(row)
    }

    fn append(builder: &mut Self::Builder, value: Option<Self>) {
        builder.append_option(value);
    }

    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
}

impl Scalar for String {
    type Column = StringViewArray;
    type Builder = StringViewBuilder;

    fn builder(rows: usize) -> Self::Builder {
        StringViewBuilder::with_capacity(rows)
    }

    fn data_type() -> DataType {
        DataType::Utf8View
    }

    fn column(array: &ArrayRef) -> Option<Self::Column> {
        array.as_string_view_opt().cloned()
    }

    fn read(column: &Self::Column, row: usize) -> Self {
        column.value(row).to_owned()
    }

    fn append(builder: &mut Self::Builder, value: Option<Self>) {
        builder.append_option(value);
    }

    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
}

impl Scalar for Vec<u8> {
    type Column = BinaryViewArray;
    type Builder = BinaryViewBuilder;

    fn builder(rows: usize) -> Self::Builder {
        BinaryViewBuilder::with_capacity(rows)
    }

    fn data_type() -> DataType {
        DataType::BinaryView
    }

    fn column(array: &ArrayRef) -> Option<Self::Column> {
        array.as_binary_view_opt().cloned()
    }

    fn read(column: &Self::Column, row: usize) -> Self {
        column.value(row).to_owned()
    }

    fn append(builder: &mut Self::Builder, value: Option<Self>) {
        builder.append_option(value);
    }

    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
}

/// One parameter of a closure: a [`Scalar`], or an `Option` of one where null is allowed.
pub trait Argument: Sized + Send + 'static {
    /// The type without its null.
    type Value: Scalar;

    /// The value, or null; none for a null that this parameter cannot take.
    fn of(value: Option<Self::Value>) -> Option<Self>;
}

fn argument<A: Argument>(column: &<A::Value as Scalar>::Column, row: usize) -> Option<A> {
    A::of(column.is_valid(row).then(|| <A::Value as Scalar>::read(column, row)))
}

/// All parameters of a closure: a tuple of [`Argument`]s, or a single one.
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
    /// Gathers outputs into columns.
    type Builders: Send;

    /// The columns' types.
    fn data_types() -> Vec<DataType>;

    /// Builders with room for so many packets.
    fn builders(rows: usize) -> Self::Builders;

    /// Appends; false if the packet is dropped.
    fn append(self, builders: &mut Self::Builders) -> bool;

    /// Appends nulls, for a packet that is dropped.
    fn append_null(builders: &mut Self::Builders);

    /// The columns of everything appended.
    fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef>;
}

impl<T: Outputs> Outputs for Outcome<T> {
    type Builders = T::Builders;

    fn data_types() -> Vec<DataType> {
        T::data_types()
    }

    fn builders(rows: usize) -> Self::Builders {
        T::builders(rows)
    }

    fn append(self, builders: &mut Self::Builders) -> bool {
        match self {
            Self::Give(value) => value.append(builders),
            Self::Drop => {
                T::append_null(builders);
                false
            }
        }
    }

    fn append_null(builders: &mut Self::Builders) {
        T::append_null(builders);
    }

    fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef> {
        T::finish(builders)
    }
}

/// One output of a closure.
pub trait Output: Send + 'static {
    /// The type without its null.
    type Value: Scalar;

    /// The value, or null.
    fn value(self) -> Option<Self::Value>;
}

macro_rules! scalar {
    ($($rust:ty),* $(,)?) => { $(
        impl Argument for $rust {
            type Value = $rust;

            fn of(value: Option<$rust>) -> Option<Self> {
                value
            }
        }

        impl Argument for Option<$rust> {
            type Value = $rust;

            fn of(value: Option<$rust>) -> Option<Self> {
                Some(value)
            }
        }

        impl Output for $rust {
            type Value = $rust;

            fn value(self) -> Option<$rust> {
                Some(self)
            }
        }

        impl Output for Option<$rust> {
            type Value = $rust;

            fn value(self) -> Option<$rust> {
                self
            }
        }

        single!($rust);
        single!(Option<$rust>);
    )* };
}

/// A single argument or output without the tuple around it.
macro_rules! single {
    ($rust:ty) => {
        impl Arguments for $rust {
            type Columns = <($rust,) as Arguments>::Columns;

            fn data_types() -> Vec<DataType> {
                <($rust,) as Arguments>::data_types()
            }

            fn columns(arrays: &[ArrayRef]) -> Option<Self::Columns> {
                <($rust,) as Arguments>::columns(arrays)
            }

            fn read(columns: &Self::Columns, row: usize) -> Result<Self, usize> {
                <($rust,) as Arguments>::read(columns, row).map(|(value,)| value)
            }
        }

        impl Outputs for $rust {
            type Builders = <($rust,) as Outputs>::Builders;

            fn data_types() -> Vec<DataType> {
                <($rust,) as Outputs>::data_types()
            }

            fn builders(rows: usize) -> Self::Builders {
                <($rust,) as Outputs>::builders(rows)
            }

            fn append(self, builders: &mut Self::Builders) -> bool {
                (self,).append(builders)
            }

            fn append_null(builders: &mut Self::Builders) {
                <($rust,) as Outputs>::append_null(builders);
            }

            fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef> {
                <($rust,) as Outputs>::finish(builders)
            }
        }
    };
}

macro_rules! tuple {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
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

        impl<$($name: Output),*> Outputs for ($($name,)*) {
            type Builders = ($(<$name::Value as Scalar>::Builder,)*);

            fn data_types() -> Vec<DataType> {
                vec![$(<$name::Value as Scalar>::data_type()),*]
            }

            fn builders(rows: usize) -> Self::Builders {
                ($(<$name::Value as Scalar>::builder(rows),)*)
            }

            fn append(self, builders: &mut Self::Builders) -> bool {
                $(<$name::Value as Scalar>::append(&mut builders.$at, self.$at.value());)*
                true
            }

            fn append_null(builders: &mut Self::Builders) {
                $(<$name::Value as Scalar>::append(&mut builders.$at, None);)*
            }

            fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef> {
                vec![$(<$name::Value as Scalar>::finish(&mut builders.$at)),*]
            }
        }
    };
}

scalar!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, bool, String, Vec<u8>);
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
