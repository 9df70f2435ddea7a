//! Knobs: keys beside the kind of a node.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use anabranch_nodes::function::{CacheMode, LEAST_RATE, LONGEST_DELAY, MOST_RATE, OutputOrder, Rate, Retry};
use anabranch_nodes::recording::RecordMode;

use super::none::NONE;
use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;
use crate::yaml::values::body::{Body, on_error, set};
use crate::yaml::values::fields::{Fallback, Field, ON_ERROR, ObjectSchema, Type};
use crate::yaml::values::sizes::LONGEST;

/// The knobs of all kinds; the class of a kind selects those that it has.
pub(super) const KNOBS: [Field; 9] = [
    Field::optional("label", Type::Text, "Text that people see beside the name; part of no identity."),
    Field::optional(
        "cache",
        CACHE,
        "What becomes of what the store has already: results for a function (reuse, refresh, off), rows for an operator (off, log, replay), records for a source (off, cumulative).",
    ),
    Field::optional(
        "concurrency",
        Type::Integer { least: 1, most: 4096 },
        "Packets in flight; function nodes only.",
    ),
    Field::optional(
        "on_error",
        ON_ERROR,
        "What becomes of a packet that fails for good; function nodes only. The settings' where it is not given.",
    ),
    Field::optional(
        "timeout",
        Type::Duration { least: Duration::from_millis(1), most: LONGEST },
        "How long an attempt at a packet may take, 1ms at least; function nodes only.",
    ),
    Field::optional(
        "retry",
        Type::Record(&RETRY),
        "How often a packet that failed is tried again; function nodes only.",
    ),
    Field::optional(
        "rate",
        Type::Number { least: LEAST_RATE, most: MOST_RATE },
        "Calls per second at most; function nodes only.",
    ),
    Field::choice(
        "order",
        &["input", "arrival"],
        "Whether rows leave as they came in, or as they are computed; function nodes only.",
    ),
    NONE,
];

const CACHE: Type = Type::Choice(&["reuse", "refresh", "off", "replay", "verify", "log", "cumulative"]);

static RETRY: ObjectSchema = ObjectSchema::new(
    "retry",
    "How often a packet that failed is tried again, and when.",
    &[
        Field::required(
            "attempts",
            Type::Integer { least: 1, most: 1_000 },
            "Attempts in all, the first one included.",
        ),
        Field::optional(
            "backoff",
            Type::Duration { least: Duration::ZERO, most: LONGEST_DELAY },
            "Wait after the first attempt; it doubles with each, up to five minutes.",
        )
        .or(Fallback::Text("200ms")),
        Field::optional(
            "jitter",
            Type::Number { least: 0.0, most: 1.0 },
            "Which part of a wait is left to chance; 0.5 where it is not given.",
        ),
    ],
);

/// Sets the knobs of a function node.
pub(super) fn set_function_knobs(
    pipeline: &mut Pipeline,
    node: NodeHandle,
    knobs: &Body<'_>,
) -> Result<(), PlanError> {
    if let Some(mode) = cache_mode(knobs) {
        pipeline.set_cache(node, mode)?;
    }
    if let Some(concurrency) = knobs.count("concurrency").and_then(NonZeroUsize::new) {
        pipeline.set_concurrency(node, concurrency)?;
    }
    if let Some(timeout) = knobs.duration("timeout") {
        pipeline.set_timeout(node, timeout)?;
    }
    if let Some(retry) = retry(knobs) {
        pipeline.set_retry(node, retry)?;
    }
    if let Some(Ok(rate)) = knobs.number("rate").map(Rate::per_second) {
        pipeline.set_rate(node, rate)?;
    }
    if let Some(on_error) = on_error(knobs) {
        pipeline.set_on_error(node, on_error)?;
    }
    if knobs.text("order").as_deref() == Some("arrival") {
        pipeline.set_order(node, OutputOrder::Arrival)?;
    }
    Ok(())
}

/// Sets the knobs of an operator.
pub(super) fn set_operator_knobs(
    pipeline: &mut Pipeline,
    node: NodeHandle,
    knobs: &Body<'_>,
) -> Result<(), PlanError> {
    match knobs.choice("cache", &[("log", RecordMode::Log), ("replay", RecordMode::Replay)]) {
        Some(mode) => pipeline.set_recording(node, mode),
        None => Ok(()),
    }
}

fn cache_mode(knobs: &Body<'_>) -> Option<CacheMode> {
    let words = [
        ("reuse", CacheMode::Reuse),
        ("refresh", CacheMode::Refresh),
        ("off", CacheMode::Off),
        ("replay", CacheMode::Replay),
        ("verify", CacheMode::Verify),
    ];
    knobs.choice("cache", &words)
}

fn retry(knobs: &Body<'_>) -> Option<Retry> {
    let body = Body::new(Some(knobs.given("retry")?), &RETRY);
    let attempts = body.count("attempts").and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new)?;
    let retry = Retry::attempts(attempts);
    let retry = set(retry, body.duration("backoff"), Retry::backoff);
    Some(set(retry, body.number("jitter"), Retry::jitter))
}
