use super::*;
use crate::evidence::public_key::PublicKey;

#[test]
fn lists_are_read_as_sshd_reads_them() {
    for (text, needs) in [
        ("restrict", Release::OLDEST),
        ("restrict,pty", Release::OLDEST),
        ("Restrict,PTY,X11-Forwarding,no-X11-forwarding", Release::OLDEST),
        ("command=\"echo \\\"a, b\\\"\",no-pty", Release::OLDEST),
        ("from=\"10.0.0.0/8,!10.1.0.0/16\"", Release::OLDEST),
        ("expiry-time=\"20300101\"", Release(7, 7)),
        ("permitlisten=\"localhost:8080\",verify-required", Release(8, 4)),
    ] {
        let options = KeyOptions::parse(text).unwrap();
        assert_eq!((options.as_str(), options.needs()), (text, needs));
    }
}

#[test]
fn options_that_sshd_rejects_are_refused() {
    use KeyOptionsError as E;
    for (text, error) in [
        ("", E::Form),
        (",", E::Form),
        ("pty,", E::Form),
        ("pty pty", E::Form),
        ("restrict, pty", E::Form),
        ("command=\"x", E::Form),
        ("command=\"x\\\"", E::Form),
        ("command=\"x\" ssh-ed25519 AAAA", E::Form),
        ("command=x", E::Form),
        ("command", E::NoValue("command".into())),
        ("pty=\"x\"", E::OptionValue("pty".into())),
        ("no-such", E::Unknown("no-such".into())),
        ("ssh-ed25519", E::Unknown("ssh-ed25519".into())),
        ("cert-authority", E::NotForKeys("cert-authority".into())),
        ("restrict,Principals=\"x\"", E::NotForKeys("principals".into())),
        ("pty\nssh-ed25519 AAAA", E::Character('\n')),
        ("command=\"a\",command=\"b\"", E::Twice("command".into())),
        (
            "environment=\"EIC_PRINCIPAL=me\"",
            E::BadValue("environment".into(), OptionValue::Environment.words()),
        ),
        ("from=\"127.0.0.1/8\"", E::BadValue("from".into(), OptionValue::From.words())),
        ("command=\"\u{e9}\"", E::Character('\u{e9}')),
    ] {
        assert_eq!(KeyOptions::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn expiry_time_has_passed_only_if_it_has_in_every_time_zone() {
    // 2025-01-30T12:00:00Z
    let now = Timestamp::from_unix(1_738_238_400);
    for (value, is_over) in [
        ("20250130115959Z", true),
        ("20250130120000Z", false),
        ("202501301159Z", true),
        ("20250129115959", true),
        // In a time zone behind UTC, this is later.
        ("20250129120000", false),
        ("20250130", false),
        ("20250129", true),
        ("20250130Z", true),
        ("20990101", false),
        ("19000101", true),
        ("19700101Z", true),
        ("99991231235959", false),
    ] {
        let options = KeyOptions::parse(&format!("restrict,Expiry-Time=\"{value}\",pty")).unwrap();
        assert_eq!(options.has_expired(now), is_over, "{value}");
    }
    assert!(!KeyOptions::parse("restrict").unwrap().has_expired(now));
}

#[test]
fn forced_command_is_detected() {
    for (text, forces) in
        [("restrict,Command=\"x\"", true), ("restrict", false), ("environment=\"X=command=\"", false)]
    {
        assert_eq!(KeyOptions::parse(text).unwrap().forces_command(), forces, "{text}");
    }
}

#[test]
fn no_option_is_the_name_of_an_algorithm() {
    for name in KNOWN.iter().map(|(name, ..)| *name).chain(NOT_FOR_KEYS) {
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        let body = data_encoding::BASE64.encode(&[&length, name.as_bytes(), b"\0\0\0\x03key"].concat());
        let refused = PublicKey::parse(format!("{name} {body}").as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("an option of authorized_keys"), "{name}: {refused}");
    }
}

#[test]
fn lists_are_bounded() {
    let long = format!("command=\"{}\"", "x".repeat(MAX_BYTES - 10));
    assert_eq!(long.len(), MAX_BYTES);
    assert!(KeyOptions::parse(&long).is_ok());
    assert_eq!(KeyOptions::parse(&format!("{long},pty")), Err(KeyOptionsError::TooLong(MAX_BYTES + 4)));
}

#[test]
fn releases_are_found_in_the_output_of_sshd() {
    for (text, release) in [
        ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.22", Some(Release(9, 2))),
        ("unknown option -- V\nOpenSSH_7.4p1, OpenSSL 1.0.2k-fips\nusage: sshd", Some(Release(7, 4))),
        ("OpenSSH_10.0p2", Some(Release(10, 0))),
        ("dropbear", None),
        ("OpenSSH_x.y", None),
    ] {
        assert_eq!(Release::find(text), release, "{text}");
    }
    assert!(Release(10, 0) > Release(9, 9));
}

#[test]
fn hostile_principal_cannot_close_its_quotes() {
    let prefix = LinePrefix { options: Some(KeyOptions::parse("restrict,pty").unwrap()), environment: true };
    let claims = |principal: &str| Claims {
        principal: Some(principal.into()),
        request_id: Some("r-1".into()),
        ..Claims::default()
    };
    assert_eq!(
        prefix.of(&claims("arn:aws:sts::1:assumed-role/Admin/a+b=c@d.e")),
        "restrict,pty,environment=\"EIC_PRINCIPAL=arn:aws:sts::1:assumed-role/Admin/a+b=c@d.e\",\
         environment=\"EIC_REQUEST_ID=r-1\" "
    );
    let hostile = prefix.of(&claims("x\" ssh-ed25519 AAAA\n\\,command=\"id %\u{e9}"));
    assert_eq!(hostile.matches('"').count(), 4, "{hostile}");
    assert!(hostile.contains("x%22%20ssh-ed25519%20AAAA%0A%5C%2Ccommand=%22id%20%25%C3%A9\""), "{hostile}");
    assert_eq!(prefix.of(&Claims::default()), "restrict,pty ");
    assert_eq!(LinePrefix::default().of(&claims("x")), "");
}
