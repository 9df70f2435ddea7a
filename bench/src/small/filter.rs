//! A filter that keeps half of a table whose columns are two whole numbers and two texts, one
//! short enough to stand in its view and one not.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Digest, PipelineHash};
use anabranch_engine::operator::Input;
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_operators::Filter;
use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field};
use polars::prelude::{
    ChunkCompareIneq as _, Column, DataFrame, IntoLazy as _, NamedFrom as _, Series, col, lit,
};

use super::{OURS, POLARS_EAGER, POLARS_LAZY, Work, Works, passing::Passing};
use crate::data::mix;
use crate::error::Cause;

/// The table's columns as plain values.
struct Plain {
    keys: Vec<i64>,
    numbers: Vec<i64>,
    short: Vec<String>,
    long: Vec<String>,
}

impl Plain {
    fn new(rows: usize) -> Self {
        let at = |row: usize, column: u64| mix((row as u64) << 4 | column);
        Self {
            keys: (0..rows).map(|row| at(row, 0).cast_signed()).collect(),
            numbers: (0..rows).map(|row| at(row, 1).cast_signed()).collect(),
            short: (0..rows).map(|row| format!("{:010}", at(row, 2) % 10_000_000_000)).collect(),
            long: (0..rows).map(|row| format!("{:024}", at(row, 3))).collect(),
        }
    }
}

/// Ours and both ways of Polars over a table of so many rows, ours in chunks.
pub(super) fn works(rows: usize, chunk_rows: usize) -> Works {
    let plain = Plain::new(rows);
    let expected = plain.numbers.iter().filter(|number| **number >= 0).count();
    let (input, chunks) = chunks(&plain, chunk_rows)?;
    let ours = Passing::new(&[&Filter::predicate("number >= 0")], input, chunks, false)?.expecting(expected);
    let frame = frame(plain)?;
    let lazy = OverFrame { frame: frame.clone(), is_lazy: true, expected };
    let eager = OverFrame { frame, is_lazy: false, expected };
    Ok(vec![(OURS, Box::new(ours)), (POLARS_EAGER, Box::new(eager)), (POLARS_LAZY, Box::new(lazy))])
}

fn chunks(plain: &Plain, chunk_rows: usize) -> Result<(Input, Vec<Chunk>), Cause> {
    let field = |name, kind| Arc::new(Field::new(name, kind, false));
    let text = DataType::Utf8View;
    let packets = vec![field("number", DataType::Int64), field("short", text.clone()), field("long", text)];
    let pipeline_hash = PipelineHash(Digest([1; 32]));
    let tag = SystemTag::of_source(&pipeline_hash.short());
    let schema = Arc::new(StreamSchema::new(vec![field("key", DataType::Int64)], packets, vec![tag])?);
    let origins = Origins::default();
    let (source, records): (Arc<str>, _) = ("table".into(), RecordIds::Ordinal);
    let row = origins.add(Origin::Source { source: Arc::clone(&source), records: records.clone() });
    let rows = plain.keys.len();
    let positions = Positions::range(0, rows);
    let sources = schema.packets().iter().map(|field| {
        let (source, records) = (Arc::clone(&source), records.clone());
        let id = origins.add(Origin::Column { source, records, column: field.name().as_str().into() });
        ProvenanceColumn::constant(id, positions.clone())
    });
    let provenance = Provenance {
        tags: vec![ProvenanceColumn::constant(row, positions.clone())],
        sources: sources.collect(),
    };
    let keys: ArrayRef = Arc::new(Int64Array::from(plain.keys.clone()));
    let packets: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(plain.numbers.clone())),
        Arc::new(StringViewArray::from_iter_values(&plain.short)),
        Arc::new(StringViewArray::from_iter_values(&plain.long)),
    ];
    let whole = Chunk::new(Arc::clone(&schema), rows, vec![keys], packets, provenance)?;
    let chunks = (0..rows).step_by(chunk_rows.max(1)).map(|start| whole.slice(start, chunk_rows)).collect();
    Ok((Input { schema, pipeline_hash, ordered: true, bounded: true }, chunks))
}

fn frame(plain: Plain) -> Result<DataFrame, Cause> {
    let rows = plain.keys.len();
    let columns = [
        Series::new("key".into(), plain.keys),
        Series::new("number".into(), plain.numbers),
        Series::new("short".into(), plain.short),
        Series::new("long".into(), plain.long),
    ];
    Ok(DataFrame::new(rows, columns.into_iter().map(Column::from).collect())?)
}

struct OverFrame {
    frame: DataFrame,
    is_lazy: bool,
    expected: usize,
}

impl OverFrame {
    fn once(&self) -> Result<DataFrame, Cause> {
        if self.is_lazy {
            return Ok(self.frame.clone().lazy().filter(col("number").gt_eq(lit(0_i64))).collect()?);
        }
        let mask = self.frame.column("number")?.i64()?.gt_eq(0_i64);
        Ok(self.frame.filter(&mask)?)
    }
}

impl Work for OverFrame {
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause> {
        let begun = Instant::now();
        for _ in 0..iterations {
            let found = black_box(self.once()?).height();
            if found != self.expected {
                return Err(format!("Polars kept {found} rows, expected {}", self.expected).into());
            }
        }
        Ok(begun.elapsed())
    }
}
