//! Tests of several answers about one certificate, and of the age of answers.

use super::*;

const REVOKED: CertStatus = CertStatus::Revoked { at: NOW - 60, reason: None };

/// Why the signer is refused with `others` before and after the usual staples. Both orders must give the same result.
fn refusal_with(hierarchy: &Hierarchy, others: &[Staple]) -> Option<Reason> {
    let usual = hierarchy.staples(NOW);
    let [before, behind] = [[others, &usual[..]].concat(), [&usual[..], others].concat()]
        .map(|staples| establish(hierarchy, &staples, NOW).err().map(|error| error.reason()));
    assert_eq!(before, behind, "the order must not matter");
    before
}

type Fault = (&'static str, fn(StapleBuilder) -> StapleBuilder);

/// Each fault that an answer of the issuer may have.
fn faults() -> Vec<Fault> {
    vec![
        ("no fault", |staple| staple),
        ("a critical extension of the response", |staple| {
            staple.extension(oids::UNHEARD_OF, true, &der::octets(b"x"))
        }),
        ("a critical extension of the answer", |staple| {
            staple.answer_extension(oids::UNHEARD_OF, true, &der::octets(b"x"))
        }),
        ("SHA-384", |staple| staple.cert_id_hash(CertIdHash::Sha384)),
        ("SHA-512", |staple| staple.cert_id_hash(CertIdHash::Sha512)),
        ("thisUpdate tomorrow", |staple| staple.updates(NOW + 86_400, Some(NOW + 96_400))),
        ("stale", |staple| staple.updates(NOW - 9000, Some(NOW - 8000))),
        ("no nextUpdate", |staple| staple.updates(NOW - 9000, None)),
        ("an old producedAt", |staple| staple.produced_at(NOW - 86_400)),
        ("the last of many", |staple| {
            (0..20).fold(staple.clone(), |many, number| {
                many.preceded_by(staple.clone().status(CertStatus::Good).updates(NOW - number, None).answer())
            })
        }),
    ]
}

#[test]
fn the_worst_of_several_signed_answers_decides() {
    let hierarchy = hierarchy();
    for (fault, make) in faults() {
        for (status, expected) in [
            (CertStatus::Good, None),
            (CertStatus::Unknown, Some(Reason::StapleUnknown)),
            (REVOKED, Some(Reason::SignerRevoked)),
        ] {
            for place in [0, 1] {
                let staple = make(hierarchy.staple(place, NOW).status(status));
                assert_eq!(refusal_with(&hierarchy, &[staple.build()]), expected, "{status:?}, {fault}");
                let after = Staple { der: [&staple.build().der[..], &[0]].concat(), ..staple.build() };
                assert_eq!(
                    refusal_with(&hierarchy, &[after]),
                    expected,
                    "{status:?}, {fault}, and a trailing byte"
                );
                // An answer with an invalid signature has no effect.
                let tampered = staple.tampered().build();
                assert_eq!(refusal_with(&hierarchy, &[tampered]), None, "{status:?}, {fault}, not signed");
            }
        }
    }
    let both = [CertStatus::Unknown, REVOKED].map(|status| hierarchy.staple(0, NOW).status(status).build());
    assert_eq!(refusal_with(&hierarchy, &both), Some(Reason::SignerRevoked));
}

#[test]
fn the_worst_of_several_answers_in_one_response_decides() {
    let hierarchy = hierarchy();
    for (status, expected) in [(CertStatus::Unknown, Reason::StapleUnknown), (REVOKED, Reason::SignerRevoked)]
    {
        let other = hierarchy.staple(0, NOW).status(status).answer();
        let first = leaf_stapled(&hierarchy, |staple| staple.preceded_by(other.clone()));
        let last = leaf_stapled(&hierarchy, |staple| staple.followed_by(other));
        for staples in [first, last] {
            assert_eq!(reason(establish(&hierarchy, &staples, NOW)), expected);
        }
    }
}

/// The error for each fault in an otherwise good answer, if there is no other answer.
#[test]
fn good_answer_with_a_fault_does_not_count() {
    let hierarchy = hierarchy();
    let told = |make: &dyn Fn(StapleBuilder) -> StapleBuilder| {
        let staples = leaf_stapled(&hierarchy, make);
        establish(&hierarchy, &staples, NOW).err().map(|error| error.to_string())
    };
    let words: Vec<_> = faults().into_iter().map(|(_, make)| told(&make).unwrap_or_default()).collect();
    for (words, expected) in words.iter().zip([
        "",
        "got one that cannot be read: an unknown critical extension",
        "got one that cannot be read: an unknown critical extension",
        "expected an OCSP staple for it, got 4 for other certificates",
        "expected an OCSP staple for it, got 4 for other certificates",
        "its OCSP staple is valid from 2025-01-31T12:00:00Z, now 2025-01-30T12:00:00Z; is the clock right?",
        "its OCSP staple was valid until 2025-01-30T09:46:40Z, now 2025-01-30T12:00:00Z; is the clock right?",
        "its OCSP staple has no nextUpdate",
        "its OCSP staple contradicts itself: producedAt is before thisUpdate (2025-01-29T12:00:00Z, 2025-01-30T11:00:00Z)",
        "its OCSP staple has no nextUpdate",
    ]) {
        assert!(words.ends_with(expected) && words.is_empty() == expected.is_empty(), "{words}");
    }
    let after = leaf_stapled(&hierarchy, |staple| staple);
    let after =
        [&[Staple { der: [&after[0].der[..], &[0]].concat(), ..after[0].clone() }], &after[1..]].concat();
    let words = establish(&hierarchy, &after, NOW).unwrap_err();
    assert_eq!(words.reason(), Reason::StapleMalformed);
    assert!(words.to_string().ends_with("expected nothing after the response, got more bytes"), "{words}");
}

/// The Baseline Requirements limit the age to ten days for the signer's certificate and to twelve months for an
/// authority. The first limit here is more than three times the ten days.
#[test]
fn answer_older_than_35_days_or_366_for_an_authority_is_refused() {
    const DAY: i64 = 86_400;
    let hierarchy = hierarchy();
    for (place, days) in [(0, 35), (1, 366)] {
        let told = |age: i64| {
            let mut staples = hierarchy.staples(NOW);
            let this_update = NOW - age;
            staples[place] = hierarchy.staple(place, NOW).updates(this_update, Some(NOW + DAY)).build();
            establish(&hierarchy, &staples, NOW).err()
        };
        assert_eq!(told(days * DAY + SKEW), None, "{place}");
        let error = told(days * DAY + SKEW + 1).unwrap();
        assert_eq!(error.reason(), Reason::StapleStale);
        let words = error.to_string();
        let expected =
            format!("expected one of the last {days} days, now 2025-01-30T12:00:00Z; is the clock right?");
        assert!(words.ends_with(&expected), "{words}");
    }
}

#[test]
fn answer_with_contradictory_dates_does_not_count() {
    let hierarchy = hierarchy();
    let told = |this_update: i64, next_update: i64, produced_at: i64| {
        let staples = leaf_stapled(&hierarchy, |staple| {
            staple.updates(NOW + this_update, Some(NOW + next_update)).produced_at(NOW + produced_at)
        });
        establish(&hierarchy, &staples, NOW).err().map(|error| {
            assert_eq!(error.reason(), Reason::StapleMalformed);
            let words = error.to_string();
            words.split_once("contradicts itself: ").unwrap().1.split_once(" (").unwrap().0.to_owned()
        })
    };
    let is = |words: &str| Some(words.to_owned());
    assert_eq!(told(-100, 100, -100), None);
    assert_eq!(told(100, 100, 100), None);
    assert_eq!(told(101, 100, 100), is("nextUpdate is before thisUpdate"));
    assert_eq!(told(-100, 100, -100 - SKEW), None);
    assert_eq!(told(-100, 100, -101 - SKEW), is("producedAt is before thisUpdate"));
    assert_eq!(told(-900, 900, SKEW), None);
    assert_eq!(told(-900, 900, SKEW + 1), is("producedAt is in the future"));
    assert_eq!(told(-900, -100, SKEW - 100), None);
    assert_eq!(told(-900, -100, SKEW - 99), is("producedAt is after nextUpdate"));
}

#[test]
fn staple_that_does_not_count_is_reported_instead_of_a_missing_one() {
    let hierarchy = hierarchy();
    let bytes = [&hierarchy.staple(0, NOW).build().der[..], &[0]].concat();
    let staples = [Staple { der: bytes, ..hierarchy.staple(0, NOW).build() }];
    let outcome = establish_under(RevocationPolicy::WhenStapled, &hierarchy, &staples, NOW);
    assert_eq!(reason(outcome), Reason::StapleMalformed);
}
