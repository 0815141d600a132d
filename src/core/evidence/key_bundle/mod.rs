//! The key bundle. Each entry has `#` lines, a key line and a signature.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::evidence::decode_base64;
use crate::evidence::public_key::{PublicKey, PublicKeyError};
use crate::fingerprint::Fingerprint;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable_bytes};
use crate::time::Timestamp;

/// Maximum number of bytes that are read from a bundle: about three thousand entries.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;

/// Maximum number of entries that are judged, valid or not. A pushed key lives for a minute and the API throttles
/// pushes, so a normal bundle has only a few entries. Each entry needs one RSA verification. `MAX_ENTRY_CHECKS` of
/// `verification` limits that work separately.
pub const MAX_ENTRIES: usize = 2048;

/// Maximum number of `#` lines of an entry. Four fields are known.
const MAX_FIELDS: usize = 64;

/// Maximum length of a `#` line, in bytes. IAM's longest ARN has 2,048 characters.
const MAX_FIELD_BYTES: usize = 4096;

/// How many bytes of `#Caller` are kept: the length of IAM's longest ARN.
const MAX_CALLER_BYTES: usize = 2048;

/// How many bytes of `#Request`, `#Instance` and `#Timestamp` are kept. Valid values are shorter.
const MAX_VALUE_BYTES: usize = 128;

/// Maximum length of the signature text, in bytes. An RSA-8192 signature has 1,368 base64 characters.
const MAX_SIGNATURE_BYTES: usize = 4096;

/// The entries of one user's bundle, in order. Each is either readable or refused separately.
#[derive(Debug, Default)]
pub struct KeyBundle {
    entries: Vec<Result<KeyEntry, UnreadableEntry>>,
}

/// One readable entry: its fields, and the bytes that its signature must cover. Untrusted.
#[derive(Debug)]
pub struct KeyEntry {
    /// Every `#` line and the key line exactly as received, each with its line end.
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) instance: String,
    pub(crate) expires: Timestamp,
    pub(crate) key: PublicKey,
    pub(crate) claims: Claims,
}

impl KeyEntry {
    /// The key. Untrusted.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key's algorithm. Untrusted.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.key.algorithm()
    }
}

/// The claims of an entry, for the log. They are verified only if the entry was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `#Instance`: the instance that the key was pushed to.
    pub instance: Option<String>,
    /// Fingerprint of the key.
    pub fingerprint: Option<Fingerprint>,
    /// `#Request`: the request id of the push, as CloudTrail records it.
    pub request_id: Option<String>,
    /// `#Caller`: the ARN of the principal that pushed the key.
    pub principal: Option<String>,
}

/// An entry that lacks something or is too large.
#[derive(Debug)]
pub struct UnreadableEntry {
    /// What is wrong with it.
    pub error: EntryError,
    /// The claims that could be read.
    pub claims: Claims,
}

/// Why an entry cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// No key line.
    NoKey,
    /// The key line is not one public key.
    Key(PublicKeyError),
    /// No `#Timestamp`.
    NoTimestamp,
    /// `#Timestamp` is not plain decimal Unix seconds; holds the value.
    Timestamp(String),
    /// No `#Instance`.
    NoInstance,
    /// A known field occurs twice; holds its name.
    Repeated(&'static str),
    /// The entry exceeds a limit; holds the limit.
    TooLarge(&'static str),
    /// No signature after the key line.
    NoSignature,
    /// The signature is not base64.
    Signature,
    /// The bundle has more than [`MAX_ENTRIES`] entries or [`MAX_BUNDLE_BYTES`] bytes. One such error covers all
    /// refused entries.
    TooMany,
}

impl EntryError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoKey => Reason::NoKey,
            Self::Key(error) => error.reason(),
            Self::NoTimestamp => Reason::NoTimestamp,
            Self::Timestamp(_) => Reason::TimestampMalformed,
            Self::NoInstance => Reason::NoInstance,
            Self::Repeated(_) => Reason::RepeatedField,
            Self::TooLarge(_) => Reason::EntryTooLarge,
            Self::NoSignature => Reason::NoSignature,
            Self::Signature => Reason::SignatureMalformed,
            Self::TooMany => Reason::TooManyEntries,
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("expected a key line after the # lines, got none"),
            Self::Key(error) => error.fmt(f),
            Self::NoTimestamp => f.write_str("expected a #Timestamp line, got none"),
            Self::Timestamp(came) => {
                write!(f, "expected #Timestamp in decimal Unix seconds, got \"{came}\"")
            }
            Self::NoInstance => f.write_str("expected an #Instance line, got none"),
            Self::Repeated(field) => write!(f, "expected #{field} once, got it twice"),
            Self::TooLarge(bound) => write!(f, "the entry exceeds a limit: {bound}"),
            Self::NoSignature => f.write_str("expected a signature after the key line, got none"),
            Self::Signature => f.write_str("expected a base64 signature, got something else"),
            Self::TooMany => {
                write!(
                    f,
                    "only the first {MAX_ENTRIES} entries of the first {MAX_BUNDLE_BYTES} bytes are judged, the rest is refused"
                )
            }
        }
    }
}

impl KeyBundle {
    /// Reads a bundle. Unreadable text does not cause an error; it becomes an unreadable entry. A blank line ends an
    /// entry. After a key line or a signature, the next `#` line or key line starts a new entry. So a bad entry does
    /// not affect the others.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self::parse_lines(bytes, false)
    }

    /// Reads the first part of a bundle that was too long. One refusal covers the entry that was cut off and all
    /// entries after it.
    #[must_use]
    pub fn parse_cut(bytes: &[u8]) -> Self {
        Self::parse_lines(bytes, true)
    }

    fn parse_lines(bytes: &[u8], cut: bool) -> Self {
        let mut reader = LineReader::default();
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            reader.take(line);
            if reader.entries.len() >= MAX_ENTRIES && reader.draft.is_some() {
                return reader.refuse_the_rest();
            }
        }
        if cut {
            return reader.refuse_the_rest();
        }
        reader.finish_entry();
        Self { entries: reader.entries }
    }

    /// Whether an entry has the key with this fingerprint, or may have it. An unreadable entry without a fingerprint
    /// may have any key.
    #[must_use]
    pub fn may_hold(&self, offered: &Fingerprint) -> bool {
        self.entries.iter().any(|entry| match entry {
            Ok(entry) => entry.key.fingerprint() == offered,
            Err(unreadable) => unreadable.claims.fingerprint.as_ref().is_none_or(|known| known == offered),
        })
    }

    /// The entries, in the order of the bundle.
    pub fn entries(&self) -> &[Result<KeyEntry, UnreadableEntry>] {
        &self.entries
    }
}

/// Reads line by line. It holds the entry that is being read, if any.
#[derive(Default)]
struct LineReader {
    entries: Vec<Result<KeyEntry, UnreadableEntry>>,
    draft: Option<Draft>,
}

/// An entry that is being read. Only the first error is kept.
#[derive(Default)]
struct Draft {
    signed: Vec<u8>,
    fields: usize,
    timestamp: Option<String>,
    claims: Claims,
    key: Option<PublicKey>,
    past_key: bool,
    signature: Vec<u8>,
    error: Option<EntryError>,
}

impl LineReader {
    fn take(&mut self, line: &[u8]) {
        // The signature covers the line with its end. The end, `\n` or `\r\n`, is not part of the content.
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content.iter().all(u8::is_ascii_whitespace) {
            return self.finish_entry();
        }
        let is_field = content.starts_with(b"#");
        // A base64 line has no space. A key line always has one.
        let is_key = !is_field && content.trim_ascii_end().iter().any(|b| matches!(b, b' ' | b'\t'));
        if (is_field || is_key) && self.draft.as_ref().is_some_and(|draft| draft.past_key) {
            self.finish_entry();
        }
        let draft = self.draft.get_or_insert_default();
        if is_field {
            draft.take_field(line, content);
        } else if is_key {
            draft.take_key(line, content);
        } else {
            draft.take_signature(content);
        }
    }

    fn refuse_the_rest(mut self) -> KeyBundle {
        let error = EntryError::TooMany;
        self.entries.push(Err(UnreadableEntry { error, claims: Claims::default() }));
        KeyBundle { entries: self.entries }
    }

    fn finish_entry(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.entries.push(draft.finish());
        }
    }
}

impl Draft {
    fn fail(&mut self, error: EntryError) {
        self.error.get_or_insert(error);
    }

    fn take_field(&mut self, line: &[u8], content: &[u8]) {
        self.fields = self.fields.saturating_add(1);
        if self.fields > MAX_FIELDS || content.len() > MAX_FIELD_BYTES {
            return self.fail(EntryError::TooLarge("64 # lines of at most 4,096 bytes"));
        }
        self.signed.extend_from_slice(line);
        let mut halves = content.splitn(2, |&b| b == b'=');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { return };
        let (slot, field, most) = match name {
            b"#Timestamp" => (&mut self.timestamp, "Timestamp", MAX_VALUE_BYTES),
            b"#Instance" => (&mut self.claims.instance, "Instance", MAX_VALUE_BYTES),
            b"#Caller" => (&mut self.claims.principal, "Caller", MAX_CALLER_BYTES),
            b"#Request" => (&mut self.claims.request_id, "Request", MAX_VALUE_BYTES),
            // An unknown field is part of the signed bytes and is otherwise ignored.
            _ => return,
        };
        // Valid values are not longer than this, so a cut value is not valid.
        let kept = value.get(..most).unwrap_or(value);
        if slot.replace(String::from_utf8_lossy(kept).into_owned()).is_some() {
            self.fail(EntryError::Repeated(field));
        }
    }

    fn take_key(&mut self, line: &[u8], content: &[u8]) {
        self.past_key = true;
        // Keep the line end unchanged, because the signature covers it. A line without an end was cut off.
        self.signed.extend_from_slice(line);
        match PublicKey::parse(content) {
            Ok(key) => {
                self.claims.fingerprint = Some(key.fingerprint().clone());
                self.key = Some(key);
            }
            Err(error) => self.fail(EntryError::Key(error)),
        }
    }

    /// If there was no key line, [`finish`](Self::finish) reports that.
    fn take_signature(&mut self, content: &[u8]) {
        self.past_key = true;
        if self.signature.len().saturating_add(content.len()) > MAX_SIGNATURE_BYTES {
            return self.fail(EntryError::TooLarge("4,096 bytes of signature"));
        }
        self.signature.extend_from_slice(content);
    }

    #[expect(clippy::result_large_err, reason = "the bundle stores both variants")]
    fn finish(self) -> Result<KeyEntry, UnreadableEntry> {
        let claims = self.claims.clone();
        self.validate_entry().map_err(|error| UnreadableEntry { error, claims })
    }

    fn validate_entry(self) -> Result<KeyEntry, EntryError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let key = self.key.ok_or(EntryError::NoKey)?;
        let timestamp = self.timestamp.ok_or(EntryError::NoTimestamp)?;
        let expires = unix_seconds(&timestamp)
            .ok_or_else(|| EntryError::Timestamp(printable_bytes(timestamp.as_bytes(), MAX_SHOWN)))?;
        let instance = self.claims.instance.clone().ok_or(EntryError::NoInstance)?;
        if self.signature.is_empty() {
            return Err(EntryError::NoSignature);
        }
        let signature = decode_base64(&self.signature).ok_or(EntryError::Signature)?;
        Ok(KeyEntry { signed: self.signed, signature, instance, expires, key, claims: self.claims })
    }
}

/// Reads plain decimal Unix seconds. A sign, a space or a leading zero is refused, so each instant has only one
/// spelling.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    // The service does not sign an instant that exceeds a signed 64-bit number.
    let seconds = text.parse::<i64>().ok().filter(|_| plain)?;
    u64::try_from(seconds).ok().map(Timestamp::from_unix)
}

#[cfg(test)]
mod tests;
