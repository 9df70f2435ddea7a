//! An order of rows by where they came from.

use std::cmp::Ordering;
use std::io;

use super::{
    FlatColumn, ListColumn, Origin, OriginId, Origins, Provenance, ProvenanceColumn, RecordIds, output_key,
};

/// Compares provenance, writing strings only where numbers do not decide.
///
/// Order: by source id, then by record id; tokens of functions by name, fingerprint, output and
/// key. No provenance stands last. Lists compare item by item, a shorter one before what it begins.
#[derive(Debug)]
pub struct ProvenanceOrder<'a> {
    origins: &'a Origins,
    ordinals: Ordinals,
    known: Vec<(OriginId, Option<Origin>)>,
}

/// The order of record ids of the form `row_<n>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ordinals {
    ByNumber,
    ByText,
}

impl<'a> ProvenanceOrder<'a> {
    /// The order of rows where their stream has none: `row_9` stands before `row_10`, so that rows
    /// of one source stand as they do there.
    #[must_use]
    pub fn by_place(origins: &'a Origins) -> Self {
        Self { origins, ordinals: Ordinals::ByNumber, known: Vec::new() }
    }

    /// The order of the strings: `row_10` stands before `row_9`.
    #[must_use]
    pub fn by_text(origins: &'a Origins) -> Self {
        Self { origins, ordinals: Ordinals::ByText, known: Vec::new() }
    }

    /// Compares two rows with the same columns: system tags, then source info.
    ///
    /// Errors: a record id string that could not be read back from disk.
    pub fn rows(&mut self, one: (&Provenance, usize), other: (&Provenance, usize)) -> io::Result<Ordering> {
        for (column, other_column) in one.0.columns().zip(other.0.columns()) {
            let order = self.cells((column, one.1), (other_column, other.1))?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    /// Compares a row of one column with a row of another.
    ///
    /// Errors: a record id string that could not be read back from disk.
    pub fn cells(
        &mut self,
        one: (&ProvenanceColumn, usize),
        other: (&ProvenanceColumn, usize),
    ) -> io::Result<Ordering> {
        match (one.0, other.0) {
            (ProvenanceColumn::Flat(a), ProvenanceColumn::Flat(b)) => self.flat((a, one.1), (b, other.1)),
            (ProvenanceColumn::Lists(a), ProvenanceColumn::Lists(b)) => self.lists((a, one.1), (b, other.1)),
            (a, b) => Ok(a.depth().cmp(&b.depth())),
        }
    }

    fn lists(&mut self, one: (&ListColumn, usize), other: (&ListColumn, usize)) -> io::Result<Ordering> {
        let nulls = one.0.is_null(one.1).cmp(&other.0.is_null(other.1));
        if nulls != Ordering::Equal {
            return Ok(nulls);
        }
        let (mine, theirs) = (one.0.range(one.1), other.0.range(other.1));
        for (a, b) in mine.clone().zip(theirs.clone()) {
            let order = self.cells((&one.0.items, a), (&other.0.items, b))?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(mine.len().cmp(&theirs.len()))
    }

    fn flat(&mut self, one: (&FlatColumn, usize), other: (&FlatColumn, usize)) -> io::Result<Ordering> {
        let (id, other_id) = (one.0.origins.get(one.1), other.0.origins.get(other.1));
        if id == OriginId::NULL || other_id == OriginId::NULL {
            return Ok((id == OriginId::NULL).cmp(&(other_id == OriginId::NULL)));
        }
        let (place, other_place) = (one.0.positions.get(one.1), other.0.positions.get(other.1));
        if id == other_id && place == other_place {
            return Ok(Ordering::Equal);
        }
        self.learn(id);
        self.learn(other_id);
        let (Some(origin), Some(other_origin)) = (self.known(id), self.known(other_id)) else {
            return Ok(id.cmp(&other_id));
        };
        self.origins_of(origin, place, other_origin, other_place)
    }

    fn origins_of(
        &self,
        one: &Origin,
        place: u128,
        other: &Origin,
        other_place: u128,
    ) -> io::Result<Ordering> {
        use Origin as O;
        Ok(match (one, other) {
            (O::Source { source, records }, O::Source { source: theirs, records: other_records }) => {
                match source.cmp(theirs) {
                    Ordering::Equal => self.records(records, place, other_records, other_place)?,
                    unequal => unequal,
                }
            }
            (
                O::Column { source, records, column },
                O::Column { source: theirs, records: other_records, column: other_column },
            ) => match source.cmp(theirs) {
                Ordering::Equal => self
                    .records(records, place, other_records, other_place)?
                    .then_with(|| column.cmp(other_column)),
                unequal => unequal,
            },
            (
                O::Output { function, fingerprint, output, .. },
                O::Output { function: theirs, fingerprint: other_fingerprint, output: other_output, .. },
            ) => (function, fingerprint, output, output_key(place)).cmp(&(
                theirs,
                other_fingerprint,
                other_output,
                output_key(other_place),
            )),
            (one, other) => rank(one).cmp(&rank(other)),
        })
    }

    fn records(
        &self,
        one: &RecordIds,
        place: u128,
        other: &RecordIds,
        other_place: u128,
    ) -> io::Result<Ordering> {
        match (one, other, self.ordinals) {
            (RecordIds::Ordinal, RecordIds::Ordinal, Ordinals::ByNumber) => Ok(place.cmp(&other_place)),
            (RecordIds::Ordinal, RecordIds::Ordinal, Ordinals::ByText) => {
                Ok(compare_digits(place, other_place))
            }
            _ => Ok(one.text(place)?.cmp(&other.text(other_place)?)),
        }
    }

    fn learn(&mut self, id: OriginId) {
        if !self.known.iter().any(|(known, _)| *known == id) {
            self.known.push((id, self.origins.get(id)));
        }
    }

    fn known(&self, id: OriginId) -> Option<&Origin> {
        self.known.iter().find(|(known, _)| *known == id).and_then(|(_, origin)| origin.as_ref())
    }
}

fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Source { .. } => 0,
        Origin::Column { .. } => 1,
        Origin::Output { .. } => 2,
    }
}

/// Compares numbers as their decimal strings compare: 10 stands before 9.
fn compare_digits(one: u128, other: u128) -> Ordering {
    let digits = |number: u128| number.checked_ilog10().unwrap_or(0);
    let (length, other_length) = (digits(one), digits(other));
    let scale = |number: u128, by: u32| 10_u128.checked_pow(by).and_then(|power| number.checked_mul(power));
    let scaled = scale(one, other_length.saturating_sub(length));
    let other_scaled = scale(other, length.saturating_sub(other_length));
    match (scaled, other_scaled) {
        (Some(one), Some(other)) => one.cmp(&other).then(length.cmp(&other_length)),
        // Only numbers too long for a place in a source come here.
        _ => one.to_string().cmp(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::Positions;

    #[test]
    fn numbers_compare_as_their_texts_do() {
        let mut numbers = vec![0, 1, 9, 10, 11, 19, 99, 100, 101, 109, 999, 1000, 12_345, u128::MAX];
        numbers.push(u64::MAX.into());
        for one in &numbers {
            for other in &numbers {
                let expected = format!("row_{one}").cmp(&format!("row_{other}"));
                assert_eq!(compare_digits(*one, *other), expected, "{one} and {other}");
            }
        }
    }

    #[test]
    fn rows_of_one_source_stand_as_they_do_there_and_nulls_last() {
        let origins = Origins::default();
        let id = origins.add(Origin::Source { source: "b".into(), records: RecordIds::Ordinal });
        let first = origins.add(Origin::Source { source: "a".into(), records: RecordIds::Ordinal });
        let column = ProvenanceColumn::constant(id, Positions::places(vec![10, 9]));
        let mut order = ProvenanceOrder::by_place(&origins);
        assert_eq!(order.cells((&column, 0), (&column, 1)).unwrap(), Ordering::Greater);
        assert_eq!(
            ProvenanceOrder::by_text(&origins).cells((&column, 0), (&column, 1)).unwrap(),
            Ordering::Less
        );
        let earlier = ProvenanceColumn::constant(first, Positions::range(99, 1));
        assert_eq!(order.cells((&earlier, 0), (&column, 1)).unwrap(), Ordering::Less);
        assert_eq!(order.cells((&ProvenanceColumn::null(1), 0), (&column, 1)).unwrap(), Ordering::Greater);
    }
}
