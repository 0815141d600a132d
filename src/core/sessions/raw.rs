//! One object of `journalctl -o json`, with only the fields that are needed.

use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The fields that are needed. journalctl prints more.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) realtime: Field<'a>,
    pub(super) monotonic: Field<'a>,
    pub(super) boot: Field<'a>,
    pub(super) uid: Field<'a>,
    pub(super) program: Field<'a>,
    pub(super) unit: Field<'a>,
    pub(super) transport: Field<'a>,
    pub(super) dropped: Field<'a>,
    pub(super) dropped_of: Field<'a>,
    pub(super) pid: Field<'a>,
    pub(super) identifier: Field<'a>,
    pub(super) message: Field<'a>,
    pub(super) message_id: Field<'a>,
    pub(super) leader: Field<'a>,
    pub(super) event: Field<'a>,
    pub(super) user: Field<'a>,
    pub(super) fingerprint: Field<'a>,
    pub(super) request_id: Field<'a>,
    pub(super) further: Field<'a>,
    pub(super) principal: Field<'a>,
    pub(super) rule: Field<'a>,
    pub(super) options: Field<'a>,
    pub(super) reason: Field<'a>,
    pub(super) sshd_pid: Field<'a>,
}

/// The value of a field if it is one text. A value that is not text, or a repeated field, is an array. A value that is
/// too long is null. Both become `None`.
#[derive(Default)]
pub(super) struct Field<'a>(Option<Cow<'a, str>>);

impl Field<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn number<T: core::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the journal")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(Field(name)) = map.next_key::<Field<'de>>()? {
            let field = match name.as_deref().unwrap_or_default() {
                "__REALTIME_TIMESTAMP" => &mut raw.realtime,
                "__MONOTONIC_TIMESTAMP" => &mut raw.monotonic,
                "_BOOT_ID" => &mut raw.boot,
                "_UID" => &mut raw.uid,
                "_EXE" => &mut raw.program,
                "_SYSTEMD_UNIT" => &mut raw.unit,
                "_TRANSPORT" => &mut raw.transport,
                "N_DROPPED" => &mut raw.dropped,
                "OBJECT_SYSTEMD_UNIT" => &mut raw.dropped_of,
                "_PID" => &mut raw.pid,
                "SYSLOG_IDENTIFIER" => &mut raw.identifier,
                "MESSAGE" => &mut raw.message,
                "MESSAGE_ID" => &mut raw.message_id,
                "LEADER" => &mut raw.leader,
                "EIC_EVENT" => &mut raw.event,
                "EIC_USER" => &mut raw.user,
                "EIC_FINGERPRINT" => &mut raw.fingerprint,
                "EIC_REQUEST_ID" => &mut raw.request_id,
                "EIC_FURTHER_REQUEST_IDS" => &mut raw.further,
                "EIC_PRINCIPAL" => &mut raw.principal,
                "EIC_RULE" => &mut raw.rule,
                "EIC_OPTIONS" => &mut raw.options,
                "EIC_REASON" => &mut raw.reason,
                "EIC_SSHD_PID" => &mut raw.sshd_pid,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(raw)
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Field<'de>, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field(None))
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field(None))
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}
