//! Settings of a pipeline file.

use std::num::NonZeroUsize;

use super::values::body::{Body, on_error};
use crate::graph::Pipeline;
use crate::node::{ChunkRows, Executor};

/// Sets checked settings in a pipeline; the table has the values of missing keys.
pub(crate) fn apply(pipeline: &mut Pipeline, body: Body<'_>) {
    let settings = pipeline.settings_mut();
    let count = |key: &str| body.count(key).and_then(NonZeroUsize::new);
    let executors = [("async", Executor::Async), ("sync", Executor::Sync)];
    settings.executor = body.choice("executor", &executors).unwrap_or(settings.executor);
    settings.channel_capacity = count("channel_capacity").unwrap_or(settings.channel_capacity);
    settings.chunk_rows = count("chunk_rows").map_or(ChunkRows::Adaptive, ChunkRows::Fixed);
    settings.memory_limit = body.bytes("memory_limit").unwrap_or(settings.memory_limit);
    settings.spill_limit = body.bytes("spill_limit").unwrap_or(settings.spill_limit);
    settings.on_error = on_error(&body).unwrap_or(settings.on_error);
    settings.concurrency = count("concurrency").unwrap_or(settings.concurrency);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::table::SETTINGS;

    #[test]
    fn the_fallbacks_of_the_table_are_the_defaults_of_the_builder() {
        let mut pipeline = Pipeline::new("p");
        let defaults = pipeline.settings().clone();
        apply(&mut pipeline, Body::new(None, &SETTINGS));
        assert_eq!(*pipeline.settings(), defaults);
    }
}
