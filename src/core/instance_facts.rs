//! What an export says about its instance, so that the exports of many instances can be joined.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::identity::{InstanceId, Region};

/// The instance of an export. A value that is not known is null.
///
/// Account, region, zone and image come from the instance identity document of the metadata service. Nothing verifies the
/// document's signature, so they are what metadata says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceFacts {
    /// The instance id.
    pub instance_id: Option<String>,
    /// Where the instance id comes from: `firmware` or `metadata`.
    pub instance_id_from: Option<&'static str>,
    /// The AWS account that owns the instance.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
    /// The image that the instance was launched from.
    pub image_id: Option<String>,
    /// The machine's host name, printable.
    pub host_name: Option<String>,
    /// The kernel's id of this run of the machine, as the journal has it.
    pub boot_id: Option<String>,
    /// Why the values of the identity document are not known.
    pub not_known: Option<String>,
}

/// The parts of an instance identity document that have their documented form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityDocument {
    id: Option<InstanceId>,
    account: Option<String>,
    region: Option<String>,
    zone: Option<String>,
    image_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    instance_id: Option<String>,
    account_id: Option<String>,
    region: Option<String>,
    availability_zone: Option<String>,
    image_id: Option<String>,
}

impl IdentityDocument {
    /// Parses the document ("Instance identity documents", EC2 User Guide). Leaves out a value that does not have its form.
    /// `None` if the bytes are no such document.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let raw: RawDocument = serde_json::from_slice(bytes).ok()?;
        let is_account = |text: &String| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        let is_region = |text: &String| text.parse::<Region>().is_ok();
        // `us-east-1a`, or `us-west-2-lax-1a` for a local zone.
        let is_zone = |text: &String| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=64).contains(&text.len()) && text.bytes().all(inner)
        };
        let is_image = |text: &String| {
            text.strip_prefix("ami-").is_some_and(|hex| {
                (8..=32).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            })
        };
        Some(Self {
            id: raw.instance_id.and_then(|id| id.parse().ok()),
            account: raw.account_id.filter(is_account),
            region: raw.region.filter(is_region),
            zone: raw.availability_zone.filter(is_zone),
            image_id: raw.image_id.filter(is_image),
        })
    }
}

impl InstanceFacts {
    /// Adds what a document says. `firmware` is the instance id that the firmware has. A document about another instance
    /// adds nothing.
    #[must_use]
    pub fn with(self, document: IdentityDocument, firmware: Option<&InstanceId>) -> Self {
        let IdentityDocument { id, account, region, zone, image_id } = document;
        if firmware.is_some() && id.as_ref() != firmware {
            let why = "the identity document of metadata is about another instance";
            return Self { not_known: Some(why.to_owned()), ..self };
        }
        let (instance_id, instance_id_from) = match (firmware, id) {
            (None, Some(id)) => (Some(id.as_str().to_owned()), Some("metadata")),
            _ => (self.instance_id, self.instance_id_from),
        };
        Self { instance_id, instance_id_from, account, region, zone, image_id, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "i-0123456789abcdef0";

    fn document(fields: &[(&str, &str)]) -> IdentityDocument {
        let known = [
            ("accountId", "123456789012"),
            ("region", "us-east-1"),
            ("availabilityZone", "us-east-1a"),
            ("imageId", "ami-0123456789abcdef0"),
            ("instanceId", ID),
            ("kernelId", "aki-5fa216bb"),
        ];
        let mut all = serde_json::Map::new();
        for (name, value) in known.iter().chain(fields) {
            all.insert((*name).to_owned(), (*value).into());
        }
        IdentityDocument::parse(serde_json::Value::Object(all).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn only_values_of_the_documented_form_are_taken() {
        let whole = document(&[]);
        assert_eq!(whole.account.as_deref(), Some("123456789012"));
        assert_eq!(whole.region.as_deref(), Some("us-east-1"));
        assert_eq!(whole.zone.as_deref(), Some("us-east-1a"));
        assert_eq!(whole.image_id.as_deref(), Some("ami-0123456789abcdef0"));
        assert_eq!(document(&[("availabilityZone", "us-west-2-lax-1a")]).zone.unwrap(), "us-west-2-lax-1a");
        for (name, value) in [
            ("accountId", "12345678901"),
            ("accountId", "12345678901a"),
            ("region", "us-east-1\n"),
            ("region", ""),
            ("availabilityZone", "us-east-1a'; DROP"),
            ("availabilityZone", ""),
            ("imageId", "ami-"),
            ("imageId", "aki-5fa216bb"),
            ("instanceId", "i-\u{1b}"),
        ] {
            let cut = document(&[(name, value)]);
            let left =
                [cut.account.is_some(), cut.region.is_some(), cut.zone.is_some(), cut.image_id.is_some()];
            let known = left.into_iter().filter(|is_known| *is_known).count();
            assert_eq!(known + usize::from(cut.id.is_some()), 4, "{name}: {value}");
        }
        for bad in ["", "[]", "{", "{\"region\":1}", "null"] {
            assert_eq!(IdentityDocument::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn document_about_another_instance_is_not_used() {
        let here: InstanceId = ID.parse().unwrap();
        let firmware = InstanceFacts {
            instance_id: Some(ID.to_owned()),
            instance_id_from: Some("firmware"),
            ..Default::default()
        };
        let known = firmware.clone().with(document(&[]), Some(&here));
        assert_eq!((known.account.is_some(), known.instance_id_from), (true, Some("firmware")));
        for other in ["i-0000000000000000f", ""] {
            let facts = firmware.clone().with(document(&[("instanceId", other)]), Some(&here));
            let values = [&facts.account, &facts.region, &facts.zone, &facts.image_id];
            assert!(values.iter().all(|value| value.is_none()), "{facts:?}");
            assert!(facts.not_known.unwrap().contains("another instance"));
        }
        let xen = InstanceFacts::default().with(document(&[]), None);
        assert_eq!((xen.instance_id.as_deref(), xen.instance_id_from), (Some(ID), Some("metadata")));
        assert_eq!(xen.not_known, None);
    }
}
