//! Distinguished names.

use super::{der, oids};

/// A distinguished name: attributes in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// The empty name.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name of one common name.
    pub fn common(name: &str) -> Self {
        Self::new().cn(name)
    }

    /// `C=US, O=eic-emulator, CN=<name>`: how the emulator's own authorities are called.
    pub fn authority(name: &str) -> Self {
        Self::new()
            .attribute(oids::COUNTRY, &der::printable("US"))
            .attribute(oids::ORGANIZATION, &der::printable("eic-emulator"))
            .cn(name)
    }

    /// Adds a common name. A second one makes a name with two, which the agent has to refuse.
    #[must_use]
    pub fn cn(self, name: &str) -> Self {
        self.attribute(oids::COMMON_NAME, &der::utf8(name))
    }

    /// Adds any attribute, its value already encoded.
    #[must_use]
    pub fn attribute(mut self, oid: &[u32], value: &[u8]) -> Self {
        self.0.push(der::set(&[der::sequence(&[der::oid(oid).as_slice(), value])]));
        self
    }

    /// Adds several common names in one place of the name (a multi-valued RDN).
    #[must_use]
    pub fn cns_in_one_place(mut self, names: &[&str]) -> Self {
        let values = names.iter().map(|name| der::sequence(&[der::oid(oids::COMMON_NAME), der::utf8(name)]));
        self.0.push(der::set(&values.collect::<Vec<_>>()));
        self
    }

    /// The name's encoding.
    pub fn der(&self) -> Vec<u8> {
        der::sequence(&self.0)
    }
}
