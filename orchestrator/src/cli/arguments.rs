//! Arguments of the command line.

use std::path::PathBuf;

use anabranch::{Columns, Executor};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::pipeline_file::{PipelineFile, RecordingArguments, StoredPipeline, pair};

/// Pipelines over many small records, with reuse of results and the lineage of every value.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, propagate_version = true)]
pub(super) struct Arguments {
    /// Format of the results.
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Text for people.
    Text,
    /// One JSON document on standard output.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a pipeline.
    Run(RunArguments),
    /// Read back the rows that a run recorded at a node; computes nothing.
    Replay(ReplayArguments),
    /// Print rows that a run recorded at a node as a table; computes nothing.
    Show(ShowArguments),
    /// Forecast a run: the results it would reuse, the calls it would make, and the reasons.
    Plan(PlanArguments),
    /// Explain why packets of a function node would be computed again.
    Explain(ExplainArguments),
    /// Follow recorded rows back to source rows and the function calls between.
    Trace(TraceArguments),
    /// Compute results again, compare them with the store, and print a certificate.
    Verify(VerifyArguments),
    /// Print packets that were set aside: input, message, traceback, attempts.
    Errors(ErrorsArguments),
    /// Parse and plan a pipeline, and report all errors.
    Check(CheckArguments),
    /// Draw a pipeline.
    Graph(GraphArguments),
    /// List the runs of a pipeline.
    Runs(StoredPipeline),
    /// List, measure, clean up or verify the store.
    #[command(subcommand)]
    Cache(super::cache::Cache),
    /// Copy the store, or restore it from a copy.
    #[command(subcommand)]
    Store(super::store::StoreCommand),
    /// Print the JSON Schema of pipeline files, for editors.
    Schema,
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// Driver that moves the rows.
    #[arg(long, value_enum)]
    pub(super) executor: Option<Driver>,
    /// Run only this node and the nodes that it needs; no sink is written, unless it is one.
    #[arg(long, value_name = "NODE")]
    pub(super) until: Option<String>,
    /// Read at most N rows of each source; results are kept, but nothing is recorded and no sink is written.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Compute every function again; the new results become the current ones.
    #[arg(long)]
    pub(super) no_reuse: bool,
    /// Write a node's rows during the run, also with --until and --limit; format by file extension (.parquet .csv .jsonl .arrow).
    #[arg(long = "out", value_name = "NODE=PATH", value_parser = pair)]
    pub(super) outputs: Vec<(String, String)>,
    /// Columns that `--out` writes.
    #[arg(long, value_enum, default_value_t = ColumnChoice::Data)]
    pub(super) columns: ColumnChoice,
    /// Show no progress.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    pub(super) rows: RecordingArguments,
    /// Read the recordings of all runs, the oldest first.
    #[arg(long, conflicts_with = "run")]
    pub(super) all: bool,
    /// Write to a file instead of standard output; format by file extension.
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
    /// Columns of the rows.
    #[arg(long, value_enum, default_value_t = ColumnChoice::Data)]
    pub(super) columns: ColumnChoice,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    pub(super) rows: RecordingArguments,
    /// Maximum number of rows that are printed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) head: usize,
    /// Columns of the rows.
    #[arg(long, value_enum, default_value_t = ColumnChoice::Data)]
    pub(super) columns: ColumnChoice,
}

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// Forecast only this node and the nodes that it needs.
    #[arg(long, value_name = "NODE")]
    pub(super) until: Option<String>,
    /// Forecast a run that computes every function again.
    #[arg(long)]
    pub(super) no_reuse: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// The function node.
    pub(super) node: String,
    /// Only rows for whose tags this SQL expression is true.
    #[arg(long = "where", value_name = "EXPR")]
    pub(super) condition: Option<String>,
    /// Maximum number of rows that are explained one by one.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) head: usize,
}

#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    #[command(flatten)]
    pub(super) rows: RecordingArguments,
    /// Maximum number of rows that are traced.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) head: usize,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// The function node; all of them if none is named.
    pub(super) node: Option<String>,
    /// At most N packets of each function: those with the smallest hashes.
    #[arg(long, value_name = "N")]
    pub(super) sample: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ErrorsArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// The node; all of them if none is named.
    pub(super) node: Option<String>,
    /// Packets of this run instead of the last one.
    #[arg(long, value_name = "ID")]
    pub(super) run: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    pub(super) pipeline: PipelineFile,
    /// Treat warnings as errors.
    #[arg(long)]
    pub(super) deny_warnings: bool,
}

#[derive(Debug, Args)]
pub(super) struct GraphArguments {
    #[command(flatten)]
    pub(super) pipeline: PipelineFile,
    /// The language of the picture.
    #[arg(long = "as", value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(super) picture: GraphFormat,
}

/// Driver that moves the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Driver {
    /// A task for each node.
    Async,
    /// One loop on one thread.
    Sync,
}

impl From<Driver> for Executor {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Async => Self::Async,
            Driver::Sync => Self::Sync,
        }
    }
}

/// Columns of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColumnChoice {
    /// Tags and packets.
    Data,
    /// Tags and packets, then system tags and source info.
    All,
}

impl From<ColumnChoice> for Columns {
    fn from(choice: ColumnChoice) -> Self {
        match choice {
            ColumnChoice::Data => Self::Data,
            ColumnChoice::All => Self::All,
        }
    }
}

/// A language of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphFormat {
    /// Mermaid's flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
}
