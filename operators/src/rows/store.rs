//! The values of kept rows, by row number.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::Provenance;
use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat, interleave};
use arrow::error::ArrowError;

use super::bytes::{array_bytes, compact};
use super::paged::PAGE;
use super::provenance::ProvenanceStore;

/// Rows of one schema in pages, so that any of them can be gathered at once.
///
/// Pages of 8,192 rows are never touched again. Behind them lie fewer rows than a page in pieces
/// of shrinking size, so that chunks of a single row cost a few copies each and no piece is tiny.
/// A chunk of just one page's rows is kept without a copy. Memory: that of the rows.
#[derive(Debug)]
pub(crate) struct RowStore {
    pages: Vec<Vec<ArrayRef>>,
    open: Vec<Piece>,
    open_rows: usize,
    provenance: ProvenanceStore,
    bytes: usize,
}

#[derive(Debug)]
struct Piece {
    rows: usize,
    columns: Vec<ArrayRef>,
}

/// Where a row's values lie: the piece and the row within it.
pub(crate) type Place = (usize, usize);

impl RowStore {
    /// A store for chunks with so many system tags.
    pub(crate) fn new(system_tags: usize) -> Self {
        Self {
            pages: Vec::new(),
            open: Vec::new(),
            open_rows: 0,
            provenance: ProvenanceStore::new(system_tags),
            bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.provenance.bytes()
    }

    /// Keeps the rows of a chunk, numbered on from those there are.
    pub(crate) fn append(&mut self, chunk: &Chunk) -> Result<(), ArrowError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let columns: Vec<ArrayRef> =
            chunk.tags().iter().chain(chunk.packets()).map(compact).collect::<Result<_, _>>()?;
        self.bytes += columns.iter().map(|c| array_bytes(c.as_ref())).sum::<usize>();
        self.provenance.append(chunk.provenance(), chunk.rows());
        self.open_rows += chunk.rows();
        self.open.push(Piece { rows: chunk.rows(), columns });
        if self.open_rows >= PAGE { self.close_pages() } else { self.merge_small() }
    }

    /// Cuts whole pages off the open rows.
    fn close_pages(&mut self) -> Result<(), ArrowError> {
        let whole = merged(std::mem::take(&mut self.open))?;
        let mut start = 0;
        while whole.rows - start >= PAGE {
            self.pages.push(whole.columns.iter().map(|c| c.slice(start, PAGE)).collect());
            start += PAGE;
        }
        self.open_rows = whole.rows - start;
        if self.open_rows > 0 {
            let columns = whole.columns.iter().map(|c| c.slice(start, self.open_rows)).collect();
            self.open.push(Piece { rows: self.open_rows, columns });
        }
        Ok(())
    }

    /// Merges pieces from the end on until each is larger than the next.
    fn merge_small(&mut self) -> Result<(), ArrowError> {
        let mut from = self.open.len().saturating_sub(1);
        let mut rows = self.open.last().map_or(0, |piece| piece.rows);
        while let Some(before) = from.checked_sub(1).and_then(|at| self.open.get(at)) {
            if before.rows > rows {
                break;
            }
            rows += before.rows;
            from -= 1;
        }
        let piece = merged(self.open.split_off(from))?;
        self.open.push(piece);
        Ok(())
    }

    /// Where rows lie; good until the next append.
    pub(crate) fn places(&self, rows: &[u32]) -> Vec<Place> {
        let closed = self.pages.len() * PAGE;
        rows.iter()
            .map(|row| {
                let row = *row as usize;
                if row < closed { (row / PAGE, row % PAGE) } else { self.open_place(row - closed) }
            })
            .collect()
    }

    fn open_place(&self, mut row: usize) -> Place {
        let mut at = 0;
        for piece in &self.open {
            if row < piece.rows {
                break;
            }
            row -= piece.rows;
            at += 1;
        }
        (self.pages.len() + at, row)
    }

    /// The values of a column (tags first, then packets) at places.
    pub(crate) fn column(&self, at: usize, places: &[Place]) -> Result<ArrayRef, ArrowError> {
        let open = self.open.iter().map(|piece| &piece.columns);
        let pieces: Vec<&dyn Array> =
            self.pages.iter().chain(open).filter_map(|columns| columns.get(at)).map(AsRef::as_ref).collect();
        interleave(&pieces, places)
    }

    /// The provenance of rows.
    pub(crate) fn provenance(&self, rows: &[u32]) -> Provenance {
        self.provenance.gather(rows)
    }
}

fn merged(mut pieces: Vec<Piece>) -> Result<Piece, ArrowError> {
    if pieces.len() == 1
        && let Some(only) = pieces.pop()
    {
        return Ok(only);
    }
    let width = pieces.first().map_or(0, |piece| piece.columns.len());
    let column = |at: usize| {
        let parts: Vec<&dyn Array> =
            pieces.iter().filter_map(|piece| piece.columns.get(at)).map(AsRef::as_ref).collect();
        concat(&parts)
    };
    let columns = (0..width).map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(Piece { rows: pieces.iter().map(|piece| piece.rows).sum(), columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use anabranch_engine::provenance::{OriginId, Positions, ProvenanceColumn};
    use anabranch_engine::schema::{StreamSchema, SystemTag};
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn numbers(start: usize, rows: usize) -> Chunk {
        let field = Arc::new(Field::new("n", DataType::Int64, false));
        let schema = StreamSchema::new(vec![field], vec![], vec![SystemTag::from_stem("s")]).unwrap();
        let values = Int64Array::from_iter_values((start..start + rows).map(|n| i64::try_from(n).unwrap()));
        let column = ProvenanceColumn::constant(OriginId(0), Positions::range(start as u64, rows));
        let provenance = Provenance { tags: vec![column], sources: vec![] };
        Chunk::new(Arc::new(schema), rows, vec![Arc::new(values)], vec![], provenance).unwrap()
    }

    #[test]
    fn rows_are_found_again_whatever_the_sizes_of_their_chunks() {
        let sizes: [&[usize]; 5] = [&[1], &[PAGE], &[5_000], &[3, 0, 700, 1, 20_000], &[PAGE, 1]];
        for sizes in sizes {
            let mut store = RowStore::new(1);
            let mut rows = 0;
            for size in sizes.iter().cycle() {
                store.append(&numbers(rows, *size)).unwrap();
                rows += size;
                assert!(store.open.len() <= 14, "{} pieces lie open", store.open.len());
                if rows > 3 * PAGE {
                    break;
                }
            }
            let wanted: Vec<u32> = (0..rows).rev().map(|row| u32::try_from(row).unwrap()).collect();
            let column = store.column(0, &store.places(&wanted)).unwrap();
            let provenance = store.provenance(&wanted);
            for (at, row) in wanted.iter().enumerate() {
                assert_eq!(column.as_primitive::<Int64Type>().value(at), i64::from(*row));
                assert_eq!(provenance.tags[0].flat().unwrap().positions.get(at), u128::from(*row));
            }
            assert_eq!(store.bytes(), rows * 16);
        }
    }
}
