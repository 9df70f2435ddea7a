//! Code in other processes: workers that are started, called, watched, replaced and ended.
//!
//! ```text
//! stage --run--> Pool --request--> thread of a worker --pipes--> process
//!                 |  <---answer---        |
//!                 +-- watches the clock, kills the group of a worker that takes too long or is not needed
//! ```
//!
//! Each worker is owned by a thread that writes requests and reads answers, and blocks while it does;
//! async code only waits for answers. Dropping a call, or the pool, kills the processes concerned.
//! The number of packets in a request follows the time that requests take: from one at a time for
//! slow code to thousands for fast code. When a request of several packets goes wrong they are tried
//! one by one, so that only the guilty one fails.

mod call_folder;
mod command;
mod each;
mod exact;
mod file_stamp;
mod frame;
mod ipc;
mod json_lines;
mod lines;
mod pipes;
mod pool;
mod process;
mod process_group;
mod python;
mod stderr;
mod thread;
mod values;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;

pub use call_folder::call_leftovers;
pub(crate) use command::CommandSpawner;
pub use command::CommandWire;
pub(crate) use each::{ArgumentPart, EachSpawner};
pub(crate) use file_stamp::{Changed, FileStamp};
pub(crate) use lines::ID;
pub(crate) use pool::Workers;
pub(crate) use process::Program;
use process_group::ProcessGroup;
pub use python::LateImports;
pub(crate) use python::{InspectError, Inspected, PythonScript, PythonSpawner};
pub(crate) use values::{Wanted, is_answered, is_argument, is_given_as_json};

use crate::call::{Computed, Failure, FailureKind};

/// A worker that lacks one of its threads.
fn no_thread(name: &str, error: &std::io::Error) -> Failure {
    let text =
        format!("no thread for \"{name}\": {error}; end other programs, or raise the limit of threads");
    Failure::new(FailureKind::NoWorker, text)
}

/// Packets that a worker computes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
}

/// Outcomes of the packets of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) computed: Computed,
    /// True if the worker has to be replaced.
    pub(crate) retire: bool,
}

/// Failure of a request to a worker.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The worker has to be replaced.
    Lost(Failure),
    /// The worker refused the packets as a whole, and can take others.
    Refused(Failure),
    /// The worker has to be replaced, and none of its earlier answers is trusted: the cause is [`StrayOutput`].
    Stray(Failure),
}

/// Connection to a worker process, used by the worker's thread. Blocks until the process answers or its group is killed.
pub(crate) trait WorkerConnection {
    /// Sends packets, at least one, and reads their answers.
    fn exchange(&mut self, request: &Request) -> Result<Answer, CallError>;

    /// Closes the input of the process and waits for its end until `until`, or longer where that is needed to see that it
    /// wrote no more answers than requests; returns the failure if it did.
    fn close(&mut self, until: Instant) -> Option<Failure>;
}

/// Starts the workers of one function.
pub(crate) trait WorkerSpawner: Send + Sync + std::fmt::Debug {
    /// Starts a worker, its processes in the group. Blocks until it is ready.
    fn spawn(&self, group: &Arc<ProcessGroup>) -> Result<Box<dyn WorkerConnection>, Failure>;

    /// Maximum time that a start takes.
    fn start_timeout(&self) -> Duration {
        Duration::from_mins(5)
    }

    /// Maximum number of packets in one request.
    fn most_packets(&self) -> usize {
        8_192
    }
}
