//! The four state machines of a packet's path, without futures, I/O or a clock.
//!
//! ```text
//! chunk -> LookupMachine --miss--> CallScheduler --answer--> CommitQueue --outcome--> ReorderBuffer -> rows
//!               '------------------------- hit ------------------------------------------^
//! ```
//!
//! | machine | events | commands |
//! |---|---|---|
//! | [`LookupMachine`](lookup::LookupMachine) | a hashed chunk, the store's answer, the end of a packet | look packets up, compute packets, leave out rows of failed packets |
//! | [`CallScheduler`](call_scheduler::CallScheduler) | packets, claims, answers, timeouts, the time | claim packets, begin a call, look up packets that others claimed |
//! | [`CommitQueue`](commit_queue::CommitQueue) | outcomes, the end of a commit, the time | commit a batch |
//! | [`ReorderBuffer`](reorder_buffer::ReorderBuffer) | a chunk, outcomes of its rows | none: rows leave when they are taken |
//!
//! A command is the return value of a method; its answer is the argument of another. Time is a parameter; where a
//! machine waits for a moment, `next_wake` returns it.

pub(super) mod assemble;
pub(super) mod call_limiter;
pub(super) mod call_scheduler;
pub(super) mod commit_queue;
pub(super) mod flights;
pub(super) mod lookup;
pub(super) mod pending;
pub(super) mod portion;
pub(super) mod reorder_buffer;
#[cfg(test)]
mod tests;
