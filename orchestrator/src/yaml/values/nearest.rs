//! Suggestions for names that do not exist.

use anabranch_engine::names::closest;

use super::tree::quoted;

/// Maximum length in characters of names that are compared.
const COMPARED: usize = 100;
/// Maximum number of names that one is compared with.
const CANDIDATES: usize = 500;
/// Maximum number of names in a message.
const SHOWN: usize = 12;

/// Returns the name of which the given one is probably a misspelling.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > COMPARED {
        return None;
    }
    closest(wanted, names.filter(|name| name.len() <= COMPARED).take(CANDIDATES))
}

/// Returns help with the nearest name, or else with the existing names.
pub(crate) fn help_among<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    if let Some(near) = nearest(wanted, names.clone()) {
        return did_you_mean(near);
    }
    let list = names.clone().take(SHOWN).map(quoted).collect::<Vec<_>>().join(", ");
    match names.skip(SHOWN).count() {
        0 if list.is_empty() => format!("there are no {what}"),
        0 => format!("expected one of {list}"),
        more => format!("expected one of {list} and {more} more"),
    }
}

/// Returns the help for a probable misspelling.
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean {}?", quoted(name))
}
