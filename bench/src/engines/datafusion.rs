//! DataFusion: the physical plan that its planner makes for these tables, drained partition by
//! partition.
//!
//! With one partition each join reads its tables as they are. With several, both tables have that
//! many parts, are distributed by the hash of their keys and joined part by part.

use std::sync::Arc;

use datafusion_arrow::array::RecordBatch;
use datafusion_arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{JoinType, NullEquality};
use datafusion_datasource::memory::MemorySourceConfig;
use datafusion_execution::{SendableRecordBatchStream, TaskContext, config::SessionConfig};
use datafusion_physical_expr::expressions::col;
use datafusion_physical_plan::joins::{
    HashJoinExec, PartitionMode, StreamJoinPartitionMode, SymmetricHashJoinExec,
};
use datafusion_physical_plan::repartition::RepartitionExec;
use datafusion_physical_plan::{ExecutionPlan, Partitioning, execute_stream_partitioned};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::{Drain, Prepared};
use crate::arrays::peers::{columns, fields, words};
use crate::cases::{Case, Engine, Matching};
use crate::data::{CHUNK_ROWS, Table};
use crate::error::{BenchError, Cause, in_engine};
use crate::tally::Tally;

/// The result's columns without the second key.
const ONE_KEY: [usize; 7] = [0, 1, 2, 3, 5, 6, 7];

/// DataFusion, with its tables.
pub(crate) struct DataFusion {
    engine: Engine,
    case: &'static Case,
    partitions: usize,
    runtime: Runtime,
    tables: [(SchemaRef, Vec<Vec<RecordBatch>>); 2],
}

impl DataFusion {
    /// Builds the batches.
    pub(crate) fn new(
        engine: Engine,
        case: &'static Case,
        tables: &[Table; 2],
        threads: usize,
    ) -> Result<Self, BenchError> {
        let [left, right] = tables.each_ref().map(|table| partitions(table, threads));
        let tables = [left.map_err(in_engine(engine))?, right.map_err(in_engine(engine))?];
        // This thread only waits; the work is on the runtime's.
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_time().build();
        let runtime = runtime.map_err(in_engine(engine))?;
        Ok(Self { engine, case, partitions: threads, runtime, tables })
    }

    /// A new plan, as a plan that has run keeps its table of keys.
    fn plan(&self) -> Result<Arc<dyn ExecutionPlan>, Cause> {
        let [left, right] = self.tables.each_ref().map(|table| self.source(table));
        let (left, right) = (left?, right?);
        let on = vec![(col("key", &left.schema())?, col("key", &right.schema())?)];
        let is_one = self.partitions == 1;
        let nulls = NullEquality::NullEqualsNothing;
        if self.engine == Engine::SymmetricJoin {
            let mode = if is_one {
                StreamJoinPartitionMode::SinglePartition
            } else {
                StreamJoinPartitionMode::Partitioned
            };
            let join = SymmetricHashJoinExec::try_new(
                left,
                right,
                on,
                None,
                &JoinType::Inner,
                nulls,
                None,
                None,
                mode,
            )?;
            return Ok(Arc::new(join));
        }
        let (kind, projection) = match self.case.matching {
            Matching::Join => (JoinType::Inner, Some(ONE_KEY.to_vec())),
            Matching::Semijoin => (JoinType::LeftSemi, None),
            Matching::Antijoin => (JoinType::LeftAnti, None),
        };
        let mode = if is_one { PartitionMode::CollectLeft } else { PartitionMode::Partitioned };
        Ok(Arc::new(HashJoinExec::try_new(left, right, on, None, &kind, projection, mode, nulls, false)?))
    }

    fn source(&self, table: &(SchemaRef, Vec<Vec<RecordBatch>>)) -> Result<Arc<dyn ExecutionPlan>, Cause> {
        let (schema, batches) = table;
        let source = MemorySourceConfig::try_new_exec(batches, Arc::clone(schema), None)?;
        if self.partitions == 1 {
            return Ok(source);
        }
        let by_key = Partitioning::Hash(vec![col("key", schema)?], self.partitions);
        Ok(Arc::new(RepartitionExec::try_new(source, by_key)?))
    }

    fn execute(&self, drain: Drain) -> Result<Tally, Cause> {
        let config = SessionConfig::new().with_batch_size(CHUNK_ROWS).with_target_partitions(self.partitions);
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let plan = self.plan()?;
        let columns = (drain == Drain::Sum).then(|| self.case.columns());
        let run = async move {
            let mut parts = JoinSet::new();
            for stream in execute_stream_partitioned(plan, context)? {
                parts.spawn(drained(stream, columns));
            }
            let mut tally = Tally::default();
            while let Some(part) = parts.join_next().await {
                tally = tally.and(part??);
            }
            Ok(tally)
        };
        self.runtime.block_on(self.runtime.spawn(run))?
    }
}

impl Prepared for DataFusion {
    fn run(&mut self, drain: Drain) -> Result<Tally, BenchError> {
        self.execute(drain).map_err(in_engine(self.engine))
    }
}

async fn drained(
    mut stream: SendableRecordBatchStream,
    columns: Option<&'static [&'static str]>,
) -> Result<Tally, Cause> {
    let mut tally = Tally::default();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        match columns {
            None => tally.count(batch.num_rows()),
            Some(names) => {
                let columns: Option<Vec<_>> =
                    names.iter().map(|name| batch.column_by_name(name).map(|column| words(column))).collect();
                tally.add(batch.num_rows(), &columns.ok_or("a column is missing")?);
            }
        }
    }
    Ok(tally)
}

/// The batches of a table in so many parts, dealt out in turn.
fn partitions(table: &Table, parts: usize) -> Result<(SchemaRef, Vec<Vec<RecordBatch>>), Cause> {
    let schema = Arc::new(Schema::new(fields(table).to_vec()));
    let mut partitions = vec![Vec::new(); parts];
    for (at, rows) in table.batches().enumerate() {
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns(table, &rows).to_vec())?;
        if let Some(part) = partitions.get_mut(at % parts) {
            part.push(batch);
        }
    }
    Ok((schema, partitions))
}
