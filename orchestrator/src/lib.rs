//! anabranch: pipelines over many small records, with reuse of results and the lineage of every value.
//!
//! A [`Pipeline`] is built by its methods or read from a YAML file by [`Pipeline::from_yaml`]; it
//! runs against a [`Store`], which keeps results and recorded rows and reads them back.
//!
//! ```
//! use anabranch::{Function, Pipeline, Rows, Store};
//!
//! let mut pipeline = Pipeline::new("speeds");
//! let flights = pipeline.source(
//!     "flights",
//!     Rows::new([[("id", 1.into()), ("miles", 500.into())], [("id", 2.into()), ("miles", 90.into())]])
//!         .tags(["id"]),
//! )?;
//! let km = Function::new("km").version("1").takes(["miles"]).gives::<f64>("km");
//! let km = pipeline.function("km", flights, km.call(|miles: i64| Ok(miles as f64 * 1.609_344)))?;
//!
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path())?;
//! let first = pipeline.run(&store)?;
//! let second = pipeline.run(&store)?;
//! assert_eq!(first.node("km").and_then(|n| n.function).map(|f| f.computed), Some(2));
//! assert_eq!(second.node("km").and_then(|n| n.function).map(|f| f.reused), Some(2));
//! let rows: usize = store.replay(&pipeline, km)?.map(|chunk| chunk.map_or(0, |c| c.rows())).sum();
//! assert_eq!(rows, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources and operators of one's own implement the traits of [`nodes::source`] and
//! [`engine::operator`], as the built-in ones do.

mod cumulative;
mod derived;
mod explain;
mod forecast;
mod graph;
mod node;
mod plan;
mod replay;
mod run;
mod store;
mod trace;
pub mod yaml;

pub use anabranch_engine as engine;
pub use anabranch_nodes as nodes;
pub use anabranch_operators as operators;

pub use anabranch_engine::chunk::{Chunk, Columns};
pub use anabranch_engine::names::{list, suggestion};
pub use anabranch_engine::store::{
    CollectError, CopyError, DropError, OpenError, ReadError, StoreError, StoreErrorKind,
};
pub use anabranch_expression::Literal;
pub use anabranch_nodes::function::{
    CacheMode, ChunkOutput, Command, CommandWire, Difference, Function, NoneOutput, OnError, Outcome,
    OutputOrder, PacketError, Python, Rate, RateError, Retry,
};
pub use anabranch_nodes::recording::RecordMode;
pub use anabranch_nodes::sink::{Format, IfExists, JsonOptions, NonFinite, Numbers, WriteSpec};
pub use anabranch_nodes::source::formats::*;
pub use anabranch_operators::*;
pub use derived::{Derived, UpstreamError, UpstreamRows};
pub use explain::{ColumnChange, ExplainError, ExplainOptions, Explanation, PacketCause, PacketChange};
pub use forecast::{
    Certificate, ComponentChange, Count, EarlierFunction, Forecast, ForecastCalls, ForecastNode,
    ForecastOptions, Reason, VerifiedNode, VerifyOptions,
};
pub use graph::{NodeHandle, Pipeline, picture};
pub use node::{
    ChunkRows, Executor, FunctionSummary, NodeDifferences, NodeProgress, NodeSummary, PlanError, Settings,
    VerifySummary,
};
pub use plan::{RunError, RunOptions, RunScope};
pub use replay::{Replay, ReplayError, RowValues, Selected, Which, row_values};
pub use run::{RunHandle, RunStatus, Summary};
pub use store::run_files::{LastRun, file_of_pipeline, file_of_summary};
pub use store::run_id::format_time;
pub use store::{
    BusyHandler, BusyWait, DropReport, DropTarget, GarbageOptions, GarbageReport, Inventory, Link,
    RecordingGroup, RecordingInfo, RunInfo, RunState, ScrubReport, SetAsideInfo, SetAsideReader, Store,
    StoreFault, StoreOptions, StoreSize,
};
pub use trace::{Call, Lineage, SourceState, SourceValue, TracedRow, Tracer, Upstream};

use std::path::Path;

impl Pipeline {
    /// Reads, checks and plans a pipeline file. Errors list all findings with their places.
    pub fn from_yaml(path: impl AsRef<Path>) -> Result<Self, yaml::LoadError> {
        yaml::load(path.as_ref(), &yaml::LoadOptions::default()).map(|loaded| loaded.pipeline)
    }
}
