use num_bigint::BigUint;

use super::*;

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn opaque(name: &str, inner: &str) -> String {
    let mut blob = u32::try_from(inner.len()).unwrap().to_be_bytes().to_vec();
    blob.extend(inner.as_bytes());
    blob.extend(b"\0\0\0\x03key");
    format!("{name} {}", BASE64.encode(&blob))
}

#[test]
fn comment_and_spacing_are_dropped() {
    for line in [ED25519.to_owned(), format!("{ED25519} a comment"), ED25519.replace(' ', " \t ")] {
        let key = PublicKey::parse(line.as_bytes()).unwrap();
        assert_eq!(key.to_string(), ED25519);
        assert_eq!(key.algorithm(), "ssh-ed25519");
    }
    let key = PublicKey::parse(ED25519.as_bytes()).unwrap();
    assert_eq!(key.fingerprint().as_str(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
}

#[test]
fn unknown_algorithm_is_kept() {
    for name in ["ssh-future@example.com", "ssh-future448"] {
        let line = opaque(name, name);
        assert_eq!(PublicKey::parse(line.as_bytes()).unwrap().to_string(), line);
    }
}

#[test]
fn line_that_is_not_one_key_is_refused() {
    let truncated = &ED25519[..ED25519.len() - 8];
    let padded = format!("{ED25519}AAAA");
    let renamed = opaque("ssh-future", "ssh-future448");
    let padded_inside = {
        let blob = BASE64.decode(&opaque("ssh-future", "ssh-future").as_bytes()[11..]).unwrap();
        format!("ssh-future {}{}", BASE64.encode(&blob[..4]), BASE64.encode(&blob[4..]))
    };
    let option = format!("command=\"id\" {ED25519}");
    let from = format!("restrict {ED25519}");
    let bad = [
        "",
        " ",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        truncated,
        &padded,
        &padded_inside,
        &renamed,
        &option,
        &from,
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
    ];
    for line in bad {
        let refused = PublicKey::parse(line.as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), Reason::KeyMalformed, "{line:?}");
    }
    assert_eq!(PublicKey::parse(b"\xff").unwrap_err().reason(), Reason::KeyMalformed);
}

#[test]
fn name_of_a_signature_algorithm_is_refused() {
    let name = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
    let refused = PublicKey::parse(opaque(name, name).as_bytes()).unwrap_err();
    assert_eq!(refused.reason(), Reason::KeyMalformed);
}

#[test]
fn short_algorithm_name_is_refused() {
    for name in ["ED25519", "rsa", "Ecdsa-Sk"] {
        let refused = PublicKey::parse(opaque(name, name).as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), Reason::KeyMalformed, "{name}");
    }
}

#[test]
fn key_with_invalid_numbers_or_point_is_refused() {
    let wire = |parts: &[&[u8]]| {
        let part = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
        let name = String::from_utf8(parts[0].to_vec()).unwrap();
        format!("{name} {}", BASE64.encode(&parts.iter().flat_map(part).collect::<Vec<_>>()))
    };
    let point = |form: u8, size: usize| [vec![form], vec![7; size]].concat();
    let curve: [&[u8]; 2] = [b"ecdsa-sha2-nistp256", b"nistp256"];
    let hardware: [&[u8]; 2] = [b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256"];
    for (line, words) in [
        (wire(&[b"ssh-rsa", &[1, 0, 1], &[0x45; 256]]), ""),
        (wire(&[b"ssh-rsa", &[1, 0, 1], &[0xc5; 256]]), "a number of the RSA key is negative"),
        (wire(&[b"ssh-rsa", &[0x81], &[0x45; 256]]), "a number of the RSA key is negative"),
        (
            wire(&[b"ssh-rsa", &[1, 0, 1], &[1]]),
            "its RSA modulus has fewer than 1024 or more than 16384 bits",
        ),
        (wire(&[b"ssh-rsa", &[1, 0, 1], &[0x46; 256]]), "its RSA modulus is even"),
        (wire(&[b"ssh-rsa", &[1], &[0x45; 256]]), "its RSA exponent is even, 1, or not below the modulus"),
        (wire(&[b"ssh-rsa", &[2], &[0x45; 256]]), "its RSA exponent is even, 1, or not below the modulus"),
        (
            wire(&[b"ssh-rsa", &[0x45; 256], &[0x45; 256]]),
            "its RSA exponent is even, 1, or not below the modulus",
        ),
        (
            wire(&[b"ssh-rsa", &[0x45; 257], &[0x45; 256]]),
            "its RSA exponent is even, 1, or not below the modulus",
        ),
        (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[6; 128], &[6; 128]]), ""),
        (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[6; 128], &[7; 128]]), "its DSA parameters are invalid"),
        (wire(&[b"ssh-dss", &[7; 128], &[6; 20], &[6; 128], &[6; 128]]), "its DSA parameters are invalid"),
        (wire(&[b"ssh-dss", &[6; 128], &[7; 20], &[5; 128], &[5; 128]]), "its DSA parameters are invalid"),
        (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[1], &[6; 128]]), "its DSA parameters are invalid"),
        (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[6; 128], &[1]]), "its DSA parameters are invalid"),
        (
            wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[6; 128], &[0x87; 128]]),
            "a number of the DSA key is negative",
        ),
        (wire(&[curve[0], curve[1], &point(4, 64)]), "its point is not on its curve"),
        (wire(&[curve[0], curve[1], &point(2, 32)]), "its point is not uncompressed"),
        (wire(&[hardware[0], hardware[1], &point(4, 64), b"ssh:"]), "its point is not on its curve"),
        (wire(&[hardware[0], hardware[1], &point(3, 32), b"ssh:"]), "its point is not uncompressed"),
        (wire(&[b"ssh-ed25519", &[0; 32]]), "its Ed25519 point is of a small order"),
        (
            wire(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"a\0b"]),
            "the name of its application has a NUL inside",
        ),
    ] {
        let expected = format!("expected an OpenSSH public key, but {words}");
        let refused = PublicKey::parse(line.as_bytes()).err().map(|error| error.to_string());
        assert_eq!(refused, (!words.is_empty()).then_some(expected), "{line}");
    }
}

#[test]
fn point_on_its_curve_is_accepted() {
    for line in [
        include_str!("../../../../tests/fixtures/keys/ecdsa-256.pub"),
        include_str!("../../../../tests/fixtures/keys/ecdsa-384.pub"),
        include_str!("../../../../tests/fixtures/keys/ecdsa-521.pub"),
        include_str!("../../../../tests/fixtures/keys/sk-ecdsa.pub"),
    ] {
        assert_eq!(PublicKey::parse(line.trim_end().as_bytes()).unwrap().to_string(), line.trim_end());
    }
}

/// Each coordinate must be below p. P-521 coordinates have 66 bytes (528 bits), so p can be added without an
/// overflow.
#[test]
fn coordinate_that_is_not_below_p_is_refused() {
    let line = include_str!("../../../../tests/fixtures/keys/ecdsa-521.pub");
    let blob = BASE64.decode(line.split_whitespace().nth(1).unwrap().as_bytes()).unwrap();
    let (head, point) = blob.split_at(blob.len() - 133);
    let (x, y) = point[1..].split_at(66);
    let plus_p = |number: &[u8]| {
        let sum = BigUint::from_bytes_be(number) + (BigUint::from(1_u8) << 521_u32) - 1_u8;
        let digits = sum.to_bytes_be();
        [vec![0; 66 - digits.len()], digits].concat()
    };
    let parse = |x: &[u8], y: &[u8]| {
        let blob = [head, &[4], x, y].concat();
        PublicKey::parse(format!("ecdsa-sha2-nistp521 {}", BASE64.encode(&blob)).as_bytes())
    };
    assert!(parse(x, y).is_ok());
    for refused in [parse(&plus_p(x), y), parse(x, &plus_p(y)), parse(&plus_p(x), &plus_p(y))] {
        assert_eq!(refused, Err(PublicKeyError::Malformed("its point is not on its curve")));
    }
}

#[test]
fn openssh_certificate_is_refused() {
    let name = "ssh-ed25519-cert-v01@openssh.com";
    assert_eq!(PublicKey::parse(opaque(name, name).as_bytes()), Err(PublicKeyError::Certificate));
}

/// A quote, comma or equals sign could start an option of the `authorized_keys` line.
#[test]
fn long_or_odd_algorithm_name_is_refused() {
    let longest = "a".repeat(MAX_ALGORITHM);
    for name in ["a", "Az09-._@+", &longest] {
        let line = opaque(name, name);
        assert_eq!(PublicKey::parse(line.as_bytes()).unwrap().algorithm(), name);
    }
    let odd = "!\"#$%&'()*,/:;<=>?[\\]^`{|}~\u{7f}\u{e9}".chars().map(|c| format!("ssh{c}future"));
    for name in odd.chain(["a".repeat(MAX_ALGORITHM + 1)]) {
        let refused = PublicKey::parse(opaque(&name, &name).as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("begin with the name of a key algorithm"), "{name}: {refused}");
    }
}

#[test]
fn key_errors_name_the_fault() {
    let name = "ssh-rsa-cert-v01@openssh.com";
    for (line, words) in [
        (opaque(name, name), "expected a plain public key, got an OpenSSH certificate"),
        ("x".repeat(4097), "the key line has 4097 characters, at most 4096 are allowed"),
        ("ssh-rsa !".into(), "expected an OpenSSH public key, but no base64 follows the algorithm"),
    ] {
        assert_eq!(PublicKey::parse(line.as_bytes()).unwrap_err().to_string(), words);
    }
}

#[test]
fn key_line_above_the_api_limit_is_refused() {
    let at_limit = format!("{ED25519} {}", "c".repeat(MAX_KEY_CHARACTERS - ED25519.len() - 1));
    assert!(PublicKey::parse(at_limit.as_bytes()).is_ok());
    let over = format!("{at_limit}c");
    assert_eq!(PublicKey::parse(over.as_bytes()), Err(PublicKeyError::TooLong(MAX_KEY_CHARACTERS + 1)));
}
