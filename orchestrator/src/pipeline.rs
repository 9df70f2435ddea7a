//! The graph of a pipeline and the builder that makes it: every node is checked when it is added.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use anabranch_engine::identity::{ContentHash, Digest, Fingerprint, PipelineHash, Revisions, Structure};
use anabranch_engine::operator::{Bound, Contract, Input, InputOrder, Operator};
use anabranch_nodes::function::{BoundFunction, CacheMode, Function};
use anabranch_nodes::recording::RecordMode;
use anabranch_nodes::sink::WriteSpec;
use anabranch_nodes::source::{Source, SourceError, SourceNode, StreamColumns, StreamId};
use indexmap::IndexMap;

use crate::output_conflicts::Protected;
use crate::plan_error::PlanError;
use crate::run_files::file_of_pipeline;
use crate::settings::{Knobs, Settings};
use crate::store::Store;

/// A node of a [`Pipeline`]; only of use with the pipeline that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeHandle {
    pipeline: u64,
    index: usize,
}

/// What a node does.
#[derive(Clone)]
pub(crate) enum Work {
    Source(Arc<SourceNode>),
    Operator(Arc<dyn Bound>),
    Function(Arc<BoundFunction>),
    Write(WriteSpec),
}

/// From what a node was made, where it may have to be made again.
#[derive(Clone)]
pub(crate) enum Specification {
    Operator(Arc<dyn Operator>),
    Function(Box<Function>),
    /// Nothing else is needed than what the node does.
    Whole,
}

/// A node that has been checked.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) label: Option<String>,
    pub(crate) specification: Specification,
    pub(crate) work: Work,
    pub(crate) inputs: Vec<usize>,
    pub(crate) contract: Contract,
    pub(crate) identity: Identity,
    pub(crate) cache: CacheMode,
    pub(crate) record: RecordMode,
    pub(crate) knobs: Knobs,
}

/// What makes a node the same in another run.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) pipeline_hash: PipelineHash,
    pub(crate) content_hash: ContentHash,
    /// Of its own code and of all nodes above it.
    pub(crate) revisions: Revisions,
}

/// A graph of nodes under a name.
///
/// Nodes are added behind those they read from, so there is no cycle. Each is checked when it is
/// added: files are opened for their schema, columns and types are held against what the node
/// does.
///
/// Example:
/// ```
/// use anabranch::{Filter, Pipeline, Rows};
///
/// let mut pipeline = Pipeline::new("small");
/// let rows = pipeline.source("rows", Rows::new([[("id", 1.into())], [("id", 2.into())]]))?;
/// let large = pipeline.operator("large", Filter::predicate("id > 1"), [rows])?;
/// assert_eq!(pipeline.name_of(large), Some("large"));
/// # Ok::<(), anabranch::PlanError>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    name: String,
    /// The path of the file that it was read from, links followed.
    file: Option<String>,
    id: u64,
    nodes: IndexMap<String, Node>,
    settings: Settings,
    /// What no output may replace, beside what the nodes need.
    pub(crate) protected: Vec<Protected>,
    /// The pipes that sources read, with the nodes.
    streams: Vec<(StreamId, String)>,
    reading: Option<Reading>,
}

/// Says that a pipeline is planned only to be held against what was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The store that knows functions of earlier runs, if there is one.
    pub(crate) store: Option<Store>,
}

impl Reading {
    /// Functions that a node may have had, the newest first.
    fn earlier(&self, pipeline: &str, node: &str, function: &Function) -> Vec<Fingerprint> {
        // A store that cannot be read knows nothing; whoever reads on in it is told.
        let found = self.store.as_ref().map(|store| store.earlier_functions(pipeline, node, function.name()));
        found.and_then(Result::ok).unwrap_or_default()
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name)
            .field("nodes", &self.nodes.keys().collect::<Vec<_>>())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        let id = RandomState::new().build_hasher().finish();
        let (nodes, settings) = (IndexMap::new(), Settings::default());
        Self {
            name: name.into(),
            file: None,
            id,
            nodes,
            settings,
            protected: Vec::new(),
            streams: Vec::new(),
            reading: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Settings of its runs.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Settings of its runs, to be changed.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Adds a source.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a specification is given away; callers build it in place"
    )]
    pub fn source(&mut self, name: &str, source: impl Source + 'static) -> Result<NodeHandle, PlanError> {
        self.free(name)?;
        let kind = source.kind();
        let wrong = |error: SourceError| PlanError::source(name, &error);
        let streams = source.streams();
        self.check_streams(name, &streams)?;
        let planned = source.plan().map_err(wrong)?;
        let options = planned.settle(source.options());
        let columns = StreamColumns::new(&options, planned.columns()).map_err(wrong)?;
        let mut structure = Structure::new("source");
        structure.fields(columns.tags());
        structure.fields(columns.packets());
        let pipeline_hash = PipelineHash(structure.finish());
        let node = SourceNode::new(planned, &options, name, &pipeline_hash).map_err(wrong)?;
        structure.text(kind);
        structure.text(node.source_id());
        let content_hash = ContentHash(structure.finish());
        let contract = Contract { schema: Arc::clone(node.schema()), ordered: node.ordered(), bounded: true };
        let identity = Identity { pipeline_hash, content_hash, revisions: node.revisions() };
        let work = Work::Source(Arc::new(node));
        let made = (Specification::Whole, work);
        let handle = self.add(name, kind, made, Vec::new(), contract, identity)?;
        self.streams.extend(streams.into_iter().map(|stream| (stream, name.to_owned())));
        Ok(handle)
    }

    /// Adds an operator.
    pub fn operator(
        &mut self,
        name: &str,
        operator: impl Operator + 'static,
        inputs: impl IntoIterator<Item = NodeHandle>,
    ) -> Result<NodeHandle, PlanError> {
        self.free(name)?;
        let inputs = self.indices(name, inputs)?;
        let kind = operator.kind();
        let specification = Specification::Operator(Arc::new(operator));
        let (work, contract, identity) = self.bind(name, &specification, &inputs)?;
        self.add(name, kind, (specification, work), inputs, contract, identity)
    }

    /// Adds a function.
    pub fn function(
        &mut self,
        name: &str,
        input: NodeHandle,
        function: Function,
    ) -> Result<NodeHandle, PlanError> {
        self.free(name)?;
        let inputs = self.indices(name, [input])?;
        let specification = Specification::Function(Box::new(function));
        let (work, contract, identity) = self.bind(name, &specification, &inputs)?;
        self.add(name, "function", (specification, work), inputs, contract, identity)
    }

    /// Adds a file to be written.
    pub fn write(&mut self, name: &str, input: NodeHandle, spec: WriteSpec) -> Result<NodeHandle, PlanError> {
        self.free(name)?;
        let inputs = self.indices(name, [input])?;
        let [only] = self.inputs(&inputs).try_into().map_err(|_| PlanError::new(name, "found no input"))?;
        spec.check(&only.schema).map_err(|e| PlanError::sink(name, &e))?;
        self.check_target(name, &spec)?;
        let (contract, identity) = self.sink(only, &spec, &inputs);
        self.add(name, "write", (Specification::Whole, Work::Write(spec)), inputs, contract, identity)
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeHandle> {
        self.nodes.get_index_of(name).map(|index| NodeHandle { pipeline: self.id, index })
    }

    /// The name of a node of this pipeline.
    #[must_use]
    pub fn name_of(&self, node: NodeHandle) -> Option<&str> {
        self.get(node).map(|n| n.name.as_str())
    }

    /// The names of all nodes, in the order in which they were added.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// What comes out of a node of this pipeline.
    #[must_use]
    pub fn contract(&self, node: NodeHandle) -> Option<&Contract> {
        self.get(node).map(|n| &n.contract)
    }

    /// The identity of a node of this pipeline.
    #[must_use]
    pub fn pipeline_hash(&self, node: NodeHandle) -> Option<PipelineHash> {
        self.get(node).map(|n| n.identity.pipeline_hash)
    }

    /// The identity of a node of this pipeline, sources told apart.
    #[must_use]
    pub fn content_hash(&self, node: NodeHandle) -> Option<ContentHash> {
        self.get(node).map(|n| n.identity.content_hash)
    }

    /// The identity of the whole: of all its nodes, whatever their names and order.
    #[must_use]
    pub fn hash(&self) -> PipelineHash {
        let mut hashes: Vec<&Digest> = self.nodes.values().map(|n| &n.identity.pipeline_hash.0).collect();
        hashes.sort_unstable();
        let mut structure = Structure::new("pipeline");
        structure.list(hashes.len());
        for hash in hashes {
            structure.digest(hash);
        }
        PipelineHash(structure.finish())
    }

    /// Remarks about how sources understood their columns, which are no reason to change anything.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let sources = self.nodes.values().filter_map(|node| match &node.work {
            Work::Source(source) => Some((&node.name, source.notes())),
            _ => None,
        });
        sources
            .flat_map(|(name, notes)| notes.into_iter().map(move |note| format!("node \"{name}\": {note}")))
            .collect()
    }

    /// What a person should know although nothing is wrong.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let functions = self.nodes.values().filter_map(|n| match &n.work {
            Work::Function(function) => Some((&n.name, function)),
            _ => None,
        });
        let told = functions.flat_map(|(name, function)| {
            function.warnings().iter().map(move |warning| format!("node \"{name}\": {warning}"))
        });
        let uncached = self.nodes.values().filter(|n| matches!(&n.work, Work::Function(f) if !f.cacheable()));
        uncached
            .map(|n| {
                format!(
                    "node \"{}\": a closure without a version is not cached; give it one by version",
                    n.name
                )
            })
            .chain(told)
            .collect()
    }

    /// The path of the file that it was read from, where it is UTF-8.
    pub(crate) fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Says from which file it was read.
    pub(crate) fn set_file(&mut self, path: &Path) {
        self.file = file_of_pipeline(path).to_str().map(str::to_owned);
    }

    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    /// The same pipeline before its first node: the handles of this one are good for it.
    pub(crate) fn without_nodes(&self) -> Self {
        let (settings, reading) = (self.settings.clone(), self.reading.clone());
        let (name, protected, streams) = (self.name.clone(), self.protected.clone(), self.streams.clone());
        let file = self.file.clone();
        Self { name, file, id: self.id, nodes: IndexMap::new(), settings, protected, streams, reading }
    }

    /// The same pipeline before its first node, whose functions will be bound without a look at their code.
    pub(crate) fn for_reading(self, reading: Reading) -> Self {
        Self { reading: Some(reading), ..self }
    }

    /// Whether it was planned without a look at the code of functions, so that it cannot run.
    pub(crate) fn is_for_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Adds a node that has been checked.
    pub(crate) fn push(&mut self, node: Node) {
        self.nodes.insert(node.name.clone(), node);
    }

    pub(crate) fn at(&self, index: usize) -> Option<&Node> {
        self.nodes.get_index(index).map(|(_, node)| node)
    }

    pub(crate) fn index(&self, node: NodeHandle) -> Option<usize> {
        (node.pipeline == self.id && node.index < self.nodes.len()).then_some(node.index)
    }

    fn get(&self, node: NodeHandle) -> Option<&Node> {
        self.at(self.index(node)?)
    }

    pub(crate) fn node_mut(&mut self, node: NodeHandle) -> Option<&mut Node> {
        let index = self.index(node)?;
        self.nodes.get_index_mut(index).map(|(_, node)| node)
    }

    fn free(&self, name: &str) -> Result<(), PlanError> {
        let usable = |c: char| !c.is_control() && !matches!(c, '=' | '/' | '\\' | '"' | ':');
        if name.trim() != name || name.is_empty() || !name.chars().all(usable) {
            return Err(PlanError::new(
                name,
                "this is no name for a node, expected a text without =, /, \\, :, quotes or control characters, and without spaces around it; choose another",
            ));
        }
        if self.nodes.contains_key(name) {
            return Err(PlanError::new(
                name,
                "found two nodes of this name, expected distinct names; rename one",
            ));
        }
        Ok(())
    }

    /// Refuses pipes that another source reads: each of both would miss what the other one gets.
    fn check_streams(&self, name: &str, streams: &[StreamId]) -> Result<(), PlanError> {
        if !streams.is_empty() && self.reading.as_ref().is_some_and(|reading| reading.store.is_some()) {
            let reason = "reads a pipe or standard input, whose columns are not known without reading it";
            return Err(PlanError::about_path(name, reason.to_owned()));
        }
        match self.streams.iter().find(|(stream, _)| streams.contains(stream)) {
            None => Ok(()),
            Some((_, other)) => Err(PlanError::about_path(
                name,
                format!(
                    "reads a stream that source \"{other}\" reads as well, expected one reader, since its bytes come once; take the rows of \"{other}\" as input, or write the stream to a file first"
                ),
            )),
        }
    }

    /// Whether a run may have to read its sources again, with code that a call has loaded.
    pub(crate) fn may_run_again(&self) -> bool {
        let python = |node: &Node| matches!(&node.specification, Specification::Function(f) if f.python_file().is_some());
        self.nodes.values().any(python)
    }

    fn indices(
        &self,
        name: &str,
        handles: impl IntoIterator<Item = NodeHandle>,
    ) -> Result<Vec<usize>, PlanError> {
        let foreign =
            || PlanError::new(name, "found an input of another pipeline, expected nodes of this one");
        handles.into_iter().map(|handle| self.index(handle).ok_or_else(foreign)).collect()
    }

    pub(crate) fn inputs(&self, indices: &[usize]) -> Vec<Input> {
        let input = |node: &Node| Input {
            schema: Arc::clone(&node.contract.schema),
            pipeline_hash: node.identity.pipeline_hash,
            ordered: node.contract.ordered,
            bounded: node.contract.bounded,
        };
        indices.iter().filter_map(|at| self.at(*at)).map(input).collect()
    }

    fn identity(&self, inputs: &[usize], order: InputOrder, identify: impl Fn(&mut Structure)) -> Identity {
        let tree = |mut inputs: Vec<Digest>| {
            if order == InputOrder::Commutative {
                inputs.sort_unstable();
            }
            let mut structure = Structure::new("node");
            identify(&mut structure);
            structure.list(inputs.len());
            for hash in &inputs {
                structure.digest(hash);
            }
            structure.finish()
        };
        let nodes = || inputs.iter().filter_map(|at| self.at(*at));
        let pipeline = tree(nodes().map(|n| n.identity.pipeline_hash.0).collect());
        let content = tree(nodes().map(|n| n.identity.content_hash.0).collect());
        let mut revisions = Revisions::default();
        for node in nodes() {
            revisions.add(&node.identity.revisions);
        }
        Identity { pipeline_hash: PipelineHash(pipeline), content_hash: ContentHash(content), revisions }
    }

    /// Holds an operator or a function against its inputs.
    pub(crate) fn bind(
        &self,
        name: &str,
        specification: &Specification,
        inputs: &[usize],
    ) -> Result<(Work, Contract, Identity), PlanError> {
        let given = self.inputs(inputs);
        match specification {
            Specification::Operator(operator) => {
                let names: Vec<&str> =
                    inputs.iter().filter_map(|at| self.at(*at)).map(|n| n.name.as_str()).collect();
                let bound = operator.bind(&given).map_err(|e| PlanError::operator(name, &names, &e))?;
                let contract = bound.contract().clone();
                let mut identity = self.identity(inputs, operator.input_order(), |structure| {
                    structure.text(operator.kind());
                    operator.identify(structure);
                });
                identity.revisions.add(&operator.revisions());
                Ok((Work::Operator(bound.into()), contract, identity))
            }
            Specification::Function(function) => {
                let only = given.first().ok_or_else(|| PlanError::new(name, "found no input"))?;
                let bound = match &self.reading {
                    None => function.bind(only),
                    Some(reading) => function.bind_unread(only, &reading.earlier(&self.name, name, function)),
                };
                let bound = bound.map_err(|e| PlanError::function(name, &e))?;
                let contract = bound.contract().clone();
                // The revision of `sql` is a component of the fingerprint.
                let identity = self.identity(inputs, InputOrder::Ordered, |structure| {
                    structure.text("function");
                    structure.digest(bound.stored().fingerprint.digest());
                    structure.flag(bound.keeps());
                });
                Ok((Work::Function(Arc::new(bound)), contract, identity))
            }
            Specification::Whole => {
                Err(PlanError::new(name, "this cannot be bound; report this as a defect"))
            }
        }
    }

    /// What a sink passes on, and what it is.
    pub(crate) fn sink(&self, input: Input, spec: &WriteSpec, inputs: &[usize]) -> (Contract, Identity) {
        let contract = Contract { schema: input.schema, ordered: input.ordered, bounded: input.bounded };
        (contract, self.identity(inputs, InputOrder::Ordered, |structure| spec.identify(structure)))
    }

    fn add(
        &mut self,
        name: &str,
        kind: &'static str,
        (specification, work): (Specification, Work),
        inputs: Vec<usize>,
        contract: Contract,
        identity: Identity,
    ) -> Result<NodeHandle, PlanError> {
        if let Some(sink) = inputs.iter().filter_map(|at| self.at(*at)).find(|n| n.kind == "write") {
            return Err(PlanError::new(
                name,
                format!(
                    "reads from \"{}\", which writes a file and gives no rows; read from its input instead",
                    sink.name
                ),
            ));
        }
        let node = Node {
            name: name.to_owned(),
            kind,
            label: None,
            specification,
            work,
            inputs,
            contract,
            identity,
            cache: CacheMode::Reuse,
            record: RecordMode::Off,
            knobs: Knobs::default(),
        };
        if !matches!(node.work, Work::Write(_)) {
            self.check_spared(&Protected::of(&node))?;
        }
        let (index, _) = self.nodes.insert_full(name.to_owned(), node);
        Ok(NodeHandle { pipeline: self.id, index })
    }
}
