//! The form of the file.
//!
//! ```text
//! eic-agent evidence 1\n     the form
//! SHA-256 of the head        32 bytes
//! length of the head         a number
//! the head: version, boot id, instance, endpoint        texts
//!           0, or 1, wall, boot, lifetime, token
//!           0, or 1, wall, boot, SHA-256 of the evidence
//! the evidence: region, domain, chain, number of staples, staples
//! ```
//!
//! A number has eight bytes, the lowest first. A text or a sequence of bytes has its length as a number before it. An empty
//! region or domain means that it was not requested. The digests detect a file that was written only in part. They are no
//! protection against a writer: a run judges the content like a response of the metadata service.
//!
//! A run without a key needs only the head. So the evidence has its own digest, which such a run does not compute.

use std::time::Duration;

use eic_core::evidence::ocsp::MAX_STAPLES;
use eic_core::identity::{Domain, MalformedName, Region};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::moment::Moment;

/// The first line of the file.
const FORM: &[u8] = b"eic-agent evidence 1\n";

/// The first bytes of the file: the form and the digest of the head. They differ if anything differs.
pub(super) const MARK_BYTES: usize = FORM.len().saturating_add(SHA256_OUTPUT_LEN);

/// Maximum size of the file, in bytes. The service's evidence has 15 KB. Evidence that is larger is not remembered.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// All that a run remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is valid for.
    pub scope: Scope,
    /// The token, if it was kept.
    pub token: Option<KeptToken>,
    /// The evidence, if a signer was proven with it.
    pub evidence: Option<KeptEvidence>,
}

/// A run uses a record only if its own scope is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The version of the program.
    pub version: String,
    /// The kernel's name for this start of the machine.
    pub boot: String,
    /// The instance id in the firmware. Empty under Xen: there, only the boot id names the instance.
    pub instance: String,
    /// The endpoint that answered.
    pub endpoint: String,
}

/// A token of the metadata service.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptToken {
    /// The token. It is a secret of this instance.
    pub value: Vec<u8>,
    /// An instant before the token was requested.
    pub since: Moment,
    /// For how long the service accepts it.
    pub lifetime: Duration,
}

/// Does not show the token.
impl std::fmt::Debug for KeptToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptToken")
            .field("since", &self.since)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Evidence that was kept. Its bytes are not parsed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvidence {
    /// An instant before the evidence was requested.
    pub since: Moment,
    digest: Vec<u8>,
    content: Vec<u8>,
}

/// The evidence for the signer, as the metadata service sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerBytes {
    /// The region, unless it was pinned.
    pub region: Option<Region>,
    /// The domain, unless it was pinned.
    pub domain: Option<Domain>,
    /// The signer's certificates.
    pub chain: Vec<u8>,
    /// The staples.
    pub staples: Vec<Vec<u8>>,
}

impl KeptEvidence {
    /// Evidence that was requested after `since`.
    #[must_use]
    pub fn new(since: Moment, signer: &SignerBytes) -> Self {
        let SignerBytes { region, domain, chain, staples } = signer;
        let mut content = Vec::new();
        push(&mut content, region.as_ref().map_or("", Region::as_str).as_bytes());
        push(&mut content, domain.as_ref().map_or("", Domain::as_str).as_bytes());
        push(&mut content, chain);
        push_number(&mut content, u64::try_from(staples.len()).unwrap_or(u64::MAX));
        for staple in staples {
            push(&mut content, staple);
        }
        Self { since, digest: digest(&SHA256, &content).as_ref().to_vec(), content }
    }

    /// Parses the evidence. `None` if it was written only in part, or is malformed.
    #[must_use]
    pub fn signer(&self) -> Option<SignerBytes> {
        if digest(&SHA256, &self.content).as_ref() != self.digest {
            return None;
        }
        let mut rest = Reader(&self.content);
        let region = requested(&rest.text()?, Region::try_from).ok()?;
        let domain = requested(&rest.text()?, Domain::try_from).ok()?;
        let chain = rest.bytes()?.to_vec();
        let count = usize::try_from(rest.number()?).ok().filter(|count| *count <= MAX_STAPLES)?;
        let staples = (0..count).map(|_| rest.bytes().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
        rest.0.is_empty().then_some(SignerBytes { region, domain, chain, staples })
    }
}

impl Record {
    /// The bytes of the file. `None` if they are more than [`MAX_RECORD_BYTES`].
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        let Scope { version, boot, instance, endpoint } = &self.scope;
        for text in [version, boot, instance, endpoint] {
            push(&mut head, text.as_bytes());
        }
        push_number(&mut head, u64::from(self.token.is_some()));
        if let Some(KeptToken { value, since, lifetime }) = &self.token {
            push_moment(&mut head, *since);
            push_number(&mut head, lifetime.as_secs());
            push(&mut head, value);
        }
        push_number(&mut head, u64::from(self.evidence.is_some()));
        let mut content: &[u8] = &[];
        if let Some(evidence) = &self.evidence {
            push_moment(&mut head, evidence.since);
            push(&mut head, &evidence.digest);
            content = &evidence.content;
        }
        let mut bytes = [FORM, digest(&SHA256, &head).as_ref()].concat();
        push(&mut bytes, &head);
        bytes.extend_from_slice(content);
        (bytes.len() <= MAX_RECORD_BYTES).then_some(bytes)
    }

    /// Whether these bytes can be a record, whole or torn. No bytes are one of which nothing was written.
    pub(super) fn may_begin(bytes: &[u8]) -> bool {
        bytes.iter().zip(FORM).all(|(byte, expected)| byte == expected)
    }

    /// Parses the bytes of the file, except the content of the evidence. `None` if they are anything else than a record.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_RECORD_BYTES {
            return None;
        }
        let (written, rest) = bytes.strip_prefix(FORM)?.split_at_checked(SHA256_OUTPUT_LEN)?;
        let mut rest = Reader(rest);
        let head = rest.bytes()?;
        let content = rest.0;
        if digest(&SHA256, head).as_ref() != written {
            return None;
        }
        let mut head = Reader(head);
        let scope = Scope {
            version: head.text()?,
            boot: head.text()?,
            instance: head.text()?,
            endpoint: head.text()?,
        };
        let token = if head.is_present()? {
            let since = head.moment()?;
            let lifetime = Duration::from_secs(head.number()?);
            Some(KeptToken { value: head.bytes()?.to_vec(), since, lifetime })
        } else {
            None
        };
        let evidence = if head.is_present()? {
            let since = head.moment()?;
            Some(KeptEvidence { since, digest: head.bytes()?.to_vec(), content: content.to_vec() })
        } else {
            content.is_empty().then_some(None)?
        };
        head.0.is_empty().then_some(Self { scope, token, evidence })
    }
}

fn push(content: &mut Vec<u8>, bytes: &[u8]) {
    push_number(content, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    content.extend_from_slice(bytes);
}

fn push_number(content: &mut Vec<u8>, number: u64) {
    content.extend_from_slice(&number.to_le_bytes());
}

fn push_moment(content: &mut Vec<u8>, moment: Moment) {
    push_number(content, moment.wall);
    push_number(content, moment.boot);
}

/// The content that is not read yet.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    fn is_present(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn moment(&mut self) -> Option<Moment> {
        Some(Moment { wall: self.number()?, boot: self.number()? })
    }
}

/// Parses a name. An empty text is a name that was not requested.
fn requested<'t, T>(
    text: &'t str,
    parse: impl FnOnce(&'t str) -> Result<T, MalformedName>,
) -> Result<Option<T>, MalformedName> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

#[cfg(test)]
mod tests;
