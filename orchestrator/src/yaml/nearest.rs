//! What was meant by a name that does not exist.

use anabranch_engine::names::closest;

use super::tree::quoted;

/// Characters beyond which a name is not compared with others.
const COMPARED: usize = 100;
/// Names that one is compared with.
const CANDIDATES: usize = 500;
/// Names that a message lists.
const SHOWN: usize = 12;

/// The name that the one looked for is probably a slip of.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > COMPARED {
        return None;
    }
    closest(wanted, names.filter(|name| name.len() <= COMPARED).take(CANDIDATES))
}

/// The nearest name, or else the names there are.
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

/// The help for a probable slip.
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean {}?", quoted(name))
}
