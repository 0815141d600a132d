//! What stands in the user's bundle between two good entries. Both of those come out, whatever it is.

use data_encoding::BASE64;

use super::evidence::Evidence;
use super::judges::{in_files, on_instances};
use super::{FIRST, LAST, Row, judged};
use crate::fixtures::{INSTANCE, key_line, read};
use crate::world::test_path;

const BOTH: &[&str] = &[FIRST, LAST];
const TIMESTAMP: &[&str] = &["timestamp-malformed"];
const REPEATED: &[&str] = &["repeated-field"];
const MALFORMED: &[&str] = &["key-malformed"];
const CERTIFICATE: &[&str] = &["key-is-certificate"];

#[test]
fn from_files() {
    in_files(&rows());
}

#[test]
fn from_metadata() {
    on_instances(test_path!(), &rows());
}

fn rows() -> Vec<Row> {
    [timestamps(), fields(), bytes(), layouts(), key_lines(), key_bodies(), certificates(), signatures()]
        .into_iter()
        .flatten()
        .collect()
}

/// The key of the entry in the middle.
fn other() -> String {
    key_line("other")
}

fn timestamp_line(e: &Evidence) -> String {
    format!("#Timestamp={}", e.now + 600)
}

fn instance_line() -> String {
    format!("#Instance={INSTANCE}")
}

/// The middle entry with this line before its usual ones; all of it is signed.
fn line_before(e: &mut Evidence, line: &str) {
    let (timestamp, instance) = (timestamp_line(e), instance_line());
    e.between_signed(&[line, &timestamp, &instance], other());
}

/// Every one of these was signed: what is odd must not be read as what it was not meant to be.
fn timestamps() -> Vec<Row> {
    vec![
        judged("negative", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=-4102444800")),
        judged("minus zero", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=-0")),
        judged("with a plus sign", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=+4102444800")),
        judged("with a leading zero", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=04102444800")),
        judged("2^63", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=9223372036854775808")),
        judged("2^64", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=18446744073709551616")),
        // Modulo 2^64 this is the year 2100.
        judged("2^64 and a good instant", BOTH, TIMESTAMP, |e| {
            e.between_timestamp("#Timestamp=18446744077811996416");
        }),
        judged("of a thousand digits", BOTH, TIMESTAMP, |e| {
            e.between_timestamp(&format!("#Timestamp=4{}", "0".repeat(1000)));
        }),
        // The last one that fits. It is signed, and it is later than now.
        judged("2^63 - 1", &[FIRST, "other", LAST], &[], |e| {
            e.between_timestamp("#Timestamp=9223372036854775807");
        }),
        judged("the year 10000", &[FIRST, "other", LAST], &[], |e| {
            e.between_timestamp("#Timestamp=253402300800");
        }),
        judged("hexadecimal", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=0xf4865700")),
        judged("octal", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=0o36441453400")),
        judged("with a space before", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp= 4102444800")),
        judged("with a space after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800 ")),
        judged("with a tab after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800\t")),
        judged("with a space within", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=41024 44800")),
        judged("with a NUL after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800\0")),
        judged("with underscores", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4_102_444_800")),
        judged("with commas", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4,102,444,800")),
        judged("a fraction", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800.5")),
        judged("with an exponent", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4e9")),
        judged("infinite", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=inf")),
        judged("in Arabic digits", BOTH, TIMESTAMP, |e| {
            e.between_timestamp(
                "#Timestamp=\u{664}\u{661}\u{660}\u{662}\u{664}\u{664}\u{664}\u{668}\u{660}\u{660}",
            );
        }),
        judged("a date", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=2100-01-01T00:00:00Z")),
        judged("empty", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=")),
        judged("with two equals signs", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp==4102444800")),
        judged("without an equals sign", BOTH, &["no-timestamp"], |e| {
            e.between_timestamp("#Timestamp 4102444800");
        }),
        judged("in lower case", BOTH, &["no-timestamp"], |e| e.between_timestamp("#timestamp=4102444800")),
        judged("after a space", BOTH, &["no-timestamp"], |e| e.between_timestamp("# Timestamp=4102444800")),
        judged("of 1970", BOTH, &["expired"], |e| e.between_timestamp("#Timestamp=0")),
        judged("a second ago", BOTH, &["expired"], |e| {
            let line = format!("#Timestamp={}", e.now - 1);
            e.between_timestamp(&line);
        }),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        judged("the instant twice, the same", BOTH, REPEATED, |e| {
            let line = timestamp_line(e);
            line_before(e, &line);
        }),
        judged("an expired instant, then a good one", BOTH, REPEATED, |e| {
            line_before(e, "#Timestamp=1600000000");
        }),
        judged("a broken instant, then a good one", BOTH, REPEATED, |e| line_before(e, "#Timestamp=")),
        judged("another instance, then this one", BOTH, REPEATED, |e| {
            line_before(e, "#Instance=i-0fedcba9876543210");
        }),
        judged("this instance, then another", BOTH, REPEATED, |e| {
            let lines = [timestamp_line(e), instance_line(), "#Instance=i-0fedcba9876543210".to_owned()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("the caller twice", BOTH, REPEATED, |e| {
            let lines =
                ["#Caller=arn:aws:iam::1:user/a".to_owned(), "#Caller=arn:aws:iam::1:user/b".to_owned()];
            let lines = [&lines[..], &[timestamp_line(e), instance_line()]].concat();
            e.between_signed(&lines.iter().map(String::as_str).collect::<Vec<_>>(), other());
        }),
        judged("the request twice", BOTH, REPEATED, |e| {
            let lines =
                ["#Request=1".to_owned(), "#Request=1".to_owned(), timestamp_line(e), instance_line()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("a field that nobody knows, twice", &[FIRST, "other", LAST], &[], |e| {
            let lines = ["#New=1".to_owned(), "#New=2".to_owned(), timestamp_line(e), instance_line()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("sixty-four fields", &[FIRST, "other", LAST], &[], |e| many_fields(e, 62)),
        judged("sixty-five fields", BOTH, &["entry-too-large"], |e| many_fields(e, 63)),
        judged("another instance", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, "#Instance=i-0fedcba9876543210"], other());
        }),
        judged("this instance in capitals", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(
                &[&line, &instance_line().to_uppercase().replace("#INSTANCE", "#Instance")],
                other(),
            );
        }),
        judged("this instance and more", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("{}0", instance_line())], other());
        }),
        judged("this instance and a NUL", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("{}\0", instance_line())], other());
        }),
        // 128 bytes of a value are kept: what comes after them must not make it right.
        judged("an instance of 4,000 letters", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("#Instance={}", "i".repeat(4000))], other());
        }),
        judged("no instance", BOTH, &["no-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line], other());
        }),
        judged("no field at all", BOTH, &["no-timestamp"], |e| e.between_signed(&[], other())),
        judged("fields after the key", BOTH, &["no-timestamp", "no-key"], |e| {
            let signed = e.entry(other()).signed_text();
            let moved: Vec<_> = signed.split_inclusive(|&byte| byte == b'\n').rev().collect();
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, &moved.concat());
            // Key, fields, signature: the key's entry ends where the fields of the next one begin.
            let entry = [moved.concat(), BASE64.encode(&signature).into_bytes(), b"\n\n".to_vec()].concat();
            e.between(entry);
        }),
    ]
}

fn many_fields(e: &mut Evidence, count: usize) {
    let lines = [vec!["#New=1".to_owned(); count], vec![timestamp_line(e), instance_line()]].concat();
    e.between_signed(&lines.iter().map(String::as_str).collect::<Vec<_>>(), other());
}

/// Bytes that no entry has. Nothing of them was signed unless a row says so.
fn bytes() -> Vec<Row> {
    vec![
        judged("a line of NULs", BOTH, &["no-key"], |e| e.between(b"\0\0\0\0\0\0\0\0\n\n")),
        judged("a NUL in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            line_before(e, "#Caller=a\0b");
        }),
        judged("a NUL after the key, signed", BOTH, MALFORMED, |e| e.between_key(format!("{}\0", other()))),
        // The comment is signed, and never printed.
        judged("a NUL in the key's comment, signed", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!("{} a\0b", other()));
        }),
        judged("escape sequences in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            line_before(e, "#Caller=\x1b[2J\x1b]0;owned\x07");
        }),
        judged("bytes that are no UTF-8 in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            let entry = e.entry(other()).line(b"#Caller=\xff\xfe\xc0\x80").sign(e.key());
            e.between(entry);
        }),
        judged("bytes that are no UTF-8 in the comment, signed", BOTH, MALFORMED, |e| {
            e.between_key([other().as_bytes(), b" \xff\xfe"].concat());
        }),
        judged("a byte order mark before the key, signed", BOTH, MALFORMED, |e| {
            e.between_key(format!("\u{feff}{}", other()));
        }),
        judged("lines that end as on another system, signed", &[FIRST, "other", LAST], &[], |e| {
            let text = String::from_utf8(e.entry(other()).signed_text()).unwrap().replace('\n', "\r\n");
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, text.as_bytes());
            e.between(format!("{text}{}\r\n\r\n", BASE64.encode(&signature)));
        }),
        judged("line ends changed on the way", BOTH, &["bad-signature"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\r\n");
            e.between(text);
        }),
        judged("a carriage return instead of a line end", BOTH, &["no-key"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\r");
            e.between(format!("{text}\n\n"));
        }),
        judged("a form feed instead of a line end", BOTH, &["no-key"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\x0c");
            e.between(format!("{text}\n\n"));
        }),
        judged("a page", BOTH, MALFORMED, |e| e.between("<html><body>503 Slow Down</body></html>\n\n")),
        judged("every byte there is", BOTH, &["no-key", "key-malformed"], |e| {
            e.between([&(0..=255_u8).collect::<Vec<_>>()[..], b"\n\n"].concat());
        }),
    ]
}

fn layouts() -> Vec<Row> {
    vec![
        judged("nothing at all between them", BOTH, &[], |e| e.between("")),
        judged("a thousand blank lines", BOTH, &[], |e| e.between("\n \n\t\n\r\n".repeat(250))),
        judged("a blank line within an entry", BOTH, &["no-key", "no-timestamp"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace("ssh-", "\nssh-");
            e.between(text);
        }),
        judged("a blank line before the signature", BOTH, &["no-signature", "no-key"], |e| {
            let key = other();
            let text = String::from_utf8(e.signed("other")).unwrap().replace(&key, &format!("{key}\n"));
            e.between(text);
        }),
        judged("only the fields of an entry", BOTH, &["no-key"], |e| {
            let fields = format!("{}\n{}\n\n", timestamp_line(e), instance_line());
            e.between(fields);
        }),
        // What follows without a blank line belongs to the next entry, which it spoils: it would not be what was signed.
        judged("a field that runs into the next entry", &[FIRST], &["bad-signature"], |e| {
            e.between("#New=1\n");
        }),
        judged("an instant that runs into the next entry", &[FIRST], REPEATED, |e| {
            e.between("#Timestamp=1\n");
        }),
        judged("the same entry twice", &[FIRST, FIRST, LAST], &[], |e| {
            let again = e.signed(FIRST);
            e.between(again);
        }),
        judged("two keys under one signature", BOTH, &["no-signature", "no-timestamp"], |e| {
            e.between_key(format!("{}\n{}", other(), key_line("ecdsa-256")));
        }),
        judged("the signature twice", BOTH, &["bad-signature"], |e| {
            let entry = String::from_utf8(e.signed("other")).unwrap();
            let signature = entry.lines().rev().nth(1).unwrap();
            e.between(format!("{}{signature}\n\n", entry.trim_end().to_owned() + "\n"));
        }),
        judged("another entry's signature", BOTH, &["bad-signature"], |e| {
            let first = String::from_utf8(e.signed(FIRST)).unwrap();
            let text = first.replace(&key_line(FIRST), &other());
            e.between(text);
        }),
    ]
}

/// The key line is signed in each of these.
fn key_lines() -> Vec<Row> {
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
        // sshd would take what follows a key for its comment, and so do we; it is not printed.
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
        judged("a field in the place of the key", BOTH, &["no-key"], |e| e.between_key("#ssh-ed25519 AAAA")),
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

/// The same key under another name, inside and outside: what follows the name of its algorithm is kept.
fn renamed(key: &str, name: &str) -> String {
    let body = body(key);
    let length = usize::try_from(u32::from_be_bytes(*body.first_chunk().unwrap())).unwrap();
    format!("{name} {}", BASE64.encode(&[wire(&[name.as_bytes()]), body[4 + length..].to_vec()].concat()))
}

fn mislabelled(name: &str, key: &str) -> String {
    format!("{name} {}", BASE64.encode(&body(key)))
}

fn key_bodies() -> Vec<Row> {
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
        // Names of signatures. To OpenSSH they are other names of ssh-rsa: a key with another fingerprint than ours.
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

/// Older releases of OpenSSH (Amazon Linux 2 has 7.4) read these, in any case, as names of the algorithms themselves
/// (`sshkey_type_from_name`): a key with another fingerprint and type than the one that we would log.
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

fn certificates() -> Vec<Row> {
    const ED25519: &str = "ssh-ed25519-cert-v01@openssh.com";
    vec![
        // Signed by ssh-keygen: tests/fixtures/generate.
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
        judged("a plain key that calls itself a certificate inside, too", BOTH, CERTIFICATE, |e| {
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

fn signatures() -> Vec<Row> {
    vec![
        judged("a signature of zeros", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[0; 256]);
            e.between(entry);
        }),
        judged("a signature of no bytes", BOTH, &["no-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[]);
            e.between(entry);
        }),
        judged("a signature of one byte", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[7]);
            e.between(entry);
        }),
        judged("a signature cut in its base64", BOTH, &["signature-malformed"], |e| {
            let entry = e.signed("other");
            e.between([&entry[..entry.len() - 5], b"\n\n"].concat());
        }),
        judged("a signature and a byte more", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other());
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, &entry.signed_text());
            e.between(entry.with_signature(&[signature, vec![0]].concat()));
        }),
        judged("a signature in lines of one digit", &[FIRST, "other", LAST], &[], |e| {
            let entry = e.entry(other()).layout(eic_emulator::SignatureLayout::Wrapped(1)).sign(e.key());
            e.between(entry);
        }),
        judged("a signature by the intermediate", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).sign(&e.signer.intermediate.key);
            e.between(entry);
        }),
        judged("a signature by a stranger", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).sign(&e.stranger.leaf_key);
            e.between(entry);
        }),
    ]
}
