//! A call of a function: packets, answers, failures, and the options of calls.
//!
//! The function stage and the workers both depend on these types, and not on each other.

mod author;
mod failure;
mod options;

pub(crate) use author::Author;
pub use author::{Authors, StrayOutput, Withdrawn};
pub(crate) use failure::{Failure, FailureKind};
pub use options::{
    CacheMode, CallOptions, LEAST_RATE, LONGEST_DELAY, MOST_RATE, OnError, OutputOrder, Rate, RateError,
    Retry,
};

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use futures::future::BoxFuture;

/// Packets to compute: one column per taken column, canonical types.
#[derive(Debug, Clone)]
pub(crate) struct Packets {
    /// The columns.
    pub(crate) columns: Vec<ArrayRef>,
    /// Number of packets.
    pub(crate) rows: usize,
}

/// Outcomes of the first of the packets that were given: one at least, and maybe not all.
#[derive(Debug, Default)]
pub(crate) struct Computed {
    /// Per packet dealt with, whether it gave a packet; false where it failed.
    pub(crate) emitted: Vec<bool>,
    /// One column per output, one row per packet dealt with; null where dropped or failed.
    pub(crate) values: Vec<ArrayRef>,
    /// The packets among them that failed, by their places in this answer, ascending.
    pub(crate) failures: Vec<(usize, Failure)>,
    /// The worker whose answers these are, where nothing but their order binds them to their packets.
    pub(crate) author: Option<Arc<Author>>,
}

impl Computed {
    /// The answer about one packet, which failed.
    pub(crate) fn failed(outputs: &[DataType], failure: Failure) -> Self {
        let values = outputs.iter().map(|output| new_null_array(output, 1)).collect();
        Self { emitted: vec![false], values, failures: vec![(0, failure)], author: None }
    }

    /// True if it has one row for each packet dealt with, of the signature's columns.
    pub(crate) fn is_whole(&self, signature: &Signature, packets: usize) -> bool {
        let rows = self.emitted.len();
        (1..=packets).contains(&rows)
            && self.values.len() == signature.outputs.len()
            && self.values.iter().all(|column| column.len() == rows)
            && self.failures.iter().all(|(at, _)| *at < rows)
            && self.failures.is_sorted_by_key(|(at, _)| *at)
    }
}

/// Names and types on both sides of a function.
#[derive(Debug)]
pub(crate) struct Signature {
    /// Names of the taken columns.
    pub(crate) takes: Arc<[String]>,
    /// Types of the outputs.
    pub(crate) outputs: Vec<DataType>,
}

/// Bounds of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Maximum time of an attempt at a packet.
    pub(crate) timeout: Option<Duration>,
}

/// One call of code that waits.
#[derive(Debug, Clone)]
pub(crate) struct CallRequest {
    /// The function.
    pub(crate) signature: Arc<Signature>,
    /// The packets, one at least.
    pub(crate) packets: Packets,
    /// Bounds.
    pub(crate) limits: Limits,
}

/// Reason for closing workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// All packets were computed.
    Done,
    /// The node has failed.
    Failed,
}

/// Code that waits without a thread.
pub(crate) trait AsyncFunction: Send + Sync {
    /// Number of packets that one call should be given.
    fn packets_per_call(&self) -> usize {
        1
    }

    /// The code at work in one stage of one run, where that has something of its own (processes,
    /// say), which ends when it is dropped; none where the code itself is all there is.
    fn open(&self) -> Option<Arc<dyn AsyncFunction>> {
        None
    }

    /// True if any answer is trusted only as long as workers write no more answers than requests.
    fn is_unproven(&self) -> bool {
        false
    }

    /// Lets what [`AsyncFunction::open`] began end by itself, within a second or what it takes to see that it wrote no more
    /// than it was asked for; gives the failure of one that did. After a failure only those whose answers depend on
    /// that are let end.
    fn close(&self, _after: Closing) -> BoxFuture<'static, Option<Failure>> {
        Box::pin(std::future::ready(None))
    }

    /// Computes packets. What takes longer than the limits allow is given up and fails with
    /// [`Failure::timed_out`].
    ///
    /// Cancellation: dropping the future gives the call up.
    fn run(&self, request: CallRequest) -> BoxFuture<'static, Computed>;
}

/// True if every value of one type is exactly a value of the other.
#[must_use]
pub fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    from == to
        || match to {
            D::Int16 => matches!(from, D::Int8 | D::UInt8),
            D::Int32 => matches!(from, D::Int8 | D::Int16 | D::UInt8 | D::UInt16),
            D::Int64 => matches!(from, D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32),
            D::UInt16 => matches!(from, D::UInt8),
            D::UInt32 => matches!(from, D::UInt8 | D::UInt16),
            D::UInt64 => matches!(from, D::UInt8 | D::UInt16 | D::UInt32),
            D::Float32 => matches!(from, D::Float16 | D::Int8 | D::Int16 | D::UInt8 | D::UInt16),
            D::Float64 => matches!(
                from,
                D::Float16 | D::Float32 | D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32
            ),
            _ => false,
        }
}
