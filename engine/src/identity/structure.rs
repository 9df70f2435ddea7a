//! Hashes of a pipeline's structure.

use arrow::datatypes::FieldRef;

use super::Digest;
use crate::types::logical_name;

/// Identity of a node by structure and schemas alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineHash(pub Digest);

impl PipelineHash {
    /// The 12 hex digits that column names carry.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.hex(12)
    }
}

/// Identity of a node by structure, schemas and where its rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub Digest);

/// Writes values into a hash in a self-delimiting form: each begins with a mark for its kind,
/// strings and lists with their length.
#[derive(Debug)]
pub struct Structure(blake3::Hasher);

impl Structure {
    /// Begins a structure of the named domain.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut structure = Self(blake3::Hasher::new());
        structure.text(domain);
        structure
    }

    /// Writes a string.
    pub fn text(&mut self, text: &str) {
        self.mark(b't', text.len());
        self.0.update(text.as_bytes());
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.mark(b'b', bytes.len());
        self.0.update(bytes);
    }

    /// Writes the bytes that a reader gives; `length` says how many these are.
    ///
    /// Memory: 64 KiB, however many they are. Errors: those of reading, and other bytes than so many.
    pub fn bytes_of(&mut self, length: u64, reader: impl std::io::Read) -> std::io::Result<()> {
        self.0.update(b"b");
        self.0.update(&length.to_le_bytes());
        let before = self.0.count();
        self.0.update_reader(reader)?;
        if self.0.count() - before == length {
            return Ok(());
        }
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it changed while it was read"))
    }

    /// Writes a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(b"n");
        self.0.update(&number.to_le_bytes());
    }

    /// Writes a truth value.
    pub fn flag(&mut self, flag: bool) {
        self.0.update(if flag { b"y" } else { b"f" });
    }

    /// Announces a list of that many values.
    pub fn list(&mut self, length: usize) {
        self.mark(b'l', length);
    }

    /// Writes a list of strings.
    pub fn texts<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.list(texts.len());
        for text in texts {
            self.text(text.as_ref());
        }
    }

    /// Writes a list that may be absent, which is not the same as an empty one.
    pub fn optional_texts<T: AsRef<str>>(&mut self, texts: Option<&[T]>) {
        self.flag(texts.is_some());
        self.texts(texts.unwrap_or_default());
    }

    /// Writes a digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.0.update(b"d");
        self.0.update(&digest.0);
    }

    /// Writes names and logical types of columns, sorted by name; nullability does not matter.
    pub fn fields(&mut self, fields: &[FieldRef]) {
        let mut sorted: Vec<&FieldRef> = fields.iter().collect();
        sorted.sort_unstable_by_key(|f| f.name());
        self.list(sorted.len());
        for field in sorted {
            self.text(field.name());
            self.text(&logical_name(field));
        }
    }

    /// The hash of everything written.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn mark(&mut self, kind: u8, length: usize) {
        self.0.update(&[kind]);
        self.0.update(&(length as u64).to_le_bytes());
    }
}
