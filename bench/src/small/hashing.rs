//! Hashes of packets, which every function node makes of all its rows.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::identity::PacketHasher;
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use arrow::datatypes::{Field, FieldRef};

use super::Work;
use crate::error::Cause;

const ROWS: u32 = 8_192;

/// Two integers, two floats and a text of ten characters.
pub(super) struct Hashing {
    hasher: PacketHasher,
    columns: Vec<ArrayRef>,
}

impl Hashing {
    pub(super) fn new() -> Result<Self, Cause> {
        let floats = |scale: f64| Float64Array::from_iter_values((0..ROWS).map(|n| f64::from(n) * scale));
        let texts = StringViewArray::from_iter_values((0..ROWS).map(|n| format!("text {n:05}")));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(i64::from))),
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| i64::from(n) * 7_919))),
            Arc::new(floats(0.5)),
            Arc::new(floats(-1.25)),
            Arc::new(texts),
        ];
        let field = |(at, column): (usize, &ArrayRef)| {
            Arc::new(Field::new(format!("c{at}"), column.data_type().clone(), true)) as FieldRef
        };
        let fields: Vec<FieldRef> = columns.iter().enumerate().map(field).collect();
        Ok(Self { hasher: PacketHasher::new(&fields)?, columns })
    }
}

impl Work for Hashing {
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause> {
        let begun = Instant::now();
        for _ in 0..iterations {
            black_box(self.hasher.hash(black_box(&self.columns), ROWS as usize)?);
        }
        Ok(begun.elapsed())
    }
}
