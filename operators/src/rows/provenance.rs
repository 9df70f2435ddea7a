//! The provenance of kept rows, by row number.

use anabranch_engine::index::{At as _, holds};
use anabranch_engine::provenance::{
    FlatColumn, OriginColumn, OriginId, PositionMemo, Positions, Provenance, ProvenanceColumn,
};

use super::pages::{PAGE, Pages, Selection};

/// Provenance of rows as it grows, gathered in any order.
///
/// Columns that came in with shared positions share them here and when they leave. Memory: 8
/// bytes a row for each group of columns that share positions (16 where result keys are among
/// them), nothing for pages of a source's rows as they stand there, as long as there are no others,
/// and 4 bytes a row for each column whose origin is not constant. Lists are kept as they came.
#[derive(Debug)]
pub(crate) struct ProvenanceStore {
    system_tags: usize,
    /// The number of the row that comes next.
    rows: usize,
    groups: Vec<Group>,
    origins: Vec<StoredOrigins>,
    lists: Vec<StoredLists>,
}

/// Columns that have shared their positions in every chunk so far.
#[derive(Debug)]
struct Group {
    columns: Vec<usize>,
    positions: StoredPositions,
}

#[derive(Debug, Clone)]
enum StoredPositions {
    Narrow(StoredPlaces),
    Wide(Pages<u128>),
}

/// Row numbers of a source: pages in which they follow on each other, and behind these pages that
/// list them.
#[derive(Debug, Clone, Default)]
struct StoredPlaces {
    /// The row number that each page begins with.
    ranges: Vec<u64>,
    listed: Pages<u64>,
}

#[derive(Debug)]
enum StoredOrigins {
    Constant(OriginId),
    Each(Pages<u32>),
}

/// A column of lists, in the pieces it came in; small ones are put together.
#[derive(Debug)]
struct StoredLists {
    column: usize,
    starts: Vec<usize>,
    pieces: Vec<ProvenanceColumn>,
}

impl ProvenanceStore {
    pub(crate) fn new(system_tags: usize) -> Self {
        Self { system_tags, rows: 0, groups: Vec::new(), origins: Vec::new(), lists: Vec::new() }
    }

    pub(crate) fn append(&mut self, provenance: &Provenance, selection: Selection<'_>) {
        let null = null_column(provenance.columns().next().map_or(0, ProvenanceColumn::rows));
        let columns: Vec<&FlatColumn> = provenance.columns().map(|c| c.flat().unwrap_or(&null)).collect();
        if self.rows == 0 {
            self.begin(provenance, &columns);
        }
        self.groups = std::mem::take(&mut self.groups).into_iter().flat_map(|g| g.split(&columns)).collect();
        for group in &mut self.groups {
            // A group without columns is that of rows without provenance.
            if let Some(at) = group.columns.first() {
                let positions = &columns.at(*at, "column with provenance").positions;
                group.positions.append(positions, selection, self.rows);
            }
        }
        for (stored, column) in self.origins.iter_mut().zip(columns) {
            stored.append(&column.origins, self.rows, selection);
        }
        for lists in &mut self.lists {
            lists.append(provenance, selection, self.rows);
        }
        self.rows += selection.len();
    }

    fn begin(&mut self, provenance: &Provenance, columns: &[&FlatColumn]) {
        let positions = StoredPositions::Narrow(StoredPlaces::default());
        self.groups = vec![Group { columns: (0..columns.len()).collect(), positions }];
        self.origins = columns.iter().map(|c| StoredOrigins::Constant(c.origins.first())).collect();
        let lists = provenance.columns().enumerate().filter(|(_, column)| column.depth() > 0);
        let lists = lists.map(|(column, _)| StoredLists { column, starts: Vec::new(), pieces: Vec::new() });
        self.lists = lists.collect();
    }

    /// Returns the bytes that a row of a chunk copies as part of a page of its own, at the least.
    pub(crate) fn page_copies(provenance: &Provenance) -> usize {
        let of = |column: &ProvenanceColumn| {
            let Some(flat) = column.flat() else { return 0 };
            let origins =
                if matches!(flat.origins, OriginColumn::Constant(_)) { 0 } else { size_of::<u32>() };
            origins + if flat.positions.is_wide() { size_of::<u128>() } else { 0 }
        };
        provenance.columns().map(of).sum()
    }

    /// Lets the next row begin a page.
    pub(crate) fn close_page(&mut self) {
        self.rows = self.rows.next_multiple_of(PAGE);
        for group in &mut self.groups {
            group.positions.close_page();
        }
        for origins in &mut self.origins {
            if let StoredOrigins::Each(pages) = origins {
                pages.close();
            }
        }
    }

    pub(crate) fn gather(&self, rows: &[u32]) -> Provenance {
        let mut columns: Vec<FlatColumn> = self.origins.iter().map(|_| null_column(rows.len())).collect();
        for group in &self.groups {
            let positions = group.positions.gather(rows);
            for at in &group.columns {
                columns.at_mut(*at, "column with provenance").positions = positions.clone();
            }
        }
        for (column, stored) in columns.iter_mut().zip(&self.origins) {
            column.origins = stored.gather(rows);
        }
        let mut columns: Vec<ProvenanceColumn> = columns.into_iter().map(ProvenanceColumn::Flat).collect();
        for lists in &self.lists {
            *columns.at_mut(lists.column, "column with provenance") = lists.gather(rows);
        }
        let sources = columns.split_off(self.system_tags.min(columns.len()));
        Provenance { tags: columns, sources }
    }

    pub(crate) fn bytes(&self) -> usize {
        let positions: usize = self.groups.iter().map(|group| group.positions.bytes()).sum();
        let lists = self.lists.iter().flat_map(|lists| &lists.pieces);
        let lists: usize = lists.map(ProvenanceColumn::bytes).sum();
        positions + lists + self.origins.iter().map(StoredOrigins::bytes).sum::<usize>()
    }

    /// Releases a page that is not read any more.
    pub(crate) fn release(&mut self, page: usize) {
        for group in &mut self.groups {
            group.positions.release(page);
        }
        for origins in &mut self.origins {
            if let StoredOrigins::Each(pages) = origins {
                pages.release(page);
            }
        }
        for lists in &mut self.lists {
            lists.release(page);
        }
    }
}

fn null_column(rows: usize) -> FlatColumn {
    FlatColumn { origins: OriginColumn::Constant(OriginId::NULL), positions: Positions::range(0, rows) }
}

impl Group {
    /// One group for each buffer that the columns of this one share in a new chunk.
    fn split(self, chunk: &[&FlatColumn]) -> Vec<Self> {
        let mut parts: Vec<(&Positions, Vec<usize>)> = Vec::new();
        for at in self.columns {
            let column = chunk.at(at, "column with provenance");
            match parts.iter_mut().find(|(shared, _)| shared.same(&column.positions)) {
                Some((_, columns)) => columns.push(at),
                None => parts.push((&column.positions, vec![at])),
            }
        }
        let mut positions = Some(self.positions);
        let last = parts.len().saturating_sub(1);
        let group = |(number, (_, columns)): (usize, (_, Vec<usize>))| {
            let positions = if number == last { positions.take() } else { positions.clone() };
            Self { columns, positions: positions.unwrap_or(StoredPositions::Narrow(StoredPlaces::default())) }
        };
        parts.into_iter().enumerate().map(group).collect()
    }
}

impl StoredPositions {
    /// The first row gets the number `before`.
    fn append(&mut self, positions: &Positions, selection: Selection<'_>, before: usize) {
        if positions.is_wide() {
            self.widen(before);
        }
        match self {
            Self::Narrow(places) => places.append(positions, selection, before),
            Self::Wide(pages) => {
                (0..selection.len()).for_each(|at| pages.push(positions.get(selection.row(at) as usize)));
            }
        }
    }

    /// Makes room for result keys.
    fn widen(&mut self, before: usize) {
        if let Self::Narrow(places) = self {
            let mut wide = Pages::default();
            (0..before).for_each(|row| wide.push(u128::from(places.get(row))));
            *self = Self::Wide(wide);
        }
    }

    fn gather(&self, rows: &[u32]) -> Positions {
        match self {
            Self::Narrow(places) => Positions::places(places.gather(rows)),
            Self::Wide(pages) => Positions::keys(pages.gather(rows)),
        }
    }

    fn close_page(&mut self) {
        match self {
            Self::Narrow(places) => places.listed.close(),
            Self::Wide(pages) => pages.close(),
        }
    }

    fn release(&mut self, page: usize) {
        match self {
            Self::Narrow(places) => {
                if let Some(page) = page.checked_sub(places.ranges.len()) {
                    places.listed.release(page);
                }
            }
            Self::Wide(pages) => pages.release(page),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Narrow(places) => places.ranges.len() * size_of::<u64>() + places.listed.bytes(),
            Self::Wide(pages) => pages.bytes(),
        }
    }
}

impl StoredPlaces {
    /// Where the listed pages begin.
    fn listed_from(&self) -> usize {
        self.ranges.len() * PAGE
    }

    fn append(&mut self, positions: &Positions, selection: Selection<'_>, before: usize) {
        if self.listed.len() == 0 {
            let rows = if let Selection::Rows(_) = selection { None } else { Some(selection.len()) };
            if let (Some(first), Some(rows)) = (positions.as_range(), rows)
                && (before.is_multiple_of(PAGE) || self.get(before) == first)
            {
                let pages = self.ranges.len()..(before + rows).div_ceil(PAGE);
                self.ranges.extend(pages.map(|page| first + (page * PAGE - before) as u64));
                return;
            }
            // What follows does not follow on: the page that it lies in has to be listed.
            if !before.is_multiple_of(PAGE)
                && let Some(start) = self.ranges.pop()
            {
                (0..before % PAGE).for_each(|row| self.listed.push(start + row as u64));
            }
        }
        if let Some(places) = positions.as_places() {
            self.listed.append(places, selection);
        } else if let Some(first) = positions.as_range() {
            (0..selection.len()).for_each(|at| self.listed.push(first + u64::from(selection.row(at))));
        }
    }

    fn get(&self, row: usize) -> u64 {
        match row.checked_sub(self.listed_from()) {
            Some(listed) if self.listed.len() > 0 => {
                holds(self.listed.get(listed), "a row that is listed has a place")
            }
            _ => self.in_ranges(row),
        }
    }

    #[inline]
    fn in_ranges(&self, row: usize) -> u64 {
        self.ranges.get(row / PAGE).map_or(0, |start| start + (row % PAGE) as u64)
    }

    fn gather(&self, rows: &[u32]) -> Vec<u64> {
        if self.ranges.is_empty() {
            return self.listed.gather(rows);
        }
        if self.listed.len() == 0 {
            return rows.iter().map(|row| self.in_ranges(*row as usize)).collect();
        }
        rows.iter().map(|row| self.get(*row as usize)).collect()
    }
}

impl StoredOrigins {
    fn append(&mut self, origins: &OriginColumn, before: usize, selection: Selection<'_>) {
        if let Self::Constant(id) = *self {
            if before == 0
                && let OriginColumn::Constant(first) = origins
            {
                *self = Self::Constant(*first);
                return;
            }
            if *origins == OriginColumn::Constant(id) {
                return;
            }
            let mut each = Pages::default();
            (0..before).for_each(|_| each.push(id.0));
            *self = Self::Each(each);
        }
        if let Self::Each(ids) = self {
            (0..selection.len()).for_each(|at| ids.push(origins.get(selection.row(at) as usize).0));
        }
    }

    fn gather(&self, rows: &[u32]) -> OriginColumn {
        match self {
            Self::Constant(id) => OriginColumn::Constant(*id),
            Self::Each(ids) => OriginColumn::compact(ids.gather(rows).into_iter().map(OriginId).collect()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Each(ids) => ids.bytes(),
        }
    }
}

impl StoredLists {
    fn append(&mut self, provenance: &Provenance, selection: Selection<'_>, before: usize) {
        let Some(column) = provenance.columns().nth(self.column) else {
            unreachable!("chunks of one schema have the same columns with provenance")
        };
        let memo = &mut PositionMemo::default();
        let mut piece = match selection {
            Selection::All(_) | Selection::Page(_) => column.clone(),
            Selection::Rows(rows) => column.take(rows, memo),
        };
        let mut start = before;
        // As long as the piece before is not larger, and no page.
        while let Some((last, at)) = self.pieces.last().zip(self.starts.last())
            && at + last.rows() == start
            && last.rows() <= piece.rows()
            && last.rows() + piece.rows() <= PAGE
        {
            piece = ProvenanceColumn::concat(&[last, &piece], memo);
            start -= last.rows();
            self.pieces.pop();
            self.starts.pop();
        }
        self.starts.push(start);
        self.pieces.push(piece);
    }

    fn gather(&self, rows: &[u32]) -> ProvenanceColumn {
        let pieces: Vec<&ProvenanceColumn> = self.pieces.iter().collect();
        let place = |row: &u32| {
            let at = self.starts.partition_point(|start| *start <= *row as usize).saturating_sub(1);
            (at, *row as usize - self.starts.at(at, "piece of lists"))
        };
        let picks: Vec<(usize, usize)> = rows.iter().map(place).collect();
        ProvenanceColumn::interleave(&pieces, &picks, &mut PositionMemo::default())
    }

    /// Pieces that lie before the end of a page are empty from then on.
    fn release(&mut self, page: usize) {
        let end = (page + 1) * PAGE;
        for (piece, start) in self.pieces.iter_mut().zip(&self.starts) {
            if start + piece.rows() <= end {
                *piece = ProvenanceColumn::null_lists(0, piece.depth());
            }
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
        store.append(&chunk(&shared, &shared, 1), Selection::All(3));
        let kept = store.gather(&[2, 0]);
        assert!(flat(&kept.tags[0]).positions.same(&flat(&kept.sources[0]).positions));
        assert_eq!(store.bytes(), size_of::<u64>());
        store.append(&chunk(&Positions::range(0, 1), &Positions::keys(vec![1 << 70]), 2), Selection::All(1));
        let kept = store.gather(&[3, 0]);
        assert_eq!(places(&kept.tags[0]), [0, 5]);
        assert_eq!(places(&kept.sources[0]), [1 << 70, 5]);
        assert_eq!(flat(&kept.sources[0]).origins.get(0), OriginId(2));
        assert_eq!(flat(&kept.sources[0]).origins.get(1), OriginId(1));
        assert_eq!(flat(&kept.tags[0]).origins, OriginColumn::Constant(OriginId(0)));
    }

    #[test]
    fn selected_rows_of_ranges_and_places_are_kept() {
        let mut store = ProvenanceStore::new(1);
        let chunk = |positions: Positions| Provenance { tags: vec![column(0, positions)], sources: vec![] };
        store.append(&chunk(Positions::range(100, 4)), Selection::Rows(&[3, 1]));
        store.append(&chunk(Positions::places(vec![7, 8])), Selection::All(2));
        store.append(&chunk(Positions::range(0, 9)), Selection::Rows(&[8]));
        assert_eq!(places(&store.gather(&[0, 1, 2, 3, 4]).tags[0]), [103, 101, 7, 8, 8]);
    }

    #[test]
    fn lists_are_found_again_in_pieces_of_any_size() {
        let mut store = ProvenanceStore::new(1);
        let mut row = 0;
        for rows in [1_usize, 1, 5_000, 3, 9_000, 1] {
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows));
            let lists = column(0, Positions::range(row * 2, rows * 2)).into_lists(offsets);
            store.append(&Provenance { tags: vec![lists], sources: vec![] }, Selection::All(rows));
            row += rows as u64;
        }
        let wanted = [0, 1, 2, 5_004, 14_005, 5_001];
        let kept = store.gather(&wanted);
        let ProvenanceColumn::Lists(lists) = &kept.tags[0] else { panic!("no lists") };
        for (at, row) in wanted.iter().enumerate() {
            let items = flat(&lists.items);
            let found: Vec<u128> = lists.range(at).map(|item| items.positions.get(item)).collect();
            assert_eq!(found, [u128::from(row * 2), u128::from(row * 2 + 1)]);
        }
    }
}
