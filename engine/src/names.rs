//! Names in messages: what there is, and what was probably meant.

use std::fmt::Write as _;

use strsim::osa_distance;

/// A list of names for a message.
#[must_use]
pub fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    if names.is_empty() {
        return "(there are none)".to_owned();
    }
    let mut text = names.iter().take(SHOWN).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

/// `; did you mean "x"?` where a name is close to the one looked for, else nothing.
#[must_use]
pub fn suggestion(wanted: &str, names: &[String]) -> String {
    closest(wanted, names.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"))
}

/// The name nearest to the one looked for, if any is near enough to be a slip.
pub fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    names
        .map(|name| (osa_distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let names = ["distance", "air_time", "dest"].map(str::to_owned);
        assert_eq!(suggestion("distanec", &names), "; did you mean \"distance\"?");
        assert_eq!(suggestion("Dest", &names), "; did you mean \"dest\"?");
        assert_eq!(suggestion("altitude", &names), "");
    }

    #[test]
    fn a_long_list_is_cut_short() {
        let names: Vec<String> = (0..22).map(|n| format!("c{n}")).collect();
        assert!(list(&names).ends_with("\"c19\" and 2 more"));
        assert_eq!(list(&[]), "(there are none)");
    }
}
