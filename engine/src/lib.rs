//! The vocabulary and the machinery of anabranch, without a graph: what a chunk is, what makes
//! packets and pipelines equal, what an operator promises, and what drives it.

pub mod bytes;
pub mod channel;
pub mod chunk;
pub mod clock;
pub mod compact;
pub mod driver;
pub mod identity;
pub mod index;
pub mod ipc_lengths;
pub mod list_alignment;
pub mod memory;
pub mod names;
pub mod open_table;
pub mod operator;
pub mod prefetch;
pub mod provenance;
pub mod schema;
pub mod spill;
pub mod stage;
pub mod store;
pub mod subtask;
pub mod task_thread;
pub mod types;
