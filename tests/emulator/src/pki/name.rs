//! Distinguished names.

use super::{der, oids};

/// A distinguished name: its attributes in the order of their addition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// The empty name.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name that consists of one common name.
    pub fn common(name: &str) -> Self {
        Self::new().cn(name)
    }

    /// `C=US, O=eic-emulator, CN=<name>`, the name of an emulator's authority.
    pub fn authority(name: &str) -> Self {
        Self::new()
            .attribute(oids::COUNTRY, &der::printable("US"))
            .attribute(oids::ORGANIZATION, &der::printable("eic-emulator"))
            .cn(name)
    }

    /// Adds a common name. The agent must refuse a name that has two.
    #[must_use]
    pub fn cn(self, name: &str) -> Self {
        self.attribute(oids::COMMON_NAME, &der::utf8(name))
    }

    /// Adds any attribute, with an encoded value.
    #[must_use]
    pub fn attribute(mut self, oid: &[u32], value: &[u8]) -> Self {
        self.0.push(der::set(&[der::sequence(&[der::oid(oid).as_slice(), value])]));
        self
    }

    /// Adds several common names in one relative distinguished name (a multi-valued RDN).
    #[must_use]
    pub fn cns_in_one_place(mut self, names: &[&str]) -> Self {
        let values = names.iter().map(|name| der::sequence(&[der::oid(oids::COMMON_NAME), der::utf8(name)]));
        self.0.push(der::set(&values.collect::<Vec<_>>()));
        self
    }

    /// The DER encoding.
    pub fn der(&self) -> Vec<u8> {
        der::sequence(&self.0)
    }
}
