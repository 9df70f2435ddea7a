//! Chunks through machines, without a driver.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Bound, Input, Item, Machine, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_operators::{DropColumns, Filter, Map, Select};

use super::Work;
use crate::cases::CASES;
use crate::data::{Table, tables};
use crate::engines::{context, input};
use crate::error::Cause;

/// Machines in a row, each behind the one before, and a chunk that goes through them again and
/// again.
pub(super) struct Passing {
    machines: Vec<Box<dyn Machine>>,
    chunks: Vec<Chunk>,
    /// Whether what comes out is let go after the clock has stopped, as where no values are made.
    keeps: bool,
    expected: Option<usize>,
}

impl Passing {
    /// Binds each operator to the one before.
    pub(super) fn new(
        operators: &[&dyn Operator],
        input: Input,
        chunks: Vec<Chunk>,
        keeps: bool,
    ) -> Result<Self, Cause> {
        let context = context(Arc::new(Origins::default()));
        let mut input = input;
        let mut machines = Vec::new();
        for operator in operators {
            let bound: Box<dyn Bound> = operator.bind(std::slice::from_ref(&input))?;
            input.schema = Arc::clone(&bound.contract().schema);
            machines.push(bound.start(&context));
        }
        Ok(Self { machines, chunks, keeps, expected: None })
    }

    /// The same, with the rows told that have to come out of one pass.
    pub(super) fn expecting(mut self, rows: usize) -> Self {
        self.expected = Some(rows);
        self
    }

    /// Rows that come out of one pass, checked to be the same each time.
    fn check(&mut self, rows: usize) -> Result<(), Cause> {
        let expected = *self.expected.get_or_insert(rows);
        if rows == expected { Ok(()) } else { Err(format!("gave {rows} rows, expected {expected}").into()) }
    }
}

impl Work for Passing {
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause> {
        let mut inputs: Vec<Chunk> =
            (0..iterations).flat_map(|_| self.chunks.iter().rev().cloned()).collect();
        let mut kept = Vec::with_capacity(inputs.len());
        let (keeps, mut rows) = (self.keeps, 0);
        let begun = Instant::now();
        while let Some(chunk) = inputs.pop() {
            push(&mut self.machines, chunk, &mut |chunk| {
                rows += chunk.rows();
                let chunk = black_box(chunk);
                if keeps {
                    kept.push(chunk);
                }
            })?;
        }
        let time = begun.elapsed();
        self.check(rows / iterations.max(1))?;
        Ok(time)
    }
}

/// Hands a chunk to the first machine and what it gives to the next ones, until all want more.
fn push(machines: &mut [Box<dyn Machine>], chunk: Chunk, gives: &mut dyn FnMut(Chunk)) -> Result<(), Cause> {
    let Some((first, rest)) = machines.split_first_mut() else {
        gives(chunk);
        return Ok(());
    };
    first.accept(0, Item::Chunk(chunk))?;
    loop {
        match first.step()? {
            Step::Output(chunk) => push(rest, chunk, gives)?,
            Step::NeedInput(_) => return Ok(()),
            step => return Err(format!("an operator of one input answered {step:?}").into()),
        }
    }
}

fn table(rows: u32) -> Result<Table, Cause> {
    let [table, _] = tables(CASES.first().ok_or("there is no case")?, rows);
    Ok(table)
}

fn passing(operators: &[&dyn Operator], rows: u32, keeps: bool) -> Result<Box<dyn Work>, Cause> {
    let (input, chunks) = input(&table(rows)?, 1, &Origins::default())?;
    Ok(Box::new(Passing::new(operators, input, chunks, keeps)?))
}

/// A select of two of three packet columns.
pub(super) fn select() -> Result<Box<dyn Work>, Cause> {
    passing(&[&Select::new().packets(["c", "a"])], 8_192, true)
}

/// A drop of one of three packet columns.
pub(super) fn drop_columns() -> Result<Box<dyn Work>, Cause> {
    passing(&[&DropColumns::new().packets(["b"])], 8_192, true)
}

/// A map of two columns.
pub(super) fn map() -> Result<Box<dyn Work>, Cause> {
    passing(&[&Map::packets([("a", "number")]).and_tags([("key", "id")])], 8_192, true)
}

/// Five operators: map, filter, select, map, drop; the filter keeps half.
pub(super) fn chain() -> Result<Box<dyn Work>, Cause> {
    let operators: [&dyn Operator; 5] = [
        &Map::packets([("a", "number")]),
        &Filter::predicate("number >= 0"),
        &Select::new().packets(["number", "c"]),
        &Map::packets([("c", "text")]),
        &DropColumns::new().packets(["number"]),
    ];
    passing(&operators, 1_000, false)
}
