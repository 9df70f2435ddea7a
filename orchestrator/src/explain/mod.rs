//! Why packets are computed again: what has changed in the function, or in the packets.

mod packets;

use anabranch_engine::identity::Fingerprint;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::{BoundFunction, CacheMode};
use serde_json::{Value, json};

use crate::forecast::{Count, ForecastCalls};
use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;
use crate::store::Store;

pub use packets::{ColumnChange, PacketCause, PacketChange};

/// What is asked of an explanation.
#[derive(Debug, Clone)]
pub struct ExplainOptions {
    /// Only rows for whose tags this SQL expression is true.
    pub condition: Option<String>,
    /// Rows that are looked at one by one.
    pub head: usize,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self { condition: None, head: 10 }
    }
}

/// Why a function node would compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The node's cache is off.
    CacheOff,
    /// It is a closure without a version.
    NoVersion,
    /// Everything is computed again since that was asked for.
    Refresh,
    /// The store has no result of a function of this name.
    FirstTime,
    /// The function is another than at the last time: these components have changed.
    Changed(Vec<String>),
    /// The function is the same, and these packets are new.
    NewPackets,
    /// The packets depend on what has to be computed above.
    Above,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CacheOff => f.write_str("the cache is off"),
            Self::NoVersion => f.write_str("a closure without a version is not cached"),
            Self::Refresh => f.write_str("it is asked to compute again"),
            Self::FirstTime => f.write_str("no result of this function yet"),
            Self::Changed(components) if components.is_empty() => f.write_str("the function has changed"),
            Self::Changed(components) => write!(f, "the function has changed: {}", components.join(", ")),
            Self::NewPackets => f.write_str("new packets"),
            Self::Above => f.write_str("depends on what is computed above"),
        }
    }
}

impl Reason {
    /// The reason for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let kind = match self {
            Self::CacheOff => "cache_off",
            Self::NoVersion => "no_version",
            Self::Refresh => "refresh",
            Self::FirstTime => "first_time",
            Self::Changed(_) => "function_changed",
            Self::NewPackets => "new_packets",
            Self::Above => "above",
        };
        let components = match self {
            Self::Changed(components) => components.as_slice(),
            _ => &[],
        };
        json!({ "reason": kind, "components": components, "text": self.to_string() })
    }
}

/// A component of a fingerprint that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentChange {
    /// Its name.
    pub component: String,
    /// What it was; nothing if there was none.
    pub old: Option<String>,
    /// What it is; nothing if there is none.
    pub new: Option<String>,
}

/// The function that a node had at an earlier time.
#[derive(Debug, Clone)]
pub struct EarlierFunction {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The run that recorded the node with it; nothing if only a function of this name is known.
    pub run: Option<String>,
    /// When that was, or when the function was first seen, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Why packets of a node are computed again.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The node.
    pub node: String,
    /// The function's name.
    pub function: String,
    /// Its fingerprint now.
    pub fingerprint: Fingerprint,
    /// Calls that a run would make, and why.
    pub calls: ForecastCalls,
    /// Rows that the node would take.
    pub rows: Count,
    /// The function that is compared with.
    pub earlier: Option<EarlierFunction>,
    /// What has changed in the function since.
    pub changes: Vec<ComponentChange>,
    /// Rows that would be computed, one by one.
    pub packets: Vec<PacketChange>,
}

impl Explanation {
    /// Why the node would compute, from what is known without its rows.
    pub(crate) fn reason(
        pipeline: &Pipeline,
        store: Option<&Store>,
        node: &Node,
        function: &BoundFunction,
        above: bool,
    ) -> Result<Reason, StoreError> {
        if !function.cacheable() {
            return Ok(Reason::NoVersion);
        }
        match node.cache {
            CacheMode::Off => return Ok(Reason::CacheOff),
            CacheMode::Refresh => return Ok(Reason::Refresh),
            _ => {}
        }
        let earlier = store.map(|store| earlier(store, pipeline, node, function)).transpose()?.flatten();
        let now = &function.stored().fingerprint;
        Ok(match earlier {
            None => Reason::FirstTime,
            Some(earlier) if earlier.fingerprint.digest() != now.digest() => {
                let changes = changes(&earlier.fingerprint, now);
                Reason::Changed(changes.into_iter().map(|change| change.component).collect())
            }
            Some(_) if above => Reason::Above,
            Some(_) => Reason::NewPackets,
        })
    }

    /// The explanation as the document of `explain --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|c| json!({ "component": c.component, "old": c.old, "new": c.new }))
            .collect();
        let earlier = self.earlier.as_ref().map(|earlier| {
            json!({
                "fingerprint": earlier.fingerprint.digest().to_string(),
                "run_id": earlier.run,
                "at": crate::format_time(earlier.at_ms, "%Y-%m-%dT%H:%M:%SZ"),
            })
        });
        json!({
            "node": self.node,
            "function": self.function,
            "fingerprint": self.fingerprint.digest().to_string(),
            "rows": self.rows.number(),
            "compute": self.calls.compute.number(),
            "reuse": self.calls.reuse.number(),
            "exact": matches!(self.calls.compute, Count::Exactly(_)),
            "why": self.calls.reason.as_ref().map(Reason::to_json),
            "compared_with": earlier,
            "changes": changes,
            "packets": self.packets.iter().map(PacketChange::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Why an explanation cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// A node that computes nothing.
    #[error("explain: node \"{node}\" is {kind}, expected a function; name a function node")]
    NoFunction {
        /// The node.
        node: String,
        /// What it is.
        kind: &'static str,
    },
    /// A condition that cannot be used.
    #[error("--where: {0}")]
    Condition(String),
    /// The rows could not be read.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<StoreError> for ExplainError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

impl Pipeline {
    /// Why packets of a function node would be computed. Reads the sources, computes nothing and
    /// writes nothing. Blocks.
    pub fn explain(
        &self,
        store: Option<&Store>,
        node: NodeHandle,
        options: &ExplainOptions,
    ) -> Result<Explanation, ExplainError> {
        if let Some(recalled) = self.recalled_from(store)? {
            return recalled.explain(store, node, options);
        }
        let foreign = || RunError::Foreign { pipeline: self.name().to_owned() };
        let found = self.index(node).and_then(|at| self.at(at)).ok_or_else(foreign)?;
        let Work::Function(function) = &found.work else {
            return Err(ExplainError::NoFunction { node: found.name.clone(), kind: found.kind });
        };
        let sample = packets::Sample::new(self, found, function, options)?;
        let forecast = self.watch_missed(store, node, |origins| sample.watch(origins))?;
        let earlier = store.map(|store| earlier(store, self, found, function)).transpose()?.flatten();
        let now = &function.stored().fingerprint;
        let changes = earlier.as_ref().map(|earlier| changes(&earlier.fingerprint, now)).unwrap_or_default();
        let packets = sample.compare(self, store, found, now)?;
        let calls = forecast.calls.ok_or_else(foreign)?;
        Ok(Explanation {
            node: found.name.clone(),
            function: function.stored().name.clone(),
            fingerprint: now.clone(),
            calls,
            rows: forecast.rows_in.first().copied().unwrap_or(Count::Unknown),
            earlier,
            changes,
            packets,
        })
    }
}

/// The function of the node's last recording, else the newest one of this name.
fn earlier(
    store: &Store,
    pipeline: &Pipeline,
    node: &Node,
    function: &BoundFunction,
) -> Result<Option<EarlierFunction>, StoreError> {
    let store = store.inner();
    if let Some(last) = store.recordings(pipeline.name(), &node.name)?.into_iter().next() {
        let reader = store.open_recording(&last)?;
        if let Some((_, fingerprint)) = reader.function() {
            return Ok(Some(EarlierFunction {
                fingerprint: fingerprint.clone(),
                run: Some(last.run),
                at_ms: last.completed_ms,
            }));
        }
    }
    let stored = function.stored();
    let mut named = store.functions(&stored.name)?;
    // The very same function, if it is there, else the newest.
    named.sort_by_key(|f| f.fingerprint.digest() != stored.fingerprint.digest());
    let newest = named.into_iter().next();
    Ok(newest.map(|f| EarlierFunction { fingerprint: f.fingerprint, run: None, at_ms: f.created_ms }))
}

/// The components that are not the same, by name.
fn changes(old: &Fingerprint, new: &Fingerprint) -> Vec<ComponentChange> {
    let value = |fingerprint: &Fingerprint, name: &str| {
        fingerprint.components().iter().find(|c| c.name == name).map(|c| c.value.clone())
    };
    let mut names: Vec<&str> =
        old.components().iter().chain(new.components()).map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &str| ComponentChange {
        component: name.to_owned(),
        old: value(old, name),
        new: value(new, name),
    };
    names.into_iter().map(change).filter(|change| change.old != change.new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::FingerprintBuilder;

    #[test]
    fn components_that_came_went_or_changed_are_named_and_the_others_are_not() {
        let old =
            FingerprintBuilder::default().with("kind", "sql").with("takes", "a: int64").with("version", "1");
        let new =
            FingerprintBuilder::default().with("kind", "sql").with("takes", "b: int64").with("lock", "x");
        let found = changes(&old.build(), &new.build());
        let told = |c: &ComponentChange| (c.component.clone(), c.old.clone(), c.new.clone());
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found.iter().map(told).collect::<Vec<_>>(),
            [
                ("lock".to_owned(), None, text("x")),
                ("takes".to_owned(), text("a: int64"), text("b: int64")),
                ("version".to_owned(), text("1"), None),
            ]
        );
    }
}
