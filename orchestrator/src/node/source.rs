//! Sources: rows from outside, from a history or from another pipeline's recording.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{ContentHash, PipelineHash, Structure};
use anabranch_engine::operator::Contract;
use anabranch_engine::stage::{ChunkReader, Running, StageError};
use anabranch_nodes::source::{
    ChunkReader as SourceReader, Scratch, Source, SourceError, SourceNode, StreamColumns,
};

use super::{
    Certainty, Identity, JobBuilder, KindTraits, LowerError, Lowered, Mode, Node, NodeKind, PlanError,
    Planned, Planning, Protected, RunMode, Site,
};
use crate::cumulative::{self, Cumulative};
use crate::store::Link;
use crate::store::block_on::block_on;

/// Maximum number of bytes of record ids that a source keeps in memory.
const RECORD_ID_BYTES: usize = 64 << 20;

/// A planned source.
pub(crate) struct SourceKind {
    source: Arc<SourceNode>,
}

impl SourceKind {
    /// Opens the source for its columns.
    pub(crate) fn plan(name: &str, source: &dyn Source) -> Result<Planned, PlanError> {
        let wrong = |error: SourceError| PlanError::source(name, &error);
        let kind = source.kind();
        let planned = source.plan().map_err(wrong)?;
        let options = planned.settle(source.options());
        let columns = StreamColumns::new(&options, planned.columns()).map_err(wrong)?;
        let mut structure = Structure::new("source");
        structure.fields(&columns.tags);
        structure.fields(&columns.packets);
        let pipeline_hash = PipelineHash(structure.finish());
        let node = SourceNode::new(planned, &options, name, &pipeline_hash).map_err(wrong)?;
        structure.text(kind);
        structure.text(&node.source_id);
        let content_hash = ContentHash(structure.finish());
        let contract =
            Contract { schema: Arc::clone(&node.schema), ordered: node.planned.ordered(), bounded: true };
        let identity = Identity { pipeline_hash, content_hash, revisions: node.planned.revisions() };
        Ok(Planned { kind, work: Arc::new(Self { source: Arc::new(node) }), contract, identity })
    }

    fn open(&self, job: &JobBuilder<'_>) -> Result<SourceReader, LowerError> {
        let scratch = Scratch { directory: job.scratch.to_owned(), memory_bytes: RECORD_ID_BYTES };
        self.source.start(&job.origins, job.chunk_rows(), &scratch).map_err(LowerError::start)
    }

    fn reader(
        &self,
        node: &Node,
        run: &RunMode<'_>,
        job: &JobBuilder<'_>,
    ) -> Result<Box<dyn ChunkReader>, LowerError> {
        if self.source.cumulative && run.limit.is_none() {
            let memory_bytes = usize::try_from(job.settings.memory_limit / 4).unwrap_or(usize::MAX);
            let parts = cumulative::Parts {
                store: run.store.clone(),
                source: Arc::clone(&self.source),
                key: run.key(node),
                origins: Arc::clone(&job.origins),
                chunk_rows: job.chunk_rows(),
                memory_bytes: memory_bytes.min(RECORD_ID_BYTES),
                spill: job.spill.clone(),
            };
            return Ok(Box::new(Cumulative::new(parts).map_err(LowerError::start)?));
        }
        let reader = self.open(job)?;
        // A run of some rows records nothing, so no link would lead back to the derived source.
        if let Some(upstream) = reader.upstream().filter(|_| run.limit.is_none()) {
            let link = Link {
                run: run.run_id.to_owned(),
                node: node.name.clone(),
                source_id: self.source.source_id.to_string(),
                store: run.store.link_name(&upstream.store),
                recording: upstream.recording,
            };
            block_on(run.store.inner().link(link)).map_err(|e| LowerError::Store(e.into()))?;
        }
        Ok(Box::new(Limited { reader, left: run.limit.unwrap_or(u64::MAX) }))
    }
}

static TRAITS: KindTraits =
    KindTraits { knobs: &[], brackets: ("[(", ")]"), shape: "cylinder", gives_rows: true };

impl NodeKind for SourceKind {
    fn files(&self, name: &str) -> Vec<Protected> {
        let files = format!("source \"{name}\" reads");
        let folders = format!("is the store that source \"{name}\" reads");
        let planned = &self.source.planned;
        let files = planned.files().into_iter().map(|file| Protected::file(file, &files));
        files.chain(planned.folders().into_iter().map(|at| Protected::folder(at, &folders))).collect()
    }

    fn traits(&self) -> &'static KindTraits {
        &TRAITS
    }

    fn certainty(&self, _above: Certainty, _computes: bool) -> Certainty {
        Certainty::Exact
    }

    fn plan_again(&self, node: &Node, _: &[&Node], _: &Planning<'_>) -> Result<Planned, PlanError> {
        let Node { kind, work, contract, identity, .. } = node.clone();
        Ok(Planned { kind, work, contract, identity })
    }

    fn lower(&self, site: &Site<'_>, job: &mut JobBuilder<'_>) -> Result<Lowered, LowerError> {
        if site.mode.keeps_sources() {
            self.source.planned.keep(job.scratch).map_err(LowerError::start)?;
        }
        let reader = match site.mode {
            Mode::Run(run) => self.reader(site.node, run, job)?,
            Mode::Forecast(_) | Mode::Verify(_) => {
                Box::new(Limited { reader: self.open(job)?, left: u64::MAX })
            }
        };
        Ok(job.push_node(site.node, &[], Running::Source(reader)))
    }

    fn notes(&self) -> Vec<String> {
        self.source.planned.notes()
    }

    fn as_source(&self) -> Option<&Arc<SourceNode>> {
        Some(&self.source)
    }
}

/// A source that ends after a number of rows.
struct Limited {
    reader: SourceReader,
    left: u64,
}

impl ChunkReader for Limited {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(chunk) = self.reader.next()? else { return Ok(None) };
        let rows = usize::try_from(self.left).unwrap_or(usize::MAX).min(chunk.rows());
        self.left -= rows as u64;
        Ok(Some(chunk.slice(0, rows)))
    }
}
