//! Commands of the program: their arguments, their work, and their output.
//!
//! Results go to standard output, everything else to standard error. With `--format json` there
//! is one JSON document on standard output, also when something failed.

mod arguments;
mod cache;
mod check;
mod crash;
mod errors;
mod explain;
mod failure;
mod grid;
mod left_out;
mod memory;
mod output;
mod pipeline_file;
mod plan;
mod progress;
mod replay;
mod rows;
mod run;
mod runs;
mod show;
mod store;
mod trace;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use anabranch::{picture, yaml};
use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use arguments::{Arguments, Command, GraphFormat, OutputFormat};
use failure::Failure;
use output::Output;

/// Exit codes of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded.
    Ok = 0,
    /// The run failed.
    Failed = 1,
    /// The pipeline or the call is wrong.
    Wrong = 2,
    /// The run finished, but packets were set aside or skipped.
    LeftOut = 3,
    /// The run was cancelled.
    Cancelled = 4,
}

/// Reads the arguments, runs the command, and reports its failure.
pub(crate) fn main() -> ExitCode {
    crash::prepare();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(refuse(&error) as u8),
    };
    let output = Output::new(arguments.format);
    let exit = match crash::guarded(|| dispatch(arguments.command, &output)) {
        Ok(exit) => exit,
        Err(failure) => failure.report(&output),
    };
    ExitCode::from(exit as u8)
}

/// Prints an error of the arguments, or the requested help or version.
fn refuse(error: &clap::Error) -> Exit {
    // If the stream cannot be written, the exit code remains; clap selects the stream.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok;
    }
    if wants_json(std::env::args_os()) {
        let text = error.to_string();
        let fault = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim();
        let _ = Output::new(OutputFormat::Json).document(&json!({ "status": "wrong", "error": fault }));
    }
    Exit::Wrong
}

/// Returns true if arguments that cannot be parsed request JSON.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut before = OsString::new();
    for argument in arguments.take_while(|argument| argument != "--") {
        if argument == "--format=json" || (before == "--format" && argument == "json") {
            return true;
        }
        before = argument;
    }
    false
}

fn dispatch(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Run(run) => run::run(&run, output),
        Command::Replay(replay) => replay::replay(&replay, output),
        Command::Show(show) => show::show(&show, output),
        Command::Plan(plan) => plan::plan(&plan, output),
        Command::Explain(explain) => explain::explain(&explain, output),
        Command::Trace(trace) => trace::trace(&trace, output),
        Command::Verify(verify) => verify::verify(&verify, output),
        Command::Errors(errors) => errors::errors(&errors, output),
        Command::Check(check) => check::check(&check, output),
        Command::Graph(graph) => {
            let pipeline = graph.pipeline.load_for_reading(None)?;
            let (name, text) = match graph.picture {
                GraphFormat::Mermaid => ("mermaid", picture::mermaid(&pipeline)),
                GraphFormat::Dot => ("dot", picture::dot(&pipeline)),
            };
            output.text_or_json(&text, || json!({ "as": name, "graph": text }))?;
            Ok(Exit::Ok)
        }
        Command::Runs(runs) => runs::runs(&runs, output),
        Command::Cache(command) => cache::cache(&command, output),
        Command::Store(command) => store::store(&command, output),
        Command::Schema => {
            output.document(&yaml::json_schema())?;
            Ok(Exit::Ok)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "anabranch", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            output.text_or_json(&script, || json!({ "completions": script }))?;
            Ok(Exit::Ok)
        }
    }
}
