//! Invalid keys, compared with ssh-keygen. If the agent accepts a key, OpenSSH must read the same key.

use std::io::Write as _;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use eic_core::evidence::public_key::PublicKey;

use crate::fixtures::key_line;

/// The results of the agent and of OpenSSH for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Both read the same key: the fingerprints are equal.
    Key,
    /// Both refuse it.
    NoKey,
    /// OpenSSH reads it, and the agent refuses it: no signature verifies with it, or anyone can forge one.
    Stricter,
}

use Word::{Key, NoKey, Stricter};

/// `ALGORITHM BASE64` of the parts of a wire form (RFC 4253 section 6.6).
fn line(parts: &[&[u8]]) -> String {
    let wire = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
    let name = String::from_utf8(parts[0].to_vec()).unwrap();
    format!("{name} {}", BASE64.encode(&parts.iter().flat_map(wire).collect::<Vec<_>>()))
}

/// The parts of a key of `tests/fixtures/keys`.
fn parts(name: &str) -> Vec<Vec<u8>> {
    let mut rest = BASE64.decode(key_line(name).split(' ').nth(1).unwrap().as_bytes()).unwrap();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk().unwrap())).unwrap();
        parts.push(rest[4..4 + length].to_vec());
        rest.drain(..4 + length);
    }
    parts
}

fn rebuilt(parts: &[Vec<u8>]) -> String {
    line(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A key in which the part at `place` is changed.
fn changed(name: &str, place: usize, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut parts = parts(name);
    change(&mut parts[place]);
    rebuilt(&parts)
}

/// OpenSSH's fingerprint of a line. `None` if ssh-keygen reads no key there.
fn openssh(line: &str) -> Option<String> {
    let mut reader = Command::new("ssh-keygen")
        .args(["-lf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ssh-keygen is installed");
    reader.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let said = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    said.split(' ').nth(1).map(str::to_owned)
}

fn judged(rows: &[(&str, String, Word)]) {
    let mut faults = Vec::new();
    for (name, line, expected) in rows {
        let ours = PublicKey::parse(line.as_bytes()).ok().map(|key| key.fingerprint().to_string());
        let theirs = openssh(line);
        let word = match (&ours, &theirs) {
            (Some(ours), Some(theirs)) if ours == theirs => Some(Key),
            (None, None) => Some(NoKey),
            (None, Some(_)) => Some(Stricter),
            _ => None,
        };
        if word != Some(*expected) {
            faults
                .push(format!("{name}: expected {expected:?}, got {ours:?}, ssh-keygen {theirs:?}: {line}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn points_off_their_curve_are_refused() {
    let mut rows = Vec::new();
    for (name, point) in [("ecdsa-256", 2), ("ecdsa-384", 2), ("ecdsa-521", 2), ("sk-ecdsa", 2)] {
        let size = (parts(name)[point].len() - 1) / 2;
        rows.push((name, key_line(name), Key));
        rows.push((name, changed(name, point, |point| *point.last_mut().unwrap() ^= 1), NoKey));
        rows.push((name, changed(name, point, |point| point[size] ^= 1), NoKey));
        rows.push((name, changed(name, point, |point| point[1..].fill(0)), NoKey));
        rows.push((name, changed(name, point, |point| point[1..].fill(0xff)), NoKey));
        // x and y are swapped. Unlike (x, p - y), this point is not on the curve.
        rows.push((name, changed(name, point, |point| point[1..].rotate_left(size)), NoKey));
        rows.push((name, changed(name, point, |point| point[0] = 2), NoKey));
    }
    judged(&rows);
}

#[test]
fn numbers_that_make_no_rsa_key_are_refused() {
    let rsa = |e: &[u8], n: &[u8]| line(&[b"ssh-rsa", e, n]);
    let odd = |size: usize| [vec![0x45; size - 1], vec![0x47]].concat();
    let (f4, long) = ([1, 0, 1], odd(256));
    judged(&[
        ("2,047 bits", rsa(&f4, &long), Key),
        ("a real key", key_line("rsa-2048"), Key),
        ("a longer one", key_line("rsa-4096"), Key),
        ("exponent 3", rsa(&[3], &long), Key),
        ("n = 1", rsa(&f4, &[1]), NoKey),
        ("n = 0", rsa(&f4, &[]), NoKey),
        ("n of 1,023 bits", rsa(&f4, &odd(128)), NoKey),
        ("n of 1,024 bits", rsa(&f4, &[&[0, 0xc5][..], &odd(127)].concat()), Key),
        ("a negative n", rsa(&f4, &[0xc5; 256]), NoKey),
        ("n of 16,384 bits", rsa(&f4, &[&[0, 0xc5][..], &odd(2047)].concat()), Key),
        ("n of 16,385 bits", rsa(&f4, &[&[1][..], &odd(2048)].concat()), NoKey),
        ("an even n", rsa(&f4, &[0x46; 256]), Stricter),
        ("e = 0", rsa(&[], &long), Stricter),
        ("e = 1", rsa(&[1], &long), Stricter),
        ("e = 2", rsa(&[2], &long), Stricter),
        ("an even e", rsa(&[1, 0, 0], &long), Stricter),
        ("e = n", rsa(&long, &long), Stricter),
        ("e beyond n", rsa(&odd(257), &long), Stricter),
        ("a negative e", rsa(&[0x81], &long), NoKey),
    ]);
}

/// y, modulo p, of the points whose order divides 8 (RFC 8032 section 5.1). Each has both signs of x.
#[test]
fn ed25519_points_of_a_small_order_are_refused() {
    let decoded = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let middle = "ff".repeat(30);
    let mut rows = vec![
        ("a real key", key_line("ed25519"), Key),
        ("a real security key", key_line("sk-ed25519"), Key),
        ("y = 2", changed("ed25519", 1, |point| *point = [&[2][..], &[0; 31]].concat()), Key),
    ];
    for y in [
        "00".repeat(32),
        format!("01{}", "00".repeat(31)),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
        format!("ec{middle}7f"),
        format!("ed{middle}7f"),
        format!("ee{middle}7f"),
    ] {
        for sign in [0, 0x80] {
            let mut point = decoded(&y);
            point[31] |= sign;
            rows.push(("a small order", changed("ed25519", 1, |part| part.clone_from(&point)), Stricter));
            rows.push(("of a security key", changed("sk-ed25519", 1, |part| *part = point), Stricter));
        }
    }
    judged(&rows);
}

#[test]
fn security_key_application_with_an_inner_nul_is_refused() {
    let mut rows = Vec::new();
    for (name, place) in [("sk-ed25519", 2), ("sk-ecdsa", 3)] {
        let with = |application: &[u8]| changed(name, place, |part| *part = application.to_vec());
        rows.extend([
            (name, with(b"ssh:"), Key),
            (name, with(b""), Key),
            (name, with(b"\0"), Key),
            (name, with(b"ssh:\0"), Key),
            (name, with(b"\0ssh:"), NoKey),
            (name, with(b"\0\0"), NoKey),
            (name, with(b"ssh\0:"), NoKey),
            (name, with(b"ssh:\0\0"), NoKey),
        ]);
        assert_eq!(openssh(&with(b"\0")), openssh(&with(b"")), "{name}: OpenSSH hashes it without the NUL");
    }
    judged(&rows);
}

#[test]
fn word_that_names_no_key_algorithm_is_refused() {
    let words =
        ["restrict", "RESTRICT", "pty", "cert-authority", "no-touch-required", "command", "2048", "-x", "@x"];
    judged(&words.map(|word| (word, line(&[word.as_bytes(), &[7; 32]]), NoKey)));
}
