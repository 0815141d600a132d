//! Values of a push in the options of a rule: `%{principal}`.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use crate::identity::{account_of, role_and_session_of};

/// A value that the options of a rule can contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// The ARN of the principal.
    Principal,
    /// The account of the principal: twelve digits.
    Account,
    /// The name of the role, if the principal is a session of a role.
    Role,
    /// The name of that session.
    Session,
    /// The id of the push request, as CloudTrail records it.
    RequestId,
}

impl Template {
    pub(super) const ALL: [Self; 5] =
        [Self::Principal, Self::Account, Self::Role, Self::Session, Self::RequestId];

    /// The name between the braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Account => "account",
            Self::Role => "role",
            Self::Session => "session",
            Self::RequestId => "request_id",
        }
    }

    /// The name in messages.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Account => "account of twelve digits",
            Self::Role => "role",
            Self::Session => "session of a role",
            Self::RequestId => "request id",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.name() == name)
    }
}

/// The values of one push. The signer signed them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'v> {
    /// The ARN of the principal.
    pub principal: Option<&'v str>,
    /// The id of the push request.
    pub request_id: Option<&'v str>,
}

impl<'v> Values<'v> {
    fn get(&self, template: Template) -> Option<&'v str> {
        let role_and_session = || self.principal.and_then(role_and_session_of);
        let value = match template {
            Template::Principal => self.principal,
            Template::Account => self
                .principal
                .and_then(account_of)
                .filter(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())),
            Template::Role => role_and_session().map(|(role, _)| role),
            Template::Session => role_and_session().map(|(_, session)| session),
            Template::RequestId => self.request_id,
        };
        value.filter(|value| !value.is_empty())
    }
}

/// A part of a value of an option.
enum Piece<'t> {
    Text(&'t str),
    /// The name between `%{` and `}`.
    Name(&'t str),
    /// The rest of a text without the `}`.
    Open(&'t str),
}

/// Splits the first part off. `%%{` is the text `%{`.
fn next(text: &str) -> Option<(Piece<'_>, &str)> {
    if let Some(rest) = text.strip_prefix("%%{") {
        return Some((Piece::Text("%{"), rest));
    }
    if let Some(rest) = text.strip_prefix("%{") {
        return Some(
            rest.split_once('}').map_or((Piece::Open(rest), ""), |(name, rest)| (Piece::Name(name), rest)),
        );
    }
    let first = text.chars().next()?;
    let end = text.char_indices().skip(1).find(|(_, c)| *c == '%').map_or(text.len(), |(at, _)| at);
    let end = end.max(first.len_utf8());
    text.split_at_checked(end).map(|(part, rest)| (Piece::Text(part), rest))
}

/// Whether there is a template. The error is a name that no template has.
pub(super) fn check(text: &str) -> Result<bool, String> {
    let (mut rest, mut has_one) = (text, false);
    while let Some((piece, after)) = next(rest) {
        match piece {
            Piece::Text(_) => {}
            Piece::Name(name) => {
                Template::named(name).ok_or_else(|| name.to_owned())?;
                has_one = true;
            }
            Piece::Open(rest) => return Err(rest.to_owned()),
        }
        rest = after;
    }
    Ok(has_one)
}

/// Replaces each template by its value, which cannot leave its place: see [`encoded_word`]. The error is a template without
/// a value.
pub(super) fn expand(text: &str, values: &Values<'_>) -> Result<String, Template> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((piece, after)) = next(rest) {
        match piece {
            Piece::Text(part) => expanded.push_str(part),
            Piece::Name(name) => {
                if let Some(template) = Template::named(name) {
                    let value = values.get(template).ok_or(template)?;
                    expanded.push_str(&encoded_word(value));
                }
            }
            // `check` refused this, and other names.
            Piece::Open(_) => {}
        }
        rest = after;
    }
    Ok(expanded)
}

/// Longest value, in bytes before encoding. This is the length of IAM's longest ARN.
const MAX_VALUE: usize = 2048;

/// Encodes all bytes as `%XX` except those that occur in ARNs and request ids. So a value can close neither its quotes
/// nor its line.
pub(super) fn percent_encoded(value: &str) -> String {
    encoded(value, MAX_VALUE, |_, byte| byte.is_ascii_alphanumeric() || b":/_+=.@-".contains(&byte))
}

/// Encodes like [`percent_encoded`], for a word of a shell's command line. It also encodes `=`, and other punctuation at the
/// beginning and after a slash. So a value is one word in every shell, with and without quotes. It is no option (`-x`), no
/// assignment for `env` or `sudo` (`LD_PRELOAD=x`), no file to read (`@x`), and it does not lead out of a folder (`..`).
pub(super) fn encoded_word(value: &str) -> String {
    encoded(value, MAX_VALUE, |before, byte| {
        let is_inner = before.is_some_and(|before| before != b'/');
        byte.is_ascii_alphanumeric() || byte == b'_' || (is_inner && b":/+.@-".contains(&byte))
    })
}

/// Encodes a whole text like [`encoded_word`]. The text is from the settings, and the line bounds it.
pub(super) fn encoded_all(text: &str) -> String {
    encoded(text, usize::MAX, |_, byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The bytes of an encoded text. `None` if a `%` has no two hexadecimal digits after it.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(data_encoding::HEXUPPER.decode(digits.as_bytes()).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// Encodes the first `limit` bytes, except those that `is_kept` accepts. It gets the byte before each byte, too.
fn encoded(value: &str, limit: usize, is_kept: impl Fn(Option<u8>, u8) -> bool) -> String {
    let mut encoded = String::with_capacity(value.len());
    let mut before = None;
    for byte in value.bytes().take(limit) {
        if is_kept(before, byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
        before = Some(byte);
    }
    encoded
}
