//! Knobs of single nodes. Except for the order of rows, none is part of an identity.

use std::num::NonZeroUsize;
use std::time::Duration;

use anabranch_nodes::function::{CallOptions, OnError, OutputOrder, Rate, Retry};

use super::Settings;

/// A knob that some kinds of nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knob {
    /// Use of stored results.
    Cache,
    /// Recording of an operator's rows.
    Recording,
    Concurrency,
    Timeout,
    Retry,
    Rate,
    OnError,
    Order,
}

impl Knob {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Recording => "recording",
            Self::Concurrency => "concurrency",
            Self::Timeout => "timeout",
            Self::Retry => "retry",
            Self::Rate => "rate",
            Self::OnError => "on_error",
            Self::Order => "order",
        }
    }

    /// Nodes that have the knob, for messages.
    pub(crate) fn owners(self) -> &'static str {
        match self {
            Self::Recording => "an operator",
            _ => "a function",
        }
    }
}

/// Knobs of a function node's calls; settings apply to those that are not set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallKnobs {
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) rate: Option<Rate>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) order: OutputOrder,
}

impl CallKnobs {
    pub(crate) fn options(&self, settings: &Settings) -> CallOptions {
        CallOptions {
            concurrency: self.concurrency.unwrap_or(settings.concurrency),
            timeout: self.timeout,
            retry: self.retry,
            rate: self.rate,
            on_error: self.on_error.unwrap_or(settings.on_error),
            order: self.order,
        }
    }
}
