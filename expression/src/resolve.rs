//! Texts beside columns of dates and times, read as such.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};

use super::error::ExpressionError;
use super::parameters::Literal;
use super::temporal::Temporal;
use super::tree::{Binary, Node, Unary};

/// Reads every text that is compared with a column of dates or times as a value of that column.
///
/// `flown >= '2013-01-31'` is a comparison of dates; the text has to be one.
pub(super) fn resolve(node: &mut Node, fields: &[FieldRef]) -> Result<(), ExpressionError> {
    match node {
        Node::Binary(operator, left, right) if operator.compares() => {
            read(left, right, fields)?;
            read(right, left, fields)?;
        }
        Node::Between { value, low, high, .. } => {
            read(value, low, fields)?;
            read(value, high, fields)?;
        }
        Node::In { value, list, .. } => {
            list.iter_mut().try_for_each(|element| read(value, element, fields))?;
        }
        _ => {}
    }
    spell_out(node);
    match node {
        Node::Column(_) | Node::Literal(_) | Node::Temporal(_) => Ok(()),
        Node::Unary(_, value)
        | Node::Like { value, .. }
        | Node::Cast { value, .. }
        | Node::Extract { value, .. }
        | Node::In { value, .. }
        | Node::Trim { value, .. } => resolve(value, fields),
        Node::Binary(_, left, right) => {
            resolve(left, fields)?;
            resolve(right, fields)
        }
        Node::Between { value, low, high, .. } => {
            resolve(value, fields)?;
            resolve(low, fields)?;
            resolve(high, fields)
        }
        Node::Case { operand, arms, otherwise } => {
            for (condition, result) in arms {
                resolve(condition, fields)?;
                resolve(result, fields)?;
            }
            operand.iter_mut().chain(otherwise).try_for_each(|node| resolve(node, fields))
        }
        Node::Call { arguments, .. } => arguments.iter_mut().try_for_each(|node| resolve(node, fields)),
    }
}

/// Replaces IN by comparisons where Polars cannot hold the elements in a list.
fn spell_out(node: &mut Node) {
    let Node::In { negated, value, list } = node else { return };
    if !list.iter().any(|element| matches!(element, Node::Temporal(_))) {
        return;
    }
    let equal = |element: &Node| Node::Binary(Binary::Equal, value.clone(), Box::new(element.clone()));
    let terms: Vec<Node> = list.iter().map(equal).collect();
    if let Some(found) = Node::join(Binary::Or, terms) {
        *node = if *negated { Node::Unary(Unary::Not, Box::new(found)) } else { found };
    }
}

fn read(column: &Node, literal: &mut Node, fields: &[FieldRef]) -> Result<(), ExpressionError> {
    let Node::Column(position) = column else { return Ok(()) };
    let Some(field) = fields.get(*position) else { return Ok(()) };
    let data_type = match field.data_type() {
        // Polars has no seconds.
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        temporal @ (DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..)) => temporal.clone(),
        _ => return Ok(()),
    };
    let naive = matches!(data_type, DataType::Timestamp(_, None));
    let text = match &*literal {
        Node::Literal(Literal::Text(text)) => text.as_str(),
        Node::Temporal(temporal) if naive && temporal.keyword() != "TIME" => temporal.text(),
        _ => return Ok(()),
    };
    let read = Temporal::of_type(text, &data_type).ok_or_else(|| ExpressionError::Type {
        place: format!("text beside column \"{}\"", field.name()),
        found: "a text of another form, or finer than the column's unit".to_owned(),
        expected: expected(&data_type),
        remedy: "write it in that form, or cast the column",
    })?;
    *literal = Node::Temporal(read);
    Ok(())
}

fn expected(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date32 => "a date as '2024-12-31'",
        DataType::Time64(_) => "a time as '23:59:59.5'",
        _ => "a time as '2024-12-31 23:59:59.5'",
    }
}
