//! Reasons for which a function computes, from its fingerprint and earlier ones.

use anabranch_engine::identity::Fingerprint;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::{BoundFunction, CacheMode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::graph::Pipeline;
use crate::node::Node;
use crate::store::Store;

/// Reason why a function node would compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The node's cache is off.
    CacheOff,
    /// The function is a closure without a version.
    NoVersion,
    /// The options request that everything is computed again.
    Refresh,
    /// The store has no result of a function of this name.
    FirstTime,
    /// The function has changed since the last time, in these components.
    Changed(Vec<String>),
    /// The function is the same, and these packets are new.
    NewPackets,
    /// The packets depend on values that would be computed above.
    Above,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CacheOff => f.write_str("the cache is off"),
            Self::NoVersion => f.write_str("a closure without a version is not cached"),
            Self::Refresh => f.write_str("its results are to be computed again"),
            Self::FirstTime => f.write_str("no result of this function yet"),
            Self::Changed(components) if components.is_empty() => f.write_str("the function has changed"),
            Self::Changed(components) => write!(f, "the function has changed: {}", components.join(", ")),
            Self::NewPackets => f.write_str("new packets"),
            Self::Above => f.write_str("depends on what is computed above"),
        }
    }
}

impl Reason {
    /// Returns the reason why the node would compute, from what is known without its rows.
    pub(super) fn of(
        pipeline: &Pipeline,
        store: Option<&Store>,
        node: &Node,
        function: &BoundFunction,
        above: bool,
    ) -> Result<Self, StoreError> {
        if !function.cacheable {
            return Ok(Self::NoVersion);
        }
        match node.cache {
            CacheMode::Off => return Ok(Self::CacheOff),
            CacheMode::Refresh => return Ok(Self::Refresh),
            _ => {}
        }
        let earlier =
            store.map(|store| earlier_function(store, pipeline, node, function)).transpose()?.flatten();
        let now = &function.stored.fingerprint;
        Ok(match earlier {
            None => Self::FirstTime,
            Some(earlier) if earlier.fingerprint.digest() != now.digest() => {
                let changes = changes(&earlier.fingerprint, now);
                Self::Changed(changes.into_iter().map(|change| change.component).collect())
            }
            Some(_) if above => Self::Above,
            Some(_) => Self::NewPackets,
        })
    }

    /// Returns the reason for programs.
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

/// A component of a fingerprint that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentChange {
    /// Name of the component.
    pub component: String,
    /// Earlier value; none if there was none.
    pub old: Option<String>,
    /// Present value; none if there is none.
    pub new: Option<String>,
}

/// Function of a node at an earlier time.
#[derive(Debug, Clone)]
pub struct EarlierFunction {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The run that recorded the node with it; none if only a function of this name is known.
    pub run: Option<String>,
    /// Time of that recording, or of the function's first use, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Returns the function of the node's last recording, else the newest one of this name.
pub(crate) fn earlier_function(
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
    let stored = &function.stored;
    let mut named = store.functions(&stored.name)?;
    // The same function is preferred to the newest.
    named.sort_by_key(|f| f.fingerprint.digest() != stored.fingerprint.digest());
    let newest = named.into_iter().next();
    Ok(newest.map(|f| EarlierFunction { fingerprint: f.fingerprint, run: None, at_ms: f.created_ms }))
}

/// Returns the components that differ, by name.
pub(crate) fn changes(old: &Fingerprint, new: &Fingerprint) -> Vec<ComponentChange> {
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
        let values = |c: &ComponentChange| (c.component.clone(), c.old.clone(), c.new.clone());
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found.iter().map(values).collect::<Vec<_>>(),
            [
                ("lock".to_owned(), None, text("x")),
                ("takes".to_owned(), text("a: int64"), text("b: int64")),
                ("version".to_owned(), text("1"), None),
            ]
        );
    }
}
