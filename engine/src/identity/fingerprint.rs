//! The identity of a function.

use super::{Digest, Structure};

/// One named part of a fingerprint, kept by itself so that a change can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name: `entry`, `takes`, `gives`, `kind`, `version`, `code`, ...
    pub name: String,
    /// Its value: a readable string, or the hex digest of something large.
    pub value: String,
}

/// Identity of a function: the hash of its components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    digest: Digest,
    components: Vec<Component>,
}

impl Fingerprint {
    /// The hash.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The 12 hex digits that source info carries.
    #[must_use]
    pub fn short(&self) -> String {
        self.digest.hex(12)
    }

    /// The parts, in the order in which they were given.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }
}

/// Collects the components of a fingerprint.
#[derive(Debug, Default)]
pub struct FingerprintBuilder(Vec<Component>);

impl FingerprintBuilder {
    /// Adds a component; names are distinct.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push(Component { name: name.to_owned(), value: value.into() });
        self
    }

    /// Hashes the components. Their order does not matter.
    #[must_use]
    pub fn build(self) -> Fingerprint {
        let mut sorted: Vec<&Component> = self.0.iter().collect();
        sorted.sort_unstable_by_key(|c| &c.name);
        let mut structure = Structure::new("function");
        structure.list(sorted.len());
        for component in sorted {
            structure.text(&component.name);
            structure.text(&component.value);
        }
        Fingerprint { digest: structure.finish(), components: self.0 }
    }
}
