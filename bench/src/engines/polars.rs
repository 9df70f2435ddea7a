//! Polars: data frames in one piece and its lazy plan, by both of its engines.
//!
//! The streaming engine hands over batches, which are drained as they come (collecting them takes
//! it as long). The other one makes the whole result at once.

use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::{
    Column, DataFrame, DataType, Engine as PolarsEngine, IntoLazy as _, JoinArgs, JoinType, NamedFrom as _,
    PlanCallback, PolarsResult, Series, col,
};

use super::{Drain, Prepared};
use crate::cases::{Case, Engine, Matching};
use crate::data::Table;
use crate::error::{BenchError, in_engine};
use crate::tally::{Tally, text_word};

/// Polars, with its tables.
pub(crate) struct Polars {
    engine: Engine,
    case: &'static Case,
    tables: [DataFrame; 2],
}

impl Polars {
    /// Builds the data frames.
    pub(crate) fn new(engine: Engine, case: &'static Case, tables: &[Table; 2]) -> Result<Self, BenchError> {
        let [left, right] = tables.each_ref().map(frame);
        let fault = in_engine(engine);
        Ok(Self { engine, case, tables: [left.map_err(&fault)?, right.map_err(&fault)?] })
    }

    fn execute(&self, drain: Drain) -> PolarsResult<Tally> {
        let [left, right] = self.tables.each_ref().map(|table| table.clone().lazy());
        let kind = match self.case.matching {
            Matching::Join => JoinType::Inner,
            Matching::Semijoin => JoinType::Semi,
            Matching::Antijoin => JoinType::Anti,
        };
        let joined = left.join(right, [col("key")], [col("key")], JoinArgs::new(kind));
        let columns = (drain == Drain::Sum).then(|| self.case.columns());
        if self.engine == Engine::PolarsMemory {
            return drained(&joined.collect()?, columns);
        }
        // Called on threads of Polars, one call at a time; read once the run is over.
        let tally: Arc<Mutex<Tally>> = Arc::default();
        let total = Arc::clone(&tally);
        let each = PlanCallback::new(move |batch: DataFrame| {
            let batch = drained(&batch, columns)?;
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            *total = total.and(batch);
            Ok(false)
        });
        joined.sink_batches(each, false, None)?.collect_with_engine(PolarsEngine::Streaming)?;
        let tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tally)
    }
}

impl Prepared for Polars {
    fn run(&mut self, drain: Drain) -> Result<Tally, BenchError> {
        self.execute(drain).map_err(in_engine(self.engine))
    }
}

fn drained(batch: &DataFrame, columns: Option<&[&str]>) -> PolarsResult<Tally> {
    let mut tally = Tally::default();
    match columns {
        None => tally.count(batch.height()),
        Some(names) => tally.add(batch.height(), &words(batch, names)?),
    }
    Ok(tally)
}

/// A table as a data frame.
fn frame(table: &Table) -> PolarsResult<DataFrame> {
    let all = 0..table.rows();
    let [key, number, float, text] = table.names.map(Into::into);
    let keys = if table.has_text_keys() {
        Series::new(key, table.key_texts(all.clone()).collect::<Vec<_>>())
    } else {
        Series::new(key, table.key_numbers(all.clone()).collect::<Vec<_>>())
    };
    let columns: [Series; 4] = [
        keys,
        Series::new(number, table.numbers(all.clone()).collect::<Vec<_>>()),
        Series::new(float, table.floats(all.clone()).collect::<Vec<_>>()),
        Series::new(text, table.texts(all).collect::<Vec<_>>()),
    ];
    DataFrame::new(table.rows(), columns.into_iter().map(Column::from).collect())
}

fn words(batch: &DataFrame, names: &[&str]) -> PolarsResult<Vec<Vec<u64>>> {
    let word = |name: &&str| {
        let column = batch.column(name)?;
        Ok(match column.dtype() {
            DataType::Int64 => column.i64()?.iter().map(|value| value.unwrap_or(0).cast_unsigned()).collect(),
            DataType::Float64 => column.f64()?.iter().map(|value| value.unwrap_or(0.0).to_bits()).collect(),
            _ => column.str()?.iter().map(|text| text.map_or(0, text_word)).collect(),
        })
    };
    names.iter().map(word).collect()
}
