//! map: rename columns and copy them.

use std::collections::HashMap;

use anabranch_engine::identity::Structure;
use anabranch_engine::index::At as _;
use anabranch_engine::list_alignment::{value_alignment, with_alignment};
use anabranch_engine::operator::{BindError, Bound, Input, Operator, unknown_column};
use anabranch_engine::schema::{Role, StreamSchema, renamed};
use arrow::datatypes::FieldRef;
use indexmap::IndexMap;

use crate::bound::only_input;
use crate::projection::{CopiedColumn, Pick, find, project};

/// Renames tag and packet columns, from the old name to the new one, all at once.
///
/// Columns keep their places. Names may be swapped. `drop_unmapped` removes the other columns of
/// each kind for which a name is given; a kind without any mapping stays whole, so that renaming
/// packets never loses the tags. A token of source info keeps the name that its column had in the
/// source. Order: as the input. Memory: none; columns pass by reference.
///
/// `copies` adds packet columns behind the others, each with the values of a column of the input, so
/// that functions can take a tag. Names are those of the input, before any renaming. The source info of a copied packet
/// column is that of the column. That of a copied tag names the record that the tag belongs to, without a column: of each
/// row the first system tag that it has.
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
/// assert_eq!(Map::new().and_copies([("carrier_code", "carrier")]).copies["carrier_code"], "carrier");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// New names of tag columns by old name.
    pub tags: IndexMap<String, String>,
    /// New names of packet columns by old name.
    pub packets: IndexMap<String, String>,
    /// Names of the columns that are copied, by new name.
    pub copies: IndexMap<String, String>,
    /// True if the columns not named go, in each kind that has a name given.
    pub drop_unmapped: bool,
    /// True if an old name that the input lacks is an error (else it is ignored).
    pub strict: bool,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            tags: IndexMap::new(),
            packets: IndexMap::new(),
            copies: IndexMap::new(),
            drop_unmapped: false,
            strict: true,
        }
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

    /// Adds packet columns by new name, each with the values of the column that it names.
    #[must_use]
    pub fn and_copies<N: Into<String>, C: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = (N, C)>,
    ) -> Self {
        self.copies.extend(columns.into_iter().map(|(new, column)| (new.into(), column.into())));
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
        let pick = |(at, field): (usize, &FieldRef)| match names.get(field.name()) {
            Some(new) => Some((at, renamed(field, new))),
            None => keeps_others.then(|| (at, field.clone())),
        };
        Ok(schema.role(role).iter().enumerate().filter_map(pick).collect())
    }

    fn copied(&self, schema: &StreamSchema) -> Result<Vec<CopiedColumn>, BindError> {
        let mut copied = Vec::new();
        for (new, column) in &self.copies {
            match schema.find(column) {
                Some((role, at, field)) => copied.push((role, (at, copied_field(schema, role, field, new)))),
                None if self.strict => return Err(unknown_column(0, None, column, schema)),
                None => {}
            }
        }
        Ok(copied)
    }
}

/// The field of a copy; that of a tag has source info as deep in lists as the first system tag.
fn copied_field(schema: &StreamSchema, role: Role, field: &FieldRef, new: &str) -> FieldRef {
    let field = renamed(field, new);
    match schema.system_tags().first() {
        Some(tag) if role == Role::Tag => with_alignment(&field, &value_alignment(&field), tag.alignment()),
        _ => field,
    }
}

/// Refuses two columns under one new name, saying what both were before.
fn check_collisions(
    schema: &StreamSchema,
    tags: &[Pick],
    packets: &[Pick],
    copied: &[CopiedColumn],
) -> Result<(), BindError> {
    let old = |role: Role, at: usize| schema.role(role).at(at, "column of the input").name();
    let picks = [(Role::Tag, tags), (Role::Packet, packets)].into_iter().flat_map(|(role, picks)| {
        picks.iter().map(move |(at, field)| (field, format!("{role} column \"{}\"", old(role, *at))))
    });
    let copied = copied
        .iter()
        .map(|(role, (at, field))| (field, format!("the copy of {role} column \"{}\"", old(*role, *at))));
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (field, was) in picks.chain(copied) {
        if let Some(other) = seen.insert(field.name(), was.clone()) {
            return Err(BindError::conflict(
                field.name(),
                format!("the name of both {other} and {was} after the renaming"),
                "distinct names",
                "give one of them another name, or drop it first",
            ));
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
        // Without copies the identity is that of a map before there were any.
        if !self.copies.is_empty() {
            structure.list(self.copies.len());
            for (new, column) in &self.copies {
                structure.text(new);
                structure.text(column);
            }
        }
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        let tags = self.picks(&input.schema, Role::Tag)?;
        let packets = self.picks(&input.schema, Role::Packet)?;
        let copied = self.copied(&input.schema)?;
        check_collisions(&input.schema, &tags, &packets, &copied)?;
        project(input, tags, packets, copied)
    }
}
