//! Answers in JSON, one for each packet.

use arrow::array::ArrayRef;

use super::Answer;
use super::values::{Wanted, misfit};
use crate::call::{Computed, Failure, FailureKind};
use crate::source::column::{ColumnBuilder, answer_builder};
use crate::source::document::{Document, Json, JsonDialect, View};

/// Answer about a packet.
pub(super) enum RowAnswer {
    Given(Document),
    Dropped,
    Failed(Failure),
}

/// Reads an answer: the outputs, `null`, or `{"$error": "text"}`. Whatever else stands there shows
/// that the worker and the engine are not of one mind about what is a answer to what.
pub(super) fn row_answer(line: &[u8], wanted: &Wanted) -> Result<RowAnswer, String> {
    of_document(parsed(line)?, wanted, 0)
}

/// The key under which a line has its number, and its answer too if the program gives it back.
pub(crate) const ID: &str = "$id";

/// Why a line is not the answer that was expected.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is no answer.
    Bad(String),
    /// It has the number of another line.
    OfAnother,
}

impl From<String> for Unfit {
    fn from(text: String) -> Self {
        Self::Bad(text)
    }
}

/// Reads an answer to the line of a number, and true if it has that number itself.
pub(super) fn answer_to(id: u64, line: &[u8], wanted: &Wanted) -> Result<(RowAnswer, bool), Unfit> {
    let document = parsed(line)?;
    let ids = document.entries().filter(|(name, _)| name == ID).count();
    let is_own = |value: Json<'_>| match value.view() {
        View::Integer(digits) => digits.parse() == Ok(id),
        // Some languages write all numbers so; ids are small enough to be exact.
        #[expect(clippy::cast_precision_loss, reason = "ids have fewer than 53 bits")]
        View::Number(text) => text.parse() == Ok(id as f64),
        _ => false,
    };
    match value_of(&document, ID) {
        Some(value) if ids == 1 && is_own(value) => Ok((of_document(document, wanted, 1)?, true)),
        Some(_) => Err(Unfit::OfAnother),
        None => Ok((of_document(document, wanted, 0)?, false)),
    }
}

fn parsed(line: &[u8]) -> Result<Document, String> {
    let no_json = || "found something that is no JSON, expected an object".to_owned();
    let text = std::str::from_utf8(line).map_err(|_| no_json())?;
    Document::new(text.to_owned(), JsonDialect::Strict).map_err(|_| no_json())
}

/// Reads an answer of which some keys have been dealt with.
fn of_document(document: Document, wanted: &Wanted, known_keys: usize) -> Result<RowAnswer, String> {
    let object = match document.root().view() {
        View::Null => return Ok(RowAnswer::Dropped),
        View::Object(entries) => entries,
        _ => return Err("found JSON that is no object, expected an object of the outputs".to_owned()),
    };
    let keys = object.count().saturating_sub(known_keys);
    if let (Some(View::String(text)), 1) = (value_of(&document, "$error").map(Json::view), keys) {
        return Ok(RowAnswer::Failed(Failure::new(FailureKind::Failed, text.into_owned())));
    }
    if let Some(name) = wanted.names.iter().find(|name| value_of(&document, name).is_none()) {
        return Err(format!("found an object without output \"{name}\", expected a value or null"));
    }
    if keys > wanted.names.len() {
        let names = wanted.names.join(", ");
        return Err(format!("found an object with keys that gives does not name, expected {names}"));
    }
    Ok(RowAnswer::Given(document))
}

/// The value of a key of an object.
fn value_of<'a>(object: &'a Document, key: &str) -> Option<Json<'a>> {
    object.entries().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Gathers answers into columns; a value that is not of its output's type fails its packet.
pub(super) fn gather(wanted: &Wanted, rows: Vec<RowAnswer>) -> Answer {
    let mut columns: Vec<Box<dyn ColumnBuilder>> = wanted.types.iter().filter_map(answer_builder).collect();
    let mut computed = Computed { emitted: Vec::with_capacity(rows.len()), ..Computed::default() };
    for row in rows {
        let at = computed.emitted.len();
        let given = match row {
            RowAnswer::Given(object) => match check(wanted, &object) {
                Ok(()) => Some(object),
                Err(failure) => {
                    computed.failures.push((at, failure));
                    None
                }
            },
            RowAnswer::Dropped => None,
            RowAnswer::Failed(failure) => {
                computed.failures.push((at, failure));
                None
            }
        };
        computed.emitted.push(given.is_some());
        for (column, name) in columns.iter_mut().zip(&wanted.names) {
            match given.as_ref().and_then(|object| value_of(object, name)) {
                // It was checked, and what was checked is appended.
                Some(value) => drop(column.json(value)),
                None => column.null(),
            }
        }
    }
    computed.values = columns.iter_mut().map(|column| column.finish()).collect::<Vec<ArrayRef>>();
    Answer { computed, retire: false }
}

/// Tries values on builders of their own, since a builder is of no use after a misfit.
fn check(wanted: &Wanted, object: &Document) -> Result<(), Failure> {
    for (name, data_type) in wanted.iter() {
        let (Some(value), Some(mut column)) = (value_of(object, name), answer_builder(data_type)) else {
            continue;
        };
        column.json(value).map_err(|wrong| misfit(name, &wrong))?;
    }
    Ok(())
}
