//! Account, principal and ids replaced, each by one of its own form, so that what belonged together still
//! does. It is for reading alone: nothing signed holds any more.

use super::Capture;

/// The fields of a key bundle that tell who and where, and what stands for them.
const FIELDS: [(&str, &str); 3] =
    [("#Caller=", "redacted-principal"), ("#Request=", "redacted-request"), ("#Instance=", "i-redacted")];

impl Capture {
    /// The same with account, principal, instance ids and request ids replaced wherever they stand.
    #[must_use]
    pub fn redact(mut self) -> Self {
        self.redacted = true;
        let mut secrets: Vec<(String, String)> = Vec::new();
        let mut add = |secret: &str, form: &str| {
            let known = secrets.iter().any(|(known, _)| known == secret);
            if !secret.is_empty() && !known {
                let number = secrets.iter().filter(|(_, stand_in)| stand_in.starts_with(form)).count();
                secrets.push((secret.to_owned(), format!("{form}-{}", number.saturating_add(1))));
            }
        };
        for id in self.machine.iter().filter(|id| id.starts_with("i-")) {
            add(id, "i-redacted");
        }
        for item in &self.items {
            let Some(text) = &item.text else { continue };
            if item.path.contains("/instance-id") {
                add(text.trim(), "i-redacted");
            }
            for line in text.lines() {
                for (field, form) in FIELDS {
                    if let Some(value) = line.strip_prefix(field) {
                        add(value.trim(), form);
                        if field == "#Caller=" {
                            accounts(value).for_each(|account| add(account, "redacted-account"));
                        }
                    }
                }
            }
        }
        // The longest first: a principal holds its account.
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        let clean = |text: &mut String| {
            for (secret, stand_in) in &secrets {
                *text = text.replace(secret.as_str(), stand_in);
            }
        };
        if let Some(machine) = &mut self.machine {
            clean(machine);
        }
        for item in &mut self.items {
            // A signature is of no more use, and what is not text was not looked through.
            item.base64 = item.base64.take().map(|_| String::new());
            if let Some(text) = &mut item.text {
                clean(text);
            }
            if let Some(error) = &mut item.error {
                clean(&mut error.detail);
            }
        }
        self
    }
}

/// Twelve digits in a row are an account.
fn accounts(principal: &str) -> impl Iterator<Item = &str> {
    principal.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == 12)
}

#[cfg(test)]
mod tests {
    use crate::capture::{Answer, Capture, Item};
    use crate::time::Timestamp;

    #[test]
    fn nothing_that_names_anybody_stays() {
        let mut capture = Capture::new(Timestamp::from_unix(1), Some("i-0123456789abcdef0".to_owned()));
        let keys = "#Instance=i-0123456789abcdef0\n#Caller=arn:aws:sts::123456789012:assumed-role/Admin/alice\n\
                    #Request=ea46ab38-4454\n#Timestamp=9\nssh-ed25519 AAAA\nc2ln\n\n\
                    #Caller=arn:aws:iam::210987654321:user/bob\n#Request=ea46ab38-4454\n";
        capture.items = vec![
            Item::new("/latest/meta-data/instance-id/", 0.0, Answer::Body(b"i-0fedcba9876543210\n".to_vec())),
            Item::new("/keys", 0.0, Answer::Body(keys.into())),
            Item::new("/binary", 0.0, Answer::Body(b"\xffalice 123456789012".to_vec())),
        ];
        let redacted = capture.redact();
        assert!(redacted.redacted);
        let text = redacted.to_json().unwrap();
        for secret in ["123456789", "210987654321", "alice", "bob", "Admin", "ea46ab38", "fedcba"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(text.matches("redacted-request-1").count(), 2, "the same stays the same");
        assert!(text.contains("redacted-principal-2") && text.contains("ssh-ed25519 AAAA"), "{text}");
        assert_eq!(redacted.machine.as_deref(), Some("i-redacted-1"));
    }
}
