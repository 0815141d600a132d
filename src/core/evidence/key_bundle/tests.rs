use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const HEAD: &str = "#Timestamp=1738233608\n#Instance=i-abcd1234\n";

fn reasons(text: &str) -> Vec<Result<Timestamp, &'static str>> {
    KeyBundle::parse(text.as_bytes())
        .entries()
        .iter()
        .map(|entry| match entry {
            Ok(entry) => Ok(entry.expires),
            Err(refused) => Err(refused.error.reason().as_str()),
        })
        .collect()
}

fn good() -> Result<Timestamp, &'static str> {
    Ok(Timestamp::from_unix(1_738_233_608))
}

#[test]
fn signed_bytes_are_kept_unchanged() {
    let head = "#Request=r-1\n#New=what\n#Caller=arn:x=y\n#Timestamp=1738233608\n#Instance=i-abcd1234\n";
    let text = format!("{head}{KEY} comment\nAAECAw\n==\n\n");
    let bundle = KeyBundle::parse(text.as_bytes());
    let entry = bundle.entries()[0].as_ref().unwrap();
    assert_eq!(entry.signed, format!("{head}{KEY} comment\n").as_bytes());
    assert_eq!(entry.signature, [0, 1, 2, 3]);
    assert_eq!(entry.instance, "i-abcd1234");
    assert_eq!(entry.claims.request_id.as_deref(), Some("r-1"));
    assert_eq!(entry.claims.principal.as_deref(), Some("arn:x=y"));
    assert_eq!(entry.key.to_string(), KEY);
}

/// The signed bytes contain the carriage returns. The parsed values do not.
#[test]
fn line_ends_are_part_of_the_signed_bytes() {
    for ends in ["\r\n", "\n"] {
        let signed = format!("{HEAD}{KEY}\n").replace('\n', ends);
        let text = format!("{signed}AAEC{ends}{ends}");
        let bundle = KeyBundle::parse(text.as_bytes());
        let [Ok(entry)] = bundle.entries() else { panic!("one entry: {bundle:?}") };
        assert_eq!(entry.signed, signed.as_bytes());
        assert_eq!(entry.signature, [0, 1, 2]);
        assert!(!format!("{:?}{}", entry.claims, entry.instance).contains("\\r"), "{:?}", entry.claims);
    }
    // Only one carriage return belongs to a line end.
    let text = format!("{HEAD}{KEY}\nAAEC\n").replace('\n', "\r\r\n");
    assert!(KeyBundle::parse(text.as_bytes()).entries()[0].is_err());
}

#[test]
fn an_empty_bundle_has_no_entries() {
    for text in ["", "\n", "\n\n  \n"] {
        assert!(reasons(text).is_empty(), "{text:?}");
    }
}

#[test]
fn every_fault_has_its_reason() {
    let bad_key = KEY.replace("AAAAC3", "AAAAD3");
    for (text, reason) in [
        (HEAD.to_owned(), "no-key"),
        (format!("{HEAD}AAEC\n"), "no-key"),
        (format!("{HEAD}{KEY}\n"), "no-signature"),
        (format!("{HEAD}{KEY}"), "no-signature"),
        (format!("{HEAD}{KEY}\n!!!\n"), "signature-malformed"),
        (format!("{HEAD}{KEY}\nAAE\n"), "signature-malformed"),
        (format!("{HEAD}{bad_key}\nAAEC\n"), "key-malformed"),
        (format!("{HEAD}{KEY} {}\nAAEC\n", "c".repeat(4096)), "key-too-long"),
        (format!("#Timestamp=1738233608\n{KEY}\nAAEC\n"), "no-instance"),
        (format!("#Instance=i-abcd1234\n{KEY}\nAAEC\n"), "no-timestamp"),
        (format!("{HEAD}#Instance=i-abcd1234\n{KEY}\nAAEC\n"), "repeated-field"),
        (format!("{HEAD}#Request=a\n#Request=b\n{KEY}\nAAEC\n"), "repeated-field"),
        (format!("{HEAD}{}{KEY}\nAAEC\n", "#x\n".repeat(63)), "entry-too-large"),
        (format!("{HEAD}#{}\n{KEY}\nAAEC\n", "x".repeat(4096)), "entry-too-large"),
        (format!("{HEAD}{KEY}\n{}\n", "AAEC".repeat(1025)), "entry-too-large"),
    ] {
        assert_eq!(reasons(&text), [Err(reason)], "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn odd_timestamps_are_refused() {
    let odd = [
        "",
        "-1",
        "+1",
        "01",
        "0x10",
        " 1",
        "1 ",
        "1e3",
        "9223372036854775808",
        // The last carriage return belongs to the line end.
        "1738233608\r\r",
        "1738233608.5",
    ];
    for odd in odd {
        let text = format!("#Timestamp={odd}\n#Instance=i-abcd1234\n{KEY}\nAAEC\n");
        assert_eq!(reasons(&text), [Err("timestamp-malformed")], "{odd:?}");
    }
    let text = format!("#Timestamp=0\n#Instance=i-abcd1234\n{KEY}\nAAEC\n");
    assert_eq!(reasons(&text), [Ok(Timestamp::from_unix(0))]);
}

#[test]
fn bad_entry_does_not_change_the_next_one() {
    let fine = format!("{HEAD}{KEY}\nAAEC\n");
    for bad in [
        "#Timestamp=x\n",
        "rubbish\n",
        "\0\0\0\n",
        "#\n",
        "ssh-rsa AAAA\n",
        "#Instance\n\n",
        "\u{fffd} \u{fffd}\n",
    ] {
        let with_gaps = reasons(&format!("{fine}\n{bad}\n{fine}\n"));
        assert_eq!((with_gaps.first(), with_gaps.last()), (Some(&good()), Some(&good())), "{bad:?}");
        assert_eq!(with_gaps.len(), 3, "{bad:?}");
    }
    assert_eq!(reasons(&format!("{fine}{fine}")), [good(), good()], "no blank line between");
    assert_eq!(reasons(&format!("{fine}{KEY}\nAAEC\n{fine}")), [good(), Err("no-timestamp"), good()]);
}

#[test]
fn blank_line_ends_an_entry() {
    assert_eq!(reasons(&format!("{HEAD}\n{KEY}\nAAEC\n")), [Err("no-key"), Err("no-timestamp")]);
    assert_eq!(reasons(&format!("{HEAD}{KEY}\n\nAAEC\n")), [Err("no-signature"), Err("no-key")]);
}

#[test]
fn entries_are_bounded() {
    let text = format!("{HEAD}{KEY}\nAAEC\n\n").repeat(MAX_ENTRIES + 50);
    let all = reasons(&text);
    assert_eq!(all.len(), MAX_ENTRIES + 1);
    assert!(all[..MAX_ENTRIES].iter().all(|entry| *entry == good()));
    assert_eq!(all[MAX_ENTRIES], Err("too-many-entries"));
    assert_eq!(reasons(&format!("{HEAD}{KEY}\nAAEC\n\n").repeat(MAX_ENTRIES)).len(), MAX_ENTRIES);
}

#[test]
fn complete_entries_of_a_cut_bundle_are_read() {
    let text = format!("{HEAD}{KEY}\nAAEC\n\n{HEAD}{KEY}\nAA");
    let bundle = KeyBundle::parse_cut(text.as_bytes());
    assert!(bundle.entries()[0].is_ok());
    let rest = bundle.entries()[1].as_ref().unwrap_err();
    assert_eq!((bundle.entries().len(), rest.error.reason()), (2, Reason::TooManyEntries));
}

#[test]
fn long_claims_are_cut() {
    let text = format!(
        "#Instance={}\n#Caller={}\n#Timestamp=1\n{KEY}\nAAEC\n",
        "i".repeat(4000),
        "\u{ff}".repeat(2000)
    );
    let bundle = KeyBundle::parse(text.as_bytes());
    let entry = bundle.entries()[0].as_ref().unwrap();
    assert_eq!((entry.instance.len(), entry.claims.principal.as_ref().unwrap().len()), (128, 2048));
    assert!(entry.signed.len() > 8000, "the signature must still cover every byte");
}

#[test]
fn key_of_a_readable_entry_is_found_by_fingerprint() {
    let key = PublicKey::parse(KEY.as_bytes()).unwrap();
    let other = Fingerprint::of(b"other");
    let holds = |text: &str, offered| KeyBundle::parse(text.as_bytes()).may_hold(offered);
    let good = format!("{HEAD}{KEY}\nAAEC\n");
    assert!(holds(&good, key.fingerprint()) && !holds(&good, &other));
    assert!(!holds("", &other));
    assert!(holds("rubbish\n", &other), "it may have any key");
}

#[test]
fn entry_at_its_limits_is_accepted_and_one_beyond_is_refused() {
    let entry = |fields: &str, key: &str, signature: &str| format!("{HEAD}{fields}{key}\n{signature}\n");
    // The limits are 64 # lines (two are in the head), 4,096 bytes for a line with its #, and 4,096 bytes of
    // signature.
    assert_eq!(reasons(&entry(&"#x\n".repeat(62), KEY, "AAEC")), [good()]);
    assert_eq!(reasons(&entry(&"#x\n".repeat(63), KEY, "AAEC")), [Err("entry-too-large")]);
    assert_eq!(reasons(&entry(&"#x\n".repeat(64), KEY, "AAEC")), [Err("entry-too-large")]);
    assert_eq!(reasons(&entry(&format!("#{}\n", "x".repeat(4095)), KEY, "AAEC")), [good()]);
    assert_eq!(reasons(&entry(&format!("#{}\n", "x".repeat(4096)), KEY, "AAEC")), [Err("entry-too-large")]);
    assert_eq!(reasons(&entry("", KEY, &"AAEC".repeat(1024))), [good()]);
    assert_eq!(reasons(&entry("", KEY, &format!("{}\nA", "AAEC".repeat(1024)))), [Err("entry-too-large")]);
}

#[test]
fn entry_errors_name_the_expected_and_the_received_value() {
    let errors = |text: &str| -> Vec<String> {
        let bundle = KeyBundle::parse(text.as_bytes());
        bundle.entries().iter().map(|entry| entry.as_ref().unwrap_err().error.to_string()).collect()
    };
    for (text, words) in [
        (HEAD.to_owned(), "expected a key line after the # lines, got none"),
        (format!("#Instance=i-1\n{KEY}\nAAEC\n"), "expected a #Timestamp line, got none"),
        (format!("#Timestamp=1\n{KEY}\nAAEC\n"), "expected an #Instance line, got none"),
        (
            format!("#Timestamp=1\x1b\n#Instance=i-1\n{KEY}\nAAEC\n"),
            "expected #Timestamp in decimal Unix seconds, got \"1\\x1b\"",
        ),
        (format!("{HEAD}#Caller=\n#Caller=\n"), "expected #Caller once, got it twice"),
        (format!("{HEAD}{KEY}\n"), "expected a signature after the key line, got none"),
        (format!("{HEAD}{KEY}\n!\n"), "expected a base64 signature, got something else"),
        (
            format!("{HEAD}{KEY}\n{}\n", "A".repeat(4097)),
            "the entry exceeds a limit: 4,096 bytes of signature",
        ),
        (format!("{HEAD}x y\n"), "expected an OpenSSH public key, but no base64 follows the algorithm"),
    ] {
        assert_eq!(errors(&text), [words]);
    }
    assert_eq!(
        EntryError::TooMany.to_string(),
        "only the first 2048 entries of the first 2097152 bytes are judged, the rest is refused"
    );
}

#[test]
fn key_of_an_unreadable_entry_is_found_by_fingerprint() {
    let key = PublicKey::parse(KEY.as_bytes()).unwrap();
    let holds = |text: &str, offered| KeyBundle::parse(text.as_bytes()).may_hold(offered);
    // The key is readable, but the rest of the entry is not.
    let broken = format!("#Timestamp=x\n{KEY}\nAAEC\n");
    assert!(holds(&broken, key.fingerprint()), "the refusal must be logged");
    assert!(!holds(&broken, &Fingerprint::of(b"other")));
}

#[test]
fn entry_returns_the_algorithm_of_its_key() {
    let bundle = KeyBundle::parse(format!("{HEAD}{KEY}\nAAEC\n").as_bytes());
    assert_eq!(bundle.entries()[0].as_ref().unwrap().algorithm(), "ssh-ed25519");
}
