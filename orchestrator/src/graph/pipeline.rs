//! The graph of a pipeline and the builder that makes it: every node is checked when it is added.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use anabranch_engine::identity::{ContentHash, Digest, PipelineHash, Structure};
use anabranch_engine::index::TypedIndex as _;
use anabranch_engine::operator::{Contract, Operator};
use anabranch_nodes::function::{CacheMode, Function};
use anabranch_nodes::recording::RecordMode;
use anabranch_nodes::sink::WriteSpec;
use anabranch_nodes::source::{Source, StreamId};
use indexmap::IndexMap;

use crate::node::{
    CallKnobs, FunctionKind, Node, NodeIndex, OperatorKind, PerNode, PlanError, Planned, Planning, Protected,
    Reading, Settings, SourceKind, WriteKind,
};

/// A node of a [`Pipeline`]; only valid with the pipeline that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeHandle {
    pipeline: u64,
    index: NodeIndex,
}

/// A graph of nodes under a name.
///
/// Nodes are added behind those they read from, so there is no cycle. Each is checked when it is added: files are
/// opened for their schema, and columns and types are compared with the node's requirements.
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
    /// The path of the file that it was read from, links followed, if it is UTF-8.
    pub(crate) file: Option<String>,
    id: u64,
    nodes: IndexMap<String, Node>,
    settings: Settings,
    /// Files that no output may replace, beside those of the nodes.
    pub(crate) protected: Vec<Protected>,
    /// Pipes that sources read, with their nodes.
    streams: Vec<(StreamId, String)>,
    /// Lets functions that are added be bound without reading their code, so that the pipeline cannot run.
    pub(crate) reading: Option<Reading>,
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
    /// Creates a pipeline without nodes.
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

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the settings of its runs.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the settings of its runs, to be changed.
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
        let streams = source.streams();
        self.check_streams(name, &streams)?;
        let handle = self.add(name, Vec::new(), SourceKind::plan(name, &source)?)?;
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
        let planned = OperatorKind::plan(name, Arc::new(operator), &self.nodes_at(&inputs))?;
        self.add(name, inputs, planned)
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
        let planned = FunctionKind::plan(name, function, &self.nodes_at(&inputs), &self.planning())?;
        self.add(name, inputs, planned)
    }

    /// Adds a sink: a file to be written.
    pub fn write(&mut self, name: &str, input: NodeHandle, spec: WriteSpec) -> Result<NodeHandle, PlanError> {
        self.free(name)?;
        let inputs = self.indices(name, [input])?;
        self.check_target(name, &spec)?;
        let planned = WriteKind::plan(name, spec, &self.nodes_at(&inputs))?;
        self.add(name, inputs, planned)
    }

    /// Returns the node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeHandle> {
        self.nodes
            .get_index_of(name)
            .map(|at| NodeHandle { pipeline: self.id, index: NodeIndex::from_position(at) })
    }

    /// Returns the name of a node of this pipeline.
    #[must_use]
    pub fn name_of(&self, node: NodeHandle) -> Option<&str> {
        self.get(node).map(|n| n.name.as_str())
    }

    /// Returns the names of all nodes, in the order in which they were added.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Returns the contract of the rows of a node of this pipeline.
    #[must_use]
    pub fn contract(&self, node: NodeHandle) -> Option<&Contract> {
        self.get(node).map(|n| &n.contract)
    }

    /// Returns the identity of a node of this pipeline.
    #[must_use]
    pub fn pipeline_hash(&self, node: NodeHandle) -> Option<PipelineHash> {
        self.get(node).map(|n| n.identity.pipeline_hash)
    }

    /// Returns the identity of a node of this pipeline including the origins of its rows.
    #[must_use]
    pub fn content_hash(&self, node: NodeHandle) -> Option<ContentHash> {
        self.get(node).map(|n| n.identity.content_hash)
    }

    /// Returns the identity of the whole: of all its nodes, whatever their names and order.
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

    /// Returns remarks about the columns of sources, for information only.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        remarks(self.nodes.values().map(|node| (node, node.work.notes())))
    }

    /// Returns warnings: remarks about something that is valid and may not be intended.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        remarks(self.nodes.values().map(|node| (node, node.work.warnings())))
    }

    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    /// Returns the pipeline without its nodes; handles of this pipeline are valid for it.
    pub(crate) fn without_nodes(&self) -> Self {
        Self { nodes: IndexMap::new(), ..self.clone() }
    }

    /// Adds a node that has been checked.
    pub(crate) fn push(&mut self, node: Node) {
        self.nodes.insert(node.name.clone(), node);
    }

    /// Returns a node by its position.
    ///
    /// Panics: a position of another pipeline breaks the invariant that a position stays with its pipeline.
    pub(crate) fn at(&self, index: NodeIndex) -> &Node {
        match self.nodes.get_index(index.position()) {
            Some((_, node)) => node,
            None => panic!("pipeline \"{}\" has no node at position {}", self.name, index.position()),
        }
    }

    /// Returns the position of a node of this pipeline.
    pub(crate) fn index(&self, node: NodeHandle) -> Option<NodeIndex> {
        (node.pipeline == self.id && node.index.position() < self.nodes.len()).then_some(node.index)
    }

    /// Returns the positions of all nodes, each behind those that it reads from.
    pub(crate) fn indices_of_nodes(&self) -> impl DoubleEndedIterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex::from_position)
    }

    /// Returns a value for each node, made from its position.
    pub(crate) fn per_node<T>(&self, value: impl FnMut(NodeIndex) -> T) -> PerNode<T> {
        self.indices_of_nodes().map(value).collect()
    }

    /// Returns the nodes at these positions.
    pub(crate) fn nodes_at(&self, indices: &[NodeIndex]) -> Vec<&Node> {
        indices.iter().map(|index| self.at(*index)).collect()
    }

    fn get(&self, node: NodeHandle) -> Option<&Node> {
        self.index(node).map(|index| self.at(index))
    }

    pub(crate) fn node_mut(&mut self, node: NodeHandle) -> Option<&mut Node> {
        let index = self.index(node)?;
        self.nodes.get_index_mut(index.position()).map(|(_, node)| node)
    }

    /// Returns the circumstances in which its nodes are planned.
    pub(crate) fn planning(&self) -> Planning<'_> {
        Planning { pipeline: &self.name, reading: self.reading.as_ref() }
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

    /// Refuses pipes that another source reads: each would miss the bytes that the other reads.
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

    /// Returns true if a run may have to read its sources again, with code that a call has loaded.
    pub(crate) fn may_run_again(&self) -> bool {
        let mut functions = self.nodes.values().filter_map(|node| node.work.as_function());
        functions.any(|function| function.specification.python_file().is_some())
    }

    fn indices(
        &self,
        name: &str,
        handles: impl IntoIterator<Item = NodeHandle>,
    ) -> Result<Vec<NodeIndex>, PlanError> {
        let foreign =
            || PlanError::new(name, "found an input of another pipeline, expected nodes of this one");
        handles.into_iter().map(|handle| self.index(handle).ok_or_else(foreign)).collect()
    }

    fn add(&mut self, name: &str, inputs: Vec<NodeIndex>, planned: Planned) -> Result<NodeHandle, PlanError> {
        if let Some(sink) = inputs.iter().map(|at| self.at(*at)).find(|node| !node.work.traits().gives_rows) {
            return Err(PlanError::new(
                name,
                format!(
                    "reads from \"{}\", which writes a file and gives no rows; read from its input instead",
                    sink.name
                ),
            ));
        }
        let Planned { kind, work, contract, identity } = planned;
        let node = Node {
            name: name.to_owned(),
            kind,
            label: None,
            work,
            inputs,
            contract,
            identity,
            cache: CacheMode::Reuse,
            record: RecordMode::Off,
            calls: CallKnobs::default(),
        };
        // The output of a sink was compared with all other nodes before.
        if node.work.traits().gives_rows {
            self.check_spared(&node.work.files(&node.name))?;
        }
        let (at, _) = self.nodes.insert_full(name.to_owned(), node);
        Ok(NodeHandle { pipeline: self.id, index: NodeIndex::from_position(at) })
    }
}

/// Returns remarks with the names of their nodes.
fn remarks<'a>(remarks: impl Iterator<Item = (&'a Node, Vec<String>)>) -> Vec<String> {
    let named = |(node, found): (&Node, Vec<String>)| {
        let name = node.name.clone();
        found.into_iter().map(move |remark| format!("node \"{name}\": {remark}"))
    };
    remarks.flat_map(named).collect()
}
