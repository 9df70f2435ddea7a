//! The versions that rows of a function node refer to, in few words where they follow each other.

use serde_json::Value;

use crate::results::result_ref::ResultRef;

/// Rows of a span on average, from which on spans are written down instead of each row.
const LEAST_ROWS: usize = 32;

/// Block, first row and number of rows of each span, one after the other; none where most spans are short.
pub(super) fn spans(references: &[ResultRef]) -> Option<Value> {
    let mut spans: Vec<(u64, u32, u32)> = Vec::new();
    for reference in references {
        let last = spans.last_mut();
        let last = last.filter(|(block, row, rows)| {
            *block == reference.block && row.checked_add(*rows) == Some(reference.row)
        });
        if let Some((_, _, rows)) = last {
            *rows += 1;
        } else if spans.len() * LEAST_ROWS >= references.len() {
            return None;
        } else {
            spans.push((reference.block, reference.row, 1));
        }
    }
    let numbers = spans.iter().flat_map(|(block, row, rows)| [*block, u64::from(*row), u64::from(*rows)]);
    Some(Value::from(numbers.collect::<Vec<_>>()))
}

/// Reads the references of as many rows; the error describes the damage.
pub(super) fn read(spans: &[Value], rows: usize) -> Result<Vec<ResultRef>, String> {
    let torn = || "its references are torn".to_owned();
    let (spans, []) = spans.as_chunks::<3>() else { return Err(torn()) };
    let mut references = Vec::with_capacity(rows);
    for [block, row, count] in spans {
        let block = block.as_u64().ok_or_else(torn)?;
        let number =
            |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or_else(torn);
        let (row, count) = (number(row)?, number(count)?);
        let end = row.checked_add(count).ok_or_else(torn)?;
        if count as usize > rows - references.len() {
            return Err(torn());
        }
        references.extend((row..end).map(|row| ResultRef { block, row }));
    }
    if references.len() == rows { Ok(references) } else { Err(torn()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_come_back_as_the_references_they_stand_for(
            parts in proptest::collection::vec((0_u64..3, 0_u32..90, 1_u32..200), 0..9),
        ) {
            let parts = parts.into_iter();
            let references: Vec<ResultRef> =
                parts.flat_map(|(block, row, rows)| (row..row + rows).map(move |row| ResultRef { block, row })).collect();
            if let Some(Value::Array(written)) = spans(&references) {
                prop_assert!(written.len() * LEAST_ROWS <= (references.len() + LEAST_ROWS) * 3);
                prop_assert_eq!(read(&written, references.len()).unwrap(), references.clone());
                prop_assert!(read(&written, references.len() + 1).is_err());
                prop_assert!(references.is_empty() || read(&written, references.len() - 1).is_err());
                prop_assert!(written.is_empty() || read(&written[1..], references.len()).is_err());
            } else {
                prop_assert!(!references.is_empty());
            }
        }
    }

    #[test]
    fn references_here_and_there_have_no_spans() {
        let references: Vec<ResultRef> = (0..500).map(|n| ResultRef { block: 1, row: n * 7 % 500 }).collect();
        assert_eq!(spans(&references), None);
        assert!(read(&[Value::from(1), Value::from(u32::MAX), Value::from(2)], 2).is_err());
        assert!(read(&[Value::from(1), Value::from("x"), Value::from(2)], 2).is_err());
    }
}
