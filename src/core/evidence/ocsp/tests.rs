use eic_emulator::pki::{
    CertId, CertIdHash, CertStatus, Hierarchy, Issuer, KeyPool, Name, ResponderId as EmulatedResponder,
    StapleBuilder, der, oids,
};

use super::*;

/// 2025-01-30T12:00:00Z
const NOW: i64 = 1_738_238_400;

fn builder() -> StapleBuilder {
    Hierarchy::new(&KeyPool::shared(), "signer.example", NOW).staple(0, NOW)
}

fn parse(builder: &StapleBuilder) -> Result<OcspStaple, OcspError> {
    OcspStaple::parse(&builder.build().der)
}

fn at(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).unwrap())
}

#[test]
fn bytes_that_are_not_a_staple_are_refused() {
    for (bytes, expected) in [
        (&b"<html>"[..], OcspError::Encoding),
        (b"\xff", OcspError::Encoding),
        // OCSPResponse { tryLater }
        (b"\x30\x03\x0a\x01\x03", OcspError::NotSuccessful("tryLater")),
        (b"MAMKAQM=", OcspError::NotSuccessful("tryLater")),
        (b"MA\nMK\r\nAQM=\n", OcspError::NotSuccessful("tryLater")),
        (b"\x30\x03\x0a\x01\x00", OcspError::NotSuccessful("no response bytes")),
    ] {
        assert_eq!(OcspStaple::parse(bytes).unwrap_err(), expected, "{bytes:?}");
    }
    for bytes in [&b""[..], b"\x30", b"\x30\x03\x0a\x01\x04", b"\x30\x80\x00\x00", b"MAMK"] {
        assert!(matches!(OcspStaple::parse(bytes), Err(OcspError::Structure(_))), "{bytes:?}");
    }
    let huge = vec![b'A'; MAX_STAPLE_BYTES + 1];
    assert_eq!(OcspStaple::parse(&huge).unwrap_err(), OcspError::TooLarge(MAX_STAPLE_BYTES + 1));
}

#[test]
fn staple_fields_are_parsed() {
    let revoked = CertStatus::Revoked { at: NOW - 9, reason: Some(1) };
    for (made, status) in [
        (CertStatus::Good, RevocationStatus::Good),
        (CertStatus::Unknown, RevocationStatus::Unknown),
        (revoked, RevocationStatus::Revoked(at(NOW - 9))),
    ] {
        let builder = builder().status(made).updates(NOW - 5, Some(NOW + 5));
        for bytes in [builder.build().der, builder.build().text().into_bytes()] {
            let staple = OcspStaple::parse(&bytes).unwrap();
            let [answer] = &staple.answers[..] else { panic!("{} answers", staple.answers.len()) };
            assert_eq!(answer.status, status);
            assert_eq!((answer.this_update, answer.next_update), (at(NOW - 5), Some(at(NOW + 5))));
            assert_eq!((answer.subject.hash, staple.produced_at), (IssuerHash::Sha1, at(NOW - 5)));
            assert!(staple.certificates.is_empty());
        }
    }
    let endless = parse(&builder().updates(NOW, None)).unwrap();
    assert_eq!(endless.answers[0].next_update, None);
}

#[test]
fn answer_with_an_unknown_hash_is_ignored() {
    let by = |hash| parse(&builder().cert_id_hash(hash)).unwrap().answers;
    for (hash, read, may_vouch) in [
        (CertIdHash::Sha1, IssuerHash::Sha1, true),
        (CertIdHash::Sha256, IssuerHash::Sha256, true),
        (CertIdHash::Sha384, IssuerHash::Sha384, false),
        (CertIdHash::Sha512, IssuerHash::Sha512, false),
    ] {
        assert_eq!((by(hash)[0].subject.hash, by(hash)[0].may_vouch), (read, may_vouch));
    }
    let unknown = der::sequence(&[der::oid(oids::UNHEARD_OF), der::null()]);
    let unknown = builder().about(CertId::encoded(&unknown, &[1; 20], &[1; 20], &[1]));
    assert!(parse(&unknown).unwrap().answers.is_empty());
    let known = parse(&builder().preceded_by(unknown.answer())).unwrap();
    assert_eq!(known.answers.len(), 1, "the other answer is read");
}

#[test]
fn unknown_critical_extension_is_recorded_and_the_rest_is_read() {
    let value = der::octets(b"x");
    let around = |critical| parse(&builder().extension(oids::UNHEARD_OF, critical, &value)).unwrap();
    assert_eq!((around(false).defect, around(false).answers.len()), (None, 1));
    assert_eq!((around(true).defect(), around(true).answers.len()), (Some(&OcspError::CriticalExtension), 1));
    let within = |critical| builder().answer_extension(oids::UNHEARD_OF, critical, &value);
    let is_marked = |builder: &StapleBuilder| -> Vec<_> {
        parse(builder).unwrap().answers.iter().map(|answer| answer.has_unknown_critical).collect()
    };
    assert_eq!(is_marked(&within(false)), [false]);
    assert_eq!(is_marked(&within(true)), [true]);
    assert_eq!(is_marked(&builder().preceded_by(within(true).answer())), [true, false]);
}

#[test]
fn trailing_bytes_are_recorded_and_the_rest_is_read() {
    let whole = builder().build().der;
    let after = OcspStaple::parse(&[&whole[..], &[0]].concat()).unwrap();
    assert_eq!((after.defect, after.answers.len()), (Some(OcspError::TrailingBytes), 1));
    // One more byte at the end of the response inside the octet string.
    let inner = {
        let outer = OcspResponse::from_der(&whole).unwrap();
        let basic = [outer.response_bytes.unwrap().response.as_bytes(), &[0]].concat();
        let bytes = der::sequence(&[der::oid(oids::OCSP_BASIC), der::octets(&basic)]);
        der::sequence(&[der::enumerated(0), der::context(0, &bytes)])
    };
    assert_eq!(OcspStaple::parse(&inner).unwrap().defect, Some(OcspError::TrailingBytes));
    assert_eq!(OcspStaple::parse(&whole).unwrap().defect, None);
    assert_eq!(OcspError::TrailingBytes.to_string(), "expected nothing after the response, got more bytes");
}

/// The decoder of names sorts the elements of a SET. This takes time proportional to the square of their number.
#[test]
fn set_of_more_than_16_elements_is_refused_before_decoding() {
    let named = |parts: usize| {
        let names: Vec<_> = (0..parts).map(|part| part.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        parse(&builder().responder(EmulatedResponder::Name(Name::new().cns_in_one_place(&names))))
    };
    assert!(named(16).is_ok());
    let refused = OcspError::Structure("expected at most 16 elements in a SET, got more".to_owned());
    assert_eq!(named(17).unwrap_err(), refused);
    assert_eq!(named(480).unwrap_err(), refused, "as many as a staple can hold");
    // The limit also applies to names in a responder's certificate.
    let key = KeyPool::shared().get("responder");
    let responder = Issuer { name: Name::new().cns_in_one_place(&["x"; 17]), key: key.clone() };
    let certificate = responder.certificate().self_signed(&key);
    assert_eq!(parse(&builder().delegated_to(certificate, &key)).unwrap_err(), refused);
}

#[test]
fn every_answer_is_read_but_only_four_certificates() {
    let many = (0..30).fold(builder(), |many, _| many.followed_by(builder().answer()));
    let may_vouch: Vec<_> = parse(&many).unwrap().answers.iter().map(|answer| answer.may_vouch).collect();
    assert_eq!(may_vouch, [vec![true; 16], vec![false; 15]].concat());

    let key = KeyPool::shared().get("responder");
    let responder = Issuer::new("Emulator OCSP responder", key.clone());
    let certificate = responder.certificate().self_signed(&key);
    let many = (0..5).fold(builder(), |builder, _| builder.delegated_to(certificate.clone(), &key));
    let staple = parse(&many).unwrap();
    assert_eq!(staple.certificates.len(), 4, "of five");
    assert_eq!(staple.certificates[0].der.as_ref(), certificate.der());
}

#[test]
fn staple_of_more_than_8192_bytes_is_refused() {
    let text = builder().build().text();
    let filled = |size: usize| format!("{}{text}", "\n".repeat(size - text.len()));
    assert!(OcspStaple::parse(filled(8192).as_bytes()).is_ok());
    let error = OcspStaple::parse(filled(8193).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "expected at most 8192 bytes, got 8193");
}

#[test]
fn responder_is_named_as_in_the_staple() {
    let by = |responder| parse(&builder().responder(responder)).unwrap().responder().to_string();
    assert_eq!(by(EmulatedResponder::Key(vec![0xab; 20])), format!("by key {}", "ab".repeat(20)));
    let name = Issuer::new("R\u{e9}sponder", KeyPool::shared().get("responder")).name;
    let words = by(EmulatedResponder::Name(name));
    assert!(words.starts_with("by name CN=R"), "{words}");
    assert!(words.is_ascii(), "{words}");
}

#[test]
fn error_names_what_was_served_instead_of_a_staple() {
    for (bytes, words) in [
        (&b"<html>"[..], "expected DER or base64, got neither"),
        (b"\x30\x03\x0a\x01\x01", "expected a successful OCSP response, got malformedRequest"),
        (b"\x30\x03\x0a\x01\x02", "expected a successful OCSP response, got internalError"),
        (b"\x30\x03\x0a\x01\x03", "expected a successful OCSP response, got tryLater"),
        (b"\x30\x03\x0a\x01\x05", "expected a successful OCSP response, got sigRequired"),
        (b"\x30\x03\x0a\x01\x06", "expected a successful OCSP response, got unauthorized"),
    ] {
        let error = OcspStaple::parse(bytes).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert_eq!(error.reason(), Reason::StapleMalformed);
    }
    let structure = OcspStaple::parse(b"\x30").unwrap_err().to_string();
    assert!(structure.starts_with("expected an OCSP response (RFC 6960): "), "{structure}");
    assert_eq!(OcspError::CriticalExtension.to_string(), "an unknown critical extension");
}

/// RFC 6960 section 4.2.1 defines one response type. The meaning of any other type is unknown.
#[test]
fn only_the_basic_response_type_is_read() {
    let whole = builder().build().der;
    let (basic, another) = (der::oid(oids::OCSP_BASIC), der::oid(oids::OCSP_NONCE));
    let place = whole.windows(basic.len()).position(|window| window == basic).unwrap();
    let mut changed = whole.clone();
    changed[place..place + basic.len()].copy_from_slice(&another);
    assert!(OcspStaple::parse(&whole).is_ok());
    assert_eq!(
        OcspStaple::parse(&changed).unwrap_err(),
        OcspError::Structure("expected the basic response type".to_owned())
    );
}
