//! The form of the file.
//!
//! ```text
//! eic-agent evidence 1\n     the form
//! SHA-256 of all that follows, 32 bytes
//! version, boot id, instance, endpoint                  texts
//! token: 0, or 1, wall, boot, lifetime, value
//! evidence: 0, or 1, wall, boot, region, domain, chain, number of staples, staples
//! ```
//!
//! A number has eight bytes, the lowest first. A text or a sequence of bytes has its length as a number before it. An empty
//! region or domain means that it was not requested. The digest detects a file that was written only in part. It is no
//! protection against a writer: a run judges the content like a response of the metadata service.

use std::time::Duration;

use eic_core::evidence::ocsp::MAX_STAPLES;
use eic_core::identity::{Domain, MalformedName, Region};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::moment::Moment;

/// The first line of the file.
const FORM: &[u8] = b"eic-agent evidence 1\n";

/// The bytes before the content: the form and the digest.
pub(super) const HEAD_BYTES: usize = FORM.len().saturating_add(SHA256_OUTPUT_LEN);

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

/// Evidence that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvidence {
    /// An instant before the evidence was requested.
    pub since: Moment,
    /// The evidence.
    pub signer: SignerBytes,
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

impl Record {
    /// The bytes of the file. `None` if they are more than [`MAX_RECORD_BYTES`].
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let Scope { version, boot, instance, endpoint } = &self.scope;
        for text in [version, boot, instance, endpoint] {
            push(&mut content, text.as_bytes());
        }
        push_number(&mut content, u64::from(self.token.is_some()));
        if let Some(KeptToken { value, since, lifetime }) = &self.token {
            push_moment(&mut content, *since);
            push_number(&mut content, lifetime.as_secs());
            push(&mut content, value);
        }
        push_number(&mut content, u64::from(self.evidence.is_some()));
        if let Some(KeptEvidence { since, signer }) = &self.evidence {
            let SignerBytes { region, domain, chain, staples } = signer;
            push_moment(&mut content, *since);
            push(&mut content, region.as_ref().map_or("", Region::as_str).as_bytes());
            push(&mut content, domain.as_ref().map_or("", Domain::as_str).as_bytes());
            push(&mut content, chain);
            push_number(&mut content, u64::try_from(staples.len()).ok()?);
            for staple in staples {
                push(&mut content, staple);
            }
        }
        let bytes = [FORM, digest(&SHA256, &content).as_ref(), &content].concat();
        (bytes.len() <= MAX_RECORD_BYTES).then_some(bytes)
    }

    /// Parses the bytes of the file. `None` if they are anything else than a whole record.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_RECORD_BYTES {
            return None;
        }
        let (written, content) = bytes.strip_prefix(FORM)?.split_at_checked(SHA256_OUTPUT_LEN)?;
        if digest(&SHA256, content).as_ref() != written {
            return None;
        }
        let mut rest = Reader(content);
        let scope = Scope {
            version: rest.text()?,
            boot: rest.text()?,
            instance: rest.text()?,
            endpoint: rest.text()?,
        };
        let token = if rest.is_present()? {
            let since = rest.moment()?;
            let lifetime = Duration::from_secs(rest.number()?);
            Some(KeptToken { value: rest.bytes()?.to_vec(), since, lifetime })
        } else {
            None
        };
        let evidence = if rest.is_present()? { Some(rest.evidence()?) } else { None };
        rest.0.is_empty().then_some(Self { scope, token, evidence })
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

    fn evidence(&mut self) -> Option<KeptEvidence> {
        let since = self.moment()?;
        let region = requested(&self.text()?, Region::try_from).ok()?;
        let domain = requested(&self.text()?, Domain::try_from).ok()?;
        let chain = self.bytes()?.to_vec();
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= MAX_STAPLES)?;
        let staples = (0..count).map(|_| self.bytes().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
        Some(KeptEvidence { since, signer: SignerBytes { region, domain, chain, staples } })
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
mod tests {
    use super::*;

    fn record() -> Record {
        let since = Moment { wall: 1_738_238_400_000, boot: 77 };
        Record {
            scope: Scope {
                version: "1.2.3".to_owned(),
                boot: "6f1c".to_owned(),
                instance: "i-0123456789abcdef0".to_owned(),
                endpoint: "http://169.254.169.254".to_owned(),
            },
            token: Some(KeptToken { value: b"secret".to_vec(), since, lifetime: Duration::from_secs(90) }),
            evidence: Some(KeptEvidence {
                since,
                signer: SignerBytes {
                    region: Some("eu-west-1".parse().unwrap()),
                    domain: None,
                    chain: b"chain".to_vec(),
                    staples: vec![b"one".to_vec(), Vec::new()],
                },
            }),
        }
    }

    #[test]
    fn record_is_read_as_it_was_written() {
        let all = record();
        for record in [
            Record { token: None, ..all.clone() },
            Record { evidence: None, ..all.clone() },
            Record { token: None, evidence: None, ..all.clone() },
            all,
        ] {
            assert_eq!(Record::parse(&record.to_bytes().unwrap()), Some(record));
        }
    }

    #[test]
    fn any_change_of_the_bytes_makes_it_unreadable() {
        let bytes = record().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..length]), None, "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x20;
            assert_eq!(Record::parse(&other), None, "byte {place}");
        }
        assert_eq!(Record::parse(&[&bytes[..], b"\n"].concat()), None);
    }

    /// A writer can make any content with a right digest.
    #[test]
    fn malformed_content_is_unreadable() {
        let bytes = record().to_bytes().unwrap();
        let content = &bytes[HEAD_BYTES..];
        let with = |content: &[u8]| [FORM, digest(&SHA256, content).as_ref(), content].concat();
        assert!(Record::parse(&with(content)).is_some());
        for length in 0..content.len() {
            assert_eq!(Record::parse(&with(&content[..length])), None, "{length} bytes");
        }
        assert_eq!(Record::parse(&with(&[content, b"\0"].concat())), None);
        let replaced = |from: &[u8], to: &[u8]| {
            let place = content.windows(from.len()).position(|bytes| bytes == from).unwrap();
            with(&[&content[..place], to, &content[place + from.len()..]].concat())
        };
        assert_eq!(Record::parse(&replaced(b"eu-west-1", b"eu_west_1")), None);
        assert_eq!(Record::parse(&replaced(b"1.2.3", b"1.2.\xff")), None);
        assert_eq!(Record::parse(&replaced(&5_u64.to_le_bytes(), &u64::MAX.to_le_bytes())), None);
    }

    #[test]
    fn number_of_staples_and_size_are_bounded() {
        let mut many = record();
        many.evidence.as_mut().unwrap().signer.staples = vec![b"x".to_vec(); MAX_STAPLES];
        assert!(Record::parse(&many.to_bytes().unwrap()).is_some());
        many.evidence.as_mut().unwrap().signer.staples.push(b"x".to_vec());
        assert_eq!(Record::parse(&many.to_bytes().unwrap()), None);
        let mut large = record();
        large.evidence.as_mut().unwrap().signer.chain = vec![b'x'; MAX_RECORD_BYTES];
        assert_eq!(large.to_bytes(), None);
    }

    #[test]
    fn token_is_not_shown() {
        assert!(!format!("{:?}", record()).contains("secret"));
        assert!(!format!("{:?}", record()).contains(&format!("{:?}", b"secret")));
    }
}
