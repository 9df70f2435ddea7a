//! Functions in other processes, with real interpreters and programs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod commands;
mod faults;
mod identity;
mod python;
mod values;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::identity::{Digest, PipelineHash};
use anabranch_engine::operator::Input;
use anabranch_engine::schema::StreamSchema;
use anabranch_test_python::interpreter;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use tempfile::TempDir;

use super::bound::Call;
use super::{BoundFunction, Command, Function, FunctionError, Python};
use crate::call::{AsyncFunction, CallRequest, Closing, Computed, Limits, Packets};

/// A folder with code.
struct Code(TempDir);

impl Code {
    fn new(files: &[(&str, &str)]) -> Self {
        let code = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            code.write(name, content);
        }
        code
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A new file each time: one that runs cannot be written over.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, content).unwrap();
        if content.starts_with("#!") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// An interpreter that does not see the packages installed for the usual one.
    fn bare_interpreter(&self) -> String {
        self.write("bare/python", "#!/bin/sh\nexec python3 -S \"$@\"\n");
        self.path("bare/python").to_str().unwrap().to_owned()
    }

    /// The function `f` of `f.py`, called by the tests' own interpreter, which has pyarrow.
    fn python(&self) -> Python {
        Python::new("f.py", "f").interpreter(interpreter()).folder(self.0.path())
    }

    /// A long-lived Python program, whose interpreter has pyarrow.
    fn run(&self, program: &str) -> Command {
        self.write("program.py", program);
        Command::run([interpreter(), "program.py"]).files(["program.py"]).folder(self.0.path())
    }
}

fn input(columns: &[(&str, DataType)]) -> Input {
    let fields: Vec<FieldRef> =
        columns.iter().map(|(name, t)| Arc::new(Field::new(*name, t.clone(), true))).collect();
    Input {
        schema: Arc::new(StreamSchema::new(Vec::new(), fields, Vec::new()).unwrap()),
        pipeline_hash: PipelineHash(Digest([0; 32])),
        ordered: true,
        bounded: true,
    }
}

fn bind(function: &Function, columns: &[(&str, &ArrayRef)]) -> Result<BoundFunction, FunctionError> {
    let columns: Vec<(&str, DataType)> = columns.iter().map(|(n, c)| (*n, c.data_type().clone())).collect();
    function.bind(&input(&columns))
}

fn reason(error: &FunctionError) -> String {
    error.to_string()
}

/// A function at work, as a stage has it.
struct Session {
    bound: BoundFunction,
    open: Arc<dyn AsyncFunction>,
    packets: Packets,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    #[expect(clippy::needless_pass_by_value, reason = "functions are built in place")]
    fn new(function: Function, columns: &[(&str, ArrayRef)]) -> Self {
        let named: Vec<(&str, &ArrayRef)> = columns.iter().map(|(n, c)| (*n, c)).collect();
        let bound = bind(&function, &named).unwrap_or_else(|error| panic!("{error}"));
        let rows = columns.first().map_or(1, |(_, c)| c.len());
        let columns = bound.taken.iter().map(|at| Arc::clone(&columns[*at].1)).collect();
        let Call::Async(call) = &bound.code.call else { panic!("it does not wait") };
        let open = call.open().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { bound, open, packets: Packets { columns, rows }, runtime }
    }

    fn request(&self, rows: std::ops::Range<usize>, limits: Limits) -> CallRequest {
        let columns = self.packets.columns.iter().map(|c| c.slice(rows.start, rows.len())).collect();
        let packets = Packets { columns, rows: rows.len() };
        CallRequest { signature: Arc::clone(&self.bound.signature), packets, limits }
    }

    fn call(&self, rows: std::ops::Range<usize>, limits: Limits) -> Computed {
        let computed = self.runtime.block_on(self.open.run(self.request(rows, limits)));
        for (values, expected) in computed.values.iter().zip(&self.bound.signature.outputs) {
            assert_eq!(values.data_type(), expected);
            assert_eq!(values.len(), computed.emitted.len());
        }
        computed
    }

    /// All packets, given as a stage does that always has enough of them.
    fn all(&self) -> Vec<Outcome> {
        self.all_within(Limits::default())
    }

    fn all_within(&self, limits: Limits) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < self.packets.rows {
            let start = outcomes.len();
            let end = self.packets.rows.min(start + self.open.packets_per_call());
            let computed = self.call(start..end, limits);
            assert!(!computed.emitted.is_empty() && computed.emitted.len() <= end - start);
            let mut failures = computed.failures.into_iter().peekable();
            for (at, emitted) in computed.emitted.iter().enumerate() {
                let failure = failures.next_if(|(failed, _)| *failed == at);
                outcomes.push(match failure {
                    Some((_, failure)) => {
                        assert!(!emitted, "a packet that failed was given");
                        Outcome::Failed(format!("{}: {}", failure.kind, failure.cause), failure.log)
                    }
                    None if *emitted => {
                        Outcome::Given(computed.values.iter().map(|c| c.slice(at, 1)).collect())
                    }
                    None => Outcome::Dropped,
                });
            }
            assert!(failures.next().is_none(), "a failure of no packet");
        }
        outcomes
    }

    /// Lets the workers end; what is told of one that is not believed.
    fn close(self) -> Option<String> {
        let closed = self.runtime.block_on(self.open.close(Closing::Done));
        closed.map(|failure| format!("{}: {}", failure.kind, failure.cause))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Given(Vec<ArrayRef>),
    Dropped,
    Failed(String, String),
}

impl Outcome {
    fn int(&self) -> i64 {
        let Self::Given(values) = self else { panic!("{self:?}") };
        values[0].as_primitive::<Int64Type>().value(0)
    }

    fn float(&self) -> f64 {
        let Self::Given(values) = self else { panic!("{self:?}") };
        values[0].as_primitive::<Float64Type>().value(0)
    }

    fn text(&self) -> String {
        let Self::Given(values) = self else { panic!("{self:?}") };
        values.last().unwrap().as_string_view().value(0).to_owned()
    }

    fn failed(&self) -> (&str, &str) {
        let Self::Failed(text, log) = self else { panic!("{self:?}") };
        (text, log)
    }
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

fn seconds(count: u64) -> Limits {
    Limits { timeout: Some(Duration::from_secs(count)) }
}
