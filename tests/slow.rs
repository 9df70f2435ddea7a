//! A pipeline whose function takes long: `slow STORE ROWS DISTINCT`. Prints a line per call.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::io::Write as _;

use anabranch::{Function, Pipeline, Rows, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments[at].parse::<i64>().unwrap();
    let (rows, distinct) = (number(2), number(3));
    let mut pipeline = Pipeline::new("slow");
    let rows = (0..rows).map(|n| [("id", n.into()), ("n", (n % distinct).into())]);
    let source = pipeline.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let function =
        Function::new("work").version("1").takes(["n"]).gives::<String>("digest").call(|n: i64| {
            let mut hash = blake3::hash(&n.to_le_bytes());
            for _ in 0..300 {
                hash = blake3::hash(&[*hash.as_bytes(); 32].concat());
            }
            let mut out = std::io::stdout().lock();
            writeln!(out, "{n}").and_then(|()| out.flush()).unwrap();
            Ok(hash.to_hex().to_string())
        });
    pipeline.function("work", source, function).unwrap();
    let store = Store::open(&arguments[1]).unwrap();
    let summary = pipeline.run(&store).unwrap();
    println!("summary {}", summary.to_json());
}
