//! The error of adding a node, with the parameter or column at fault.

use anabranch_engine::operator::BindError;
use anabranch_engine::schema::SchemaError;
use anabranch_nodes::function::FunctionError;
use anabranch_nodes::sink::SinkError;
use anabranch_nodes::source::SourceError;

/// Error of adding a node.
#[derive(Debug, thiserror::Error)]
#[error("node \"{node}\": {reason}")]
pub struct PlanError {
    node: String,
    reason: String,
    parameter: Option<String>,
    column: Option<String>,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PlanError {
    pub(crate) fn new(node: &str, reason: impl Into<String>) -> Self {
        Self { node: node.to_owned(), reason: reason.into(), parameter: None, column: None, cause: None }
    }

    pub(crate) fn about_path(node: &str, reason: String) -> Self {
        Self { parameter: Some("path".to_owned()), ..Self::new(node, reason) }
    }

    /// The node that cannot be added.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The parameter at fault, where one is.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    /// The column at fault, where one is.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// Creates the error of a node from that of its planning.
    fn of(node: &str, error: &dyn std::error::Error) -> Self {
        let cause = error.source().map(|cause| chain(cause).into());
        Self { cause, ..Self::new(node, error.to_string()) }
    }

    pub(crate) fn operator(node: &str, inputs: &[&str], error: BindError) -> Self {
        let error = error.with_input_names(inputs);
        let mut plan = Self::of(node, &error);
        match &error {
            BindError::UnknownColumn { column: name, .. }
            | BindError::Conflict { column: name, .. }
            | BindError::Schema(
                SchemaError::Reserved { column: name } | SchemaError::Duplicate { column: name },
            ) => plan.column = Some(name.clone()),
            BindError::Parameter { parameter: name, .. } => plan.parameter = Some((*name).to_owned()),
            BindError::Expression { parameter: name, .. } => plan.parameter = Some(name.clone()),
            _ => {}
        }
        plan
    }

    pub(crate) fn function(node: &str, error: &FunctionError) -> Self {
        let mut plan = Self::of(node, error);
        match error {
            FunctionError::UnknownColumn { column, .. }
            | FunctionError::Tag { column }
            | FunctionError::Repeated { column }
            | FunctionError::NotTaken { column, .. } => plan.column = Some(column.clone()),
            FunctionError::Collision { output, .. }
            | FunctionError::Expression { output, .. }
            | FunctionError::Type { output, .. } => plan.parameter = Some(output.clone()),
            FunctionError::Parameter { parameter, .. } => plan.parameter = Some((*parameter).to_owned()),
            _ => {}
        }
        plan
    }

    pub(crate) fn source(node: &str, error: &SourceError) -> Self {
        let mut plan = Self::of(node, error);
        match error {
            SourceError::Missing { .. }
            | SourceError::Pattern { .. }
            | SourceError::Io { .. }
            | SourceError::Format { .. }
            | SourceError::Differs { .. }
            | SourceError::Type { .. } => plan.parameter = Some("path".to_owned()),
            SourceError::UnknownColumn { option, column, .. } => {
                (plan.parameter, plan.column) = (Some((*option).to_owned()), Some(column.clone()));
            }
            SourceError::Option { option, .. } => plan.parameter = Some((*option).to_owned()),
            _ => {}
        }
        plan
    }

    pub(crate) fn sink(node: &str, error: &SinkError) -> Self {
        Self::of(node, error)
    }
}

/// Joins an error and the chain of its causes to one string.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
