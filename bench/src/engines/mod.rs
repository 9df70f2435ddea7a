//! The engines, each with the tables of a case in its own form.

mod anabranch;
mod datafusion;
mod polars;

pub(crate) use anabranch::{context, counting_sink, drive, input, job, node, runtime, source};

use crate::cases::{Case, Engine};
use crate::data::tables;
use crate::error::BenchError;
use crate::tally::Tally;

/// Use of the rows that come out. They are drained either way; nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Only counted, as is timed.
    Count,
    /// Summed up too, to compare engines.
    Sum,
}

/// An engine that has its tables.
pub(crate) trait Prepared {
    /// Does the work once, from the tables to the last row drained.
    fn run(&mut self, drain: Drain) -> Result<Tally, BenchError>;
}

/// Lets an engine build its tables.
pub(crate) fn prepare(
    engine: Engine,
    case: &'static Case,
    rows: u32,
    threads: usize,
) -> Result<Box<dyn Prepared>, BenchError> {
    let tables = tables(case, rows);
    Ok(match engine {
        Engine::Anabranch => Box::new(anabranch::Ours::new(case, &tables, threads)?),
        Engine::HashJoin | Engine::SymmetricJoin => {
            Box::new(datafusion::DataFusion::new(engine, case, &tables, threads)?)
        }
        Engine::Polars | Engine::PolarsMemory => Box::new(polars::Polars::new(engine, case, &tables)?),
    })
}
