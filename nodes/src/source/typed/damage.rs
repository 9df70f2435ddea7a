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
    let cause: Option<Box<dyn Error + Send + Sync>> = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(cause)) if lacks_codec(&cause.to_string()) => return Err(compressed(path, cause)),
        Ok(Err(cause)) => Some(Box::new(cause)),
        Err(_) => None,
    };
    Err(SourceError::Format {
        place: Place::Whole(path.to_owned()),
        found: format!("a file that is no {format} file, or is cut off or damaged").into(),
        expected: format!("a whole {format} file").into(),
        remedy: "write it again, or name its format".into(),
        cause,
    })
}

/// True if a library says that it was built without the means to decompress. It has no other sign
/// for it than its text.
fn lacks_codec(text: &str) -> bool {
    text.contains("Disabled feature at compile time") || text.contains("decompression requires the")
}

fn compressed(path: &str, cause: impl Error + Send + Sync + 'static) -> SourceError {
    SourceError::Format {
        place: Place::Whole(path.to_owned()),
        found: "a compression that this version does not read".into(),
        expected: "an Arrow IPC file, or a Parquet file with snappy, zstd, gzip, lz4, brotli or none".into(),
        remedy: "write it again so".into(),
        cause: Some(Box::new(cause)),
    }
}
