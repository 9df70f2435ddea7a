//! Reading the values of a checked mapping.

use std::path::PathBuf;

use anabranch_nodes::function::OnError;

use super::fields::{Fallback, ObjectSchema};
use super::tree::{Scalar, Value, YamlNode};

/// A checked mapping, with the fallbacks of its schema. Its values have the types of its fields; a value that is read
/// as another type counts as missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a> {
    node: Option<&'a YamlNode>,
    schema: &'static ObjectSchema,
}

impl<'a> Body<'a> {
    pub(crate) fn new(node: Option<&'a YamlNode>, schema: &'static ObjectSchema) -> Self {
        Self { node, schema }
    }

    pub(crate) fn given(&self, key: &str) -> Option<&'a YamlNode> {
        self.node?.get(key)
    }

    fn scalar(&self, key: &str) -> Option<Scalar> {
        let fallback = || {
            self.schema.field(key)?.fallback.map(|fallback| match fallback {
                Fallback::Text(text) => Scalar::Text(text.to_owned()),
                Fallback::Integer(value) => Scalar::Integer(value),
                Fallback::Bool(value) => Scalar::Bool(value),
            })
        };
        self.given(key).and_then(YamlNode::scalar).cloned().or_else(fallback)
    }

    /// Returns a switch; false if neither file nor table sets it.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.scalar(key), Some(Scalar::Bool(true)))
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        match self.scalar(key)? {
            Scalar::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// Returns a whole number; none for a negative one, which the checks report. Settings are read all the same.
    pub(crate) fn count(&self, key: &str) -> Option<usize> {
        usize::try_from(self.integer(key)?).ok()
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<u64> {
        super::sizes::scalar_bytes(&self.scalar(key)?)
    }

    pub(crate) fn duration(&self, key: &str) -> Option<std::time::Duration> {
        super::sizes::scalar_duration(&self.scalar(key)?)
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        super::sizes::scalar_number(&self.scalar(key)?)
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        match self.scalar(key)? {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of the word that is given.
    pub(crate) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let given = self.text(key)?;
        words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value)
    }

    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        match &self.given(key)?.value {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// Returns the value of a key that the schema requires.
    ///
    /// Panics: a mapping without it, which has not passed the checks.
    pub(crate) fn required(&self, key: &str) -> &'a YamlNode {
        self.given(key).unwrap_or_else(|| self.missing(key))
    }

    /// Returns the string of a key that the schema requires or has a fallback for.
    pub(crate) fn required_text(&self, key: &str) -> String {
        self.text(key).unwrap_or_else(|| self.missing(key))
    }

    /// Returns the path of a key that the schema requires.
    pub(crate) fn required_path(&self, key: &str) -> PathBuf {
        self.path(key).unwrap_or_else(|| self.missing(key))
    }

    /// Returns the strings of a list that the schema requires.
    pub(crate) fn required_texts(&self, key: &str) -> Vec<String> {
        self.texts(key).unwrap_or_else(|| self.missing(key))
    }

    fn missing<T>(&self, key: &str) -> T {
        panic!("{} has passed the checks without {key}, which its schema requires", self.schema.name)
    }

    /// Returns a list of strings; a single string counts as a list of one.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let node = self.given(key)?;
        match node.text() {
            Some(text) => Some(vec![text.to_owned()]),
            None => Some(node.items().iter().filter_map(YamlNode::text).map(str::to_owned).collect()),
        }
    }

    /// Returns the strings of a mapping with keys of the author's choice, in the file's order.
    pub(crate) fn text_pairs(&self, key: &str) -> Vec<(String, String)> {
        let entries = self.given(key).map(YamlNode::entries).unwrap_or_default();
        entries.iter().filter_map(|e| Some((e.key.clone(), e.value.text()?.to_owned()))).collect()
    }

    /// Returns the scalars of a mapping with keys of the author's choice, in the file's order.
    pub(crate) fn scalar_pairs(&self, key: &str) -> Vec<(String, Scalar)> {
        let entries = self.given(key).map(YamlNode::entries).unwrap_or_default();
        entries.iter().filter_map(|e| Some((e.key.clone(), e.value.scalar()?.clone()))).collect()
    }
}

/// Sets an option of a builder, if its value is given.
pub(crate) fn set<T, V>(builder: T, value: Option<V>, set: impl FnOnce(T, V) -> T) -> T {
    match value {
        Some(value) => set(builder, value),
        None => builder,
    }
}

/// Returns the value of the key `on_error`.
pub(crate) fn on_error(body: &Body<'_>) -> Option<OnError> {
    let words = [("stop", OnError::Stop), ("skip", OnError::Skip), ("set_aside", OnError::SetAside)];
    body.choice("on_error", &words)
}
