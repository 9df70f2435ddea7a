//! Measurements of microseconds: one chunk through one operator, through a chain, over an edge.

mod edge;
mod filter;
mod hashing;
mod passing;

use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::Engine;
use crate::error::{BenchError, Cause, in_engine};
use crate::options::Options;

/// Samples for each round of a large measurement, as these are short.
const SAMPLES_PER_ROUND: usize = 9;

/// A bound on our time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// As a multiple of the time of Polars on a data frame.
    TimesPolars(f64),
    /// As it is.
    Microseconds(f64),
}

/// A measurement, and its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SmallCase {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The floor.
    pub(crate) floor: Limit,
    /// The aim.
    pub(crate) aim: Limit,
    iterations: usize,
    works: fn(usize) -> Works,
}

/// Our name in the table.
pub(crate) const OURS: &str = "anabranch";
/// The peer that limits refer to.
pub(crate) const POLARS_EAGER: &str = "Polars, data frame";
/// The same by its planner.
const POLARS_LAZY: &str = "Polars, lazy";

/// Something that is done over and over.
trait Work {
    /// The time that so many repetitions took.
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause>;
}

/// The same work by each engine, or why there is none.
type Works = Result<Vec<(&'static str, Box<dyn Work>)>, Cause>;

/// All of them, in the order of the table.
pub(crate) const SMALL_CASES: &[SmallCase] = &[
    SmallCase {
        name: "filter, 65,536 rows in 8 chunks",
        floor: Limit::TimesPolars(1.5),
        aim: Limit::TimesPolars(1.0),
        iterations: 10,
        works: |_| filter::works(65_536, 8_192),
    },
    SmallCase {
        name: "filter, 65,536 rows in one chunk",
        floor: Limit::TimesPolars(1.5),
        aim: Limit::TimesPolars(1.0),
        iterations: 10,
        works: |_| filter::works(65_536, 65_536),
    },
    SmallCase {
        name: "filter, 1,024 rows",
        floor: Limit::Microseconds(25.0),
        aim: Limit::Microseconds(12.0),
        iterations: 200,
        works: |_| filter::works(1_024, 1_024),
    },
    projection("select, 8,192 rows", |_| Ok(vec![(OURS, passing::select()?)])),
    projection("drop, 8,192 rows", |_| Ok(vec![(OURS, passing::drop_columns()?)])),
    projection("map, 8,192 rows", |_| Ok(vec![(OURS, passing::map()?)])),
    SmallCase {
        // 30 and 50 million rows a second.
        name: "packet hashing, 8,192 rows of 5 columns",
        floor: Limit::Microseconds(273.0),
        aim: Limit::Microseconds(164.0),
        iterations: 50,
        works: |_| Ok(vec![(OURS, Box::new(hashing::Hashing::new()?))]),
    },
    SmallCase {
        name: "chain of five, 1,000 rows",
        floor: Limit::Microseconds(30.0),
        aim: Limit::Microseconds(15.0),
        iterations: 200,
        works: |_| Ok(vec![(OURS, passing::chain()?)]),
    },
    SmallCase {
        name: "chain of five, 1,000 rows, with a driver",
        floor: Limit::Microseconds(30.0),
        aim: Limit::Microseconds(15.0),
        iterations: 500,
        works: |threads| Ok(vec![(OURS, Box::new(passing::DrivenChain::new(threads)?))]),
    },
    SmallCase {
        name: "edge that crosses a task",
        floor: Limit::Microseconds(0.6),
        aim: Limit::Microseconds(0.3),
        iterations: 20_000,
        works: |threads| Ok(vec![(OURS, Box::new(edge::Edge::new(threads)?))]),
    },
];

const fn projection(name: &'static str, works: fn(usize) -> Works) -> SmallCase {
    // "No work per row" is what has to be; beyond a microsecond there would be some.
    let (floor, aim) = (Limit::Microseconds(1.0), Limit::Microseconds(0.2));
    SmallCase { name, floor, aim, iterations: 1_000, works }
}

/// Measures all of them on so many threads: a list of name, threads, engine and microseconds.
pub(crate) fn measure(threads: usize, options: &Options) -> Result<Value, BenchError> {
    let mut told = Vec::new();
    for case in SMALL_CASES.iter().filter(|case| case.name.contains(&options.only)) {
        let mut works = (case.works)(threads).map_err(in_engine(Engine::Anabranch))?;
        let mut samples = vec![Vec::new(); works.len()];
        for sample in 0..=options.rounds * SAMPLES_PER_ROUND {
            for ((_, work), samples) in works.iter_mut().zip(&mut samples) {
                let time = work.run(case.iterations).map_err(in_engine(Engine::Anabranch))?;
                // The first sample only warms up.
                if sample > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "a count of iterations is small")]
                    samples.push(time.as_secs_f64() * 1e6 / case.iterations as f64);
                }
            }
        }
        for ((engine, _), microseconds) in works.iter().zip(samples) {
            told.push(json!({
                "name": case.name, "threads": threads, "engine": engine, "microseconds": microseconds
            }));
        }
    }
    Ok(Value::Array(told))
}
