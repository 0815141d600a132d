//! Replaces accounts, principals, login names and ids by pseudonyms. The same value always gets the same pseudonym. The
//! result is only for reading: signatures of keys are removed, because they are not valid any more.

use std::collections::HashMap;

use super::Capture;

/// Path of the list of users. The key bundle of a user is at this path plus the user's name.
const USERS: &str = "/latest/meta-data/managed-ssh-keys/active-keys/";

/// The fields of a key bundle that identify a person or an instance, and the pseudonyms for their values.
const FIELDS: [(&str, &str); 3] =
    [("#Caller=", "redacted-principal"), ("#Request=", "redacted-request"), ("#Instance=", "i-redacted")];

/// The one field that identifies no person and no instance. Its value is kept.
const TIMESTAMP: &str = "#Timestamp=";

/// The pseudonym of each value, numbered in the order of their first use.
#[derive(Default)]
struct Pseudonyms {
    known: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
}

impl Capture {
    /// The capture with every identifying value replaced. How a text is searched depends on the path of its item.
    #[must_use]
    pub fn redact(mut self) -> Self {
        self.redacted = true;
        let mut stand_ins = Pseudonyms::default();
        self.machine = self.machine.map(|machine| {
            let is_id = machine.starts_with("i-");
            if is_id { stand_ins.of("i-redacted", &machine) } else { machine }
        });
        self.server = self.server.map(|server| stand_ins.scan(&server));
        for item in &mut self.items {
            // Binary answers cannot be searched for names, so drop them.
            item.base64 = item.base64.take().map(|_| String::new());
            let user = item.path.strip_prefix(USERS).map(|user| user.trim_end_matches('/').to_owned());
            let is_bundle = user.as_deref().is_some_and(|user| !user.is_empty());
            if let Some(text) = &mut item.text {
                *text = match user.as_deref() {
                    Some("") => {
                        lines(text, |user| stand_ins.of("redacted-user", user.trim().trim_end_matches('/')))
                    }
                    Some(_) => bundle(text, &mut stand_ins),
                    None if item.path.ends_with("/instance-id/") => stand_ins.of("i-redacted", text.trim()),
                    // Certificates and staples contain only names of the service.
                    None if is_armour(text) => text.clone(),
                    None => stand_ins.scan(text),
                };
            }
            if let Some(user) = user.filter(|_| is_bundle) {
                item.path = format!("{USERS}{}/", stand_ins.of("redacted-user", &user));
            }
            if let Some(error) = &mut item.error {
                error.detail = stand_ins.scan(&error.detail);
            }
        }
        self
    }
}

impl Pseudonyms {
    fn of(&mut self, form: &'static str, secret: &str) -> String {
        if let Some(known) = self.known.get(secret) {
            return known.clone();
        }
        let count = self.counts.entry(form).or_default();
        *count = count.saturating_add(1);
        let stand_in = format!("{form}-{count}");
        self.known.insert(secret.to_owned(), stand_in.clone());
        stand_in
    }

    /// Replaces every word that contains an ARN, an instance id, an account number or an `@`.
    fn scan(&mut self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_:/@.+=,".contains(c);
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, word) = rest.split_at(start);
            let (word, after) = word.split_at(word.find(|c| !is_part(c)).unwrap_or(word.len()));
            clean.push_str(before);
            let has_account = word.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 12);
            let has_id = word.split(['/', ':', '.', ',', '=']).any(is_instance_id);
            if word.starts_with("arn:") || has_account || has_id || word.contains('@') {
                clean.push_str(&self.of("redacted", word));
            } else {
                clean.push_str(word);
            }
            rest = after;
        }
        clean.push_str(rest);
        clean
    }
}

/// `i-` and at least eight hexadecimal digits.
fn is_instance_id(word: &str) -> bool {
    word.strip_prefix("i-")
        .is_some_and(|digits| digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether the text is PEM or base64 and nothing else, as certificates and staples are.
fn is_armour(text: &str) -> bool {
    let is_base64 = |line: &str| line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let is_mark = |line: &str| line.starts_with("-----") && line.ends_with(" CERTIFICATE-----");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    text.len() > 200 && lines.all(|line| is_mark(line) || is_base64(line))
}

/// A key bundle with its fields replaced. A key line keeps only its algorithm and key. Signatures are removed.
fn bundle(text: &str, stand_ins: &mut Pseudonyms) -> String {
    let mut has_key = false;
    lines(text, |line| {
        if line.trim().is_empty() {
            has_key = false;
            return String::new();
        }
        if let Some((field, form)) = FIELDS.into_iter().find(|(field, _)| line.starts_with(field)) {
            return format!(
                "{field}{}",
                stand_ins.of(form, line.strip_prefix(field).unwrap_or_default().trim())
            );
        }
        if line.starts_with('#') {
            let (name, _) = line.split_once('=').unwrap_or(("#", ""));
            return if line.starts_with(TIMESTAMP) { line.to_owned() } else { format!("{name}=redacted") };
        }
        if std::mem::replace(&mut has_key, true) {
            return "redacted-signature".to_owned();
        }
        // Options and comments of a key may contain names.
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    })
}

/// Replaces each line, and keeps the line ends.
fn lines(text: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        replaced.push_str(&replace(content));
        replaced.push_str(line.get(content.len()..).unwrap_or_default());
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::USERS;
    use crate::capture::document::{Capture, CapturedAnswer, Item};
    use eic_core::reason::Reason;
    use eic_core::time::Timestamp;

    fn capture(items: Vec<(&str, CapturedAnswer)>) -> Capture {
        let mut capture = Capture::new(Timestamp::from_unix(1), Some("i-0123456789abcdef0".to_owned()));
        capture.server = Some("proxy of alice@corp.example".to_owned());
        capture.items = items.into_iter().map(|(path, answer)| Item::new(path, 0.0, answer)).collect();
        capture
    }

    #[test]
    fn redacted_capture_names_no_account_principal_or_user() {
        let keys = "#Instance=i-0123456789abcdef0\n#Caller=arn:aws:sts::123456789012:assumed-role/Admin/alice\n\
                    #Request=ea46ab38-4454\n#Timestamp=9\n#Odd=alice\nssh-ed25519 AAAA alice@corp\nc2ln\nc2ln\n\n\
                    #Caller=arn:aws:iam::210987654321:user/bob\n#Request=ea46ab38-4454\n";
        let redacted = capture(vec![
            ("/latest/meta-data/instance-id/", CapturedAnswer::Body(b"i-0fedcba9876543210\n".to_vec())),
            (USERS, CapturedAnswer::Body(b"alice.smith/\nbob\n".to_vec())),
            (&format!("{USERS}alice.smith/"), CapturedAnswer::Body(keys.into())),
            ("/binary", CapturedAnswer::Body(b"\xffalice 123456789012".to_vec())),
            (
                "/page",
                CapturedAnswer::Body(
                    b"<p>arn:aws:iam::123456789012:user/alice on i-0123456789abcdef0</p>".to_vec(),
                ),
            ),
            (
                "/failed",
                CapturedAnswer::Failed(Reason::MetadataMalformed, "came from 123456789012".to_owned()),
            ),
        ])
        .redact();
        assert!(redacted.redacted);
        let text = redacted.to_json().unwrap();
        for secret in
            ["123456789", "210987654321", "alice", "bob", "Admin", "ea46ab38", "fedcba", "c2ln", "corp"]
        {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(text.matches("redacted-request-1").count(), 2, "equal values get equal pseudonyms");
        assert!(text.contains("redacted-principal-2") && text.contains("ssh-ed25519 AAAA\\n"), "{text}");
        assert!(text.contains("#Timestamp=9") && text.contains("active-keys/redacted-user-1/"), "{text}");
        assert_eq!(redacted.machine.as_deref(), Some("i-redacted-1"));
    }

    #[test]
    fn document_with_many_pseudonyms_stays_small() {
        let letters = ('a'..='z').map(String::from);
        let numbers = (0..50_000).map(|number| format!("r{number}"));
        let requests = letters.chain(numbers).collect::<Vec<_>>().join("\n#Request=");
        let keys = format!("#Request={requests}\n{}", "e".repeat(500_000));
        let redacted =
            capture(vec![(&format!("{USERS}u/"), CapturedAnswer::Body(keys.clone().into_bytes()))]).redact();
        assert!(redacted.to_json().unwrap().len() < 4 * keys.len());
    }

    #[test]
    fn certificates_stay_readable() {
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            "A123456789012".repeat(40)
        );
        let redacted = capture(vec![("/pem", CapturedAnswer::Body(pem.clone().into_bytes()))]).redact();
        assert_eq!(redacted.answer("/pem"), CapturedAnswer::Body(pem.into_bytes()));
    }
}
