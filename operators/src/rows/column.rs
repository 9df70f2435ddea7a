//! The values of one column of kept rows.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, ByteView, GenericByteViewArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType, BinaryViewType, ByteViewType, DataType, StringViewType, i256};
use arrow::error::ArrowError;

use super::pages::{PAGE, PageReader, Pages, Selection};
use super::pieces::Pieces;
use anabranch_engine::index::{At as _, fitting};

/// One column, by row number; what it gives has the type that came in.
///
/// Numbers and views lie in pages of plain values, whose gathering is what a join spends most of
/// its time on. Nested values lie in the arrays they came in.
#[derive(Debug)]
pub(crate) struct KeptColumn {
    data_type: DataType,
    values: Values,
    nulls: Nulls,
}

#[derive(Debug)]
enum Values {
    Bits(Pages<u8>),
    Bytes1(Pages<u8>),
    Bytes2(Pages<u16>),
    Bytes4(Pages<u32>),
    Bytes8(Pages<u64>),
    Bytes16(Pages<i128>),
    Bytes32(Pages<i256>),
    Views(Views),
    Nested(Pieces),
}

/// The nulls among rows; nothing is kept until there is one.
#[derive(Debug, Default)]
struct Nulls {
    /// The number of the row that comes next.
    rows: usize,
    valid: Option<Pages<u8>>,
}

/// Strings or bytes: views over blocks of our own.
#[derive(Debug, Default)]
struct Views {
    raw: Pages<u128>,
    blocks: Vec<Buffer>,
    open: Vec<u8>,
    /// All blocks as readers see them, until the open one grows.
    snapshot: OnceCell<Arc<[Buffer]>>,
    block_bytes: usize,
}

/// The bytes of a block: long values are copied to blocks that grow with the column.
const LEAST_BLOCK: usize = 64 << 10;
const MOST_BLOCK: usize = 512 << 10;

/// Bytes a row that a page of its own takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageCost {
    /// Kept by reference, so that all who keep the page have them together.
    pub(crate) shared: usize,
    /// Copied by each of them.
    pub(crate) copied: usize,
}

macro_rules! each_width {
    ($values:expr, $pages:ident => $number:expr, else $other:expr) => {
        match $values {
            Values::Bytes1($pages) => $number,
            Values::Bytes2($pages) => $number,
            Values::Bytes4($pages) => $number,
            Values::Bytes8($pages) => $number,
            Values::Bytes16($pages) => $number,
            Values::Bytes32($pages) => $number,
            _ => $other,
        }
    };
}

impl KeptColumn {
    pub(crate) fn new(data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Boolean => Values::Bits(Pages::default()),
            DataType::Utf8View | DataType::BinaryView => Values::Views(Views::default()),
            other => match other.primitive_width() {
                Some(1) => Values::Bytes1(Pages::default()),
                Some(2) => Values::Bytes2(Pages::default()),
                Some(4) => Values::Bytes4(Pages::default()),
                Some(8) => Values::Bytes8(Pages::default()),
                Some(16) => Values::Bytes16(Pages::default()),
                Some(32) => Values::Bytes32(Pages::default()),
                _ => Values::Nested(Pieces::default()),
            },
        };
        Self { data_type: data_type.clone(), values, nulls: Nulls::default() }
    }

    /// Appends the selected rows of an array of the column's type.
    pub(crate) fn append(&mut self, array: &ArrayRef, selection: Selection<'_>) -> Result<(), ArrowError> {
        match &mut self.values {
            Values::Nested(pieces) => {
                let rows = match selection {
                    Selection::All(_) | Selection::Page(_) => Arc::clone(array),
                    Selection::Rows(rows) => {
                        take(array, &arrow::array::UInt32Array::from(rows.to_vec()), None)?
                    }
                };
                return pieces.append(&rows);
            }
            Values::Bits(pages) => {
                let bits = array.as_boolean().values();
                for at in 0..selection.len() {
                    pages.push(u8::from(bits.value(selection.row(at) as usize)));
                }
            }
            Values::Views(views) if self.data_type == DataType::Utf8View => {
                views.append::<StringViewType>(array.as_byte_view(), selection);
            }
            Values::Views(views) => views.append::<BinaryViewType>(array.as_byte_view(), selection),
            numbers => {
                each_width!(numbers, pages => append_numbers(pages, array, selection), else ());
            }
        }
        self.nulls.append(array.nulls(), selection);
        Ok(())
    }

    /// Returns the bytes that a row of the array would take as part of a page of its own; nothing if the array's
    /// values do not lie flat.
    pub(crate) fn page_cost(&self, array: &ArrayRef) -> Option<PageCost> {
        let nulls = usize::from(array.null_count() > 0);
        let (shared, copied) = match &self.values {
            Values::Nested(_) => return None,
            Values::Bits(_) => (0, 1),
            Values::Views(_) if self.data_type == DataType::Utf8View => {
                inline_views::<StringViewType>(array)?
            }
            Values::Views(_) => inline_views::<BinaryViewType>(array)?,
            _ => (self.data_type.primitive_width()?, 0),
        };
        Some(PageCost { shared, copied: copied + nulls })
    }

    /// Lets the next row begin a page.
    pub(crate) fn close_page(&mut self) {
        match &mut self.values {
            Values::Bits(pages) => pages.close(),
            Values::Views(views) => views.raw.close(),
            Values::Nested(_) => {}
            numbers => each_width!(numbers, pages => pages.close(), else ()),
        }
        self.nulls.close_page();
    }

    /// The values at these rows, in this order.
    pub(crate) fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.gather(rows);
        match &self.values {
            Values::Nested(pieces) => pieces.gather(rows),
            Values::Bits(pages) => {
                let reader = pages.reader();
                let bit = |at: usize| rows.get(at).is_some_and(|row| reader.get(*row) != 0);
                let bits = BooleanBuffer::collect_bool(rows.len(), bit);
                Ok(Arc::new(BooleanArray::new(bits, nulls)))
            }
            Values::Views(views) if self.data_type == DataType::Utf8View => {
                Ok(Arc::new(views.gather::<StringViewType>(rows, nulls)))
            }
            Values::Views(views) => Ok(Arc::new(views.gather::<BinaryViewType>(rows, nulls))),
            numbers => {
                let buffer = each_width!(numbers, pages => Buffer::from_vec(pages.gather(rows)), else Buffer::from_vec(Vec::<u8>::new()));
                let data = ArrayData::builder(self.data_type.clone()).len(rows.len()).add_buffer(buffer);
                Ok(make_array(data.nulls(nulls).build()?))
            }
        }
    }

    /// Clears the marks of pairs of rows whose values differ, here and in another array of the type.
    ///
    /// Both are keys in key form without nulls, so equal values have equal bits. `false` if the type
    /// is none that is compared here.
    pub(crate) fn mark_equal(
        &self,
        kept: &[u32],
        others: &[u32],
        other: &ArrayRef,
        marks: &mut [bool],
    ) -> bool {
        match &self.values {
            Values::Views(views) if self.data_type == DataType::Utf8View => {
                views.mark_equal::<StringViewType>(kept, others, other.as_byte_view(), marks);
            }
            Values::Views(views) => {
                views.mark_equal::<BinaryViewType>(kept, others, other.as_byte_view(), marks);
            }
            numbers => {
                each_width!(numbers, pages => {
                    let (reader, values) = (pages.reader(), buffer_of(pages, other));
                    mark_pairs(kept, others, marks, |row, at| {
                        values.get(at as usize).is_some_and(|value| *value == reader.get(row))
                    });
                }, else return false);
            }
        }
        true
    }

    pub(crate) fn bytes(&self) -> usize {
        let nulls = self.nulls.valid.as_ref().map_or(0, Pages::bytes);
        nulls
            + match &self.values {
                Values::Bits(pages) => pages.bytes(),
                Values::Views(views) => views.bytes(),
                Values::Nested(pieces) => pieces.bytes,
                numbers => each_width!(numbers, pages => pages.bytes(), else 0),
            }
    }

    /// Releases a page that is not read any more.
    pub(crate) fn release(&mut self, page: usize) {
        match &mut self.values {
            Values::Bits(pages) => pages.release(page),
            Values::Views(views) => views.raw.release(page),
            Values::Nested(pieces) => pieces.release(page),
            numbers => each_width!(numbers, pages => pages.release(page), else ()),
        }
    }
}

/// Returns the bytes that a view takes, shared and copied; nothing if some values lie outside of their views.
fn inline_views<T: ByteViewType>(array: &ArrayRef) -> Option<(usize, usize)> {
    array.as_byte_view::<T>().data_buffers().is_empty().then_some((size_of::<u128>(), 0))
}

fn append_numbers<T: ArrowNativeType>(pages: &mut Pages<T>, array: &ArrayRef, selection: Selection<'_>) {
    pages.append(&buffer_of(pages, array), selection);
}

/// The plain values of an array whose values have the width of `_pages`.
fn buffer_of<T: ArrowNativeType>(_pages: &Pages<T>, array: &ArrayRef) -> ScalarBuffer<T> {
    let data = array.to_data();
    match data.buffers().first() {
        Some(buffer) => ScalarBuffer::new(buffer.clone(), data.offset(), data.len()),
        None => Vec::new().into(),
    }
}

/// Clears the marks of pairs that a condition does not hold for.
fn mark_pairs(one: &[u32], other: &[u32], marks: &mut [bool], holds: impl Fn(u32, u32) -> bool) {
    for ((mark, a), b) in marks.iter_mut().zip(one).zip(other) {
        *mark &= holds(*a, *b);
    }
}

impl Nulls {
    fn append(&mut self, nulls: Option<&NullBuffer>, selection: Selection<'_>) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if nulls.is_some() && self.valid.is_none() {
            let mut valid = Pages::default();
            (0..self.rows).for_each(|_| valid.push(1));
            self.valid = Some(valid);
        }
        if let Some(valid) = &mut self.valid {
            for at in 0..selection.len() {
                let row = selection.row(at) as usize;
                valid.push(u8::from(nulls.is_none_or(|nulls| nulls.is_valid(row))));
            }
        }
        self.rows += selection.len();
    }

    fn close_page(&mut self) {
        self.rows = self.rows.next_multiple_of(PAGE);
        if let Some(valid) = &mut self.valid {
            valid.close();
        }
    }

    fn gather(&self, rows: &[u32]) -> Option<NullBuffer> {
        let reader = self.valid.as_ref()?.reader();
        let valid = |at: usize| rows.get(at).is_some_and(|row| reader.get(*row) != 0);
        Some(NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), valid))).filter(|n| n.null_count() > 0)
    }
}

impl Views {
    fn append<T: ByteViewType>(&mut self, array: &GenericByteViewArray<T>, selection: Selection<'_>) {
        let buffers = array.data_buffers();
        if buffers.is_empty() {
            self.raw.append(array.views(), selection);
            return;
        }
        for at in 0..selection.len() {
            let view = self.own(*array.views().at(selection.row(at) as usize, "selected value"), buffers);
            self.raw.push(view);
        }
    }

    /// The view with its bytes in a block of ours.
    fn own(&mut self, raw: u128, buffers: &[Buffer]) -> u128 {
        let view = ByteView::from(raw);
        if view.length <= arrow::array::MAX_INLINE_VIEW_LEN {
            return raw;
        }
        let Some(bytes) = long_bytes(view, buffers) else {
            unreachable!("a view must lie within the buffers of its array")
        };
        if self.open.len() + bytes.len() > self.open.capacity() {
            self.close_block(bytes.len());
        }
        self.snapshot.take();
        let offset = fitting(self.open.len(), "offset in a block of strings");
        self.open.extend_from_slice(bytes);
        let buffer_index = fitting(self.blocks.len(), "block of strings");
        ByteView { buffer_index, offset, ..view }.as_u128()
    }

    fn close_block(&mut self, needed: usize) {
        let next = (self.block_bytes / 16).clamp(LEAST_BLOCK, MOST_BLOCK).max(needed);
        self.snapshot.take();
        let full = std::mem::replace(&mut self.open, Vec::with_capacity(next));
        if !full.is_empty() {
            self.block_bytes += full.len();
            self.blocks.push(Buffer::from_vec(full));
        }
    }

    fn all_blocks(&self) -> Arc<[Buffer]> {
        let open = (!self.open.is_empty()).then(|| Buffer::from(self.open.as_slice()));
        self.blocks.iter().cloned().chain(open).collect()
    }

    #[expect(unsafe_code, reason = "measured: checking every view again makes a join 7 to 18 % slower")]
    fn gather<T: ByteViewType>(&self, rows: &[u32], nulls: Option<NullBuffer>) -> GenericByteViewArray<T> {
        let views: ScalarBuffer<u128> = self.raw.gather(rows).into();
        let blocks = Arc::clone(self.snapshot.get_or_init(|| self.all_blocks()));
        // SAFETY: every view was taken from a valid array of type `T` by `append`, which `KeptColumn`
        // calls with one `T` only. It is inline, or `own` has pointed it at its bytes in a block,
        // which stands at its index here; zero, which a missing row gives, is the empty value.
        unsafe { GenericByteViewArray::new_unchecked(views, blocks, nulls) }
    }

    fn mark_equal<T: ByteViewType>(
        &self,
        kept: &[u32],
        others: &[u32],
        other: &GenericByteViewArray<T>,
        marks: &mut [bool],
    ) {
        let reader: PageReader<'_, u128> = self.raw.reader();
        let theirs = other.views();
        mark_pairs(kept, others, marks, |row, at| {
            let (mine, Some(theirs)) = (reader.get(row), theirs.get(at as usize)) else { return false };
            self.same(mine, *theirs, other.data_buffers())
        });
    }

    fn same(&self, mine: u128, theirs: u128, buffers: &[Buffer]) -> bool {
        let (one, other) = (ByteView::from(mine), ByteView::from(theirs));
        if one.length <= arrow::array::MAX_INLINE_VIEW_LEN {
            return mine == theirs;
        }
        one.length == other.length
            && one.prefix == other.prefix
            && self.bytes_of(one) == long_bytes(other, buffers)
    }

    fn bytes_of(&self, view: ByteView) -> Option<&[u8]> {
        match self.blocks.get(view.buffer_index as usize) {
            Some(_) => long_bytes(view, &self.blocks),
            None => self.open.get(view.offset as usize..)?.get(..view.length as usize),
        }
    }

    fn bytes(&self) -> usize {
        self.raw.bytes() + self.block_bytes + self.open.capacity()
    }
}

fn long_bytes(view: ByteView, buffers: &[Buffer]) -> Option<&[u8]> {
    buffers.get(view.buffer_index as usize)?.get(view.offset as usize..)?.get(..view.length as usize)
}
