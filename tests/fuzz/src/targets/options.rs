//! Key options, and the environment variables that name the caller of a push. The first line of the input has the
//! options, the second the caller, the third the request ID.

use eic_core::evidence::key_bundle::Claims;
use eic_core::key_options::{KeyOptions, LinePrefix, Release};

use super::assert_printable;

const KEY: &str = "ssh-ed25519 AAAA";

/// Property: sshd finds the key after every accepted prefix, and no option makes the key a certificate authority.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let options = match KeyOptions::parse(lines.next().unwrap_or_default()) {
        Ok(options) => {
            assert!(options.needs() >= Release::OLDEST);
            Some(options)
        }
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            None
        }
    };
    let claims = Claims {
        principal: lines.next().map(str::to_owned),
        request_id: lines.next().map(str::to_owned),
        ..Claims::default()
    };
    for environment in [false, true] {
        let prefix = LinePrefix { options: options.clone(), environment };
        let before = prefix.of(&claims);
        assert_printable(&before);
        if before.is_empty() {
            continue;
        }
        let line = format!("{before}{KEY}");
        let key = past_options(&line).unwrap_or_else(|| panic!("sshd finds no key: {line:?}"));
        assert_eq!(key, KEY, "{line:?}");
        for name in names(before.trim_end()) {
            let name = name.to_ascii_lowercase();
            assert!(!["cert-authority", "principals"].contains(&name.as_str()), "{line:?}");
        }
    }
}

/// Skips options as sshd's `sshkey_advance_past_options` does (OpenSSH, authfile.c and auth2-pubkeyfile.c).
fn past_options(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let mut quoted = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if !quoted && (byte == b' ' || byte == b'\t') {
            return line[at..].trim_start_matches([' ', '\t']).into();
        }
        if byte == b'\\' && bytes.get(at + 1) == Some(&b'"') {
            at += 1;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        at += 1;
    }
    None
}

/// The names of the options, which are separated by commas outside quotes. A backslash before a quote escapes the
/// quote, even after another backslash (OpenSSH, misc.c, `opt_dequote`).
fn names(options: &str) -> Vec<&str> {
    let (mut names, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in options.bytes().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b',' if !quoted => {
                names.push(&options[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = byte == b'\\';
    }
    names.push(&options[start..]);
    names.into_iter().map(|option| option.split('=').next().unwrap_or(option)).collect()
}
