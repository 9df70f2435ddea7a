//! Names of columns: those of the header, or others in their place.

use std::collections::HashMap;

use crate::source::error::{Place, SourceError};

/// The names of the columns: `given` by position, or else those of the header.
pub(super) fn checked_names(
    header: &[String],
    given: Option<&[String]>,
    path: &str,
) -> Result<Vec<String>, SourceError> {
    if let Some(given) = given {
        if given.len() != header.len() {
            let found = format!("{} names", given.len());
            let expected = format!("{}, one for each column of {path}", header.len());
            return Err(SourceError::option("columns", found, expected, "name each column"));
        }
        return Ok(given.to_vec());
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (at, name) in header.iter().enumerate() {
        let place = at + 1;
        let first = seen.insert(name, place);
        let found = match first {
            _ if name.is_empty() => format!("no name for column {place}"),
            Some(first) => format!("the name \"{name}\" for columns {first} and {place}"),
            None if name.starts_with('_') => {
                format!("the name \"{name}\" for column {place}, which is reserved as it begins with \"_\"")
            }
            None => continue,
        };
        let place = Place::Whole(path.to_owned());
        let expected = "a header with a name of its own for each column";
        let remedy = "name the columns by position, as in `columns: [a, b, c]`";
        return Err(SourceError::format(place, found, expected, remedy));
    }
    Ok(header.to_vec())
}

/// The column of each field of a file whose names are those of the first file in another order; none
/// where the order is the same.
pub(super) fn arranged(
    path: &str,
    names: &[String],
    first: &str,
    expected: &[String],
) -> Result<Option<Vec<usize>>, SourceError> {
    if names == expected {
        return Ok(None);
    }
    let places: HashMap<&str, usize> = expected.iter().map(String::as_str).zip(0..).collect();
    let mut taken = vec![false; expected.len()];
    let mut order = Vec::with_capacity(names.len());
    for name in names {
        let place = places.get(name.as_str()).copied();
        if let Some(taken) = place.and_then(|place| taken.get_mut(place)).filter(|taken| !**taken) {
            *taken = true;
            order.extend(place);
        }
    }
    let complete = order.len() == names.len() && names.len() == expected.len();
    if complete { Ok(Some(order)) } else { Err(differs(path, names, first, expected)) }
}

/// The first difference between the columns of a file and those of the first.
fn differs(path: &str, names: &[String], first: &str, expected: &[String]) -> SourceError {
    let missing = |name: &&String, among: &[String]| !among.contains(name);
    let absent = expected.iter().find(|name| missing(name, names));
    let more = names.iter().find(|name| missing(name, expected));
    let (column, found, expected) = match (absent, more) {
        (Some(absent), _) => (absent.as_str(), "absent".to_owned(), "a column".to_owned()),
        (None, Some(more)) => (more.as_str(), "a column".to_owned(), "absent".to_owned()),
        (None, None) => {
            let count = |names: &[String]| format!("one of {} columns, some of one name", names.len());
            (names.first().map_or("", String::as_str), count(names), count(expected))
        }
    };
    SourceError::Differs {
        path: path.into(),
        column: column.into(),
        found: found.into(),
        expected: expected.into(),
        first: first.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn files_may_have_their_columns_in_another_order_but_no_others() {
        let order = |found: &[&str], first: &[&str]| arranged("b", &names(found), "a", &names(first));
        assert_eq!(order(&["x", "y"], &["x", "y"]).unwrap(), None);
        assert_eq!(order(&["z", "x", "y"], &["x", "y", "z"]).unwrap(), Some(vec![2, 0, 1]));
        assert_eq!(order(&["x", "x"], &["x", "x"]).unwrap(), None);
        for (found, first, expected) in [
            (vec!["x"], vec!["x", "y"], "column \"y\" is absent, expected a column as in a"),
            (vec!["x", "y"], vec!["x"], "column \"y\" is a column, expected absent as in a"),
            (vec!["x", "w"], vec!["x", "y"], "column \"y\" is absent"),
            (vec!["x", "x"], vec!["x", "y"], "column \"y\" is absent"),
            (vec!["y", "x", "x"], vec!["x", "x", "y"], "is one of 3 columns, some of one name"),
        ] {
            let error = order(&found, &first).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn headers_without_a_name_for_each_column_ask_for_names_by_position() {
        for (header, expected) in [
            (vec!["a", ""], "found no name for column 2"),
            (vec!["a", "b", "a"], "found the name \"a\" for columns 1 and 3"),
            (vec!["_id"], "found the name \"_id\" for column 1, which is reserved"),
        ] {
            let error = checked_names(&names(&header), None, "f.csv").unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("`columns: [a, b, c]`"), "{error}");
        }
        let given = names(&["x", "y"]);
        assert_eq!(checked_names(&names(&["a", "a"]), Some(&given), "f.csv").unwrap(), given);
        let error = checked_names(&names(&["a"]), Some(&given), "f.csv").unwrap_err().to_string();
        assert!(
            error.contains("columns: found 2 names, expected 1, one for each column of f.csv"),
            "{error}"
        );
    }
}
