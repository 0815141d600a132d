//! The API model's patterns, and the keys that the service takes.

use std::ops::RangeInclusive;

use data_encoding::BASE64;

/// The message about a key of another type or form. A public log shows it for `sk-ssh-ed25519@openssh.com`.
const INVALID: &str =
    "Invalid input parameter received for Illegal argument exception: SSH Public key is invalid";
/// The message about an RSA key. A public log shows it for a key of 4092 bits.
const INVALID_RSA: &str =
    "Invalid input parameter received for Illegal argument exception: RSA - SSH Public key is invalid";

/// The fault of an instance ID, if it has one: `^i-[a-f0-9]+$`, 10 to 32 characters.
pub(super) fn instance_id(id: Option<&str>) -> Option<String> {
    fault("instanceId", id, 10..=32, is_instance_id, "^i-[a-f0-9]+$")
}

/// The fault of a user's name.
pub(super) fn os_user(user: Option<&str>) -> Option<String> {
    fault("instanceOSUser", user, 1..=32, is_os_user, r"^[A-Za-z_][A-Za-z0-9\@\._-]{0,30}[A-Za-z0-9\$_-]?$")
}

/// The fault of a zone.
pub(super) fn zone(zone: &str) -> Option<String> {
    fault("availabilityZone", Some(zone), 6..=32, is_zone, r"^(\w+-){2,3}\d+\w+$")
}

/// The fault of a key's length.
pub(super) fn key_length(key: Option<&str>) -> Option<String> {
    fault("sSHPublicKey", key, 80..=4096, |_| true, "")
}

/// The message of AWS about a value that its API model does not allow.
fn fault(
    name: &str,
    value: Option<&str>,
    lengths: RangeInclusive<usize>,
    is_good: impl Fn(&str) -> bool,
    pattern: &str,
) -> Option<String> {
    let Some(value) = value else {
        return Some(format!("Value null at '{name}' failed to satisfy constraint: Member must not be null"));
    };
    let length = value.chars().count();
    let constraint = if length < *lengths.start() {
        format!("Member must have length greater than or equal to {}", lengths.start())
    } else if length > *lengths.end() {
        format!("Member must have length less than or equal to {}", lengths.end())
    } else if is_good(value) {
        return None;
    } else {
        format!("Member must satisfy regular expression pattern: {pattern}")
    };
    // A longer value would make the message long, too.
    let shown: String = value.chars().take(256).collect();
    Some(format!("Value '{shown}' at '{name}' failed to satisfy constraint: {constraint}"))
}

/// `^i-[a-f0-9]+$`, 10 to 32 characters.
pub(super) fn is_instance_id(id: &str) -> bool {
    (10..=32).contains(&id.len())
        && id.strip_prefix("i-").is_some_and(|digits| digits.bytes().all(is_lower_hex))
}

/// `^[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?$`, or 2 to 32 characters: digits, then a letter or one of `@._-`,
/// then the same end as in the first pattern.
fn is_os_user(user: &str) -> bool {
    let bytes = user.as_bytes();
    let Some((first, rest)) = bytes.split_first() else { return false };
    if bytes.len() > 32 {
        return false;
    }
    if first.is_ascii_alphabetic() || *first == b'_' {
        // A name has a first character, at most 30 in the middle, and a last one. In a name of 32 characters, the last
        // one has a smaller character set.
        return ends_well(rest, bytes.len() == 32);
    }
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some((after, rest)) = bytes[digits..].split_first() else { return false };
    digits > 0 && (after.is_ascii_alphabetic() || b"@._-".contains(after)) && ends_well(rest, false)
}

/// Checks the middle and the last character. The last may be `$`; with `strict_end` it must not be `@` or `.`.
fn ends_well(rest: &[u8], strict_end: bool) -> bool {
    let middle = |byte: &u8| byte.is_ascii_alphanumeric() || b"@._-".contains(byte);
    let end = |byte: &u8| byte.is_ascii_alphanumeric() || b"$_-".contains(byte);
    let Some((last, inner)) = rest.split_last() else { return true };
    inner.iter().all(middle) && (end(last) || (!strict_end && middle(last)))
}

/// `^(\w+-){2,3}\d+\w+$`, 6 to 32 characters. Wavelength and local zones have more parts than the API model allows.
fn is_zone(zone: &str) -> bool {
    let parts: Vec<&str> = zone.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (6..=32).contains(&zone.len())
        && parts.len() >= 3
        && parts.iter().all(word)
        && parts.last().is_some_and(|last| last.len() >= 2 && last.as_bytes()[0].is_ascii_digit())
}

/// Reads one OpenSSH public key on one line. Strips white space around it.
///
/// The EC2 User Guide lists Ed25519, and RSA with 2048 and 4096 bits. The emulator also takes RSA with 3072 bits, which
/// ssh-keygen makes, and ECDSA: no public source says that AWS refuses them.
pub(super) fn public_key(text: &str) -> Result<&str, &'static str> {
    let line = text.trim();
    let mut words = line.split(' ');
    let (Some(algorithm), Some(body)) = (words.next(), words.next()) else { return Err(INVALID) };
    let body = BASE64.decode(body.as_bytes()).map_err(|_| INVALID)?;
    if line.contains(['\n', '\r', '\0']) {
        return Err(INVALID);
    }
    let parts = fields(&body).filter(|parts| parts.first() == Some(&algorithm.as_bytes())).ok_or(INVALID)?;
    let curve = algorithm.strip_prefix("ecdsa-sha2-").unwrap_or_default();
    let is_good = match (algorithm, parts.as_slice()) {
        ("ssh-ed25519", [_, point]) => point.len() == 32,
        ("ssh-rsa", [_, exponent, modulus]) => {
            let is_good = !exponent.is_empty() && matches!(bits(modulus), 2048 | 3072 | 4096);
            return if is_good { Ok(line) } else { Err(INVALID_RSA) };
        }
        ("ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521", [_, named, point]) => {
            *named == curve.as_bytes() && !point.is_empty()
        }
        _ => false,
    };
    if is_good { Ok(line) } else { Err(INVALID) }
}

/// The strings of a key (RFC 4251, 5). `None` if their lengths do not fit.
fn fields(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        fields.push(field);
        body = rest;
    }
    Some(fields)
}

/// The length of a number in bits.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|byte| **byte == 0).count();
    let rest = number.get(leading..).unwrap_or_default();
    let unused = rest.first().map_or(0, |first| first.leading_zeros());
    (rest.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_name_outside_the_pattern_is_refused() {
        let long = "a".repeat(31);
        for good in
            ["root", "_x", "a", "ec2-user", "a@b.c", "machine$", "a.", "0a", "1.2", &format!("{long}$")]
        {
            assert!(is_os_user(good), "{good}");
        }
        for bad in ["", "-a", "a b", "12", "a$b", "$", "../x", "ä", &"a".repeat(33), &format!("{long}@")] {
            assert!(!is_os_user(bad), "{bad}");
        }
    }

    #[test]
    fn instance_id_or_zone_outside_its_pattern_is_refused() {
        assert!(is_instance_id("i-0123456789abcdef0") && is_instance_id("i-01234567"));
        for bad in ["i-0123456", "i-0123456789ABCDEF0", "x-0123456789abcdef0", ""] {
            assert!(!is_instance_id(bad), "{bad}");
        }
        assert!(
            is_zone("us-east-1a") && is_zone("us-west-2-lax-1a") && !is_zone("us-east") && !is_zone("a-b-1")
        );
    }

    fn line(algorithm: &str, fields: &[&[u8]]) -> String {
        let fields = [&[algorithm.as_bytes()], fields].concat();
        let length = |field: &[u8]| u32::try_from(field.len()).unwrap().to_be_bytes();
        let body: Vec<u8> = fields.iter().flat_map(|field| [&length(field)[..], field].concat()).collect();
        format!("{algorithm} {}", BASE64.encode(&body))
    }

    fn rsa(bits: usize) -> String {
        // A first byte of zero keeps the number positive.
        let mut modulus = vec![0xa5; bits / 8 + 1];
        modulus[0] = u8::try_from((1_u32 << (bits % 8)) - 1).unwrap();
        line("ssh-rsa", &[&[1, 0, 1], &modulus])
    }

    #[test]
    fn key_of_a_good_type_and_length_is_read() {
        let key = line("ssh-ed25519", &[&[7; 32]]);
        assert_eq!(public_key(&format!("{key} me@here\n")), Ok(format!("{key} me@here").as_str()));
        for good in [
            key,
            rsa(2048),
            rsa(3072),
            rsa(4096),
            line("ecdsa-sha2-nistp256", &[b"nistp256", &[4; 65]]),
            line("ecdsa-sha2-nistp521", &[b"nistp521", &[4; 133]]),
        ] {
            assert_eq!(public_key(&good), Ok(good.as_str()));
        }
    }

    #[test]
    fn key_of_another_type_length_or_form_is_refused() {
        let key = line("ssh-ed25519", &[&[7; 32]]);
        for (bad, message) in [
            (rsa(1024), INVALID_RSA),
            (rsa(2047), INVALID_RSA),
            (rsa(2049), INVALID_RSA),
            (rsa(4092), INVALID_RSA),
            (rsa(8192), INVALID_RSA),
            (line("ssh-rsa", &[&[], &[0xff; 256]]), INVALID_RSA),
            (line("ssh-rsa", &[&[1, 0, 1]]), INVALID),
            (line("ssh-dss", &[&[1; 128], &[1; 20], &[1; 128], &[1; 128]]), INVALID),
            (line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]), INVALID),
            (line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &[4; 65], b"ssh:"]), INVALID),
            (line("ssh-ed25519-cert-v01@openssh.com", &[&[7; 32]]), INVALID),
            (line("ecdsa-sha2-nistp256", &[b"nistp384", &[4; 65]]), INVALID),
            (line("ecdsa-sha2-nistp192", &[b"nistp192", &[4; 49]]), INVALID),
            (line("ssh-ed25519", &[&[7; 31]]), INVALID),
            (line("ssh-ed25519", &[&[7; 32], b""]), INVALID),
            (key.replace("ssh-ed25519 ", "ssh-rsa "), INVALID),
            (format!("{key}\n{key}"), INVALID),
            (format!("{key}AAAA"), INVALID),
            (key.replace(' ', ""), INVALID),
            ("ssh-ed25519 AAAA".to_owned(), INVALID),
            ("x".repeat(100), INVALID),
            (String::new(), INVALID),
        ] {
            assert_eq!(public_key(&bad), Err(message), "{bad}");
        }
    }

    #[test]
    fn fault_of_a_value_is_said_as_by_aws() {
        assert_eq!(
            instance_id(Some("mi-048afb7f6460a110d")).as_deref(),
            Some(
                "Value 'mi-048afb7f6460a110d' at 'instanceId' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: ^i-[a-f0-9]+$"
            )
        );
        for (fault, words) in [
            (instance_id(None), "Value null at 'instanceId'"),
            (instance_id(Some("i-1")), "greater than or equal to 10"),
            (os_user(Some("a b")), "'instanceOSUser' failed"),
            (os_user(Some("")), "greater than or equal to 1"),
            (key_length(Some(&"x".repeat(79))), "greater than or equal to 80"),
            (key_length(Some(&"x".repeat(60_000))), "less than or equal to 4096"),
            (zone("nowhere"), "'availabilityZone' failed"),
        ] {
            let fault = fault.unwrap();
            assert!(fault.contains(words) && fault.len() < 500, "{fault}");
        }
        assert_eq!(instance_id(Some("i-0123456789abcdef0")), None);
    }
}
