//! The provenance of kept rows, by row number.

use anabranch_engine::provenance::{
    FlatColumn, OriginColumn, OriginId, PositionMemo, Positions, Provenance, ProvenanceColumn,
};

use super::paged::Paged;

/// Provenance of rows as it grows, gathered in any order.
///
/// Columns that came in with shared positions share them here and when they leave. Memory: 8
/// bytes a row for each group of columns that share positions (16 where result keys are among
/// them), and 4 bytes a row for each column whose origin is not constant.
#[derive(Debug)]
pub(crate) struct ProvenanceStore {
    system_tags: usize,
    rows: usize,
    groups: Vec<Group>,
    origins: Vec<StoredOrigins>,
    /// Columns of lists, whole: each with its number and the chunks' columns put together.
    lists: Vec<(usize, ProvenanceColumn)>,
}

/// Columns that have shared their positions in every chunk so far.
#[derive(Debug)]
struct Group {
    columns: Vec<usize>,
    positions: StoredPositions,
}

#[derive(Debug, Clone)]
enum StoredPositions {
    Narrow(Paged<u64>),
    Wide(Paged<u128>),
}

#[derive(Debug)]
enum StoredOrigins {
    Constant(OriginId),
    Each(Paged<OriginId>),
}

impl ProvenanceStore {
    pub(crate) fn new(system_tags: usize) -> Self {
        Self { system_tags, rows: 0, groups: Vec::new(), origins: Vec::new(), lists: Vec::new() }
    }

    pub(crate) fn append(&mut self, provenance: &Provenance, rows: usize) {
        self.append_lists(provenance);
        let null = FlatColumn {
            origins: OriginColumn::Constant(OriginId::NULL),
            positions: Positions::range(0, rows),
        };
        let columns: Vec<&FlatColumn> = provenance.columns().map(|c| c.flat().unwrap_or(&null)).collect();
        if self.rows == 0 {
            let positions = StoredPositions::Narrow(Paged::default());
            self.groups = vec![Group { columns: (0..columns.len()).collect(), positions }];
            self.origins = columns.iter().map(|c| StoredOrigins::Constant(c.origins.get(0))).collect();
        }
        self.groups = std::mem::take(&mut self.groups).into_iter().flat_map(|g| g.split(&columns)).collect();
        for group in &mut self.groups {
            if let Some(column) = group.columns.first().and_then(|at| columns.get(*at)) {
                group.positions.append(&column.positions, rows);
            }
        }
        for (stored, column) in self.origins.iter_mut().zip(columns) {
            stored.append(&column.origins, self.rows, rows);
        }
        self.rows += rows;
    }

    fn append_lists(&mut self, provenance: &Provenance) {
        let added = provenance.columns().enumerate().filter(|(_, column)| column.depth() > 0);
        if self.rows == 0 {
            self.lists = added.map(|(at, column)| (at, column.clone())).collect();
            return;
        }
        for ((_, kept), (_, column)) in self.lists.iter_mut().zip(added) {
            *kept = ProvenanceColumn::concat(&[kept, column], &mut PositionMemo::default());
        }
    }

    pub(crate) fn gather(&self, rows: &[u32]) -> Provenance {
        let null = FlatColumn {
            origins: OriginColumn::Constant(OriginId::NULL),
            positions: Positions::range(0, rows.len()),
        };
        let mut columns: Vec<FlatColumn> = self.origins.iter().map(|_| null.clone()).collect();
        for group in &self.groups {
            let positions = group.positions.gather(rows);
            for at in &group.columns {
                if let Some(column) = columns.get_mut(*at) {
                    column.positions = positions.clone();
                }
            }
        }
        for (column, stored) in columns.iter_mut().zip(&self.origins) {
            column.origins = stored.gather(rows);
        }
        let mut columns: Vec<ProvenanceColumn> = columns.into_iter().map(ProvenanceColumn::Flat).collect();
        for (at, kept) in &self.lists {
            if let Some(column) = columns.get_mut(*at) {
                *column = kept.take(rows, &mut PositionMemo::default());
            }
        }
        let sources = columns.split_off(self.system_tags.min(columns.len()));
        Provenance { tags: columns, sources }
    }

    pub(crate) fn bytes(&self) -> usize {
        let positions: usize = self.groups.iter().map(|group| group.positions.bytes()).sum();
        let lists: usize = self.lists.iter().map(|(_, column)| column.bytes()).sum();
        positions + lists + self.origins.iter().map(StoredOrigins::bytes).sum::<usize>()
    }
}

impl Group {
    /// One group for each buffer that the columns of this one share in a new chunk.
    fn split(self, chunk: &[&FlatColumn]) -> Vec<Self> {
        let mut parts: Vec<(&Positions, Vec<usize>)> = Vec::new();
        for at in self.columns {
            let Some(column) = chunk.get(at) else { continue };
            match parts.iter_mut().find(|(shared, _)| shared.same(&column.positions)) {
                Some((_, columns)) => columns.push(at),
                None => parts.push((&column.positions, vec![at])),
            }
        }
        let group = |(_, columns)| Self { columns, positions: self.positions.clone() };
        parts.into_iter().map(group).collect()
    }
}

impl StoredPositions {
    fn append(&mut self, positions: &Positions, rows: usize) {
        if let (Self::Narrow(narrow), true) = (&*self, positions.is_wide()) {
            let mut wide = Paged::default();
            wide.extend(narrow.iter().map(u128::from));
            *self = Self::Wide(wide);
        }
        match self {
            // What is not wide fits.
            Self::Narrow(values) => {
                values.extend((0..rows).map(|row| u64::try_from(positions.get(row)).unwrap_or(u64::MAX)));
            }
            Self::Wide(values) => values.extend((0..rows).map(|row| positions.get(row))),
        }
    }

    fn gather(&self, rows: &[u32]) -> Positions {
        match self {
            Self::Narrow(values) => {
                Positions::places(rows.iter().map(|row| values.get(*row as usize).unwrap_or(0)).collect())
            }
            Self::Wide(values) => {
                Positions::keys(rows.iter().map(|row| values.get(*row as usize).unwrap_or(0)).collect())
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Narrow(values) => values.bytes(),
            Self::Wide(values) => values.bytes(),
        }
    }
}

impl StoredOrigins {
    fn append(&mut self, origins: &OriginColumn, before: usize, rows: usize) {
        if let Self::Constant(id) = *self {
            if *origins == OriginColumn::Constant(id) {
                return;
            }
            let mut each = Paged::default();
            each.extend(std::iter::repeat_n(id, before));
            *self = Self::Each(each);
        }
        if let Self::Each(ids) = self {
            ids.extend((0..rows).map(|row| origins.get(row)));
        }
    }

    fn gather(&self, rows: &[u32]) -> OriginColumn {
        match self {
            Self::Constant(id) => OriginColumn::Constant(*id),
            Self::Each(ids) => OriginColumn::compact(
                rows.iter().map(|row| ids.get(*row as usize).unwrap_or(OriginId::NULL)).collect(),
            ),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Each(ids) => ids.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(origin: u32, positions: Positions) -> ProvenanceColumn {
        ProvenanceColumn::constant(OriginId(origin), positions)
    }

    fn flat(column: &ProvenanceColumn) -> &FlatColumn {
        column.flat().unwrap()
    }

    fn places(column: &ProvenanceColumn) -> Vec<u128> {
        (0..column.rows()).map(|row| flat(column).positions.get(row)).collect()
    }

    #[test]
    fn shared_positions_stay_shared_until_a_chunk_splits_them() {
        let mut store = ProvenanceStore::new(1);
        let shared = Positions::range(5, 3);
        let chunk = |a: &Positions, b: &Positions, origin| Provenance {
            tags: vec![column(0, a.clone())],
            sources: vec![column(origin, b.clone())],
        };
        store.append(&chunk(&shared, &shared, 1), 3);
        let kept = store.gather(&[2, 0]);
        assert!(flat(&kept.tags[0]).positions.same(&flat(&kept.sources[0]).positions));
        store.append(&chunk(&Positions::range(0, 1), &Positions::keys(vec![1 << 70]), 2), 1);
        let kept = store.gather(&[3, 0]);
        assert_eq!(places(&kept.tags[0]), [0, 5]);
        assert_eq!(places(&kept.sources[0]), [1 << 70, 5]);
        assert_eq!(flat(&kept.sources[0]).origins.get(0), OriginId(2));
        assert_eq!(flat(&kept.sources[0]).origins.get(1), OriginId(1));
        assert_eq!(flat(&kept.tags[0]).origins, OriginColumn::Constant(OriginId(0)));
    }
}
