//! Measurements in a process of its own, and the lines that it prints for its parent.
//!
//! A process for each case and number of threads, since Polars sizes its threads once; and one for
//! each engine whose memory is looked at, since all share one allocator.

use serde_json::{Value, json};

use crate::cases::{Case, Engine};
use crate::engines::{Drain, Prepared, prepare};
use crate::error::BenchError;
use crate::measure::{Others, Round, forget_peak, peak, resident, timed};
use crate::options::Options;

/// Times all engines in turn; says first that they agree.
pub(crate) fn times(case: &'static Case, threads: usize, options: &Options) -> Result<Value, BenchError> {
    let engines: Vec<Engine> = case.engines().collect();
    let mut prepared = Vec::new();
    for engine in &engines {
        prepared.push(prepare(*engine, case, options.rows, threads)?);
    }
    let rows = agree(case, &engines, &mut prepared)?;
    let others = Others::watch()?;
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); engines.len()];
    for round in 0..=options.rounds {
        for turn in 0..engines.len() {
            // Each engine follows each other one, as it finds the caches in their state.
            let at = (turn + round) % engines.len();
            let (Some(engine), Some(times)) = (prepared.get_mut(at), rounds.get_mut(at)) else { continue };
            let (tally, time) = timed(|| engine.run(Drain::Count));
            tally?;
            // The first round only warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let others = others.share()?;
    let told = engines.iter().zip(&rounds).map(|(engine, rounds)| {
        let wall: Vec<f64> = rounds.iter().map(|round| milliseconds(round.wall)).collect();
        let processor: Vec<f64> = rounds.iter().map(|round| milliseconds(round.processor)).collect();
        json!({ "engine": engine.name(), "wall": wall, "processor": processor })
    });
    Ok(json!({ "rows": rows, "others": others, "engines": told.collect::<Vec<_>>() }))
}

/// Runs every engine once with a sum over all values; the number of rows.
fn agree(
    case: &'static Case,
    engines: &[Engine],
    prepared: &mut [Box<dyn Prepared>],
) -> Result<u64, BenchError> {
    let mut first = None;
    for (engine, prepared) in engines.iter().zip(prepared) {
        let found = prepared.run(Drain::Sum)?;
        let expected = *first.get_or_insert(found);
        if found != expected {
            return Err(BenchError::Differs { case: case.name, engine: *engine, found, expected });
        }
    }
    Ok(first.map_or(0, |tally| tally.rows))
}

/// The most memory that one run takes beyond its tables.
pub(crate) fn memory(
    case: &'static Case,
    threads: usize,
    engine: Engine,
    options: &Options,
) -> Result<Value, BenchError> {
    let mut prepared = prepare(engine, case, options.rows, threads)?;
    let tables = resident()?;
    forget_peak()?;
    prepared.run(Drain::Count)?;
    Ok(json!({ "tables": tables, "peak": peak()? }))
}

/// Runs ours over and over.
pub(crate) fn profile(case: &'static Case, threads: usize, options: &Options) -> Result<Value, BenchError> {
    let mut prepared = prepare(Engine::Anabranch, case, options.rows, threads)?;
    let mut wall = Vec::new();
    for _ in 0..options.rounds {
        let (tally, round) = timed(|| prepared.run(Drain::Count));
        tally?;
        wall.push(milliseconds(round.wall));
    }
    Ok(json!({ "wall": wall }))
}

fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
