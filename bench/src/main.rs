//! Measures anabranch beside its peers, on the same data, in one run.
//!
//! ```text
//! cargo run --release                      the tables, in about a quarter of an hour
//! cargo run --release -- --quick           the same with three rounds
//! cargo run --release -- --only string     only what has "string" in its name
//! cargo run --release -- --store           commits, look-ups and replay of the store
//! cargo run --release -- --runs            whole runs: first, second, replay, Python, latency, size
//! cargo run --release -- --history         a hundred runs that change ten packets each
//! perf record target/release/anabranch-bench --profile join-int64-unique 2
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail"))]

mod arrays;
mod cases;
mod child;
mod data;
mod engines;
mod error;
mod history;
mod lines;
mod measure;
mod options;
mod packets;
mod parent;
mod report;
mod runs;
mod small;
mod store;
mod tally;

use std::io::Write as _;
use std::process::ExitCode;

use mimalloc::MiMalloc;

use crate::cases::{Case, Engine};
use crate::error::BenchError;
use crate::options::{Options, Task};

/// The same for every engine.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), BenchError> {
    let text = match &options.task {
        Task::All => parent::all(options)?,
        Task::Times(case, threads) => child::times(named(case)?, *threads, options)?.to_string(),
        Task::Memory(case, threads, engine) => {
            let engine = Engine::ALL.get(*engine).copied();
            let engine = engine.ok_or_else(|| BenchError::Argument { found: "--memory".to_owned() })?;
            child::memory(named(case)?, *threads, engine, options)?.to_string()
        }
        Task::Small(threads) => small::measure(*threads, options)?.to_string(),
        Task::Store => store::measure(options)?,
        Task::Runs => runs::measure(options)?,
        Task::History => history::measure(options)?,
        Task::Profile(case, threads) => child::profile(named(case)?, *threads, options)?.to_string(),
    };
    writeln!(std::io::stdout(), "{text}").map_err(|cause| BenchError::Io { what: "standard output", cause })
}

fn named(case: &str) -> Result<&'static Case, BenchError> {
    Case::named(case).ok_or_else(|| BenchError::Argument { found: case.to_owned() })
}
