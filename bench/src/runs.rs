//! Whole runs: a source, a function that is cached, a store on disk.
//!
//! A million packets of five columns (two integers, two floats, a text of ten characters), read from an Arrow file. Every
//! line is a run of a pipeline from its start to its summary, everything committed with full synchronisation.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch::{ArrowFile, Chunk, Function, NodeHandle, Pipeline, Python, RunOptions, Store};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::FileWriter;

use crate::error::{BenchError, Cause};
use crate::lines::{Line, millis, rate, rate_of, table};
use crate::options::Options;

/// Rows of a batch of the file.
const BATCH: u32 = 8_192;
/// Packets of the slow function.
const SLOW: u32 = 200;
/// What the slow function takes.
const SLOW_CALL: Duration = Duration::from_millis(3);

/// Measures all of it and gives a table.
pub(crate) fn measure(options: &Options) -> Result<String, BenchError> {
    let lines = lines(options.rows).map_err(|cause| BenchError::Store { cause })?;
    Ok(table("whole runs, two threads", &lines))
}

fn lines(rows: u32) -> Result<Vec<Line>, Cause> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("packets.arrow");
    write(&file, 0..rows, |n| n)?;
    let shuffled = dir.path().join("shuffled.arrow");
    // A step without a common divisor with the number of rows meets each once.
    write(&shuffled, 0..rows, |n| u32::try_from(u64::from(n) * 382_021 % u64::from(rows)).unwrap_or(n))?;
    let store = Store::open(dir.path().join("store"))?;
    let mut lines = Vec::new();
    let (native, node) = native(&file)?;
    let begun = Instant::now();
    native.run(&store)?;
    lines.push(Line::new("native function, first run", rate(rows.into(), begun)).bounds("2 M/s", "5 M/s"));
    let begun = Instant::now();
    native.run(&store)?;
    lines.push(Line::new("second run, all reused", rate(rows.into(), begun)).bounds("4 M/s", "10 M/s"));
    let time = replay(&store, &native, node, rows)?;
    let line = Line::new("replay in recorded order", rate_of(rows.into(), time));
    lines.push(line.bounds("30 M/s", "100 M/s"));
    let (other, node) = self::native(&shuffled)?;
    other.run(&store)?;
    let time = replay(&store, &other, node, rows)?;
    let line = Line::new("replay of results from other runs' blocks", rate_of(rows.into(), time));
    lines.push(line.bounds("6 M/s", "9 M/s"));
    lines.push(size(dir.path(), &file, rows)?);
    lines.push(python(dir.path(), &file, rows)?);
    lines.push(slow(dir.path())?);
    Ok(lines)
}

/// Rows with the numbers of `range`, each changed by `to`.
fn write(path: &Path, range: std::ops::Range<u32>, to: impl Fn(u32) -> u32) -> Result<(), Cause> {
    let mut writer: Option<FileWriter<File>> = None;
    let numbers: Vec<u32> = range.collect();
    for (at, part) in numbers.chunks(BATCH as usize).enumerate() {
        let ids = Int64Array::from_iter_values((0_i64..).skip(at * BATCH as usize).take(part.len()));
        let part: Vec<u32> = part.iter().map(|n| to(*n)).collect();
        let texts = StringArray::from_iter_values(part.iter().map(|n| format!("text{n:06}")));
        let floats = |scale: f64| Float64Array::from_iter_values(part.iter().map(|n| f64::from(*n) * scale));
        let columns: [(&str, ArrayRef); 6] = [
            ("id", Arc::new(ids)),
            ("a", Arc::new(Int64Array::from_iter_values(part.iter().map(|n| i64::from(*n))))),
            ("b", Arc::new(Int64Array::from_iter_values(part.iter().map(|n| i64::from(*n) * 7)))),
            ("x", Arc::new(floats(0.5))),
            ("y", Arc::new(floats(-1.25))),
            ("t", Arc::new(texts)),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(FileWriter::try_new(File::create(path)?, &batch.schema())?),
        };
        writer.write(&batch)?;
    }
    if let Some(mut writer) = writer {
        writer.finish()?;
    }
    Ok(())
}

/// A closure that is called for each packet and takes all five columns.
fn native(file: &Path) -> Result<(Pipeline, NodeHandle), Cause> {
    let mut pipeline = Pipeline::new("native");
    pipeline.settings_mut().concurrency = NonZeroUsize::new(2).ok_or("two is not zero")?;
    let source = pipeline.source("packets", ArrowFile::new(file).tags(["id"]))?;
    let sum = Function::new("sum").version("1").takes(["a", "b", "x", "y", "t"]).gives::<f64>("sum");
    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    let sum =
        sum.call(|(a, b, x, y, t): (i64, i64, f64, f64, String)| Ok((a + b) as f64 + x + y + t.len() as f64));
    let node = pipeline.function("sum", source, sum)?;
    Ok((pipeline, node))
}

fn replay(store: &Store, pipeline: &Pipeline, node: NodeHandle, rows: u32) -> Result<Duration, Cause> {
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let chunks = store.replay(pipeline, node)?;
        let found: usize = chunks.map(|chunk| chunk.map(|c| Chunk::rows(&c))).sum::<Result<_, _>>()?;
        times.push(begun.elapsed());
        if found != rows as usize {
            return Err(format!("replay gave {found} rows, expected {rows}").into());
        }
    }
    times.sort_unstable();
    Ok(times.get(1).copied().unwrap_or_default())
}

/// The store after a first run alone, beside what it keeps as an Arrow file.
fn size(dir: &Path, file: &Path, rows: u32) -> Result<Line, Cause> {
    let folder = dir.join("alone");
    {
        let store = Store::open(&folder)?;
        let mut pipeline = Pipeline::new("kept");
        let source = pipeline.source("packets", ArrowFile::new(file).tags(["id"]))?;
        let sum = Function::new("sum").version("1").takes(["a"]).gives::<i64>("sum").keep(true);
        pipeline.function("sum", source, sum.call(|a: i64| Ok(a + 1)))?;
        pipeline.run(&store)?;
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(&folder)? {
        bytes += entry?.metadata()?.len();
    }
    // The output is a column of eight bytes more than the file has.
    let expected = std::fs::metadata(file)?.len() + u64::from(rows) * 8;
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let ratio = bytes as f64 / expected as f64;
    let line = Line::new("store size beside uncompressed Arrow IPC", format!("{ratio:.2} x"));
    Ok(line.bounds("1.3 x", "1.1 x"))
}

fn python(dir: &Path, file: &Path, rows: u32) -> Result<Line, Cause> {
    let code = dir.join("double.py");
    std::fs::write(&code, "def double(a):\n    return a * 2\n")?;
    let mut pipeline = Pipeline::new("python");
    pipeline.settings_mut().concurrency = NonZeroUsize::new(2).ok_or("two is not zero")?;
    let source = pipeline.source("packets", ArrowFile::new(file).tags(["id"]))?;
    let double = Function::python("double", Python::new(&code, "double")).takes(["a"]).gives::<i64>("twice");
    pipeline.function("double", source, double)?;
    let store = Store::open(dir.join("python"))?;
    let begun = Instant::now();
    pipeline.run(&store)?;
    let line = Line::new("trivial Python function over Arrow", rate(rows.into(), begun));
    Ok(line.bounds("0.2 M/s", "1 M/s"))
}

/// From the end of a call until the row has left: its result is committed in between.
fn slow(dir: &Path) -> Result<Line, Cause> {
    let ended: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let file = dir.join("slow.arrow");
    write(&file, 0..SLOW, |n| n)?;
    let one = NonZeroUsize::new(1).ok_or("one is not zero")?;
    let mut pipeline = Pipeline::new("slow");
    pipeline.settings_mut().concurrency = one;
    let source = pipeline.source("packets", ArrowFile::new(&file).tags(["id"]))?;
    let mark = Arc::clone(&ended);
    let slow = Function::new("slow").version("1").takes(["a"]).gives::<i64>("same").call(move |a: i64| {
        std::thread::sleep(SLOW_CALL);
        mark.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        Ok(a)
    });
    let slow = pipeline.function("slow", source, slow)?;
    let mark = Arc::clone(&seen);
    // Without a version it is not cached, so that it adds no commit of its own.
    let look = Function::new("look").takes(["same"]).gives::<i64>("seen").call(move |same: i64| {
        mark.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        Ok(same)
    });
    pipeline.function("look", slow, look)?;
    let store = Store::open(dir.join("slow"))?;
    pipeline.run_with(&store, &RunOptions::default())?;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut times: Vec<Duration> = ended.iter().zip(seen.iter()).map(|(from, to)| *to - *from).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let line = Line::new("slow function, one packet at a time: commit latency", millis(median));
    Ok(line.bounds("10 ms", "5 ms"))
}
