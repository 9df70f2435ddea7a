//! Function nodes: what a function is, what makes it the same function, and the stage that runs it.

mod bound;
mod command;
pub(crate) mod compute;
mod forecast;
mod machine;
mod python;
mod stage;
#[cfg(test)]
mod tests;
mod unread;
mod value;

pub use crate::call::{
    Authors, CacheMode, CallOptions, LEAST_RATE, LONGEST_DELAY, MOST_RATE, OnError, OutputOrder, Rate,
    RateError, Retry, StrayOutput, Withdrawn, widens,
};
pub use crate::worker::{CommandWire, LateImports};
pub use bound::{BoundFunction, FunctionError};
pub use command::Command;
pub use compute::ChunkOutput;
pub use forecast::{
    ForecastCounters, ForecastParts, ForecastStage, MissedRow, MissedRows, SampleCounters, SampleStage,
    lacks_origin,
};
pub use python::{NoneOutput, Python};
pub use stage::{Difference, Differences, FailureSink, FunctionCounters, FunctionStage, StageParts};
pub use value::{Arguments, ClosureValue, Outcome, Outputs, PacketError, Scalar};

use std::future::Future;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use indexmap::IndexMap;

use crate::call::AsyncFunction;
use compute::{AsyncCall, BlockingFunction, ChunkCall, PacketCall};

/// A function's specification: what it takes, what it gives, and its code.
///
/// Example:
/// ```
/// use anabranch_nodes::function::Function;
///
/// let speed = Function::new("speed")
///     .version("1")
///     .takes(["distance", "air_time"])
///     .gives::<f64>("mph")
///     .call(|(miles, minutes): (i64, Option<i64>)| {
///         Ok(minutes.map(|m| miles as f64 / (m as f64 / 60.0)))
///     });
/// assert_eq!(speed.name(), "speed");
/// ```
#[derive(Clone)]
pub struct Function {
    name: String,
    version: Option<String>,
    takes: Option<Vec<String>>,
    gives: IndexMap<String, DataType>,
    keep: bool,
    /// Environment variables that no process of it sees.
    hidden: Vec<String>,
    code: Code,
}

/// Types that a closure has by itself; none where it takes any.
#[derive(Debug, Clone)]
struct Types {
    entry: &'static str,
    arguments: Option<Vec<DataType>>,
    outputs: Option<Vec<DataType>>,
}

#[derive(Clone)]
enum Code {
    None,
    Sql(IndexMap<String, String>),
    Python(Box<Python>),
    Command(Box<Command>),
    Blocking(Types, Arc<dyn BlockingFunction>),
    Async(Types, Arc<dyn AsyncFunction>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = match &self.code {
            Code::None => "none",
            Code::Sql(_) => "sql",
            Code::Python(_) => "python",
            Code::Command(_) => "command",
            Code::Blocking(types, _) | Code::Async(types, _) => types.entry,
        };
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("takes", &self.takes)
            .field("gives", &self.gives)
            .field("keep", &self.keep)
            .field("hidden", &self.hidden)
            .field("code", &code)
            .finish()
    }
}

impl Function {
    /// A function of that name; its code follows by `call`, `call_async` or `call_chunk`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            takes: None,
            gives: IndexMap::new(),
            keep: false,
            hidden: Vec::new(),
            code: Code::None,
        }
    }

    /// A function of SQL expressions, one per output, over the packet's columns.
    ///
    /// It takes the columns that are mentioned, unless [`Function::takes`] says otherwise.
    pub fn sql<N: Into<String>, E: Into<String>>(
        name: impl Into<String>,
        outputs: impl IntoIterator<Item = (N, E)>,
    ) -> Self {
        let outputs = outputs.into_iter().map(|(n, e)| (n.into(), e.into())).collect();
        Self { code: Code::Sql(outputs), ..Self::new(name) }
    }

    /// A function in a Python file, called in processes of the user's interpreter.
    ///
    /// It takes all packet columns unless [`Function::takes`] says otherwise; every output is named
    /// by [`Function::gives`] or [`Function::gives_type`].
    pub fn python(name: impl Into<String>, python: Python) -> Self {
        Self { code: Code::Python(Box::new(python)), ..Self::new(name) }
    }

    /// A program that computes packets.
    ///
    /// It takes all packet columns, or those that [`Command::each`] mentions, unless
    /// [`Function::takes`] says otherwise; every output is named as for [`Function::python`].
    pub fn command(name: impl Into<String>, command: Command) -> Self {
        Self { code: Code::Command(Box::new(command)), ..Self::new(name) }
    }

    /// Environment variables that are kept from the processes of the function: secrets.
    #[must_use]
    pub fn hide_variables<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.hidden.extend(names.into_iter().map(Into::into));
        self
    }

    /// The file of a Python function, and the function in it.
    #[must_use]
    pub fn python_file(&self) -> Option<(PathBuf, &str)> {
        match &self.code {
            Code::Python(python) => Some(python.place()),
            _ => None,
        }
    }

    /// Modules that a Python function has been seen to import during calls, as [`LateImports::entries`] names
    /// them: they are part of its identity from the beginning.
    #[must_use]
    pub fn recall(mut self, entries: Vec<String>) -> Self {
        if let Code::Python(python) = &mut self.code {
            python.recall(entries);
        }
        self
    }

    /// Modules that [`Function::recall`] has added.
    #[must_use]
    pub fn recalled(&self) -> &[String] {
        match &self.code {
            Code::Python(python) => &python.late,
            _ => &[],
        }
    }

    /// The same function, which takes what was found out when it was bound for granted when it is bound again.
    #[must_use]
    pub fn known(mut self, bound: &BoundFunction) -> Self {
        if let (Code::Python(python), Some(inspected)) = (&mut self.code, &bound.code.inspected) {
            python.known = Some(Arc::clone(inspected));
        }
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A version of the code: a new one makes a new function. A closure without one is not cached.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The packet columns it takes, in the order of its parameters; all of them if not given.
    /// Only these are part of the key of its results.
    #[must_use]
    pub fn takes<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.takes = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Adds an output of a Rust type.
    #[must_use]
    pub fn gives<T: Scalar>(self, output: impl Into<String>) -> Self {
        self.gives_type(output, T::data_type())
    }

    /// Adds an output of an Arrow type.
    #[must_use]
    pub fn gives_type(mut self, output: impl Into<String>, data_type: DataType) -> Self {
        self.gives.insert(output.into(), data_type);
        self
    }

    /// True if outputs are added to the packet instead of replacing it.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Code called for each packet. It may block or compute for long: it runs on threads for that.
    ///
    /// A parameter that is an `Option` takes null; otherwise a null is that packet's error.
    #[must_use]
    pub fn call<F, A, O>(mut self, call: F) -> Self
    where
        F: Fn(A) -> Result<O, PacketError> + Send + Sync + 'static,
        A: Arguments,
        O: Outputs,
    {
        self.code = Code::Blocking(types::<A, O>("call"), Arc::new(PacketCall { call, types: PhantomData }));
        self
    }

    /// Async code called for each packet.
    ///
    /// It may wait, but must not block: it shares the run's threads with the nodes, which a call
    /// that blocks keeps from their work. Such code belongs into
    /// [`Function::call`].
    #[must_use]
    pub fn call_async<F, R, A, O>(mut self, call: F) -> Self
    where
        F: Fn(A) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, PacketError>> + Send + 'static,
        A: Arguments,
        O: Outputs,
    {
        let code = AsyncCall { call, types: PhantomData };
        self.code = Code::Async(types::<A, O>("call_async"), Arc::new(code));
        self
    }

    /// Code called with many packets at once: the taken columns and the number of rows.
    #[must_use]
    pub fn call_chunk<F>(mut self, call: F) -> Self
    where
        F: Fn(&[ArrayRef], usize) -> Result<ChunkOutput, PacketError> + Send + Sync + 'static,
    {
        let types = Types { entry: "call_chunk", arguments: None, outputs: None };
        self.code = Code::Blocking(types, Arc::new(ChunkCall(call)));
        self
    }
}

fn types<A: Arguments, O: Outputs>(entry: &'static str) -> Types {
    Types { entry, arguments: Some(A::data_types()), outputs: Some(O::data_types()) }
}
