//! A function that has its input: columns checked, output schema and identity fixed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Fingerprint, FingerprintBuilder, IdentityError, PacketHasher};
use anabranch_engine::index::At as _;
use anabranch_engine::names::{list, suggestion};
use anabranch_engine::operator::{Contract, Input};
use anabranch_engine::provenance::{Origin, OriginId, Origins};
use anabranch_engine::schema::{Role, SchemaError, StreamSchema};
use anabranch_engine::store::StoredFunction;
use anabranch_engine::types::{TypeError, canonical, logical_name, logical_type};
use anabranch_expression::{Expression, ExpressionError, SEMANTICS_REVISION, canonical_sql, mentioned};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use indexmap::IndexMap;

use super::compute::{BlockingFunction, SqlCall};
use super::{Code, Function, Types};
use crate::call::{AsyncFunction, Signature, widens};
use crate::worker::{FileStamp, Inspected};

/// Why a function cannot take its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// No code was given.
    #[error("found no code, expected one of call, call_async, call_chunk, sql, python or command")]
    NoCode,
    /// No output was given.
    #[error("found no output, expected at least one; name one by gives")]
    NoOutput,
    /// A taken column that the input lacks.
    #[error(
        "takes: found no packet column \"{column}\", expected one of {}{}",
        list(available),
        suggestion(column, available)
    )]
    UnknownColumn {
        /// The column.
        column: String,
        /// The packet columns there are.
        available: Vec<String>,
    },
    /// A tag, which no function sees.
    #[error(
        "\"{column}\" is a tag, expected packet columns, since a function never sees tags; name it among the packet columns of the source"
    )]
    Tag {
        /// The tag.
        column: String,
    },
    /// A column taken twice.
    #[error("takes: found \"{column}\" twice, expected distinct columns; remove one")]
    Repeated {
        /// The column.
        column: String,
    },
    /// An expression that mentions a column which `takes` leaves out.
    #[error(
        "takes: leaves out \"{column}\", which sql output \"{output}\" mentions; add it to takes or remove takes"
    )]
    NotTaken {
        /// The column.
        column: String,
        /// The output.
        output: String,
    },
    /// An output whose name is taken.
    #[error("output \"{output}\" has the name of a {role} column of the input, expected a new name; rename the output{}", if *.role == Role::Packet { " or leave out keep" } else { "" })]
    Collision {
        /// The output.
        output: String,
        /// The role of the column.
        role: Role,
    },
    /// An expression that cannot be compiled.
    #[error("sql output \"{output}\" cannot be used")]
    Expression {
        /// The output.
        output: String,
        /// Why.
        #[source]
        cause: ExpressionError,
    },
    /// An output type that no stream can carry.
    #[error("gives: output \"{output}\" cannot have its type")]
    Type {
        /// The output.
        output: String,
        /// Why.
        #[source]
        cause: TypeError,
    },
    /// A parameter that does not go with the code, the columns or what is installed.
    #[error("{parameter}: found {found}, expected {expected}; {remedy}{}", indented(log))]
    Parameter {
        /// The parameter at fault.
        parameter: &'static str,
        /// Found value.
        found: String,
        /// Expected value.
        expected: String,
        /// Remedy.
        remedy: String,
        /// A traceback, or what was printed; empty if there is none.
        log: String,
    },
    /// Taken columns that cannot be hashed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Output columns that cannot stand together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl FunctionError {
    /// A parameter at fault; nothing was printed.
    pub(super) fn parameter(
        parameter: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (found, expected, remedy) = (found.into(), expected.into(), remedy.into());
        Self::Parameter { parameter, found, expected, remedy, log: String::new() }
    }

    /// The error with what was printed.
    pub(super) fn with_log(mut self, printed: String) -> Self {
        if let Self::Parameter { log, .. } = &mut self {
            *log = printed;
        }
        self
    }
}

/// A function that has its input.
pub struct BoundFunction {
    /// Contract of the output.
    pub contract: Contract,
    /// Name, identity and outputs.
    pub stored: Arc<StoredFunction>,
    /// True if its results may be stored: not for a closure without a version.
    pub cacheable: bool,
    /// True if outputs are added to the packet instead of replacing it.
    pub keep: bool,
    /// Positions of the taken columns among the input's packet columns.
    pub(super) taken: Vec<usize>,
    /// The taken columns.
    pub(super) fields: Vec<FieldRef>,
    pub(super) hasher: PacketHasher,
    pub(super) signature: Arc<Signature>,
    /// Stored outcomes that gave no packet are none of its own.
    pub(super) refuses_drops: bool,
    pub(super) code: Launched,
}

/// The way code in Python is looked at when it is bound.
#[derive(Clone, Copy)]
pub(super) enum CodeLook<'a> {
    /// A worker imports it and reports its parts.
    Import,
    /// Its files are held against what earlier functions were.
    Files(&'a [Fingerprint]),
}

/// Code that has its columns.
pub(super) struct Launched {
    pub(super) call: Call,
    /// Components of the fingerprint.
    pub(super) components: Vec<(String, String)>,
    /// Further files that it is made of, such as an interpreter, whose bytes are not watched.
    pub(super) unwatched: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
    /// The files behind the components, as they were when it was planned.
    pub(super) stamps: Arc<[FileStamp]>,
    /// The report of a worker on a Python file.
    pub(super) inspected: Option<Arc<Inspected>>,
}

impl Launched {
    /// Code without a file.
    pub(super) fn new(call: Call) -> Self {
        Self {
            call,
            components: Vec::new(),
            unwatched: Vec::new(),
            warnings: Vec::new(),
            stamps: Arc::default(),
            inspected: None,
        }
    }
}

/// Code that is ready to be called.
pub(super) enum Call {
    Sql(SqlCall),
    Blocking(Arc<dyn BlockingFunction>),
    Async(Arc<dyn AsyncFunction>),
}

impl std::fmt::Debug for BoundFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundFunction").field("stored", &self.stored).finish_non_exhaustive()
    }
}

impl BoundFunction {
    /// The taken columns of a chunk.
    pub(super) fn taken_columns(&self, chunk: &Chunk) -> Vec<ArrayRef> {
        let column =
            |column: &usize| Arc::clone(chunk.packets().at(*column, "a taken column is in the input"));
        self.taken.iter().map(column).collect()
    }

    /// Origins of the values of its outputs, in the rows of a recording if they are recorded.
    pub(super) fn output_origins(&self, origins: &Origins, recording: Option<u64>) -> Vec<OriginId> {
        let function: Arc<str> = self.stored.name.as_str().into();
        let fingerprint: Arc<str> = self.stored.fingerprint.short().into();
        let origin = |output: &FieldRef| {
            let (function, fingerprint) = (Arc::clone(&function), Arc::clone(&fingerprint));
            let output = output.name().as_str().into();
            origins.add(Origin::Output { function, fingerprint, output, recording })
        };
        self.stored.outputs.iter().map(origin).collect()
    }

    /// Names of the columns it takes, in the order of its parameters.
    #[must_use]
    pub fn takes(&self) -> &[String] {
        &self.signature.takes
    }

    /// The files that the code consists of: scripts and their modules, programs, what is listed with them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.code
            .unwatched
            .iter()
            .map(PathBuf::as_path)
            .chain(self.code.stamps.iter().map(|stamp| stamp.path.as_path()))
    }

    /// Remarks for the author, although nothing is wrong.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.code.warnings
    }
}

impl Function {
    /// Checks the input, compiles expressions, and fixes output schema and identity. Code in Python is imported
    /// for that, in a process of its own.
    pub fn bind(&self, input: &Input) -> Result<BoundFunction, FunctionError> {
        self.bind_looking(input, CodeLook::Import)
    }

    /// [`Function::bind`] for who only reads what was recorded: nothing of the user's is imported.
    ///
    /// The identity of a Python function is that of one of these earlier ones, the newest first, whose files still
    /// have the same bytes; where there is none it is of no function. It cannot be called.
    pub fn bind_unread(
        &self,
        input: &Input,
        earlier: &[Fingerprint],
    ) -> Result<BoundFunction, FunctionError> {
        self.bind_looking(input, CodeLook::Files(earlier))
    }

    fn bind_looking(&self, input: &Input, code: CodeLook<'_>) -> Result<BoundFunction, FunctionError> {
        let taken = self.taken(&input.schema)?;
        let fields: Vec<FieldRef> = taken
            .iter()
            .map(|column| Arc::clone(input.schema.packets().at(*column, "a taken column is in the input")))
            .collect();
        let (call, outputs) = match &self.code {
            Code::None => return Err(FunctionError::NoCode),
            Code::Sql(expressions) => self.compile(expressions, &fields)?,
            Code::Blocking(types, call) => {
                (Some(Call::Blocking(Arc::clone(call))), self.check(types, &fields)?)
            }
            Code::Async(types, call) => (Some(Call::Async(Arc::clone(call))), self.check(types, &fields)?),
            Code::Python(_) | Code::Command(_) => (None, self.given()?),
        };
        if outputs.is_empty() {
            return Err(FunctionError::NoOutput);
        }
        let schema = self.schema(&input.schema, &outputs)?;
        // Processes begin last, when everything else is right.
        let code = match call {
            Some(call) => Launched::new(call),
            None => self.launch(&fields, &outputs, code)?,
        };
        let signature = Signature {
            takes: fields.iter().map(|f| f.name().clone()).collect(),
            outputs: outputs.iter().map(|f| f.data_type().clone()).collect(),
        };
        let fingerprint = self.fingerprint(&fields, &outputs, &code.components)?;
        Ok(BoundFunction {
            contract: Contract { schema: Arc::new(schema), ordered: input.ordered, bounded: input.bounded },
            stored: Arc::new(StoredFunction { name: self.name.clone(), fingerprint, outputs }),
            cacheable: !matches!(self.code, Code::Blocking(..) | Code::Async(..)) || self.version.is_some(),
            keep: self.keep,
            taken,
            hasher: PacketHasher::new(&fields)?,
            fields,
            signature: Arc::new(signature),
            refuses_drops: matches!(&self.code, Code::Python(python) if python.refuses_drops()),
            code,
        })
    }

    fn launch(
        &self,
        fields: &[FieldRef],
        outputs: &[FieldRef],
        code: CodeLook<'_>,
    ) -> Result<Launched, FunctionError> {
        match &self.code {
            Code::Python(python) => python.launch(fields, outputs, (&self.hidden, code)),
            Code::Command(command) => command.launch(fields, outputs, &self.hidden),
            _ => Err(FunctionError::NoCode),
        }
    }

    fn taken(&self, schema: &StreamSchema) -> Result<Vec<usize>, FunctionError> {
        let names = match (&self.takes, &self.code) {
            (Some(names), _) => names.clone(),
            (None, Code::Sql(expressions)) => {
                let mut names = Vec::new();
                for (output, sql) in expressions {
                    let expression = |cause| FunctionError::Expression { output: output.clone(), cause };
                    for name in mentioned(sql).map_err(expression)? {
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
                names
            }
            (None, Code::Command(command)) if command.each => command.mentioned(schema, &self.gives)?,
            (None, _) => return Ok((0..schema.packets().len()).collect()),
        };
        let mut seen = HashSet::new();
        names
            .iter()
            .map(|name| {
                if !seen.insert(name) {
                    return Err(FunctionError::Repeated { column: name.clone() });
                }
                match schema.find(name) {
                    Some((Role::Packet, at, _)) => Ok(at),
                    Some((Role::Tag, ..)) => Err(FunctionError::Tag { column: name.clone() }),
                    None => Err(FunctionError::UnknownColumn {
                        column: name.clone(),
                        available: schema.packets().iter().map(|f| f.name().clone()).collect(),
                    }),
                }
            })
            .collect()
    }

    fn compile(
        &self,
        expressions: &IndexMap<String, String>,
        fields: &[FieldRef],
    ) -> Result<(Option<Call>, Vec<FieldRef>), FunctionError> {
        let mut compiled = Vec::with_capacity(expressions.len());
        let mut outputs = Vec::with_capacity(expressions.len());
        for (output, sql) in expressions {
            let wrong = |cause| FunctionError::Expression { output: output.clone(), cause };
            for column in mentioned(sql).map_err(wrong)? {
                if self.takes.is_some() && !fields.iter().any(|f| *f.name() == column) {
                    return Err(FunctionError::NotTaken { column, output: output.clone() });
                }
            }
            let expression = Expression::compile(sql, fields).map_err(wrong)?;
            if let Some(expected) = self.gives.get(output) {
                same_type(output, expression.data_type(), expected)?;
            }
            outputs.push(Arc::new(Field::new(output, expression.data_type().clone(), true)));
            compiled.push(expression);
        }
        if let Some(extra) = self.gives.keys().find(|name| !expressions.contains_key(*name)) {
            let found = format!("output \"{extra}\" without an expression");
            let remedy = "add it to sql or remove it from gives";
            return Err(FunctionError::parameter("gives", found, "one expression per output", remedy));
        }
        Ok((Some(Call::Sql(SqlCall(compiled))), outputs))
    }

    /// Holds a closure's own types against the columns it takes and the outputs it gives.
    fn check(&self, types: &Types, fields: &[FieldRef]) -> Result<Vec<FieldRef>, FunctionError> {
        if let Some(arguments) = &types.arguments {
            if arguments.len() != fields.len() {
                let found = format!("{} columns", fields.len());
                let expected = format!("{}, one per parameter", arguments.len());
                let remedy = "name the columns by takes, in the order of the parameters";
                return Err(FunctionError::parameter("takes", found, expected, remedy));
            }
            for (field, wanted) in fields.iter().zip(arguments) {
                if !widens(field.data_type(), wanted) {
                    let found = format!("column \"{}\" of {}", field.name(), logical_name(field));
                    let expected = format!("{}, or what fits into it without loss", logical_type(wanted));
                    let remedy = "change the parameter's type or convert the column";
                    return Err(FunctionError::parameter("takes", found, expected, remedy));
                }
            }
        }
        if let Some(outputs) = &types.outputs {
            if outputs.len() != self.gives.len() {
                let found = format!("{} outputs", self.gives.len());
                let expected = format!("{}, one per value that the closure gives", outputs.len());
                return Err(FunctionError::parameter("gives", found, expected, "name each output by gives"));
            }
            for ((output, declared), given) in self.gives.iter().zip(outputs) {
                same_type(output, given, declared)?;
            }
        }
        self.given()
    }

    /// The outputs that `gives` names, in canonical types.
    fn given(&self) -> Result<Vec<FieldRef>, FunctionError> {
        self.gives
            .iter()
            .map(|(output, data_type)| {
                let canonical = canonical(data_type)
                    .map_err(|cause| FunctionError::Type { output: output.clone(), cause })?;
                Ok(Arc::new(Field::new(output, canonical, true)))
            })
            .collect()
    }

    fn schema(&self, input: &StreamSchema, outputs: &[FieldRef]) -> Result<StreamSchema, FunctionError> {
        for output in outputs {
            if let Some((role, ..)) = input.find(output.name())
                && (self.keep || role == Role::Tag)
            {
                return Err(FunctionError::Collision { output: output.name().clone(), role });
            }
        }
        let kept = if self.keep { input.packets() } else { &[] };
        let packets = kept.iter().chain(outputs).map(Arc::clone).collect();
        Ok(StreamSchema::with_system_tags(input.tags().to_vec(), packets, input.shared_system_tags())?)
    }

    fn fingerprint(
        &self,
        takes: &[FieldRef],
        gives: &[FieldRef],
        components: &[(String, String)],
    ) -> Result<Fingerprint, FunctionError> {
        // A closure's parameters have places; the columns of all other code have names.
        let by_name = !matches!(self.code, Code::Blocking(..) | Code::Async(..));
        let builder = FingerprintBuilder::default()
            .with("takes", columns(takes, by_name))
            .with("gives", columns(gives, by_name));
        let builder = match &self.code {
            Code::Sql(expressions) => {
                let mut lines = Vec::with_capacity(expressions.len());
                for (output, sql) in expressions {
                    let expression = |cause| FunctionError::Expression { output: output.clone(), cause };
                    lines.push(format!("{output} = {}", canonical_sql(sql).map_err(expression)?));
                }
                lines.sort_unstable();
                builder
                    .with("kind", "sql")
                    .with("expressions", lines.join("\n"))
                    .with("sql semantics", SEMANTICS_REVISION.to_string())
            }
            Code::Python(_) | Code::Command(_) => {
                components.iter().fold(builder, |builder, (name, value)| builder.with(name, value.clone()))
            }
            _ => builder.with("kind", "closure").with("entry", self.name.clone()),
        };
        Ok(match &self.version {
            Some(version) => builder.with("version", version.clone()),
            None => builder,
        }
        .build())
    }
}

/// Names and types, one a line; sorted where the order of columns does not matter.
///
/// Line breaks in names are escaped, so that no name looks like two columns.
fn columns(fields: &[FieldRef], sorted: bool) -> String {
    let name = |f: &FieldRef| f.name().replace('\\', "\\\\").replace('\n', "\\n");
    let mut lines: Vec<String> = fields.iter().map(|f| format!("{}: {}", name(f), logical_name(f))).collect();
    if sorted {
        lines.sort_unstable();
    }
    lines.join("\n")
}

fn same_type(output: &str, found: &DataType, expected: &DataType) -> Result<(), FunctionError> {
    if found == expected {
        return Ok(());
    }
    let found = format!("output \"{output}\" of {}", logical_type(found));
    let remedy = "declare the type that the code gives, or convert in the code";
    Err(FunctionError::parameter("gives", found, logical_type(expected), remedy))
}

/// A log below a message, each line set off from what is around it.
fn indented(log: &str) -> String {
    log.lines().fold(String::new(), |text, line| text + "\n    | " + line)
}
