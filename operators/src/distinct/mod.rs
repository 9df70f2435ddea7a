//! distinct: one row for each value of some columns.

mod groups;
mod machine;

use std::sync::Arc;

use anabranch_engine::identity::{PacketHasher, Structure};
use anabranch_engine::operator::{
    BindError, Bound, Context, Contract, Input, Machine, Operator, UnknownValues, unknown_column,
};
use anabranch_engine::schema::Role;
use arrow::datatypes::FieldRef;

use self::groups::GroupPlan;
use self::machine::DistinctMachine;
use crate::input_queue::only_input;
use crate::projection::{all, distinct};
use crate::sort::{no_names, refuse_endless};

/// One row for each value of the named columns, tags and packet columns alike; of all columns where none are named.
///
/// Values are compared as packets are by their hashes, so columns of any type count, and nulls are equal. Rows leave
/// unchanged: the first of each value where the input has an order, else the one of the least provenance (and of the least
/// values, where that is equal).
///
/// Order: as the input; undefined where that has none. Memory: 66 bytes for each value where the input has an order, and
/// rows leave as they come. Beyond `memory_limit` the values that have left and all later rows are sorted by value, and the
/// rows that remain by their place, as [`Sort`](crate::Sort) does. Without an order of the input, all rows are sorted.
///
/// Errors: an empty list of columns; a name twice; a name that the input lacks; an input without order and without end.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Distinct;
///
/// assert_eq!(Distinct::new().kind(), "distinct");
/// assert_eq!(Distinct::by(["carrier"]).by.as_deref(), Some(&["carrier".to_owned()][..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distinct {
    /// The columns that are compared; all if not given.
    pub by: Option<Vec<String>>,
}

impl Distinct {
    /// Compares all tags and packet columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares these columns.
    #[must_use]
    pub fn by<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { by: Some(names.into_iter().map(Into::into).collect()) }
    }

    fn keys(&self, input: &Input) -> Result<Vec<KeyColumn>, BindError> {
        let Some(names) = &self.by else {
            let keys = |role| {
                all(&input.schema, role).into_iter().map(move |(at, field)| KeyColumn { role, at, field })
            };
            return Ok(keys(Role::Tag).chain(keys(Role::Packet)).collect());
        };
        if names.is_empty() {
            return Err(no_names("name the columns to compare, or leave by out to compare all"));
        }
        distinct("by", names)?;
        let key = |name: &String| match input.schema.find(name) {
            Some((role, at, field)) => Ok(KeyColumn { role, at, field: Arc::clone(field) }),
            None => Err(unknown_column(0, None, name, &input.schema)),
        };
        names.iter().map(key).collect()
    }
}

/// A column that is compared.
#[derive(Debug)]
struct KeyColumn {
    role: Role,
    at: usize,
    field: FieldRef,
}

impl Operator for Distinct {
    fn kind(&self) -> &'static str {
        "distinct"
    }

    fn identify(&self, structure: &mut Structure) {
        // The order of the columns means nothing.
        let mut names = self.by.clone();
        if let Some(names) = &mut names {
            names.sort_unstable();
        }
        structure.optional_texts(names.as_deref());
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        let keys = self.keys(input)?;
        if !input.ordered {
            refuse_endless(input, "bound the source that its rows come from, or sort them first")?;
        }
        let fields: Vec<FieldRef> = keys.iter().map(|key| Arc::clone(&key.field)).collect();
        let hasher = PacketHasher::new(&fields).map_err(|cause| {
            BindError::parameter(
                "by",
                format!("a column that cannot be compared ({cause})"),
                "columns of types that packets have",
                "name other columns",
            )
        })?;
        let looks_at_values = keys.iter().any(|key| key.role == Role::Packet);
        let columns = keys.into_iter().map(|key| (key.role, key.at)).collect();
        let contract =
            Contract { schema: Arc::clone(&input.schema), ordered: input.ordered, bounded: input.bounded };
        let plan = DistinctPlan { hasher, columns, groups: GroupPlan::new(input)? };
        Ok(Box::new(BoundDistinct { contract, looks_at_values, plan: Arc::new(plan) }))
    }
}

/// A distinct with its input.
#[derive(Debug)]
struct DistinctPlan {
    hasher: PacketHasher,
    /// The columns that are compared.
    columns: Vec<(Role, usize)>,
    groups: GroupPlan,
}

struct BoundDistinct {
    contract: Contract,
    looks_at_values: bool,
    plan: Arc<DistinctPlan>,
}

impl Bound for BoundDistinct {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn with_unknown_values(&self) -> UnknownValues {
        if self.looks_at_values { UnknownValues::AtMost(0) } else { UnknownValues::Run }
    }

    fn start(&self, context: &Context) -> Box<dyn Machine> {
        Box::new(DistinctMachine::new(Arc::clone(&self.plan), self.contract.ordered, context))
    }
}
