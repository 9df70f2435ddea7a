//! drop: remove the named columns.

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Input, Operator};
use anabranch_engine::schema::Role;

use crate::bound::only_input;
use crate::projection::{Pick, all, distinct, find, parameter, project};

/// Removes the named tag and packet columns; the others keep their order.
///
/// System tags always stay. Order: as the input. Memory: none; columns pass by reference.
///
/// Errors: a list with a name twice; where `strict`, a name that the input lacks.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::DropColumns;
///
/// let drop = DropColumns::new().packets(["remarks"]);
/// assert_eq!(drop.kind(), "drop");
/// assert!(drop.strict);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropColumns {
    /// Tag columns to remove; none if not given.
    pub tags: Option<Vec<String>>,
    /// Packet columns to remove; none if not given.
    pub packets: Option<Vec<String>>,
    /// True if a name that the input lacks is an error (else it is ignored).
    pub strict: bool,
}

impl Default for DropColumns {
    fn default() -> Self {
        Self { tags: None, packets: None, strict: true }
    }
}

impl DropColumns {
    /// Removes nothing until a list is given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes these tag columns.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.tags = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Removes these packet columns.
    #[must_use]
    pub fn packets<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.packets = Some(names.into_iter().map(Into::into).collect());
        self
    }

    fn named(&self, role: Role) -> Option<&[String]> {
        match role {
            Role::Tag => self.tags.as_deref(),
            Role::Packet => self.packets.as_deref(),
        }
    }

    fn kept(&self, input: &Input, role: Role) -> Result<Vec<Pick>, BindError> {
        let names = self.named(role).unwrap_or_default();
        distinct(parameter(role), names)?;
        for name in names {
            find(&input.schema, role, name, self.strict)?;
        }
        let mut kept = all(&input.schema, role);
        kept.retain(|(_, field)| !names.contains(field.name()));
        Ok(kept)
    }
}

impl Operator for DropColumns {
    fn kind(&self) -> &'static str {
        "drop"
    }

    fn identify(&self, structure: &mut Structure) {
        for role in [Role::Tag, Role::Packet] {
            // The order in which columns are removed makes no difference.
            let mut names: Option<Vec<&String>> = self.named(role).map(|names| names.iter().collect());
            if let Some(names) = &mut names {
                names.sort_unstable();
            }
            structure.optional_texts(names.as_deref());
        }
        structure.flag(self.strict);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        project(input, self.kept(input, Role::Tag)?, self.kept(input, Role::Packet)?, Vec::new())
    }
}
