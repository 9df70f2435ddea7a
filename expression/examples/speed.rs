//! Seconds that expressions take over an Arrow file, on one thread: `speed FILE [EXPRESSION ..]`.
//!
//! Prints one JSON number a line, the least of five runs each. `bench/expressions.py` compares them with DuckDB's.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anabranch_expression::Expression;
use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;

/// As in the other measurements: what the system's does with chunks that come and go is no property of a kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a chunk, as in a pipeline.
const CHUNK_ROWS: usize = 8_192;
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected the path of an Arrow file")?;
    let mut chunks: Vec<RecordBatch> = Vec::new();
    for batch in FileReader::try_new(File::open(path)?, None)? {
        let batch = batch?;
        let rows = batch.num_rows();
        chunks.extend((0..rows).step_by(CHUNK_ROWS).map(|at| batch.slice(at, CHUNK_ROWS.min(rows - at))));
    }
    let fields: Vec<_> = chunks.first().ok_or("expected rows")?.schema().fields().iter().cloned().collect();
    for sql in arguments {
        let expression = Expression::compile(&sql, &fields)?;
        let mut least = Duration::MAX;
        for _ in 0..RUNS {
            let begun = Instant::now();
            for chunk in &chunks {
                black_box(expression.evaluate(chunk.columns(), chunk.num_rows())?);
            }
            least = least.min(begun.elapsed());
        }
        println!("{}", least.as_secs_f64());
    }
    Ok(())
}
