//! Tests of the staples that vouch for a certificate.

use super::*;

#[test]
fn a_second_path_is_tried_when_the_first_is_revoked() {
    let mut hierarchy = hierarchy();
    // The root and the older root both certified the same intermediate.
    let other_root = hierarchy.older_root.clone();
    let again = other_root.sign(hierarchy.intermediate_certificate().serial(&[0x77]));
    hierarchy.chain.truncate(2);
    hierarchy.chain.push((again, other_root.clone()));
    let both =
        format!("{}{}", hierarchy.anchor_pem(), other_root.certificate().self_signed(&other_root.key).pem());
    for revoked in [1, 2] {
        let mut staples = hierarchy.staples(NOW);
        let status = CertStatus::Revoked { at: NOW - 60, reason: None };
        staples[revoked] = hierarchy.staple(revoked, NOW).status(status).build();
        let signer = prove(&chain(&hierarchy), &anchors(&both), &read(&staples)).unwrap();
        let expected = if revoked == 1 { "Services Root G2" } else { "Root CA 1" };
        assert!(signer.anchor().contains(expected), "{}", signer.anchor());

        staples[3 - revoked] = hierarchy.staple(3 - revoked, NOW).status(status).build();
        let neither = prove(&chain(&hierarchy), &anchors(&both), &read(&staples));
        assert_eq!(reason(neither), Reason::SignerRevoked);
    }
}

#[test]
fn staples_are_fresh_within_the_skew() {
    assert_eq!(i64::try_from(CLOCK_SKEW), Ok(SKEW));
    let hierarchy = hierarchy();
    let outcome = |this_update: i64, next_update: Option<i64>| {
        establish(
            &hierarchy,
            &leaf_stapled(&hierarchy, |staple| staple.updates(this_update, next_update)),
            NOW,
        )
    };
    assert!(outcome(NOW + SKEW, Some(NOW + 3600)).is_ok());
    assert_eq!(reason(outcome(NOW + SKEW + 1, Some(NOW + 3600))), Reason::StapleNotYetValid);
    assert!(outcome(NOW - 3600, Some(NOW - SKEW)).is_ok());
    assert_eq!(reason(outcome(NOW - 3600, Some(NOW - SKEW - 1))), Reason::StapleStale);
    assert_eq!(reason(outcome(NOW - 3600, None)), Reason::StapleNoNextUpdate);
}

#[test]
fn only_a_good_status_is_accepted() {
    let hierarchy = hierarchy();
    let revoked = CertStatus::Revoked { at: NOW - 60, reason: None };
    let status = |status| leaf_stapled(&hierarchy, |staple| staple.status(status));
    assert_eq!(reason(establish(&hierarchy, &status(revoked), NOW)), Reason::SignerRevoked);
    assert_eq!(reason(establish(&hierarchy, &status(CertStatus::Unknown), NOW)), Reason::StapleUnknown);

    // A signed `revoked` decides, regardless of its position and age.
    let stale = hierarchy.staple(0, NOW).status(revoked).updates(NOW - 9000, Some(NOW - 8000)).build();
    for place in [0, 4] {
        let mut staples = hierarchy.staples(NOW);
        staples.insert(place, stale.clone());
        assert_eq!(reason(establish(&hierarchy, &staples, NOW)), Reason::SignerRevoked);
    }
    // A `revoked` with an invalid signature does not count.
    let mut staples = hierarchy.staples(NOW);
    staples.insert(0, hierarchy.staple(0, NOW).status(revoked).tampered().build());
    assert!(establish(&hierarchy, &staples, NOW).is_ok());
}

#[test]
fn staple_is_found_by_its_certid() {
    let hierarchy = hierarchy();
    let by_sha256 = leaf_stapled(&hierarchy, |staple| staple.cert_id_hash(CertIdHash::Sha256));
    assert!(establish(&hierarchy, &by_sha256, NOW).is_ok());
    let other = hierarchy.staple(1, NOW).answer();
    let second_answer = leaf_stapled(&hierarchy, |staple| staple.preceded_by(other));
    assert!(establish(&hierarchy, &second_answer, NOW).is_ok());

    let mut staples = hierarchy.staples(NOW);
    staples.remove(0);
    assert_eq!(reason(establish(&hierarchy, &staples, NOW)), Reason::StapleMissing);
    // A staple for the same serial number from another issuer is about another certificate.
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    staples.push(StapleBuilder::new(hierarchy.leaf_certificate(), &stranger.intermediate, NOW).build());
    assert_eq!(reason(establish(&hierarchy, &staples, NOW)), Reason::StapleMissing);
}

#[test]
fn a_staple_is_signed_by_the_issuer_or_its_responder() {
    let hierarchy = hierarchy();
    let pool = KeyPool::shared();
    let stranger = Hierarchy::of_family(&pool, "stranger", SIGNER, NOW);
    let key = pool.get("responder");
    let responder = Issuer::new("Emulator OCSP responder", key.clone());
    let made = |issuer: &Issuer, usages: &[&[u32]], until: i64| {
        let plain = responder.certificate().validity(NOW - 3600, until).basic_constraints(false, None);
        let plain = plain.key_usage(&[eic_emulator::pki::KeyUsage::DigitalSignature]);
        issuer.sign(if usages.is_empty() { plain } else { plain.extended_key_usage(usages) })
    };
    let signing: &[&[u32]] = &[oids::OCSP_SIGNING];
    let until = NOW + 3600;
    for (case, certificate, expected) in [
        ("marked", made(&hierarchy.intermediate, signing, until), None),
        (
            "not marked",
            made(&hierarchy.intermediate, &[oids::SERVER_AUTH], until),
            Some(Reason::StapleResponder),
        ),
        ("no marks at all", made(&hierarchy.intermediate, &[], until), Some(Reason::StapleResponder)),
        ("expired", made(&hierarchy.intermediate, signing, NOW - 1), Some(Reason::StapleResponder)),
        ("the issuer's issuer's", made(&hierarchy.root, signing, until), Some(Reason::StapleResponder)),
        ("a stranger's", made(&stranger.intermediate, signing, until), Some(Reason::StapleResponder)),
    ] {
        let staples = leaf_stapled(&hierarchy, |staple| staple.delegated_to(certificate, &key));
        assert_eq!(
            establish(&hierarchy, &staples, NOW).map(|_| ()).err().map(|e| e.reason()),
            expected,
            "{case}"
        );
    }
    let foreign = leaf_stapled(&hierarchy, |staple| staple.signed_by(&stranger.intermediate.key));
    assert_eq!(reason(establish(&hierarchy, &foreign, NOW)), Reason::StapleResponder);
    for issuer in [
        ResponderId::Name(hierarchy.intermediate.name.clone()),
        ResponderId::Key(hierarchy.intermediate.key.public().id()),
    ] {
        let posing = leaf_stapled(&hierarchy, |staple| {
            staple.signed_by(&stranger.intermediate.key).responder(issuer.clone())
        });
        assert_eq!(reason(establish(&hierarchy, &posing, NOW)), Reason::StapleBadSignature);
        let genuine = leaf_stapled(&hierarchy, |staple| staple.responder(issuer.clone()));
        assert!(establish(&hierarchy, &genuine, NOW).is_ok());
    }
    let tampered = leaf_stapled(&hierarchy, StapleBuilder::tampered);
    assert_eq!(reason(establish(&hierarchy, &tampered, NOW)), Reason::StapleBadSignature);
}

#[test]
fn missing_staples_are_accepted_only_under_when_stapled() {
    let hierarchy = hierarchy();
    let establish =
        |staples: &[Staple]| establish_under(RevocationPolicy::WhenStapled, &hierarchy, staples, NOW);
    assert_eq!(establish(&[]).unwrap().unstapled().count(), 2);
    assert_eq!(establish(&hierarchy.staples(NOW)[..1]).unwrap().unstapled().count(), 1);
    let unknown = hierarchy.staple(1, NOW).status(CertStatus::Unknown).build();
    assert_eq!(reason(establish(&[unknown])), Reason::StapleUnknown);
    let stale = hierarchy.staple(1, NOW).updates(NOW - 9000, Some(NOW - 8000)).build();
    assert_eq!(reason(establish(&[stale])), Reason::StapleStale);
}
