//! The API model's patterns.

use data_encoding::BASE64;

/// `^i-[a-f0-9]+$`, 10 to 32 characters.
pub(super) fn is_instance_id(id: &str) -> bool {
    (10..=32).contains(&id.len())
        && id.strip_prefix("i-").is_some_and(|digits| digits.bytes().all(is_lower_hex))
}

/// `^[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?$`, or 2 to 32 characters: digits, then a letter or one of `@._-`,
/// then the same end as in the first pattern.
pub(super) fn is_os_user(user: &str) -> bool {
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
pub(super) fn is_zone(zone: &str) -> bool {
    let parts: Vec<&str> = zone.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (6..=32).contains(&zone.len())
        && parts.len() >= 3
        && parts.iter().all(word)
        && parts.last().is_some_and(|last| last.len() >= 2 && last.as_bytes()[0].is_ascii_digit())
}

/// Reads one OpenSSH public key on one line of 80 to 4096 characters. Strips white space around it.
pub(super) fn public_key(text: &str) -> Result<&str, &'static str> {
    if !(80..=4096).contains(&text.len()) {
        return Err("SSHPublicKey must have between 80 and 4096 characters");
    }
    let line = text.trim();
    let mut words = line.split(' ');
    let (Some(algorithm), Some(body)) = (words.next(), words.next()) else {
        return Err("Invalid SSH public key");
    };
    let decoded = BASE64.decode(body.as_bytes()).map_err(|_| "Invalid SSH public key")?;
    let named = decoded.get(4..4 + algorithm.len()) == Some(algorithm.as_bytes());
    let length = decoded.get(..4).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    if line.contains(['\n', '\r', '\0']) || !named || length.map(|l| l as usize) != Some(algorithm.len()) {
        return Err("Invalid SSH public key");
    }
    Ok(line)
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

    #[test]
    fn key_of_another_form_is_refused() {
        let body = BASE64.encode(&[&[0, 0, 0, 11], &b"ssh-ed25519"[..], &[0, 0, 0, 32], &[7; 32]].concat());
        let key = format!("ssh-ed25519 {body}");
        assert_eq!(public_key(&format!("{key} me@here\n")), Ok(format!("{key} me@here").as_str()));
        assert_eq!(public_key(&key), Ok(key.as_str()));
        for bad in [
            format!("ssh-rsa {body}        "),
            format!("{key}\n{key}"),
            format!("{key}{}", " ".repeat(4096)),
            "ssh-ed25519 AAAA".to_owned(),
            "x".repeat(100),
        ] {
            assert!(public_key(&bad).is_err(), "{bad}");
        }
    }
}
