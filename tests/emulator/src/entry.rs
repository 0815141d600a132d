//! The entries of a key bundle, in the format and with the signature of EC2 Instance Connect.

use data_encoding::BASE64;

use crate::pki::{RsaKey, SignatureScheme, wrapped_base64};

/// The line layout of the base64 of the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureLayout {
    /// One long line.
    #[default]
    SingleLine,
    /// Lines with this many characters.
    Wrapped(usize),
}

/// One entry: its lines in the order of their addition, then the key line.
#[derive(Clone, Debug)]
pub struct Entry {
    lines: Vec<Vec<u8>>,
    key_line: Vec<u8>,
    layout: SignatureLayout,
    scheme: SignatureScheme,
}

impl Entry {
    /// An entry that contains only its key line.
    pub fn new(key_line: impl AsRef<[u8]>) -> Self {
        Self {
            lines: Vec::new(),
            key_line: key_line.as_ref().to_vec(),
            layout: SignatureLayout::default(),
            scheme: SignatureScheme::ENTRY,
        }
    }

    /// Adds the instant of expiry, in Unix seconds.
    #[must_use]
    pub fn timestamp(self, instant: i64) -> Self {
        self.line(format!("#Timestamp={instant}"))
    }

    /// Adds the ID of the instance.
    #[must_use]
    pub fn instance(self, id: &str) -> Self {
        self.line(format!("#Instance={id}"))
    }

    /// Adds the caller's ARN.
    #[must_use]
    pub fn caller(self, arn: &str) -> Self {
        self.line(format!("#Caller={arn}"))
    }

    /// Adds the request ID.
    #[must_use]
    pub fn request(self, id: &str) -> Self {
        self.line(format!("#Request={id}"))
    }

    /// Adds any line before the key line. `line` has no line end.
    #[must_use]
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.lines.push(line.as_ref().to_vec());
        self
    }

    /// Sets the layout of the signature.
    #[must_use]
    pub fn layout(mut self, layout: SignatureLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the scheme of the signature.
    #[must_use]
    pub fn scheme(mut self, scheme: SignatureScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// The text that the signature covers: every line with its line end.
    pub fn signed_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for line in self.lines.iter().chain(std::iter::once(&self.key_line)) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text
    }

    /// The entry with a signature by `key` and the final blank line.
    pub fn sign(&self, key: &RsaKey) -> Vec<u8> {
        self.with_signature(&key.sign(self.scheme, &self.signed_text()))
    }

    /// The entry with the given bytes as its signature.
    pub fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let base64 = match self.layout {
            SignatureLayout::SingleLine => BASE64.encode(signature) + "\n",
            SignatureLayout::Wrapped(width) => wrapped_base64(signature, width),
        };
        [self.signed_text(), base64.into_bytes(), b"\n".to_vec()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_has_the_protocols_format() {
        let entry = Entry::new("ssh-ed25519 AAAA")
            .timestamp(1_738_233_608)
            .instance("i-0123456789abcdef0")
            .caller("arn:aws:sts::123456789012:assumed-role/Admin/someone")
            .request("ea46ab38-4454-451f-bf75-2bd1fd154f0f");
        let text = String::from_utf8(entry.with_signature(b"signed")).unwrap();
        assert_eq!(
            text,
            "#Timestamp=1738233608\n#Instance=i-0123456789abcdef0\n\
             #Caller=arn:aws:sts::123456789012:assumed-role/Admin/someone\n\
             #Request=ea46ab38-4454-451f-bf75-2bd1fd154f0f\nssh-ed25519 AAAA\nc2lnbmVk\n\n"
        );
        let wrapped = entry.layout(SignatureLayout::Wrapped(4)).with_signature(b"signed");
        assert!(String::from_utf8(wrapped).unwrap().ends_with("AAAA\nc2ln\nbmVk\n\n"));
    }
}
