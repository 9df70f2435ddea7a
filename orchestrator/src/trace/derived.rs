//! Lineage through derived sources: their records are rows of other recordings.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anabranch_engine::store::{ReadError, StoreError};
use indexmap::IndexMap;

use super::report::Upstream;
use super::{Tracer, unread};
use crate::derived::UpstreamError;
use crate::store::{Link, Store};

/// Maximum depth of derived sources that read from derived sources.
const MOST_LEVELS: usize = 32;
/// Maximum number of records of derived sources whose rows are read for one row.
const MOST_RECORDS: usize = 1_000;

/// The records of sources that a row stems from: source and place, with the record's id.
#[derive(Default)]
pub(super) struct SeenRecords(IndexMap<(String, u64), String>);

impl SeenRecords {
    /// Adds a record.
    pub(super) fn add(&mut self, source: &str, position: u128, record: &str) {
        if let Ok(place) = u64::try_from(position)
            && self.0.len() < super::MOST_ITEMS
        {
            self.0.entry((source.to_owned(), place)).or_insert_with(|| record.to_owned());
        }
    }
}

/// The recordings behind the derived sources of some runs.
#[derive(Debug)]
pub(super) struct Derivations {
    depth: usize,
    links: HashMap<String, Vec<Link>>,
    /// Tracers by store and recording; none where the recording no longer exists.
    tracers: HashMap<(String, i64), Option<Box<Tracer>>>,
}

impl Derivations {
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, links: HashMap::new(), tracers: HashMap::new() }
    }

    /// Returns the rows behind records of derived sources, as far as they can still be read.
    pub(super) fn rows<'a>(
        &mut self,
        store: &Store,
        runs: impl Iterator<Item = &'a str>,
        records: &SeenRecords,
    ) -> Result<Vec<Upstream>, ReadError> {
        if self.depth >= MOST_LEVELS {
            return Ok(Vec::new());
        }
        let mut links: HashMap<String, Link> = HashMap::new();
        for run in runs {
            let found = match self.links.entry(run.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(store.links(run)?),
            };
            for link in found.iter() {
                links.entry(link.source_id.clone()).or_insert_with(|| link.clone());
            }
        }
        let mut rows = Vec::new();
        for ((source, place), record) in &records.0 {
            let Some(link) = links.get(source).filter(|_| rows.len() < MOST_RECORDS) else { continue };
            let Some(tracer) = self.tracer(store, link)? else { continue };
            let Some(row) = tracer.row(*place)? else { continue };
            let info = tracer.recording();
            rows.push(Upstream {
                source: source.clone(),
                record: record.clone(),
                pipeline: info.pipeline.clone(),
                node: info.node.clone(),
                run: info.run.clone(),
                row,
            });
        }
        Ok(rows)
    }

    fn tracer(&mut self, store: &Store, link: &Link) -> Result<Option<&mut Tracer>, ReadError> {
        let tracer = match self.tracers.entry((link.store.clone(), link.recording)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(match store.upstream(link) {
                Ok(upstream) => {
                    let (store, info) = (upstream.store().clone(), upstream.recording().clone());
                    Some(Box::new(Tracer::new(store, info, self.depth + 1)?))
                }
                Err(UpstreamError::Gone { .. }) => None,
                Err(UpstreamError::Store(StoreError::ReadError(error))) => return Err(error),
                Err(error) => return Err(unread(error)),
            }),
        };
        Ok(tracer.as_deref_mut())
    }
}
