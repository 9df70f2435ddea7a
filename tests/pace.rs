//! A pipeline whose function takes ten milliseconds: `pace STORE DISTINCT OUT`. Each process gives
//! other values, so that it shows whose result a row has.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and its arguments are there"
)]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anabranch::{Columns, Format, Function, Pipeline, Rows, RunOptions, Store, WriteSpec};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let distinct: i64 = arguments[2].parse().unwrap();
    let mut pipeline = Pipeline::new("pace");
    let rows = (0..distinct).map(|n| [("id", n.into()), ("n", n.into())]);
    let source = pipeline.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let process = i64::from(std::process::id());
    let function = Function::new("work").version("1").takes(["n"]).gives::<i64>("by");
    let function = function.call(move |_: i64| {
        // What a call to elsewhere does: it waits and takes no core.
        std::thread::park_timeout(Duration::from_millis(10));
        Ok(process)
    });
    let node = pipeline.function("work", source, function).unwrap();
    pipeline.set_concurrency(node, NonZeroUsize::new(8).unwrap()).unwrap();
    let store = Store::open(&arguments[1]).unwrap();
    let spec = WriteSpec { columns: Columns::Data, ..WriteSpec::new(Format::JsonLines, &arguments[3]) };
    let options = RunOptions { outputs: vec![(node, spec)], ..RunOptions::default() };
    let begun = Instant::now();
    let summary = pipeline.run_with(&store, &options).unwrap();
    let function = summary.node("work").unwrap().function.unwrap();
    println!("{} {} {}", function.computed, function.reused, begun.elapsed().as_secs_f64());
}
