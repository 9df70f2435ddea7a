//! Whole runs: a source, a function that is cached, a store on disk.
//!
//! A million packets of five columns (two integers, two floats, a text of ten characters), read from an Arrow file. Every
//! line is a run of a pipeline from its start to its summary, everything committed with full synchronisation.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch::{ArrowFile, Chunk, Function, NodeHandle, Pipeline, Python, RunOptions, Store};

use crate::error::{BenchError, Cause};
use crate::lines::{Line, millis, rate, rate_of, table};
use crate::options::Options;
use crate::packets::{self, write};

/// Packets of the slow function.
const SLOW: u32 = 200;
/// Time that the slow function takes.
const SLOW_CALL: Duration = Duration::from_millis(3);

/// Measures what has the wanted text in its name and gives a table.
pub(crate) fn measure(options: &Options) -> Result<String, BenchError> {
    let lines = lines(options).map_err(|cause| BenchError::Store { cause })?;
    Ok(table("whole runs, two threads", &lines))
}

fn lines(options: &Options) -> Result<Vec<Line>, Cause> {
    let wanted = |part: &str| part.contains(&options.only);
    let (rows, dir) = (options.rows, tempfile::tempdir()?);
    let file = dir.path().join("packets.arrow");
    write(&file, 0..rows)?;
    let mut lines = Vec::new();
    if wanted("first") {
        lines.push(first(dir.path(), &file, options)?);
    }
    if wanted("again recorded") || wanted("again gathered") {
        again(dir.path(), &file, options, &mut lines)?;
    }
    if wanted("size") {
        lines.push(size(dir.path(), &file, rows)?);
    }
    if wanted("python") {
        lines.push(python(dir.path(), &file, rows)?);
    }
    if wanted("slow") {
        lines.push(slow(dir.path())?);
    }
    Ok(lines)
}

/// Runs on new stores.
fn first(dir: &Path, file: &Path, options: &Options) -> Result<Line, Cause> {
    let (native, _) = packets::native(file)?;
    let time = median(options.rounds, |round| {
        let folder = dir.join(format!("first{round}"));
        let store = Store::open(&folder)?;
        let begun = Instant::now();
        native.run(&store)?;
        let time = begun.elapsed();
        drop(store);
        std::fs::remove_dir_all(folder)?;
        Ok(time)
    })?;
    Ok(Line::new("native function, first run", rate_of(options.rows.into(), time)).bounds("2 M/s", "5 M/s"))
}

/// Measurements of what is there already: run again and replayed, in its order and gathered.
fn again(dir: &Path, file: &Path, options: &Options, lines: &mut Vec<Line>) -> Result<(), Cause> {
    let rows = options.rows;
    let shuffled = dir.join("shuffled.arrow");
    // A step without a common divisor with the number of rows meets each once.
    let far = |n: u32| u32::try_from(u64::from(n) * 382_021 % u64::from(rows)).unwrap_or(n);
    write(&shuffled, (0..rows).map(far))?;
    let store = Store::open(dir.join("store"))?;
    let (native, node) = packets::native(file)?;
    native.run(&store)?;
    let time = median(options.rounds, |_| {
        let begun = Instant::now();
        native.run(&store)?;
        Ok(begun.elapsed())
    })?;
    lines.push(Line::new("second run, all reused", rate_of(rows.into(), time)).bounds("4 M/s", "10 M/s"));
    let time = median(options.rounds, |_| replay(&store, &native, node, rows))?;
    let line = Line::new("replay in recorded order", rate_of(rows.into(), time));
    lines.push(line.bounds("30 M/s", "100 M/s"));
    if !"again gathered".contains(&options.only) {
        return Ok(());
    }
    let (other, node) = packets::native(&shuffled)?;
    other.run(&store)?;
    let time = median(options.rounds, |_| replay(&store, &other, node, rows))?;
    let line = Line::new("replay of results from other runs' blocks", rate_of(rows.into(), time));
    lines.push(line.bounds("6 M/s", "9 M/s"));
    Ok(())
}

/// The middle of the times of some rounds.
fn median(rounds: usize, mut round: impl FnMut(usize) -> Result<Duration, Cause>) -> Result<Duration, Cause> {
    let mut times = (0..rounds.max(1)).map(&mut round).collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn replay(store: &Store, pipeline: &Pipeline, node: NodeHandle, rows: u32) -> Result<Duration, Cause> {
    let begun = Instant::now();
    let chunks = store.replay(pipeline, node)?;
    let found: usize = chunks.map(|chunk| chunk.map(|c| Chunk::rows(&c))).sum::<Result<_, _>>()?;
    let time = begun.elapsed();
    if found != rows as usize {
        return Err(format!("replay gave {found} rows, expected {rows}").into());
    }
    Ok(time)
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
    let bytes = packets::folder_bytes(&folder)?;
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
    write(&file, 0..SLOW)?;
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
