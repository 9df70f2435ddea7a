//! Code in other processes: workers that are started, asked, watched, replaced and ended.
//!
//! ```text
//! stage --run--> Pool --request--> thread of a worker --pipes--> process
//!                 |  <---answer---        |
//!                 +-- watches the clock, cuts the leash of whoever takes too long or is not wanted
//! ```
//!
//! Each worker is owned by a thread that writes requests and reads answers, and blocks while it does;
//! async code only waits for answers. Dropping a call, or the pool, kills the processes concerned.
//! How many packets go into a request follows the time that requests take: from one at a time for
//! slow code to thousands for fast code. When a request of several packets goes wrong they are tried
//! one by one, so that only the guilty one fails.

mod author;
mod call_folder;
mod command;
mod each;
mod frame;
mod group;
mod ipc;
mod json_lines;
mod lines;
mod pipes;
mod pool;
mod process;
mod python;
mod stderr;
mod thread;
mod values;
mod witness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;

pub(crate) use author::Author;
pub use author::{Authors, StrayOutput, Withdrawn};
pub use call_folder::call_leftovers;
pub(crate) use command::CommandLaunch;
pub use command::CommandWire;
pub(crate) use each::{EachLaunch, Part};
use group::Leash;
pub(crate) use lines::ID;
pub(crate) use pool::Workers;
pub(crate) use process::Program;
pub use python::LateImports;
pub(crate) use python::{InspectError, Inspected, PythonLaunch, PythonScript};
pub(crate) use values::{Wanted, is_answered, is_argument, is_given_as_json};
pub(crate) use witness::{Changed, Witness};

use crate::function::compute::{Computed, Failure};

/// What happened to a packet whose worker went away.
const DIED: &str = "the worker died";
/// What happened to a packet whose worker gave something else than an answer.
const BAD_ANSWER: &str = "the worker answered badly";
/// What happened to a packet for which there is no worker.
const NO_START: &str = "the worker could not be started";

/// A worker that lacks one of its threads.
fn no_thread(name: &str, error: &std::io::Error) -> Failure {
    let text =
        format!("no thread for \"{name}\": {error}; end other programs, or raise the limit of threads");
    Failure::new(NO_START, text)
}
/// What happened to a packet whose call raised or reported an error.
const FAILED: &str = "the function failed";
/// What happened to a packet whose call gave something else than what is expected.
pub(crate) const ANSWERED: &str = "the function answered badly";
/// What happened to a packet that the code cannot be given.
const NOT_PASSED: &str = "the packet cannot be passed to the function";

/// Packets that a worker is asked to compute.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
}

/// What became of the packets of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) computed: Computed,
    /// Whether the worker has to be replaced.
    pub(crate) retire: bool,
}

/// What a request that was not answered tells.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The worker is of no use any more.
    Lost(Failure),
    /// The worker refused the packets as a whole, and goes on.
    Refused(Failure),
    /// The worker is of no use any more, and what it has answered before is not believed: the cause is
    /// [`StrayOutput`].
    Stray(Failure),
}

/// The engine's end of a worker, on the worker's thread. It may block until the leash is cut.
pub(crate) trait Partner {
    /// Has packets computed, one at least.
    fn exchange(&mut self, request: &Request) -> Result<Answer, Trouble>;

    /// Asks the process to end, and waits for it until then, or longer where it takes longer to see that it wrote no
    /// more than it was asked for; gives the failure if it did.
    fn close(&mut self, until: Instant) -> Option<Failure>;
}

/// How workers of a function begin.
pub(crate) trait Launch: Send + Sync + std::fmt::Debug {
    /// Starts one, its processes held by the leash. It may block.
    fn launch(&self, leash: &Arc<Leash>) -> Result<Box<dyn Partner>, Failure>;

    /// How long that may take.
    fn start_timeout(&self) -> Duration {
        Duration::from_mins(5)
    }

    /// Packets of one request at most.
    fn most_packets(&self) -> usize {
        8_192
    }
}
