//! The key bundle: entries of `#` lines, a key line and a signature.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::evidence::decode_base64;
use crate::evidence::public_key::{PublicKey, PublicKeyError};
use crate::fingerprint::Fingerprint;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable_bytes};
use crate::time::Timestamp;

/// Most of a bundle that is read, in bytes: about three thousand entries.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;

/// Most entries that are judged, good or bad. A key lives for a minute and the API throttles pushes, so an
/// honest bundle holds a handful. Each entry costs one RSA verification, and their work has a bound of its own
/// (`MAX_ENTRY_CHECKS` of `verification`).
pub const MAX_ENTRIES: usize = 2048;

/// Most `#` lines of an entry (four are known).
const MAX_FIELDS: usize = 64;

/// Longest `#` line, in bytes: IAM's longest ARN is 2,048 characters.
const MAX_FIELD_BYTES: usize = 4096;

/// Most that is kept of `#Caller`, in bytes: IAM's longest ARN.
const MAX_CALLER_BYTES: usize = 2048;

/// Most that is kept of `#Request`, `#Instance` and `#Timestamp`, in bytes: more than any that could hold.
const MAX_VALUE_BYTES: usize = 128;

/// Longest signature text, in bytes; an RSA-8192 signature is 1,368 characters of base64.
const MAX_SIGNATURE_BYTES: usize = 4096;

/// The entries of one user's bundle, in order; each readable, or refused by itself.
#[derive(Debug, Default)]
pub struct KeyBundle {
    entries: Vec<Result<KeyEntry, UnreadableEntry>>,
}

/// One readable entry: what it says, and the bytes that its signature must cover. All of it is untrusted.
#[derive(Debug)]
pub struct KeyEntry {
    /// Every `#` line and the key line exactly as sent, each with its line end.
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) instance: String,
    pub(crate) expires: Timestamp,
    pub(crate) key: PublicKey,
    pub(crate) claims: Claims,
}

impl KeyEntry {
    /// The key. Untrusted like all of it.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key's algorithm. Untrusted like all of it.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.key.algorithm()
    }
}

/// What an entry says of itself, for the reader of a log. Signed only when the entry was accepted.
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

/// An entry that says too little, or too much, to be judged.
#[derive(Debug)]
pub struct UnreadableEntry {
    /// What is wrong with it.
    pub error: EntryError,
    /// What could be read of it.
    pub claims: Claims,
}

/// Why an entry cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// `#` lines without a key line.
    NoKey,
    /// The key line is not one public key.
    Key(PublicKeyError),
    /// No `#Timestamp`.
    NoTimestamp,
    /// `#Timestamp` is not plain decimal Unix seconds; holds what came.
    Timestamp(String),
    /// No `#Instance`.
    NoInstance,
    /// A known field twice; holds its name.
    Repeated(&'static str),
    /// A bound was passed; holds which.
    TooLarge(&'static str),
    /// No signature after the key line.
    NoSignature,
    /// The signature is not base64.
    Signature,
    /// More than [`MAX_ENTRIES`] entries, or [`MAX_BUNDLE_BYTES`] bytes: this stands for all the rest.
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
            Self::TooLarge(bound) => write!(f, "the entry passes a bound: {bound}"),
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
    /// Reads a bundle. There is no error: what cannot be read is one unreadable entry, and the next `#`
    /// line, key line or blank line starts afresh, so that a bad entry costs nobody else's login.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self::parse_lines(bytes, false)
    }

    /// Reads the first part of a bundle that was too long to be read whole: the entry that the cut went
    /// through, and all that would have followed, is one refusal.
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

    /// Whether one of the entries is, or may be, for the key with this fingerprint.
    #[must_use]
    pub fn may_hold(&self, offered: &Fingerprint) -> bool {
        self.entries.iter().any(|entry| match entry {
            Ok(entry) => entry.key.fingerprint() == offered,
            Err(unreadable) => unreadable.claims.fingerprint.as_ref().is_none_or(|known| known == offered),
        })
    }

    /// The entries, in the order in which they stand.
    pub fn entries(&self) -> &[Result<KeyEntry, UnreadableEntry>] {
        &self.entries
    }
}

/// Walks the lines; holds the entry that is being read, if any.
#[derive(Default)]
struct LineReader {
    entries: Vec<Result<KeyEntry, UnreadableEntry>>,
    draft: Option<Draft>,
}

/// An entry in the making. The first thing that is wrong with it is kept; later ones do not matter.
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
        // What is signed is the line as it came. Its end, `\n` or `\r\n`, is no part of what it says.
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content.iter().all(u8::is_ascii_whitespace) {
            return self.finish_entry();
        }
        let is_field = content.starts_with(b"#");
        // Base64 has no gap in it, every key line has one.
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
            // A name that nobody knows yet: signed along, and otherwise not our business.
            _ => return,
        };
        // What is cut here is longer than anything that it could be equal to.
        let kept = value.get(..most).unwrap_or(value);
        if slot.replace(String::from_utf8_lossy(kept).into_owned()).is_some() {
            self.fail(EntryError::Repeated(field));
        }
    }

    fn take_key(&mut self, line: &[u8], content: &[u8]) {
        self.past_key = true;
        // Without its line end the line was cut off, and what was signed had one.
        self.signed.extend_from_slice(line);
        match PublicKey::parse(content) {
            Ok(key) => {
                self.claims.fingerprint = Some(key.fingerprint().clone());
                self.key = Some(key);
            }
            Err(error) => self.fail(EntryError::Key(error)),
        }
    }

    /// Where no key came before it, [`finish`](Self::finish) finds that there is none.
    fn take_signature(&mut self, content: &[u8]) {
        self.past_key = true;
        if self.signature.len().saturating_add(content.len()) > MAX_SIGNATURE_BYTES {
            return self.fail(EntryError::TooLarge("4,096 bytes of signature"));
        }
        self.signature.extend_from_slice(content);
    }

    #[expect(clippy::result_large_err, reason = "no error on its way up: both sides lie in the bundle")]
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

/// Plain decimal Unix seconds: no sign, no space, no leading zero, so that one instant has one spelling.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    // Whatever does not fit a signed 64-bit number is no instant that a service would sign.
    let seconds = text.parse::<i64>().ok().filter(|_| plain)?;
    u64::try_from(seconds).ok().map(Timestamp::from_unix)
}

#[cfg(test)]
mod tests;
