//! Key options, and the values of a push in them. The first line of the input has the options of all keys, the second the
//! caller, the third the request ID, the fourth the options of a rule.

use eic_core::identity::LoginName;
use eic_core::key_options::{
    KeyOptions, KeyOptionsError, LinePrefix, Release, RuleOptions, SessionStart, SessionWrapper, Values,
};

use super::assert_printable;

const KEY: &str = "ssh-ed25519 AAAA";

/// Properties: sshd finds the key after every accepted prefix, and no option makes the key a certificate authority. The
/// options on the line are those of the settings: a value of the push adds none, and no option with a value occurs twice.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (of_keys, principal, request_id, of_rule) = (line(), line(), line(), line());
    let options = read(KeyOptions::parse(&of_keys));
    let rule = read(RuleOptions::parse(&of_rule));
    assert!(options.iter().all(|options| options.needs() >= Release::OLDEST));
    let values = Values { principal: Some(&principal), request_id: Some(&request_id) };
    for environment in [false, true] {
        for rule in [None, rule.as_ref()] {
            let prefix = LinePrefix { options: options.clone(), environment };
            wrapped(&prefix, rule, &values);
            let Ok(before) = prefix.of(rule, &values) else { continue };
            assert_printable(&before);
            assert!(before.len() <= 16_383 - 4_097);
            if before.is_empty() {
                continue;
            }
            let line = format!("{before}{KEY}");
            let key = past_options(&line).unwrap_or_else(|| panic!("sshd finds no key: {line:?}"));
            assert_eq!(key, KEY, "{line:?}");
            let lower =
                |text: &str| names(text).iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
            let found = lower(before.trim_end());
            assert!(
                !found.iter().any(|name| ["cert-authority", "principals"].contains(&name.as_str())),
                "{line:?}"
            );
            let mut expected = prefix.shown(rule).map_or_else(Vec::new, |text| lower(&text));
            expected.extend(
                environment
                    .then(|| ["environment".to_owned(), "environment".to_owned()])
                    .into_iter()
                    .flatten(),
            );
            assert_eq!(found, expected, "{line:?}");
            for once in ["command", "from", "tunnel"] {
                assert!(found.iter().filter(|name| *name == once).count() <= 1, "{line:?}");
            }
        }
    }
}

/// Properties of a line with the wrapper: sshd finds the key after it, it has one command, and that command has only words
/// that no shell changes.
fn wrapped(prefix: &LinePrefix, rule: Option<&RuleOptions>, values: &Values<'_>) {
    let user = LoginName::try_from("ec2-user").expect("a name");
    let wrapper = SessionWrapper::new("/usr/bin/eic-agent", &user, "/bin/sh", true).expect("plain paths");
    let Ok(made) = prefix.of_session(rule, values, &SessionStart::Wrapped(wrapper)) else { return };
    assert!(made.options.len() <= 16_383 - 4_097);
    let line = format!("{}{KEY}", made.options);
    assert_eq!(past_options(&line), Some(KEY), "{line:?}");
    if !made.is_wrapped {
        assert!(made.not_wrapped.is_some());
        return;
    }
    let all = names(made.options.trim_end());
    assert_eq!(all.iter().filter(|name| name.eq_ignore_ascii_case("command")).count(), 1, "{line:?}");
    let (_, command) =
        made.options.split_once("command=\"exec /usr/bin/eic-agent session --user=").expect("the wrapper");
    let (command, _) = command.split_once('"').expect("a quote");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" :/_+.@%-=".contains(&byte);
    assert!(command.bytes().all(is_plain), "{line:?}");
}

fn read<T>(parsed: Result<T, KeyOptionsError>) -> Option<T> {
    parsed.map_err(|error| assert!(!error.to_string().contains(char::is_control), "{error}")).ok()
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
