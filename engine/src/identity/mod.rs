//! Identities: what makes two packets, two pipelines or two functions the same.
//!
//! Everything here is part of stored keys and never changes; `design/identity.md` is the
//! reference and the golden vectors in `tests/` hold the code to it.

mod fingerprint;
mod packet;
mod revisions;
mod structure;

pub use fingerprint::{Component, Fingerprint, FingerprintBuilder};
pub use packet::{IdentityError, PacketHash, PacketHasher, ResultKey};
pub use revisions::Revisions;
pub use structure::{ContentHash, PipelineHash, Structure};

use std::fmt;

/// 32 bytes of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first `digits` (64 at most) hex digits.
    #[must_use]
    pub fn hex(&self, digits: usize) -> String {
        let mut text = blake3::Hash::from_bytes(self.0).to_hex().to_string();
        text.truncate(digits);
        text
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex(16))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex(64))
    }
}
