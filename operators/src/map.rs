//! map: rename columns.

use std::collections::HashMap;

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Input, Operator};
use anabranch_engine::schema::{Role, StreamSchema, renamed};
use indexmap::IndexMap;

use crate::arrivals::only_input;
use crate::projection::{Pick, Projection, find};

/// Renames tag and packet columns, from the old name to the new one, all at once.
///
/// Columns keep their places. Names may be swapped. `drop_unmapped` removes the other columns of
/// each kind for which a name is given; a kind without any mapping stays whole, so that renaming
/// packets never loses the tags. A token of source info keeps the name that its column had in the
/// source. Order: as the input. Memory: none; columns pass by reference.
///
/// Errors: a new name that another column has or is reserved; where `strict`, an old name that
/// the input lacks.
///
/// Example:
/// ```
/// use anabranch_operators::Map;
///
/// let map = Map::packets([("year", "built")]).and_tags([("tail", "tailnum")]);
/// assert_eq!(map.packets["year"], "built");
/// assert!(map.strict && !map.drop_unmapped);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// New names of tag columns by old name.
    pub tags: IndexMap<String, String>,
    /// New names of packet columns by old name.
    pub packets: IndexMap<String, String>,
    /// Whether the columns not named go, in each kind that has a name given.
    pub drop_unmapped: bool,
    /// Whether an old name that the input lacks is an error (else it is ignored).
    pub strict: bool,
}

impl Default for Map {
    fn default() -> Self {
        Self { tags: IndexMap::new(), packets: IndexMap::new(), drop_unmapped: false, strict: true }
    }
}

impl Map {
    /// Renames nothing until names are given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Renames these packet columns.
    #[must_use]
    pub fn packets<O: Into<String>, N: Into<String>>(names: impl IntoIterator<Item = (O, N)>) -> Self {
        Self::new().and_packets(names)
    }

    /// Renames these tag columns.
    #[must_use]
    pub fn tags<O: Into<String>, N: Into<String>>(names: impl IntoIterator<Item = (O, N)>) -> Self {
        Self::new().and_tags(names)
    }

    /// Renames these packet columns too.
    #[must_use]
    pub fn and_packets<O: Into<String>, N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        self.packets.extend(names.into_iter().map(|(old, new)| (old.into(), new.into())));
        self
    }

    /// Renames these tag columns too.
    #[must_use]
    pub fn and_tags<O: Into<String>, N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        self.tags.extend(names.into_iter().map(|(old, new)| (old.into(), new.into())));
        self
    }

    /// Whether the columns not named go, in each kind that has a name given; they stay unless told
    /// otherwise.
    #[must_use]
    pub fn drop_unmapped(mut self, drop_unmapped: bool) -> Self {
        self.drop_unmapped = drop_unmapped;
        self
    }

    /// Whether an old name that the input lacks is an error; it is unless told otherwise.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    fn names(&self, role: Role) -> &IndexMap<String, String> {
        match role {
            Role::Tag => &self.tags,
            Role::Packet => &self.packets,
        }
    }

    fn picks(&self, schema: &StreamSchema, role: Role) -> Result<Vec<Pick>, BindError> {
        let names = self.names(role);
        for old in names.keys() {
            find(schema, role, old, self.strict)?;
        }
        let keeps_others = !self.drop_unmapped || names.is_empty();
        let pick = |(at, field): (usize, &arrow::datatypes::FieldRef)| match names.get(field.name()) {
            Some(new) => Some((at, renamed(field, new))),
            None => keeps_others.then(|| (at, field.clone())),
        };
        Ok(schema.role(role).iter().enumerate().filter_map(pick).collect())
    }
}

/// Refuses two columns under one new name, saying what both were before.
fn check_collisions(schema: &StreamSchema, tags: &[Pick], packets: &[Pick]) -> Result<(), BindError> {
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (role, picks) in [(Role::Tag, tags), (Role::Packet, packets)] {
        for (at, field) in picks {
            let old = schema.role(role).get(*at).map_or("", |f| f.name().as_str());
            let was = format!("{role} column \"{old}\"");
            if let Some(other) = seen.insert(field.name(), was.clone()) {
                return Err(BindError::Conflict {
                    column: field.name().clone(),
                    found: format!("the name of both {other} and {was} after the renaming"),
                    expected: "distinct names".to_owned(),
                    remedy: "give one of them another name, or drop it first".to_owned(),
                });
            }
        }
    }
    Ok(())
}

impl Operator for Map {
    fn kind(&self) -> &'static str {
        "map"
    }

    fn identify(&self, structure: &mut Structure) {
        for role in [Role::Tag, Role::Packet] {
            // All names change at once, so their order makes no difference.
            let mut names: Vec<(&String, &String)> = self.names(role).iter().collect();
            names.sort_unstable();
            structure.list(names.len());
            for (old, new) in names {
                structure.text(old);
                structure.text(new);
            }
        }
        structure.flag(self.drop_unmapped);
        structure.flag(self.strict);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        let tags = self.picks(&input.schema, Role::Tag)?;
        let packets = self.picks(&input.schema, Role::Packet)?;
        check_collisions(&input.schema, &tags, &packets)?;
        Projection::bind(input, tags, packets)
    }
}
