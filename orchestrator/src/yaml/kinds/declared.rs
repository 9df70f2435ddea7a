//! Nodes as the files declare them.

use super::{Kind, NODE};
use crate::yaml::values::fields::{ObjectSchema, Presence};
use crate::yaml::values::report::Place;
use crate::yaml::values::tree::{Entry, YamlNode};

/// A node as the files declare it.
#[derive(Debug)]
pub(crate) struct DeclaredNode {
    pub(crate) entry: Entry,
    /// Its kind, if it has exactly one of this version.
    pub(crate) kind: Option<&'static Kind>,
    /// True if no fault was found so far; an unsound node is not built, nor are the nodes below it.
    pub(crate) sound: bool,
    pub(crate) inputs: Vec<(String, Place)>,
}

impl DeclaredNode {
    pub(crate) fn new(entry: Entry, sound: bool) -> Self {
        let alternatives = NODE.fields.iter().filter(|f| f.presence == Presence::Alternative);
        let mut given = alternatives.filter(|f| entry.value.get(f.key).is_some());
        let kind = given.next().filter(|_| given.next().is_none()).and_then(|field| Kind::of(field.key));
        let body = kind.and_then(|kind| Some((kind, entry.value.get(kind.key())?)));
        let inputs = body.map(|(kind, body)| inputs(&kind.schema, body)).unwrap_or_default();
        Self { entry, kind, sound, inputs }
    }

    /// Returns the mapping under its kind.
    pub(crate) fn body(&self) -> Option<&YamlNode> {
        self.entry.value.get(self.kind?.key())
    }
}

/// Returns the names under the fields for inputs, in the order of the ports; other values are left out.
fn inputs(schema: &ObjectSchema, body: &YamlNode) -> Vec<(String, Place)> {
    let given =
        schema.fields.iter().filter(|field| field.names_nodes()).filter_map(|field| body.get(field.key));
    // A field for one input has a name, a field for several has a list of names.
    let names = given
        .flat_map(|node| if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() });
    names.filter_map(|n| Some((n.text()?.to_owned(), n.place))).collect()
}
