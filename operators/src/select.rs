//! select: keep the named columns.

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Input, Operator};
use anabranch_engine::schema::Role;

use crate::bound::only_input;
use crate::projection::{Pick, all, distinct, find, parameter, project};

/// Keeps the named tag and packet columns, in the order of the lists.
///
/// A list that is not given keeps all columns of its kind. System tags always stay; source info
/// goes where its packet column goes. Order: as the input. Memory: none; columns pass by reference.
///
/// Errors: a list with a name twice; where `strict`, a name that the input lacks.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Select;
///
/// let select = Select { strict: false, ..Select::new().tags(["tailnum"]) };
/// assert_eq!(select.kind(), "select");
/// assert_eq!(select.packets, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Tag columns to keep; all if not given.
    pub tags: Option<Vec<String>>,
    /// Packet columns to keep; all if not given.
    pub packets: Option<Vec<String>>,
    /// True if a name that the input lacks is an error (else it is ignored).
    pub strict: bool,
}

impl Default for Select {
    fn default() -> Self {
        Self { tags: None, packets: None, strict: true }
    }
}

impl Select {
    /// Keeps everything until a list is given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps these tag columns.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.tags = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps these packet columns.
    #[must_use]
    pub fn packets<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.packets = Some(names.into_iter().map(Into::into).collect());
        self
    }

    fn kept(&self, input: &Input, role: Role) -> Result<Vec<Pick>, BindError> {
        let names = match role {
            Role::Tag => &self.tags,
            Role::Packet => &self.packets,
        };
        let Some(names) = names else { return Ok(all(&input.schema, role)) };
        distinct(parameter(role), names)?;
        let picks = names.iter().map(|name| find(&input.schema, role, name, self.strict));
        picks.filter_map(Result::transpose).collect()
    }
}

impl Operator for Select {
    fn kind(&self) -> &'static str {
        "select"
    }

    fn identify(&self, structure: &mut Structure) {
        structure.optional_texts(self.tags.as_deref());
        structure.optional_texts(self.packets.as_deref());
        structure.flag(self.strict);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        project(input, self.kept(input, Role::Tag)?, self.kept(input, Role::Packet)?, Vec::new())
    }
}
