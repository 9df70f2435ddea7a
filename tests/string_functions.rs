//! Functions of strings answer as Polars does, eagerly, on series.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use anabranch_expression::Expression;
use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Field};
use polars_core::prelude::{NewChunkedArray as _, StringChunked};
use polars_ops::chunked_array::StringNameSpaceImpl as _;
use proptest::prelude::*;

fn ours(sql: &str, texts: &[Option<String>]) -> ArrayRef {
    let field = Arc::new(Field::new("s", DataType::Utf8View, true));
    let column: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>());
    Expression::compile(sql, &[field]).unwrap().evaluate(&[column], texts.len()).unwrap()
}

fn strings(array: &ArrayRef) -> Vec<Option<String>> {
    array.as_string_view().iter().map(|text| text.map(str::to_owned)).collect()
}

/// Texts of letters whose case changes their length, of marks, and of what patterns look for.
fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    let text = prop_oneof![
        "[a-zA-Z0-9 .$]{0,12}",
        "[ßÄéΣσςİıǅﬁ\u{301}\u{1F468}\u{200D}\u{1F469}a]{0,8}",
        "\\PC{0,10}"
    ];
    prop::collection::vec(prop::option::weighted(0.9, text), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn case_and_order_of_characters_are_those_of_polars(texts in texts()) {
        let series = StringChunked::from_iter_options("s".into(), texts.iter().cloned());
        for (sql, theirs) in [
            ("LOWER(s)", series.to_lowercase()),
            ("UPPER(s)", series.to_uppercase()),
            ("REVERSE(s)", series.str_reverse()),
        ] {
            let theirs: Vec<Option<String>> = theirs.iter().map(|text| text.map(str::to_owned)).collect();
            prop_assert_eq!(strings(&ours(sql, &texts)), theirs, "{}", sql);
        }
    }

    #[test]
    fn regular_expressions_are_those_of_polars(texts in texts(), at in 0_usize..8) {
        let (pattern, to) = [
            ("a", "b"), ("[0-9]+", "<#>"), ("^.", ""), ("(\\w)(\\w)", "+"), ("$", "!"), ("\\.", "."), ("(?i)z|q", "$"), ("\\b", "|"),
        ][at];
        let series = StringChunked::from_iter_options("s".into(), texts.iter().cloned());
        let found = ours(&format!("REGEXP_LIKE(s, '{pattern}')"), &texts);
        let theirs: Vec<Option<bool>> = series.contains(pattern, true).unwrap().iter().collect();
        prop_assert_eq!(found.as_boolean().iter().collect::<Vec<_>>(), theirs);
        let escaped = to.replace('$', "$$");
        for (sql, theirs) in [
            (format!("REGEXP_REPLACE(s, '{pattern}', '{to}')"), series.replace(pattern, &escaped).unwrap()),
            (format!("REGEXP_REPLACE(s, '{pattern}', '{to}', 'g')"), series.replace_all(pattern, &escaped).unwrap()),
        ] {
            let theirs: Vec<Option<String>> = theirs.iter().map(|text| text.map(str::to_owned)).collect();
            prop_assert_eq!(strings(&ours(&sql, &texts)), theirs, "{}", sql);
        }
    }
}
