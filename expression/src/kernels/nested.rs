//! Fields of structs and elements of lists.

use arrow::array::{Array, AsArray, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::Int64Type;

use super::Function;

/// The field of a struct at a position; null where the struct is null.
pub(crate) fn field(position: usize) -> Function {
    Function::of_rows(move |structs| {
        let structs = structs.as_struct();
        let column = structs.columns().get(position).expect("the planner found the field in the type");
        let nulls = NullBuffer::union(column.logical_nulls().as_ref(), structs.nulls());
        let data = column.to_data().into_builder().nulls(nulls).build()?;
        Ok(super::Answer::new(make_array(data), super::RowErrors::default()))
    })
}

/// The element of a list, counted from 1, or from its end where negative; null where there is none.
pub(crate) fn element() -> Function {
    Function::of_two(|lists, index, rows| {
        let index = index.numbers::<Int64Type>();
        let array = lists.clone().into_rows(rows)?;
        let array = array.as_list::<i32>();
        let place = |row: usize| {
            let index = index.get(row).filter(|_| array.is_valid(row))?;
            let offset =
                |row: usize| *array.value_offsets().get(row).expect("lists have one offset more than rows");
            let (start, length) = (i64::from(offset(row)), i64::from(offset(row + 1) - offset(row)));
            let at = if index < 0 { length + index } else { index - 1 };
            (0..length).contains(&at).then(|| u32::try_from(start + at).ok()).flatten()
        };
        let places: UInt32Array = (0..rows).map(place).collect();
        Ok(super::Answer::new(take(array.values(), &places, None)?, super::RowErrors::default()))
    })
}
