//! The key of an entry: its line, its body, and certificates.

use data_encoding::BASE64;

use super::{BOTH, FIRST, LAST, MALFORMED, Row};
use super::{judged, key_line, other};
use crate::fixtures::read;

const CERTIFICATE: &[&str] = &["key-is-certificate"];

/// The key line is signed in each of these rows.
pub(super) fn key_lines() -> Vec<Row> {
    vec![
        judged("a command before the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("command=\"/bin/id\" {}", other()));
        }),
        judged("an option without a value before the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("no-pty {}", other()));
        }),
        judged("cert-authority before the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("cert-authority {}", other()));
        }),
        judged("@revoked before the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("@revoked {}", other()));
        }),
        judged("an environment variable before the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("environment=\"LD_PRELOAD=/home/x.so\" {}", other()));
        }),
        // sshd and the agent read the text after a key as its comment. The agent does not print it.
        judged("a second key after the key", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!("{} {}", other(), key_line("ecdsa-256")));
        }),
        judged("a second key after a carriage return", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!("{} x\r{}", other(), key_line("ecdsa-256")));
        }),
        judged("an option after the key", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!("{} command=\"/bin/id\"", other()));
        }),
        judged("spaces and tabs around the key", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!(" \t {} \t ", other().replace(' ', " \t ")));
        }),
        judged("a key line that is quoted", BOTH, MALFORMED, |e| e.between_key(format!("\"{}\"", other()))),
        judged("a key line with a space that cannot be seen", BOTH, &["no-key"], |e| {
            e.between_key(other().replace(' ', "\u{a0}"));
        }),
        judged("a private key", BOTH, MALFORMED, |e| {
            e.between_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=");
        }),
        judged("a key of the other format (RFC 4716)", BOTH, MALFORMED, |e| {
            e.between_key("---- BEGIN SSH2 PUBLIC KEY ----");
        }),
        judged("a line of 4,097 characters", BOTH, &["key-too-long"], |e| {
            let line = other() + " ";
            e.between_key(format!("{line}{}", "c".repeat(4097 - line.len())));
        }),
        judged("a line of 4,096 characters", &[FIRST, "other", LAST], &[], |e| {
            let line = other() + " ";
            e.between_key(format!("{line}{}", "c".repeat(4096 - line.len())));
        }),
        judged("a field instead of the key", BOTH, &["no-key"], |e| e.between_key("#ssh-ed25519 AAAA")),
    ]
}

pub(super) fn key_bodies() -> Vec<Row> {
    let mut rows = vec![
        judged("named RSA, an Ed25519 key inside", BOTH, MALFORMED, |e| {
            e.between_key(mislabelled("ssh-rsa", "other"));
        }),
        judged("named Ed25519, an RSA key inside", BOTH, MALFORMED, |e| {
            e.between_key(mislabelled("ssh-ed25519", "rsa-4096"));
        }),
        judged("named P-256, a P-384 key inside", BOTH, MALFORMED, |e| {
            e.between_key(mislabelled("ecdsa-sha2-nistp256", "ecdsa-384"));
        }),
        judged("P-256 by its name, P-384 by its curve", BOTH, MALFORMED, |e| {
            e.between_key(renamed("ecdsa-384", "ecdsa-sha2-nistp256"));
        }),
        judged("a security key's name, a plain key inside", BOTH, MALFORMED, |e| {
            e.between_key(mislabelled("sk-ssh-ed25519@openssh.com", "other"));
        }),
        judged("a plain key's name, a security key inside", BOTH, MALFORMED, |e| {
            e.between_key(mislabelled("ssh-ed25519", "sk-ed25519"));
        }),
        judged("a name in capitals", BOTH, MALFORMED, |e| e.between_key(mislabelled("SSH-ED25519", "other"))),
        judged("base64 cut by one digit", BOTH, MALFORMED, |e| e.between_key(&other()[..other().len() - 1])),
        judged("base64 cut by four digits", BOTH, MALFORMED, |e| {
            e.between_key(&other()[..other().len() - 4]);
        }),
        judged("base64 without its padding", BOTH, MALFORMED, |e| {
            e.between_key(key_line("rsa-4096").trim_end_matches('='));
        }),
        judged("base64 with padding in the middle", BOTH, MALFORMED, |e| {
            e.between_key(format!("{}===={}", &other()[..40], &other()[40..]));
        }),
        judged("base64 for URLs", BOTH, MALFORMED, |e| {
            e.between_key(key_line("rsa-4096").replace('+', "-").replacen('/', "_", 99));
        }),
        judged("one byte after the key", BOTH, MALFORMED, |e| {
            e.between_key(format!("ssh-ed25519 {}", BASE64.encode(&[body("other"), vec![0]].concat())));
        }),
        judged("a length that reaches beyond the end", BOTH, MALFORMED, |e| {
            let mut body = body("other");
            body[18] = 0xff;
            e.between_key(format!("ssh-ed25519 {}", BASE64.encode(&body)));
        }),
        judged("a name of 4 GiB", BOTH, MALFORMED, |e| {
            e.between_key(format!("ssh-ed25519 {}", BASE64.encode(b"\xff\xff\xff\xffssh-ed25519")));
        }),
        judged("a P-256 point off its curve", BOTH, MALFORMED, |e| {
            let mut body = body("ecdsa-256");
            *body.last_mut().unwrap() ^= 1;
            e.between_key(format!("ecdsa-sha2-nistp256 {}", BASE64.encode(&body)));
        }),
        judged("an RSA key with a modulus of 1", BOTH, MALFORMED, |e| {
            e.between_key(line("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[1]]));
        }),
        judged("an RSA key with an exponent of 1", BOTH, MALFORMED, |e| {
            e.between_key(line("ssh-rsa", &[b"ssh-rsa", &[1], &[0x45; 256]]));
        }),
        judged("an option for a name", BOTH, MALFORMED, |e| {
            e.between_key(line("restrict", &[b"restrict", &[7; 32]]));
        }),
        judged("an Ed25519 point of 33 bytes", BOTH, MALFORMED, |e| {
            e.between_key(line("ssh-ed25519", &[b"ssh-ed25519", &[7; 33]]));
        }),
        judged("an RSA key with a negative modulus", BOTH, MALFORMED, |e| {
            e.between_key(line("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[0xc5; 256]]));
        }),
        judged("an RSA key with a padded modulus", BOTH, MALFORMED, |e| {
            e.between_key(line("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[&[0, 0][..], &[0x45; 256]].concat()]));
        }),
        judged("a P-256 point in the short form", BOTH, MALFORMED, |e| {
            e.between_key(line("ecdsa-sha2-nistp256", &[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 33]]));
        }),
        judged("a P-256 point at infinity", BOTH, MALFORMED, |e| {
            e.between_key(line("ecdsa-sha2-nistp256", &[b"ecdsa-sha2-nistp256", b"nistp256", &[0]]));
        }),
        // These are names of signature algorithms. OpenSSH accepts them as names of the key algorithm, and computes
        // another fingerprint than the agent.
        judged("an RSA key by the name of its signature", BOTH, MALFORMED, |e| {
            e.between_key(renamed("rsa-4096", "rsa-sha2-256"));
        }),
        judged("a security key by the name of its signature", BOTH, MALFORMED, |e| {
            e.between_key(renamed("sk-ecdsa", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"));
        }),
    ];
    rows.extend(short_names());
    rows
}

/// Older releases of OpenSSH (Amazon Linux 2 has 7.4) accept these short names, in upper or lower case, as names of
/// key algorithms (`sshkey_type_from_name`). The fingerprint and type that sshd logs would differ from those that the
/// agent logs.
fn short_names() -> Vec<Row> {
    vec![
        judged("an Ed25519 key by its short name", BOTH, MALFORMED, |e| {
            e.between_key(renamed("other", "ED25519"));
        }),
        judged("an RSA key by its short name", BOTH, MALFORMED, |e| {
            e.between_key(renamed("rsa-4096", "rsa"));
        }),
        judged("an ECDSA key by its short name", BOTH, MALFORMED, |e| {
            e.between_key(renamed("ecdsa-256", "Ecdsa"));
        }),
    ]
}

pub(super) fn certificates() -> Vec<Row> {
    const ED25519: &str = "ssh-ed25519-cert-v01@openssh.com";
    vec![
        // ssh-keygen signed this certificate (tests/fixtures/generate).
        judged("a certificate", BOTH, CERTIFICATE, |e| {
            let bundle = String::from_utf8(read("bundles/key-certificate")).unwrap();
            let certificate = bundle.lines().find(|line| line.starts_with("ssh-")).unwrap().to_owned();
            e.between_key(certificate);
        }),
        judged("a certificate by a plain key's name", BOTH, MALFORMED, |e| {
            let bundle = String::from_utf8(read("bundles/key-certificate")).unwrap();
            let certificate = bundle.lines().find(|line| line.starts_with("ssh-")).unwrap();
            e.between_key(certificate.replace(ED25519, "ssh-ed25519"));
        }),
        judged("a plain key by a certificate's name", BOTH, CERTIFICATE, |e| {
            e.between_key(mislabelled(ED25519, "other"));
        }),
        judged("a plain key with a certificate's name inside too", BOTH, CERTIFICATE, |e| {
            e.between_key(renamed("other", ED25519));
        }),
        judged("a certificate of the old form", BOTH, CERTIFICATE, |e| {
            e.between_key(renamed("rsa-4096", "ssh-rsa-cert-v00@openssh.com"));
        }),
        judged("a certificate by the name of its signature", BOTH, CERTIFICATE, |e| {
            e.between_key(renamed("rsa-4096", "rsa-sha2-256-cert-v01@openssh.com"));
        }),
    ]
}

/// The parts of a key's wire form, each after its length (RFC 4253 section 6.6).
fn wire(parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat())
        .collect()
}

fn line(algorithm: &str, parts: &[&[u8]]) -> String {
    format!("{algorithm} {}", BASE64.encode(&wire(parts)))
}

/// The body of a key of `tests/fixtures/keys`.
fn body(name: &str) -> Vec<u8> {
    BASE64.decode(key_line(name).split(' ').nth(1).unwrap().as_bytes()).unwrap()
}

/// The same key under another name, inside and outside. The bytes after the name are kept.
fn renamed(key: &str, name: &str) -> String {
    let body = body(key);
    let length = usize::try_from(u32::from_be_bytes(*body.first_chunk().unwrap())).unwrap();
    format!("{name} {}", BASE64.encode(&[wire(&[name.as_bytes()]), body[4 + length..].to_vec()].concat()))
}

fn mislabelled(name: &str, key: &str) -> String {
    format!("{name} {}", BASE64.encode(&body(key)))
}
