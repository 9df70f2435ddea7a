//! Packets of five columns (two integers, two floats, a text of ten characters) in Arrow files, and a function over them.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anabranch::{ArrowFile, Function, NodeHandle, Pipeline};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::FileWriter;

use crate::error::Cause;

/// Rows of a batch of a file.
const BATCH: usize = 8_192;

/// Writes a packet for each number; equal numbers are equal packets.
pub(crate) fn write(path: &Path, numbers: impl IntoIterator<Item = u32>) -> Result<(), Cause> {
    let mut writer: Option<FileWriter<File>> = None;
    let numbers: Vec<u32> = numbers.into_iter().collect();
    for (at, part) in numbers.chunks(BATCH).enumerate() {
        let ids = Int64Array::from_iter_values((0_i64..).skip(at * BATCH).take(part.len()));
        let integers = |scale: i64| Int64Array::from_iter_values(part.iter().map(|n| i64::from(*n) * scale));
        let floats = |scale: f64| Float64Array::from_iter_values(part.iter().map(|n| f64::from(*n) * scale));
        let texts = StringArray::from_iter_values(part.iter().map(|n| format!("text{n:06}")));
        let columns: [(&str, ArrayRef); 6] = [
            ("id", Arc::new(ids)),
            ("a", Arc::new(integers(1))),
            ("b", Arc::new(integers(7))),
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

/// A closure that is called for each packet of a file and takes all five columns.
pub(crate) fn native(file: &Path) -> Result<(Pipeline, NodeHandle), Cause> {
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

/// Bytes of the files of a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64, Cause> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
