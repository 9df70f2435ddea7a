//! The part that the names of a pair of system tag columns share, as a chain of suffixes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A string that shares its beginning with the stem it was made from.
///
/// A join appends to the stem of every incoming pair, so in a line of joins the strings would grow with
/// the square of its length. A stem holds its last suffix only.
///
/// Two stems are equal if their strings are, however they were put together.
#[derive(Clone)]
pub struct Stem(Arc<StemLink>);

struct StemLink {
    before: Option<Stem>,
    suffix: Box<str>,
    /// Bytes of the whole string.
    bytes: usize,
    /// FNV-1a over the whole string, which is continued from that of the beginning.
    hash: u64,
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Stem {
    /// The stem of this string.
    pub(super) fn new(text: &str) -> Self {
        Self::link(None, text)
    }

    /// The stem with a suffix behind it.
    pub(super) fn with(&self, suffix: &str) -> Self {
        Self::link(Some(self.clone()), suffix)
    }

    fn link(before: Option<Self>, suffix: &str) -> Self {
        let (bytes, hash) = before.as_ref().map_or((0, FNV_OFFSET), |stem| (stem.0.bytes, stem.0.hash));
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        let hash = suffix.bytes().fold(hash, step);
        Self(Arc::new(StemLink { before, suffix: suffix.into(), bytes: bytes + suffix.len(), hash }))
    }

    /// Its suffixes, the last one first.
    fn suffixes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |stem| stem.0.before.as_ref())
    }

    fn text(&self) -> String {
        let parts: Vec<&str> = self.suffixes().map(|stem| &*stem.0.suffix).collect();
        let mut text = String::with_capacity(self.0.bytes);
        text.extend(parts.into_iter().rev());
        text
    }
}

impl PartialEq for Stem {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        if (self.0.bytes, self.0.hash) != (other.0.bytes, other.0.hash) {
            return false;
        }
        // Stems that were put together in the same steps mostly meet in a common beginning.
        for (one, two) in self.suffixes().zip(other.suffixes()) {
            if Arc::ptr_eq(&one.0, &two.0) {
                return true;
            }
            if one.0.suffix != two.0.suffix {
                break;
            }
        }
        self.text() == other.text()
    }
}

impl Eq for Stem {}

impl Hash for Stem {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Stem {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stem {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.text().cmp(&other.text()) }
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl Drop for StemLink {
    /// Drops a long chain link by link: the generated code would call itself once for each.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut link) = next.and_then(|stem| Arc::into_inner(stem.0)) {
            next = link.before.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn stems_compare_by_their_strings_however_they_were_put_together() {
        let built = Stem::new("ab").with("::cd:0").with("::ef:1");
        let shared = Stem::new("ab").with("::cd:0");
        for (same, text) in [
            (Stem::new("ab::cd:0::ef:1"), "ab::cd:0::ef:1"),
            (Stem::new("ab::c").with("d:0::ef:1"), "ab::cd:0::ef:1"),
            (shared.with("::ef:1"), "ab::cd:0::ef:1"),
        ] {
            assert_eq!((&built, built.text().as_str()), (&same, text));
            assert_eq!(built.cmp(&same), Ordering::Equal);
            assert_eq!(HashSet::from([built.clone(), same]).len(), 1);
        }
        assert_ne!(built, shared);
        assert_ne!(shared.with("::ef:1"), shared.with("::ef:2"));
        assert!(shared < built && Stem::new("b") > built);
        assert_eq!(format!("{built:?}"), "\"ab::cd:0::ef:1\"");
    }

    #[test]
    fn a_chain_of_a_million_suffixes_is_dropped_without_recursion() {
        let long = (0..1_000_000).fold(Stem::new("a"), |stem, _| stem.with("b"));
        assert_eq!(long.text().len(), 1_000_001);
        drop(long);
    }
}
