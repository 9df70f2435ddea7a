//! Why a function node stops.

use std::time::Duration;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::identity::IdentityError;
use anabranch_engine::stage::StageError;
use anabranch_engine::store::{ClaimError, CommitError, LookUpError, RecordError, SetAsideError};

use crate::call::{FailureKind, StrayOutput};
use crate::worker::{Changed, LateImports};

/// A packet that failed, or a store that did.
#[derive(Debug, thiserror::Error)]
pub(super) enum FunctionStageError {
    #[error("function \"{function}\", packet {packet}: {failure}; what was computed before is kept")]
    Packet {
        function: String,
        packet: String,
        failure: FailureKind,
        #[source]
        cause: StageError,
    },
    #[error(
        "function \"{function}\", packet {packet}: found no result, expected one, since cache is replay and nothing is computed; run with cache: reuse"
    )]
    Missing { function: String, packet: String },
    #[error("function \"{function}\": what was computed last is not kept")]
    Changed {
        function: String,
        #[source]
        cause: Changed,
    },
    #[error("function \"{function}\": a call ran other code than was planned, so its result is not kept")]
    Late {
        function: String,
        #[source]
        cause: LateImports,
    },
    #[error(
        "function \"{function}\": a worker is not trusted, and its results of this run are withdrawn from the store"
    )]
    Stray {
        function: String,
        #[source]
        cause: StrayOutput,
    },
    #[error("function \"{function}\": a worker ended without an answer")]
    Worker { function: String },
    #[error(
        "function \"{function}\": the code answered with columns that do not fit its outputs, expected one row for each packet dealt with"
    )]
    Answer { function: String },
    #[error(
        "function \"{function}\": all {threads} threads are held by calls that go on although they took longer than {timeout:?}; make the code end by itself, raise concurrency, or use call_async"
    )]
    Held { function: String, threads: usize, timeout: Duration },
    #[error("function \"{function}\": rows wait and nothing is under way; report this as a defect")]
    Stalled { function: String },
    #[error(transparent)]
    LookUp(#[from] LookUpError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    SetAside(#[from] SetAsideError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("outcomes could not be gathered")]
    Arrow(#[from] arrow::error::ArrowError),
}
