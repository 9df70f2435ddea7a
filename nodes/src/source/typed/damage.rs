//! Files that a format's library cannot read.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::source::error::{Place, SourceError};

/// Does a piece of work of a format's library.
///
/// The libraries return errors for files that are cut off, but some damage inside a page makes
/// them panic; both are the file's fault and become one error. What the work has touched must not
/// be used after an error.
pub(in crate::source) fn guarded<T, E>(
    path: &str,
    format: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, SourceError>
where
    E: Error + Send + Sync + 'static,
{
    let damaged = || {
        let found = format!("a file that is no {format} file, or is cut off or damaged");
        let expected = format!("a whole {format} file");
        let place = Place::Whole(path.to_owned());
        SourceError::format(place, found, expected, "write it again, or name its format")
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) if lacks_codec(&cause.to_string()) => Err(compressed(path).because(cause)),
        Ok(Err(cause)) => Err(damaged().because(cause)),
        Err(_) => Err(damaged()),
    }
}

/// True if a library says that it was built without the means to decompress. It has no other sign
/// for it than its text.
fn lacks_codec(text: &str) -> bool {
    text.contains("Disabled feature at compile time") || text.contains("decompression requires the")
}

fn compressed(path: &str) -> SourceError {
    SourceError::format(
        Place::Whole(path.to_owned()),
        "a compression that this version does not read",
        "an Arrow IPC file, or a Parquet file with snappy, zstd, gzip, lz4, brotli or none",
        "write it again so",
    )
}
