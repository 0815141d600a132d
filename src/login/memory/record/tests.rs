//! The form of the file: what is read is what was written, and nothing else is.

use super::*;

fn signer() -> SignerBytes {
    SignerBytes {
        region: Some("eu-west-1".parse().unwrap()),
        domain: None,
        chain: b"chain".to_vec(),
        staples: vec![b"one".to_vec(), Vec::new()],
    }
}

fn record() -> Record {
    let since = Moment { wall: 1_738_238_400_000, boot: 77 };
    Record {
        scope: Scope {
            version: "1.2.3".to_owned(),
            boot: "6f1c".to_owned(),
            instance: "i-0123456789abcdef0".to_owned(),
            endpoint: "http://169.254.169.254".to_owned(),
        },
        token: Some(KeptToken { value: b"secret".to_vec(), since, lifetime: Duration::from_secs(90) }),
        evidence: Some(KeptEvidence::new(since, &signer())),
    }
}

/// Whether the bytes are a record whose evidence, if it has any, is whole.
fn is_whole(bytes: &[u8]) -> bool {
    Record::parse(bytes)
        .is_some_and(|record| record.evidence.is_none_or(|evidence| evidence.signer().is_some()))
}

#[test]
fn record_is_read_as_it_was_written() {
    let all = record();
    for record in [
        Record { token: None, ..all.clone() },
        Record { evidence: None, ..all.clone() },
        Record { token: None, evidence: None, ..all.clone() },
        all,
    ] {
        assert_eq!(Record::parse(&record.to_bytes().unwrap()), Some(record.clone()));
        if let Some(evidence) = record.evidence {
            assert_eq!(evidence.signer(), Some(signer()));
        }
    }
}

#[test]
fn any_change_of_the_bytes_is_detected() {
    for record in [record(), Record { evidence: None, ..record() }] {
        let bytes = record.to_bytes().unwrap();
        assert!(is_whole(&bytes));
        for length in 0..bytes.len() {
            assert!(!is_whole(&bytes[..length]), "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x20;
            assert!(!is_whole(&other), "byte {place}");
        }
        assert!(!is_whole(&[&bytes[..], b"\n"].concat()));
    }
}

#[test]
fn first_bytes_differ_if_anything_differs() {
    let mark = |record: &Record| record.to_bytes().unwrap()[..MARK_BYTES].to_vec();
    let other = SignerBytes { chain: b"other".to_vec(), ..signer() };
    let with_another_chain =
        Record { evidence: record().evidence.map(|kept| KeptEvidence::new(kept.since, &other)), ..record() };
    assert_ne!(mark(&record()), mark(&with_another_chain));
    assert_ne!(mark(&record()), mark(&Record { evidence: None, ..record() }));
}

/// A writer can make any content with right digests.
#[test]
fn malformed_content_is_unreadable() {
    let bytes = record().to_bytes().unwrap();
    let head = Reader(&bytes[MARK_BYTES..]).bytes().unwrap();
    let content = &bytes[MARK_BYTES + 8 + head.len()..];
    let with_head = |head: &[u8]| {
        let mut bytes = [FORM, digest(&SHA256, head).as_ref()].concat();
        push(&mut bytes, head);
        [&bytes, content].concat()
    };
    assert!(is_whole(&with_head(head)));
    for length in 0..head.len() {
        assert!(!is_whole(&with_head(&head[..length])), "{length} bytes");
    }
    assert!(!is_whole(&with_head(&[head, b"\0"].concat())));
    let replaced = |within: &[u8], from: &[u8], to: &[u8]| {
        let place = within.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&within[..place], to, &within[place + from.len()..]].concat()
    };
    assert!(!is_whole(&with_head(&replaced(head, b"1.2.3", b"1.2.\xff"))));
    assert!(!is_whole(&with_head(&replaced(head, &5_u64.to_le_bytes(), &u64::MAX.to_le_bytes()))));
    let kept = |content: &[u8]| KeptEvidence {
        since: Moment { wall: 1, boot: 1 },
        digest: digest(&SHA256, content).as_ref().to_vec(),
        content: content.to_vec(),
    };
    assert!(kept(content).signer().is_some());
    for length in 0..content.len() {
        assert_eq!(kept(&content[..length]).signer(), None, "{length} bytes");
    }
    assert_eq!(kept(&[content, b"\0"].concat()).signer(), None);
    assert_eq!(kept(&replaced(content, b"eu-west-1", b"eu_west_1")).signer(), None);
}

#[test]
fn number_of_staples_and_size_are_bounded() {
    let with = |signer: &SignerBytes| KeptEvidence::new(Moment { wall: 1, boot: 1 }, signer);
    let mut many = signer();
    many.staples = vec![b"x".to_vec(); MAX_STAPLES];
    assert!(with(&many).signer().is_some());
    many.staples.push(b"x".to_vec());
    assert_eq!(with(&many).signer(), None);
    let large = SignerBytes { chain: vec![b'x'; MAX_RECORD_BYTES], ..signer() };
    assert_eq!(Record { evidence: Some(with(&large)), ..record() }.to_bytes(), None);
}

#[test]
fn token_is_not_shown() {
    assert!(!format!("{:?}", record()).contains("secret"));
    assert!(!format!("{:?}", record()).contains(&format!("{:?}", b"secret")));
}
