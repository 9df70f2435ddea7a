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

    pub(crate) fn operator(node: &str, inputs: &[&str], error: BindError) -> Self {
        let error = error.with_input_names(inputs);
        let (mut parameter, mut column) = (None, None);
        match &error {
            BindError::UnknownColumn { column: name, .. }
            | BindError::Conflict { column: name, .. }
            | BindError::Schema(
                SchemaError::Reserved { column: name } | SchemaError::Duplicate { column: name },
            ) => column = Some(name.clone()),
            BindError::Parameter { parameter: name, .. } => parameter = Some((*name).to_owned()),
            BindError::Expression { parameter: name, .. } => parameter = Some(name.clone()),
            _ => {}
        }
        Self { parameter, column, cause: source_of(&error), ..Self::new(node, error.to_string()) }
    }

    pub(crate) fn function(node: &str, error: &FunctionError) -> Self {
        let mut plan = Self::new(node, error.to_string());
        match error {
            FunctionError::UnknownColumn { column, .. }
            | FunctionError::Tag { column }
            | FunctionError::Repeated { column }
            | FunctionError::NotTaken { column, .. } => plan.column = Some(column.clone()),
            FunctionError::Collision { output, .. }
            | FunctionError::Expression { output, .. }
            | FunctionError::Type { output, .. } => plan.parameter = Some(output.clone()),
            FunctionError::Signature { what, .. } => plan.parameter = Some((*what).to_owned()),
            FunctionError::Process { parameter, .. } => plan.parameter = Some((*parameter).to_owned()),
            FunctionError::Placeholder { .. } => plan.parameter = Some("each".to_owned()),
            _ => {}
        }
        plan.cause = source_of(error);
        plan
    }

    pub(crate) fn source(node: &str, error: &SourceError) -> Self {
        let mut plan = Self::new(node, error.to_string());
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
        plan.cause = source_of(error);
        plan
    }

    pub(crate) fn sink(node: &str, error: &SinkError) -> Self {
        let plan = Self::new(node, error.to_string());
        Self { cause: source_of(error), ..plan }
    }
}

/// The cause below an error whose own text is part of the message already.
fn source_of(error: &dyn std::error::Error) -> Option<Box<dyn std::error::Error + Send + Sync>> {
    error.source().map(|cause| chain(cause).into())
}

/// Joins a chain of causes to one string.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
