//! The table of packets in flight itself, which is no part of the interface of nodes.

#[expect(dead_code, reason = "rows that join are not measured")]
#[path = "../../../../nodes/src/function/machine/flights.rs"]
pub(crate) mod flights;

pub(crate) mod reorder_buffer {
    /// A row.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct RowId {
        pub(crate) chunk: u64,
        pub(crate) row: u32,
    }
}
