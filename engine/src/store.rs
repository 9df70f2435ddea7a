//! The traits of a store, which `anabranch-storage` implements on disk.
//!
//! A *result* is one outcome of a function for one packet, an immutable version. A *recording* is
//! the ordered rows of a node in one run; a function node's rows refer to results.

mod error;
mod ids;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use futures::future::BoxFuture;

use crate::chunk::Chunk;
use crate::identity::{ContentHash, Fingerprint, PacketHash, PipelineHash, Revisions};
use crate::provenance::{Origins, ProvenanceColumn};
use crate::schema::StreamSchema;

pub use error::{
    Cause, ClaimError, CollectError, CommitError, CopyError, DropError, LookUpError, MaintainError,
    OpenError, ReadError, RecordError, RunError, SetAsideError, StoreError, StoreErrorKind, StoreFault,
    StoreProblem, WithdrawError,
};
pub use ids::{ClientId, ResultId, Snapshot, VersionSpan};

/// A function as the store knows it.
#[derive(Debug, Clone)]
pub struct StoredFunction {
    /// Its name, for people.
    pub name: String,
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Its outputs, in canonical types.
    pub outputs: Vec<FieldRef>,
}

/// Outcomes of packets, in the packets' order.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// The version of each.
    pub references: Vec<ResultId>,
    /// True if the packet gave a packet; false if it was dropped.
    pub emitted: Vec<bool>,
    /// One column per output, one row per outcome; null where dropped.
    pub values: Vec<ArrayRef>,
}

/// Bytes of outcomes that one look-up gives, unless that of one key alone has more.
pub const ANSWER_BYTES: usize = 16 << 20;

/// The outcomes that a look-up found: about all keys looked up, or, where the outcomes would take much memory, about the
/// first of them.
#[derive(Debug, Clone)]
pub struct Found {
    /// For each key that is answered, whether it has a current version. Fewer than were looked up if their
    /// outcomes have [`ANSWER_BYTES`]; one at least.
    pub hits: Vec<bool>,
    /// The outcomes of the hits, in the order of the keys.
    pub outcomes: Outcomes,
    /// The snapshot that the look-up read, or [`Snapshot::EMPTY`] where that is not known. It includes no version of
    /// what was missed.
    pub snapshot: Snapshot,
}

impl Found {
    /// The number of keys that are answered, of so many that were looked up.
    ///
    /// Errors: none are although some were looked up, or more than were: a caller that went on would never end.
    pub fn answered(&self, asked: usize) -> Result<usize, LookUpError> {
        let answered = self.hits.len();
        if answered <= asked && (answered > 0 || asked == 0) {
            return Ok(answered);
        }
        Err(LookUpError::Unanswered { answered, asked })
    }
}

/// A look-up that found no version of the keys that are committed now.
#[derive(Debug, Clone)]
pub struct Missed {
    /// [`Found::snapshot`] of the look-up, or of the earliest where there were several.
    pub snapshot: Snapshot,
    /// The client that looked. It commits no key that it has committed before, unless it has looked it up in between.
    pub by: ClientId,
}

/// The version that a commit makes current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMode {
    /// A key that has a current version keeps it, and that version is returned.
    First,
    /// The new version becomes current.
    Refresh,
}

/// Newly computed outcomes.
#[derive(Debug, Clone)]
pub struct NewResults {
    /// The packets' hashes; each once.
    pub keys: Vec<PacketHash>,
    /// As in [`Outcomes`].
    pub emitted: Vec<bool>,
    /// As in [`Outcomes`].
    pub values: Vec<ArrayRef>,
    /// The version that becomes current.
    pub mode: CommitMode,
    /// True if all keys were looked up before and none was found: if no other client has added to the
    /// function since, they need not be looked up again.
    pub missed: Option<Missed>,
}

/// Results by function and packet.
///
/// Cancellation: dropping a future abandons the answer, not what was begun: a commit either
/// happens whole or not at all.
pub trait ResultStore: Debug + Send + Sync {
    /// Looks up current versions of keys, or of the first of them; see [`Found::hits`].
    fn find(
        &self,
        function: Arc<StoredFunction>,
        keys: Vec<PacketHash>,
    ) -> BoxFuture<'_, Result<Found, LookUpError>>;

    /// Stores outcomes durably and returns, for each key, the version that is now current.
    fn commit(
        &self,
        function: Arc<StoredFunction>,
        results: NewResults,
    ) -> BoxFuture<'_, Result<Outcomes, CommitError>>;

    /// Withdraws versions, durably, and returns how many. From then on no look-up finds them, in whatever process:
    /// of a key the newest version that is not withdrawn is current. Recordings that refer to them keep them.
    ///
    /// A span takes all versions of the function between its ends.
    ///
    /// Cancellation: as for a commit.
    fn withdraw(
        &self,
        function: Arc<StoredFunction>,
        spans: Vec<VersionSpan>,
    ) -> BoxFuture<'_, Result<u64, WithdrawError>>;

    /// The snapshot of what is committed now: it includes no version that is committed later. A node that refreshes
    /// finds by it what this run has computed already.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, LookUpError>>;

    /// A new client, for [`Missed::by`].
    fn client(&self) -> ClientId;

    /// A client that claims packets before computing them; each excludes all others, those
    /// of the same process included.
    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError>;
}

/// Claims packets, so that no two compute the same one at the same time.
///
/// A claim saves work and is no promise: of two that compute one packet all the same, the first
/// commit wins.
pub trait Claimant: Debug + Send + Sync {
    /// Claims keys that no other claimant holds, without waiting. A claimant does not exclude itself.
    ///
    /// Costs a call of the system for each key; its time grows with the keys that are held.
    fn claim(&self, function: &StoredFunction, keys: &[PacketHash]) -> Result<Claim, ClaimError>;
}

/// Packets that were claimed; dropping it, or the end of its process, gives them back.
#[derive(Debug)]
#[must_use = "dropping a claim gives it back"]
pub struct Claim {
    /// For each key, whether it is claimed now; another claimant holds the others.
    pub won: Vec<bool>,
    // Gives back what it holds when it is dropped.
    _held: Box<dyn Debug + Send + Sync>,
}

impl Claim {
    /// A claim that is given back when `held` is dropped.
    pub fn new(won: Vec<bool>, held: impl Debug + Send + Sync + 'static) -> Self {
        Self { won, _held: Box::new(held) }
    }
}

/// The key of a recording.
#[derive(Debug, Clone)]
pub struct RecordingKey {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
    /// The node's content hash.
    pub content: ContentHash,
    /// The node's pipeline hash.
    pub pipeline_hash: PipelineHash,
    /// The run.
    pub run: String,
    /// Revisions of the code that its rows depend on beside what the hashes name.
    pub revisions: Revisions,
}

/// The form in which a node's rows are kept.
#[derive(Debug, Clone)]
pub struct RecordLayout {
    /// The node's output schema.
    pub schema: Arc<StreamSchema>,
    /// True if the rows' order is defined.
    pub ordered: bool,
    /// For a function node, the function, whose outputs are read from results; its other packet
    /// columns are kept with the rows. Outputs are found in the schema by name.
    pub function: Option<Arc<StoredFunction>>,
}

/// Keeps recordings.
pub trait RecordingStore: Debug + Send + Sync {
    /// Begins a recording. It is invisible until it is complete.
    fn begin(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> BoxFuture<'_, Result<Box<dyn Recorder>, RecordError>>;
}

/// Where the packets came from that a function took: for each taken column, its source info.
#[derive(Debug, Clone, Default)]
pub struct InputLineage {
    /// Names of the taken columns, which are the same in a whole recording.
    pub names: Arc<[String]>,
    /// Their source info, one row per recorded row.
    pub sources: Vec<ProvenanceColumn>,
}

/// A recording being written. Dropping it abandons the recording.
pub trait Recorder: Send {
    /// Appends rows. `references` has one version per row for a function node, and is empty
    /// otherwise.
    fn append(&mut self, chunk: Chunk, references: Vec<ResultId>) -> BoxFuture<'_, Result<(), RecordError>>;

    /// [`Recorder::append`] for a function node, with the provenance of what the function took for
    /// each row. A recorder that keeps no lineage leaves it out.
    fn append_traced(
        &mut self,
        chunk: Chunk,
        references: Vec<ResultId>,
        taken: InputLineage,
    ) -> BoxFuture<'_, Result<(), RecordError>> {
        drop(taken);
        self.append(chunk, references)
    }

    /// The number of the recording in its store, where it has one.
    fn number(&self) -> Option<u64> {
        None
    }

    /// Makes the recording complete, durably.
    fn complete(self: Box<Self>) -> BoxFuture<'static, Result<(), RecordError>>;
}

/// The function node of a run that sets packets aside.
#[derive(Debug, Clone)]
pub struct FailingNode {
    /// The run.
    pub run: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
    /// Its function.
    pub function: Arc<StoredFunction>,
    /// The columns that the function takes, in canonical types.
    pub takes: Vec<FieldRef>,
    /// The input's tags, in canonical types.
    pub tags: Vec<FieldRef>,
}

/// A packet that could not be computed.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// The packet's hash.
    pub packet: PacketHash,
    /// The kind of failure, in the words of all of its kind.
    pub kind: String,
    /// The causes.
    pub message: String,
    /// The output of the code beside it: a traceback, its standard error. Empty if there is none.
    pub log: String,
    /// Attempts made.
    pub attempts: u32,
    /// Rows with this packet.
    pub rows: u64,
    /// The packet: one row for each of [`FailingNode::takes`].
    pub taken: Vec<ArrayRef>,
    /// The tags of its first row: one row for each of [`FailingNode::tags`].
    pub tags: Vec<ArrayRef>,
    /// Source id and record id of each source behind its first row.
    pub records: Vec<(String, String)>,
}

/// Keeps packets that were set aside. Failures are kept for people: no run takes them for results.
pub trait FailureStore: Debug + Send + Sync {
    /// Writes packets down, durably. `more` counts further rows of packets written down before.
    ///
    /// Cancellation: as in [`ResultStore`].
    fn set_aside(
        &self,
        node: Arc<FailingNode>,
        packets: Vec<SetAside>,
        more: Vec<(PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), SetAsideError>>;
}
