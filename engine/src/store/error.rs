//! Errors of stores: one enum for each operation, over the faults that any of them may meet.
//!
//! A [`StoreFault`] is what the medium of a store reports, or what is wrong with the data in it, whatever the operation. The error of
//! an operation is a fault with the operation's name, or one of the cases that only this operation has.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The remedy that a caller of a failed store operation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The place is not usable as a store: choose another.
    Place,
    /// The disk is full: make room, then run again.
    Full,
    /// A thing that does not exist.
    Missing,
    /// A thing that is damaged.
    Corrupt,
    /// The store was written by a later version.
    Version,
    /// Anything else that the system reported.
    System,
}

/// The cause below a fault, where there is one.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A problem that any operation of a store may meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreProblem {
    /// The medium has no room left.
    #[error("there is no room for the store; make room on its disk and run again")]
    NoRoom,
    /// The medium refused a write in the middle of a transaction, which undid all of it.
    #[error(
        "the disk refused a write, so that what waited with it was undone; make room on it and run again"
    )]
    Undone,
    /// The database that holds the store cannot be read.
    #[error(
        "the store's database is damaged; restore the store from a copy, or remove its folder and run again"
    )]
    DamagedDatabase,
    /// An item of the store is damaged.
    #[error("{place} is damaged: {found}; restore the store from a copy, or remove its folder and run again")]
    Damaged {
        /// The item.
        place: String,
        /// The damage.
        found: String,
    },
    /// The database that holds the store cannot be written.
    #[error("the store's database cannot be written; allow writing or choose another folder")]
    ReadOnly,
    /// A file or folder that cannot be used.
    #[error("\"{}\" cannot be used; {}", path.display(), remedy(*cause))]
    File {
        /// Its path.
        path: PathBuf,
        /// The kind of the cause.
        cause: ErrorKind,
    },
    /// Another process works in the store and does not end.
    #[error("another process kept the store busy for too long; run again once it has ended")]
    Busy,
    /// A row has more bytes than the database takes.
    #[error("a row is larger than 1 GB, the most that the store takes; keep large payloads in files")]
    RowTooLarge,
    /// The database reported anything else.
    #[error("the store's database reported an error")]
    Database,
    /// Columns that are no block.
    #[error("columns could not be made into a block, expected canonical types")]
    NoBlock,
    /// A thread could not be started.
    #[error("no thread could be started; raise the limit of threads or end other programs")]
    NoThread,
    /// A thread of the store has ended.
    #[error("the store's thread has ended after a fault; open the store again")]
    Stopped,
    /// The code of the store panicked.
    #[error("the store has a fault: {0}; report it")]
    Panicked(String),
    /// A place that cannot hold a store, or not this one: what was found there, what was expected, the remedy.
    #[error("{0}")]
    Place(String),
    /// An item that the store does not have: which, and the remedy.
    #[error("{0}")]
    Missing(String),
    /// A version that this program does not know: found, expected, remedy.
    #[error("{0}")]
    Version(String),
    /// A call that the store refuses: what was found, what was expected.
    #[error("{0}")]
    Refused(String),
}

/// The remedy for a file that cannot be used.
fn remedy(cause: ErrorKind) -> &'static str {
    match cause {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk and run again",
        cause if is_of_place(cause) => "choose a folder that can be written",
        _ => "see the cause",
    }
}

fn is_of_place(cause: ErrorKind) -> bool {
    matches!(
        cause,
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
    )
}

impl StoreProblem {
    /// The remedy that a caller has.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        use StoreErrorKind as K;
        match self {
            Self::NoRoom
            | Self::Undone
            | Self::File { cause: ErrorKind::StorageFull | ErrorKind::QuotaExceeded, .. } => K::Full,
            Self::DamagedDatabase | Self::Damaged { .. } => K::Corrupt,
            Self::ReadOnly | Self::Place(_) => K::Place,
            Self::File { cause, .. } if is_of_place(*cause) => K::Place,
            Self::Missing(_) => K::Missing,
            Self::Version(_) => K::Version,
            _ => K::System,
        }
    }
}

/// A problem with a store, and its cause.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct StoreFault {
    /// The problem.
    pub problem: StoreProblem,
    /// The cause, where there is one below.
    #[source]
    pub source: Option<Cause>,
}

impl From<StoreProblem> for StoreFault {
    fn from(problem: StoreProblem) -> Self {
        Self { problem, source: None }
    }
}

impl StoreFault {
    /// A problem that another error caused.
    pub fn because(problem: StoreProblem, cause: impl Into<Cause>) -> Self {
        Self { problem, source: Some(cause.into()) }
    }

    /// A file or folder that the system does not let the store use.
    #[must_use]
    pub fn file(path: &Path, cause: std::io::Error) -> Self {
        let problem = StoreProblem::File { path: path.to_owned(), cause: cause.kind() };
        Self::because(problem, cause)
    }

    /// An item that is damaged: its name, and the damage.
    #[must_use]
    pub fn damaged(place: impl Into<String>, found: impl Into<String>) -> Self {
        StoreProblem::Damaged { place: place.into(), found: found.into() }.into()
    }

    /// The remedy that a caller has.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.problem.kind()
    }
}

/// Defines the error of an operation: its cases, and any fault of the store, which bears the name of the operation.
macro_rules! operation_errors {
    ($($(#[$doc:meta])* $name:ident = $operation:literal {
        $($(#[$case_doc:meta])* $case:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* } = $text:literal, $kind:ident;)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, thiserror::Error)]
            #[non_exhaustive]
            pub enum $name {
                $(
                    $(#[$case_doc])*
                    #[error($text)]
                    $case { $($(#[$field_doc])* $field: $type),* },
                )*
                /// The store has a problem that any operation may meet.
                #[error($operation)]
                Store {
                    /// The problem.
                    problem: StoreProblem,
                    /// The cause, where there is one below.
                    #[source]
                    source: Option<Cause>,
                },
            }

            impl From<StoreFault> for $name {
                fn from(fault: StoreFault) -> Self {
                    Self::Store { problem: fault.problem, source: fault.source }
                }
            }

            impl $name {
                /// The remedy that a caller has.
                #[must_use]
                pub fn kind(&self) -> StoreErrorKind {
                    match self {
                        $(Self::$case { .. } => StoreErrorKind::$kind,)*
                        Self::Store { problem, .. } => problem.kind(),
                    }
                }
            }
        )*

        /// The error of any operation of a store.
        #[derive(Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum StoreError {
            $(
                $(#[$doc])*
                #[error(transparent)]
                $name(#[from] $name),
            )*
        }

        impl StoreError {
            /// The remedy that the caller has.
            #[must_use]
            pub fn kind(&self) -> StoreErrorKind {
                match self {
                    $(Self::$name(error) => error.kind(),)*
                }
            }
        }
    };
}

operation_errors! {
    /// A failed look-up of results.
    LookUpError = "look up results: {problem}" {
        /// The store answered about none of the keys, or about more than there were: a caller that went on would never end.
        Unanswered {
            /// Keys that were answered.
            answered: usize,
            /// Keys that were looked up.
            asked: usize
        } = "look up results: found {answered} answers about {asked} keys, expected one at least and no more than keys", System;
    }
    /// A failed commit of results.
    CommitError = "commit results: {problem}" {
        /// The results are not those of the function.
        Shape {
            /// The function.
            function: String,
            /// The part of the results, or the output.
            part: String,
            /// The number of rows, or the type, that the part has.
            found: String,
            /// The one that it should have.
            expected: String
        } = "commit results: function \"{function}\": {part}: found {found}, expected {expected}", System;
    }
    /// A failed withdrawal of results.
    WithdrawError = "withdraw results: {problem}" {}
    /// A failed claim on packets.
    ClaimError = "claim packets: {problem}" {}
    /// A recording that could not be written.
    RecordError = "record rows: {problem}" {
        /// An earlier write of the recording failed.
        GivenUp {} = "record rows: an earlier write of this recording failed, so that it was given up; run again", System;
        /// An append was dropped half-way.
        Torn {} = "record rows: an earlier append failed or was cancelled, so that rows are missing; run again", System;
    }
    /// Packets that could not be set aside.
    SetAsideError = "set packets aside: {problem}" {}
    /// A store that could not be opened.
    OpenError = "open store: {problem}" {}
    /// A read of what a store has that failed.
    ReadError = "read store: {problem}" {}
    /// A run whose beginning, end or notes could not be written.
    RunError = "record run: {problem}" {
        /// The id is that of another run.
        Exists {
            /// The id.
            run: String
        } = "record run: run \"{run}\" is in the store already; choose another id", Place;
        /// The id is that of a run at work.
        Alive {
            /// The id.
            run: String
        } = "record run: run \"{run}\" is under way in another process; choose another id", Place;
        /// The id is not a plain name.
        Name {
            /// The id.
            run: String
        } = "record run: found the run id \"{run}\", expected 1 to 128 letters, digits, \"-\", \"_\" and \".\", not beginning with \".\"", Place;
    }
    /// Maintenance that failed.
    MaintainError = "maintain store: {problem}" {}
    /// A collection of garbage that failed.
    CollectError = "collect garbage: {problem}" {}
    /// Data that could not be dropped.
    DropError = "drop from store: {problem}" {
        /// There is no such data.
        Nothing {
            /// The data.
            target: String
        } = "drop from store: found nothing in the store of {target}, expected what it has; list what the store holds", Missing;
        /// A run at work may need the data.
        Alive {
            /// The data.
            target: String,
            /// The run.
            run: String
        } = "drop from store: {target}: run \"{run}\" is at work; drop once it has ended", System;
    }
    /// A copy of a store that could not be made.
    CopyError = "copy store: {problem}" {
        /// The folder has a store already.
        Occupied {
            /// The folder.
            dir: PathBuf
        } = "copy store: {dir:?} has a store already; choose an empty folder, or move the store away", Place;
        /// The folder has no store.
        NoStore {
            /// The folder.
            dir: PathBuf
        } = "copy store: {dir:?} has no store; name a folder that `store backup` wrote", Missing;
    }
}
