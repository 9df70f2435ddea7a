//! Starts a process for each measurement and gathers what they tell.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cases::{CASES, Case, Engine};
use crate::error::{BenchError, Cause};
use crate::measure::Spread;
use crate::options::{Options, Task};
use crate::report;

/// Numbers of threads that are measured.
const THREADS: [usize; 2] = [1, 2];

/// Findings about one engine in one case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The engine.
    pub(crate) engine: Engine,
    /// Milliseconds of a run.
    pub(crate) wall: Spread,
    /// Milliseconds of all threads together.
    pub(crate) processor: Spread,
    /// Bytes beyond the tables, at most.
    pub(crate) bytes: u64,
}

/// Findings in one case.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The case.
    pub(crate) case: &'static Case,
    /// Number of threads.
    pub(crate) threads: usize,
    /// Rows of the result.
    pub(crate) rows: u64,
    /// Share of the cores that other processes took meanwhile.
    pub(crate) others: f64,
    /// Each engine.
    pub(crate) engines: Vec<Found>,
}

/// Measures everything and gives the tables.
pub(crate) fn all(options: &Options) -> Result<String, BenchError> {
    let mut findings = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&options.only)) {
        for threads in THREADS {
            say(&format!("{} on {threads}", case.name));
            findings.push(measure(case, threads, options)?);
        }
    }
    let mut small = Vec::new();
    for threads in THREADS {
        say(&format!("small measurements on {threads}"));
        let told = child(&Task::Small(threads), threads, options)?;
        small.extend(told.as_array().cloned().unwrap_or_default());
    }
    Ok(report::tables(&findings, &small, options))
}

fn measure(case: &'static Case, threads: usize, options: &Options) -> Result<Findings, BenchError> {
    let told = child(&Task::Times(case.name.to_owned(), threads), threads, options)?;
    let mut engines = Vec::new();
    for (engine, told) in case.engines().zip(list(&told, "engines")) {
        let at = Engine::ALL.iter().position(|other| *other == engine).unwrap_or(0);
        let memory = child(&Task::Memory(case.name.to_owned(), threads, at), threads, options)?;
        if let (Some(wall), Some(processor)) = (spread(told, "wall"), spread(told, "processor")) {
            let bytes = number(&memory, "peak").saturating_sub(number(&memory, "tables"));
            engines.push(Found { engine, wall, processor, bytes });
        }
    }
    // Not to know it is as bad as the worst.
    let others = told.get("others").and_then(Value::as_f64).unwrap_or(1.0);
    Ok(Findings { case, threads, rows: number(&told, "rows"), others, engines })
}

/// The spread of a list of numbers of that name.
pub(crate) fn spread(told: &Value, name: &str) -> Option<Spread> {
    Spread::of(list(told, name).filter_map(Value::as_f64))
}

fn list<'a>(told: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    told.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn number(told: &Value, name: &str) -> u64 {
    told.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Lets a process of its own measure, and reads the one line of JSON that it writes.
fn child(task: &Task, threads: usize, options: &Options) -> Result<Value, BenchError> {
    run(task, threads, options).map_err(|cause| BenchError::Child { what: task.arguments().join(" "), cause })
}

fn run(task: &Task, threads: usize, options: &Options) -> Result<Value, Cause> {
    let output = Command::new(std::env::current_exe()?)
        .args(task.arguments())
        .args(["--rounds", &options.rounds.to_string(), "--rows", &options.rows.to_string()])
        .args(["--only", &options.only])
        .env("POLARS_MAX_THREADS", threads.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(output.status.to_string().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Tells how far it has come, beside the tables.
fn say(text: &str) {
    eprintln!("measuring {text}");
}
