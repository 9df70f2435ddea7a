//! Chunks through machines, without a driver.

use std::hint::black_box;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Bound, Input, Item, Machine, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_engine::stage::Running;
use anabranch_operators::{DropColumns, Filter, Map, Select};
use tokio::runtime::Runtime;

use super::Work;
use crate::cases::CASES;
use crate::data::{Table, tables};
use crate::engines::{context, counting_sink, drive, input, job, node, runtime, source};
use crate::error::Cause;

/// Rows that go through a chain at once.
const CHAIN_ROWS: u32 = 1_000;

/// Machines in a row, each behind the one before, and a chunk that goes through them again and
/// again.
pub(super) struct Passing {
    machines: Vec<Box<dyn Machine>>,
    chunks: Vec<Chunk>,
    /// True if what comes out is let go after the clock has stopped, as where no values are made.
    keeps: bool,
    expected: Option<usize>,
}

impl Passing {
    /// Binds each operator to the one before and starts all.
    pub(super) fn new(
        operators: &[&dyn Operator],
        input: Input,
        chunks: Vec<Chunk>,
        keeps: bool,
    ) -> Result<Self, Cause> {
        Ok(Self { machines: machines(operators, input)?, chunks, keeps, expected: None })
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

/// Binds each operator to the one before and starts all.
fn machines(operators: &[&dyn Operator], input: Input) -> Result<Vec<Box<dyn Machine>>, Cause> {
    let context = context(Arc::new(Origins::default()));
    let mut input = input;
    let mut machines = Vec::new();
    for operator in operators {
        let bound: Box<dyn Bound> = operator.bind(std::slice::from_ref(&input))?;
        input.schema = Arc::clone(&bound.contract().schema);
        machines.push(bound.start(&context));
    }
    Ok(machines)
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
fn five() -> [Box<dyn Operator>; 5] {
    [
        Box::new(Map::packets([("a", "number")])),
        Box::new(Filter::predicate("number >= 0")),
        Box::new(Select::new().packets(["number", "c"])),
        Box::new(Map::packets([("c", "text")])),
        Box::new(DropColumns::new().packets(["number"])),
    ]
}

/// A chain of five operators, called one by one.
pub(super) fn chain() -> Result<Box<dyn Work>, Cause> {
    let operators = five();
    let operators: Vec<&dyn Operator> = operators.iter().map(AsRef::as_ref).collect();
    passing(&operators, CHAIN_ROWS, false)
}

/// The same between a source and a sink, in a run of a driver.
pub(super) struct DrivenChain {
    threads: usize,
    runtime: Runtime,
    input: Input,
    chunk: Chunk,
}

impl DrivenChain {
    /// By the synchronous driver on one thread, else by the streaming one.
    pub(super) fn new(threads: usize) -> Result<Self, Cause> {
        let (input, chunks) = input(&table(CHAIN_ROWS)?, 1, &Origins::default())?;
        let chunk = chunks.into_iter().next().ok_or("the table has no rows")?;
        Ok(Self { threads, runtime: runtime(threads)?, input, chunk })
    }
}

impl Work for DrivenChain {
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause> {
        let tally = Arc::default();
        let mut nodes = vec![node("source", vec![], source(vec![self.chunk.clone(); iterations]))];
        let operators = five();
        let operators: Vec<&dyn Operator> = operators.iter().map(AsRef::as_ref).collect();
        for machine in machines(&operators, self.input.clone())? {
            nodes.push(node("operator", vec![nodes.len() - 1], Running::Machine(machine)));
        }
        nodes.push(node("sink", vec![nodes.len() - 1], counting_sink(&tally)));
        let begun = Instant::now();
        drive(job(nodes), self.threads, &self.runtime)?;
        let time = begun.elapsed();
        let rows = tally.lock().unwrap_or_else(PoisonError::into_inner).rows;
        if rows == 0 { Err("nothing came out".into()) } else { Ok(time) }
    }
}
