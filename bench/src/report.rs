//! The tables, as Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cases::{Engine, Goal};
use crate::measure::Spread;
use crate::options::Options;
use crate::parent::{Findings, Found, spread};
use crate::small::{Limit, OURS, POLARS_EAGER, SMALL_CASES, SmallCase};

/// Share of the cores that others may take before a verdict on times by the clock is no longer sure.
const TOLERATED: f64 = 0.1;

/// Both tables.
pub(crate) fn tables(findings: &[Findings], small: &[Value], options: &Options) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Two tables of {} rows: key, int64, float64, string of 10 characters; chunks of 8,192 rows; medians of {} \
         rounds, engines in turn; all engines gave equal rows. \"Others\" is what other processes took of the cores; \
         beyond 10% a verdict is not sure.\n",
        thousands(u64::from(options.rows)),
        options.rounds
    );
    text.push_str(
        "| work | threads | engine | ms | least-most | processor ms | others | MiB beyond the tables | ours/this | by processor | floor | aim |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for finding in findings {
        for found in &finding.engines {
            row(&mut text, finding, found);
        }
    }
    text.push_str("\n| work | threads | engine | us | least-most | ours/this | floor | aim |\n|---|---|---|---|---|---|---|---|\n");
    for told in small {
        small_row(&mut text, told, small);
    }
    text
}

fn row(text: &mut String, finding: &Findings, found: &Found) {
    let ours = finding.engines.iter().find(|other| other.engine == Engine::Anabranch);
    let times = |of: fn(&Found) -> f64| ours.map_or(f64::NAN, |ours| of(ours) / of(found));
    let ratio = times(|found| found.wall.median);
    let goal = finding.case.goals.iter().find(|goal| goal.peer == found.engine);
    let bound = |of: fn(&Goal) -> f64| {
        let text = goal.map_or_else(String::new, |goal| verdict(ratio, of(goal), "x"));
        let is_sure = text.is_empty() || finding.others <= TOLERATED;
        if is_sure { text } else { format!("{text}, not sure") }
    };
    let ratios = match found.engine {
        Engine::Anabranch => " | ".to_owned(),
        _ => format!("{ratio:.2} | {:.2}", times(|found| found.processor.median)),
    };
    let mebibytes = found.bytes.div_ceil(1 << 20);
    let _ = writeln!(
        text,
        "| {}, {} rows out | {} | {} | {} | {:.0} | {:.0}% | {mebibytes} | {ratios} | {} | {} |",
        finding.case.name,
        thousands(finding.rows),
        finding.threads,
        found.engine,
        wall(found.wall, 0),
        found.processor.median,
        finding.others * 100.0,
        bound(|goal| goal.floor),
        bound(|goal| goal.aim),
    );
}

fn small_row(text: &mut String, told: &Value, all: &[Value]) {
    let part = |told: &Value, name: &str| told.get(name).cloned().unwrap_or_default();
    let (name, threads, engine) = (part(told, "name"), part(told, "threads"), part(told, "engine"));
    let Some(times) = spread(told, "microseconds") else { return };
    let other = |engine: &str| {
        let of_engine = |other: &&Value| {
            part(other, "name") == name
                && part(other, "threads") == threads
                && part(other, "engine") == engine
        };
        spread(all.iter().find(of_engine)?, "microseconds")
    };
    let (name, engine) = (name.as_str().unwrap_or_default(), engine.as_str().unwrap_or_default());
    let ratio = other(OURS).map_or(f64::NAN, |ours| ours.median / times.median);
    let case = SMALL_CASES.iter().find(|case| case.name == name);
    let bound = |of: fn(&SmallCase) -> Limit| {
        let limit = case.filter(|_| engine == OURS).map(of);
        limit.map_or_else(String::new, |limit| match limit {
            Limit::Microseconds(most) => verdict(times.median, most, " us"),
            Limit::TimesPolars(most) => other(POLARS_EAGER)
                .map_or_else(String::new, |peer| verdict(times.median / peer.median, most, "x Polars")),
        })
    };
    let ratio_text = if engine == OURS { String::new() } else { format!("{ratio:.2}") };
    let decimals = if times.median < 10.0 { 2 } else { 0 };
    let _ = writeln!(
        text,
        "| {name} | {threads} | {engine} | {} | {ratio_text} | {} | {} |",
        wall(times, decimals),
        bound(|case| case.floor),
        bound(|case| case.aim),
    );
}

/// Median, then least and greatest, as two cells.
fn wall(spread: Spread, decimals: usize) -> String {
    let Spread { median, least, greatest } = spread;
    format!("{median:.decimals$} | {least:.decimals$}-{greatest:.decimals$}")
}

/// The bound, and whether it is kept; nothing where there is none.
fn verdict(found: f64, most: f64, unit: &str) -> String {
    if most.is_infinite() {
        return String::new();
    }
    format!("{most}{unit}: {}", if found <= most { "met" } else { "missed" })
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            ["999", "1,000", "4,000,000"],
            [999, 1_000, 4_000_000].map(thousands).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn a_verdict_says_the_bound_and_whether_it_is_kept() {
        assert_eq!(verdict(1.25, 1.25, "x"), "1.25x: met");
        assert_eq!(verdict(26.0, 25.0, " us"), "25 us: missed");
        assert_eq!(verdict(26.0, f64::INFINITY, "x"), "");
    }
}
