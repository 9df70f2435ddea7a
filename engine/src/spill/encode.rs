//! Chunks as bytes, for a file that only this process reads.
//!
//! Each array is its buffers, and comes back in buffers of its own. (Arrow IPC would bring all
//! columns back in one buffer, which each of them would count as its memory.) What is in memory
//! anyway is not written: schemas are numbers of a table, and types follow from the schema.
//! Positions that columns of a chunk share are written once and shared when they come back.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray as _, MutableArrayData, make_array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use crate::chunk::Chunk;
use crate::index::fitting;
use crate::provenance::{
    FlatColumn, ListColumn, OriginColumn, OriginId, Positions, Provenance, ProvenanceColumn,
};
use crate::schema::StreamSchema;

/// Marks of the next item: see [`PartEncoder::flat`] and [`PartEncoder::provenance`].
mod mark {
    pub(super) const ABSENT: u64 = 0;
    pub(super) const PRESENT: u64 = 1;

    pub(super) const FLAT: u64 = 0;
    pub(super) const LISTS: u64 = 1;

    pub(super) const CONSTANT: u64 = 0;
    pub(super) const EACH: u64 = 1;

    pub(super) const RANGE: u64 = 0;
    pub(super) const PLACES: u64 = 1;
    pub(super) const KEYS: u64 = 2;
    /// This and what is above: a number of positions that stand before.
    pub(super) const SHARED: u64 = 3;
}

/// Chunks one after the other; their schemas are added to the table.
///
/// Errors: an array that Arrow cannot copy.
pub(super) fn encode(chunks: &[Chunk], schemas: &mut Vec<Arc<StreamSchema>>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(chunks.iter().map(Chunk::bytes).sum());
    for chunk in chunks {
        let mut encoder = PartEncoder { bytes, positions: Vec::new() };
        encoder.number(schema_number(chunk.schema(), schemas));
        encoder.number(chunk.rows());
        for column in chunk.tags().iter().chain(chunk.packets()) {
            encoder.array(column)?;
        }
        for column in chunk.provenance().columns() {
            encoder.provenance(column);
        }
        bytes = encoder.bytes;
    }
    Ok(bytes)
}

fn schema_number(schema: &Arc<StreamSchema>, schemas: &mut Vec<Arc<StreamSchema>>) -> usize {
    let known = schemas.iter().position(|known| Arc::ptr_eq(known, schema) || known == schema);
    known.unwrap_or_else(|| {
        schemas.push(Arc::clone(schema));
        schemas.len() - 1
    })
}

struct PartEncoder {
    bytes: Vec<u8>,
    /// Of the chunk under way, in the order in which they were written.
    positions: Vec<Positions>,
}

impl PartEncoder {
    fn mark(&mut self, mark: u64) {
        self.bytes.extend_from_slice(&mark.to_le_bytes());
    }

    fn number(&mut self, number: usize) {
        self.mark(number as u64);
    }

    fn block(&mut self, block: &[u8]) {
        self.number(block.len());
        self.bytes.extend_from_slice(block);
    }

    fn nulls(&mut self, nulls: Option<&NullBuffer>) {
        match nulls {
            None => self.mark(mark::ABSENT),
            Some(nulls) => {
                self.mark(mark::PRESENT);
                self.block(nulls.inner().sliced().as_slice());
            }
        }
    }

    fn array(&mut self, array: &ArrayRef) -> Result<()> {
        // Only the rows of the array, from the first bit of each buffer on.
        let data = array.to_data();
        let mut rows = MutableArrayData::new(vec![&data], false, data.len());
        rows.try_extend(0, 0, data.len()).map_err(Error::other)?;
        self.data(&rows.freeze());
        Ok(())
    }

    fn data(&mut self, data: &ArrayData) {
        // A view keeps all bytes of what it was cut from.
        let compact = match data.data_type() {
            DataType::Utf8View => Some(make_array(data.clone()).as_string_view().gc().into_data()),
            DataType::BinaryView => Some(make_array(data.clone()).as_binary_view().gc().into_data()),
            _ => None,
        };
        let data = compact.as_ref().unwrap_or(data);
        self.number(data.len());
        self.nulls(data.nulls());
        self.number(data.buffers().len());
        for buffer in data.buffers() {
            self.block(buffer.as_slice());
        }
        for child in data.child_data() {
            self.data(child);
        }
    }

    fn provenance(&mut self, column: &ProvenanceColumn) {
        match column {
            ProvenanceColumn::Flat(flat) => {
                self.mark(mark::FLAT);
                self.flat(flat);
            }
            ProvenanceColumn::Lists(lists) => {
                self.mark(mark::LISTS);
                let (offsets, items) = lists.parts();
                self.block(offsets.inner().inner().as_slice());
                self.nulls(lists.nulls.as_ref());
                self.provenance(&items);
            }
        }
    }

    fn flat(&mut self, column: &FlatColumn) {
        self.positions(&column.positions);
        match &column.origins {
            OriginColumn::Constant(id) => {
                self.mark(mark::CONSTANT);
                self.mark(id.0.into());
            }
            OriginColumn::Each(ids) => {
                self.mark(mark::EACH);
                self.number(size_of_val::<[OriginId]>(ids));
                self.bytes.extend(ids.iter().flat_map(|id| id.0.to_le_bytes()));
            }
        }
    }

    fn positions(&mut self, positions: &Positions) {
        if let Some(known) = self.positions.iter().position(|known| known.same(positions)) {
            return self.mark(mark::SHARED + known as u64);
        }
        self.positions.push(positions.clone());
        let rows = 0..positions.len();
        if positions.bytes() == 0 {
            self.mark(mark::RANGE);
            self.mark(if positions.is_empty() { 0 } else { narrow(positions.get(0)) });
            self.number(positions.len());
        } else if positions.is_wide() {
            self.mark(mark::KEYS);
            self.number(positions.bytes());
            self.bytes.extend(rows.flat_map(|row| positions.get(row).to_le_bytes()));
        } else {
            self.mark(mark::PLACES);
            self.number(positions.bytes());
            self.bytes.extend(rows.flat_map(|row| narrow(positions.get(row)).to_le_bytes()));
        }
    }
}

/// Narrows a position of a column that is not wide.
fn narrow(position: u128) -> u64 {
    fitting(position, "place of a record")
}

/// The chunks that [`encode`] made bytes of, with the same table of schemas.
///
/// Errors: bytes that it did not make.
pub(super) fn decode(bytes: &[u8], schemas: &[Arc<StreamSchema>]) -> Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut decoder = Decoder { bytes: rest, positions: Vec::new() };
        let schema = schemas.get(decoder.number()?).ok_or_else(torn)?;
        let rows = decoder.number()?;
        let tags = decoder.arrays(schema.tags())?;
        let packets = decoder.arrays(schema.packets())?;
        let provenance = Provenance {
            tags: decoder.provenances(schema.system_tags().len())?,
            sources: decoder.provenances(schema.packets().len())?,
        };
        rest = decoder.bytes;
        let chunk = Chunk::new(Arc::clone(schema), rows, tags, packets, provenance);
        chunks.push(chunk.map_err(|cause| Error::new(ErrorKind::InvalidData, cause))?);
    }
    Ok(chunks)
}

fn torn() -> Error {
    Error::new(ErrorKind::InvalidData, "operators' state read back from disk is torn")
}

struct Decoder<'a> {
    bytes: &'a [u8],
    positions: Vec<Positions>,
}

impl Decoder<'_> {
    fn mark(&mut self) -> Result<u64> {
        let (mark, rest) = self.bytes.split_first_chunk::<8>().ok_or_else(torn)?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*mark))
    }

    fn number(&mut self) -> Result<usize> {
        usize::try_from(self.mark()?).map_err(|_| torn())
    }

    /// Bytes in a buffer of their own, which is aligned for any value.
    fn block(&mut self) -> Result<Buffer> {
        Ok(Buffer::from_slice_ref(self.slice()?))
    }

    fn slice(&mut self) -> Result<&[u8]> {
        let length = self.number()?;
        let (block, rest) = self.bytes.split_at_checked(length).ok_or_else(torn)?;
        self.bytes = rest;
        Ok(block)
    }

    fn nulls(&mut self) -> Result<Option<Buffer>> {
        match self.mark()? {
            mark::ABSENT => Ok(None),
            _ => self.block().map(Some),
        }
    }

    fn arrays(&mut self, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
        fields.iter().map(|field| Ok(make_array(self.data(field.data_type())?))).collect()
    }

    fn data(&mut self, data_type: &DataType) -> Result<ArrayData> {
        let length = self.number()?;
        let nulls = self.nulls()?;
        let buffers = self.number()?;
        // Each has at least its length, so a torn number cannot make a loop longer than the bytes.
        let buffers = (0..buffers).map(|_| self.block()).collect::<Result<Vec<_>>>()?;
        let children = match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => vec![self.data(item.data_type())?],
            DataType::Struct(fields) => {
                fields.iter().map(|field| self.data(field.data_type())).collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let data = ArrayData::builder(data_type.clone()).len(length).null_bit_buffer(nulls);
        let data = data.buffers(buffers).child_data(children).build();
        data.map_err(|cause| Error::new(ErrorKind::InvalidData, cause))
    }

    fn provenances(&mut self, count: usize) -> Result<Vec<ProvenanceColumn>> {
        (0..count).map(|_| self.provenance()).collect()
    }

    fn provenance(&mut self) -> Result<ProvenanceColumn> {
        if self.mark()? == mark::FLAT {
            return self.flat();
        }
        let offsets = numbers(self.slice()?, i32::from_le_bytes);
        if offsets.first() != Some(&0) || offsets.windows(2).any(|pair| matches!(pair, [a, b] if a > b)) {
            return Err(torn());
        }
        let rows = offsets.len() - 1;
        let nulls = self.nulls()?.map(|bits| {
            (bits.len() * 8 >= rows)
                .then(|| NullBuffer::new(arrow::buffer::BooleanBuffer::new(bits, 0, rows)))
        });
        let nulls = nulls.map(|nulls| nulls.ok_or_else(torn)).transpose()?;
        let items = Arc::new(self.provenance()?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(ProvenanceColumn::Lists(ListColumn { offsets, nulls, items }))
    }

    fn flat(&mut self) -> Result<ProvenanceColumn> {
        let positions = self.positions()?;
        let origins = if self.mark()? == mark::CONSTANT {
            OriginColumn::Constant(OriginId(u32::try_from(self.mark()?).map_err(|_| torn())?))
        } else {
            let ids = numbers(self.slice()?, |id| OriginId(u32::from_le_bytes(id)));
            OriginColumn::Each(ids.into())
        };
        Ok(ProvenanceColumn::of(origins, positions))
    }

    fn positions(&mut self) -> Result<Positions> {
        let positions = match self.mark()? {
            mark::RANGE => Positions::range(self.mark()?, self.number()?),
            mark::PLACES => Positions::places(numbers(self.slice()?, u64::from_le_bytes)),
            mark::KEYS => Positions::keys(numbers(self.slice()?, u128::from_le_bytes)),
            shared => {
                let known = usize::try_from(shared - mark::SHARED).map_err(|_| torn())?;
                return self.positions.get(known).cloned().ok_or_else(torn);
            }
        };
        self.positions.push(positions.clone());
        Ok(positions)
    }
}

/// The numbers that stand behind one another.
fn numbers<T, const BYTES: usize>(bytes: &[u8], number: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
    bytes.as_chunks::<BYTES>().0.iter().map(|chunk| number(*chunk)).collect()
}
