//! Columns of a recording that are read from results.

use std::sync::Arc;

use anabranch_engine::identity::{Fingerprint, ResultKey};
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{Origin, OriginId, Origins, Positions, ProvenanceColumn, output_position};
use anabranch_engine::store::StoreFault;
use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use super::catalogue::RecordingInfo;
use super::stored::place;
use crate::results::gather::Gathered;

/// The columns that are read from results.
#[derive(Debug)]
pub(super) struct Outputs {
    /// Its name, for people.
    pub(super) name: String,
    pub(super) function: i64,
    pub(super) fingerprint: Fingerprint,
    /// In the order of the function's outputs, as the stream's fields.
    pub(super) fields: Vec<FieldRef>,
    /// The origin of each.
    origins: Vec<OriginId>,
}

/// The outputs of a recording's function, by their names.
pub(super) fn outputs(
    info: &RecordingInfo,
    (id, fingerprint): (i64, Fingerprint),
    function: String,
    names: &[String],
    origins: &Origins,
) -> Result<Outputs, StoreFault> {
    let name: Arc<str> = function.as_str().into();
    let short: Arc<str> = fingerprint.short().into();
    let mut outputs =
        Outputs { name: function, function: id, fingerprint, fields: Vec::new(), origins: Vec::new() };
    for output in names {
        let field = info.schema.packets().iter().find(|field| field.name() == output).ok_or_else(|| {
            StoreFault::damaged(place(info), format!("its schema lacks the output \"{output}\""))
        })?;
        outputs.fields.push(Arc::clone(field));
        outputs.origins.push(origins.add(Origin::Output {
            function: Arc::clone(&name),
            fingerprint: Arc::clone(&short),
            output: output.as_str().into(),
            recording: u64::try_from(info.id).ok(),
        }));
    }
    Ok(outputs)
}

/// Results of one block's rows, by output.
pub(super) struct Computed<'a> {
    outputs: &'a Outputs,
    values: Vec<ArrayRef>,
    positions: Positions,
}

impl<'a> Computed<'a> {
    /// `first` is the number of the first row in its recording.
    pub(super) fn new(outputs: &'a Outputs, gathered: Gathered, first: u64) -> Self {
        let keys = ResultKey::shorts(&outputs.fingerprint, &gathered.hashes).into_iter();
        let rows = keys.zip(first..).map(|(key, row)| output_position(key, Some(row)));
        let positions = Positions::keys(rows.collect());
        Self { outputs, values: gathered.values, positions }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<(ArrayRef, ProvenanceColumn)> {
        let at = self.outputs.fields.iter().position(|field| field.name() == name)?;
        let origin = *self.outputs.origins.at(at, "each output has an origin");
        let values = self.values.at(at, "results have a column for each output");
        Some((Arc::clone(values), ProvenanceColumn::constant(origin, self.positions.clone())))
    }
}
