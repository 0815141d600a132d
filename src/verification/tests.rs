//! The proofs, judged at one pinned instant on evidence that the emulator's authority made for it.

use eic_emulator::Entry;
use eic_emulator::pki::{
    CertIdHash, CertStatus, Hierarchy, Issuer, KeyPool, NameConstraints, ResponderId, Staple, StapleBuilder,
    oids,
};

use super::*;
use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::KeyBundle;
use crate::evidence::ocsp::OcspStaple;
use crate::identity::{InstanceId, SignerName};
use crate::reason::Reason;
use crate::time::Timestamp;

/// 2025-01-30T12:00:00Z
const NOW: i64 = 1_738_238_400;
const SKEW: i64 = 300;
const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";
const INSTANCE: &str = "i-0123456789abcdef0";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn hierarchy() -> Hierarchy {
    Hierarchy::new(&KeyPool::shared(), SIGNER, NOW)
}

fn name() -> SignerName {
    SIGNER.parse().unwrap()
}

fn at(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).unwrap())
}

fn chain(hierarchy: &Hierarchy) -> SignerChain {
    SignerChain::parse(hierarchy.bundle_pem().as_bytes()).unwrap()
}

fn anchors(pem: &str) -> TrustAnchors {
    TrustAnchors::from_pem([pem.as_bytes()]).unwrap()
}

fn read(staples: &[Staple]) -> Vec<OcspStaple> {
    staples.iter().map(|staple| OcspStaple::parse(&staple.der).unwrap()).collect()
}

fn establish(hierarchy: &Hierarchy, staples: &[Staple], now: i64) -> Result<VerifiedSigner, SignerError> {
    let anchors = anchors(&hierarchy.anchor_pem());
    VerifiedSigner::establish(
        &chain(hierarchy),
        &anchors,
        &read(staples),
        &name(),
        RevocationPolicy::Require,
        at(now),
    )
}

fn reason(outcome: Result<VerifiedSigner, SignerError>) -> Reason {
    outcome.map(|signer| signer.path().len()).unwrap_err().reason()
}

/// The usual staples, with the leaf's made by `change`.
fn leaf_stapled(hierarchy: &Hierarchy, change: impl FnOnce(StapleBuilder) -> StapleBuilder) -> Vec<Staple> {
    let mut staples = hierarchy.staples(NOW);
    staples[0] = change(hierarchy.staple(0, NOW)).build();
    staples
}

#[test]
fn the_path_ends_at_the_first_trusted_root() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let subjects: Vec<_> = signer.path().iter().map(|step| step.certificate.subject()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(subjects[0].contains(SIGNER) && subjects[1].contains("M01"), "{subjects:?}");
    assert!(signer.anchor().contains("Root CA 1"), "{}", signer.anchor());
    assert_eq!(signer.now(), at(NOW));

    // Where only the older root is trusted, the cross-sign is part of the path and needs its staple, too.
    let older = hierarchy.older_root.certificate().self_signed(&hierarchy.older_root.key).pem();
    let establish = |staples: &[Staple]| {
        VerifiedSigner::establish(
            &chain(&hierarchy),
            &anchors(&older),
            &read(staples),
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        )
    };
    assert_eq!(establish(&hierarchy.staples(NOW)).unwrap().path().len(), 3);
    assert_eq!(reason(establish(&hierarchy.staples(NOW)[..2])), Reason::StapleMissing);
}

#[test]
fn certificates_that_the_path_does_not_need_are_ignored() {
    let hierarchy = hierarchy();
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    let unreadable = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let mut blocks: Vec<String> = hierarchy.chain.iter().map(|(certificate, _)| certificate.pem()).collect();
    blocks.reverse();
    blocks.insert(1, unreadable.to_owned());
    blocks.push(stranger.chain[1].0.pem());
    let shuffled = SignerChain::parse(blocks.concat().as_bytes()).unwrap();
    let anchors = anchors(&hierarchy.anchor_pem());
    let staples = read(&hierarchy.staples(NOW));
    assert!(
        VerifiedSigner::establish(&shuffled, &anchors, &staples, &name(), RevocationPolicy::Require, at(NOW))
            .is_ok()
    );
}

#[test]
fn a_second_path_is_tried_when_the_first_is_revoked() {
    let mut hierarchy = hierarchy();
    // The same intermediate, certified twice: by the root, and by the older root.
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
        let signer = VerifiedSigner::establish(
            &chain(&hierarchy),
            &anchors(&both),
            &read(&staples),
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        )
        .unwrap();
        let expected = if revoked == 1 { "Services Root G2" } else { "Root CA 1" };
        assert!(signer.anchor().contains(expected), "{}", signer.anchor());

        staples[3 - revoked] = hierarchy.staple(3 - revoked, NOW).status(status).build();
        let neither = VerifiedSigner::establish(
            &chain(&hierarchy),
            &anchors(&both),
            &read(&staples),
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        );
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
fn only_good_will_do() {
    let hierarchy = hierarchy();
    let revoked = CertStatus::Revoked { at: NOW - 60, reason: None };
    let status = |status| leaf_stapled(&hierarchy, |staple| staple.status(status));
    assert_eq!(reason(establish(&hierarchy, &status(revoked), NOW)), Reason::SignerRevoked);
    assert_eq!(reason(establish(&hierarchy, &status(CertStatus::Unknown), NOW)), Reason::StapleUnknown);

    // A signed "revoked" decides, in whatever order and however old it is.
    let stale = hierarchy.staple(0, NOW).status(revoked).updates(NOW - 9000, Some(NOW - 8000)).build();
    for place in [0, 4] {
        let mut staples = hierarchy.staples(NOW);
        staples.insert(place, stale.clone());
        assert_eq!(reason(establish(&hierarchy, &staples, NOW)), Reason::SignerRevoked);
    }
    // One that nobody signed does not.
    let mut staples = hierarchy.staples(NOW);
    staples.insert(0, hierarchy.staple(0, NOW).status(revoked).tampered().build());
    assert!(establish(&hierarchy, &staples, NOW).is_ok());
}

#[test]
fn a_staple_is_found_by_what_is_inside() {
    let hierarchy = hierarchy();
    let by_sha256 = leaf_stapled(&hierarchy, |staple| staple.cert_id_hash(CertIdHash::Sha256));
    assert!(establish(&hierarchy, &by_sha256, NOW).is_ok());
    let other = hierarchy.staple(1, NOW).answer();
    let second_answer = leaf_stapled(&hierarchy, |staple| staple.preceded_by(other));
    assert!(establish(&hierarchy, &second_answer, NOW).is_ok());

    let mut staples = hierarchy.staples(NOW);
    staples.remove(0);
    assert_eq!(reason(establish(&hierarchy, &staples, NOW)), Reason::StapleMissing);
    // The staple of a certificate with the same serial number from another issuer is about that one.
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
fn validity_is_judged_at_the_given_instant() {
    let hierarchy = hierarchy();
    let leaf = hierarchy.leaf(SIGNER, NOW).validity(NOW - 100, NOW + 100);
    let hierarchy = hierarchy.with_leaf(leaf);
    let staples = hierarchy.staples(NOW);
    for (now, expected) in [
        (NOW - 101, Some(Reason::SignerNotYetValid)),
        (NOW - 100, None),
        (NOW + 100, None),
        (NOW + 101, Some(Reason::SignerExpired)),
    ] {
        let outcome = establish(&hierarchy, &staples, now).map(|_| ()).err().map(|error| error.reason());
        assert_eq!(outcome, expected, "{}", now - NOW);
    }
}

#[test]
fn a_root_outside_its_validity_is_no_root_unless_it_was_renewed() {
    let hierarchy = hierarchy();
    let root = |until| {
        hierarchy.root.certificate().validity(NOW - 9000, until).self_signed(&hierarchy.root.key).pem()
    };
    let staples = read(&hierarchy.staples(NOW));
    let establish = |pem: &str| {
        VerifiedSigner::establish(
            &chain(&hierarchy),
            &anchors(pem),
            &staples,
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        )
    };
    assert_eq!(reason(establish(&root(NOW - 1))), Reason::SignerExpired);
    assert!(establish(&root(NOW)).is_ok());
    for renewed in
        [format!("{}{}", root(NOW - 1), root(NOW + 1)), format!("{}{}", root(NOW + 1), root(NOW - 1))]
    {
        assert!(establish(&renewed).is_ok());
    }
}

#[test]
fn the_signer_is_who_it_should_be() {
    let hierarchy = hierarchy();
    let staples = read(&hierarchy.staples(NOW));
    let anchors = anchors(&hierarchy.anchor_pem());
    let other: SignerName = "managed-ssh-signer.us-east-2.amazonaws.com".parse().unwrap();
    let outcome = VerifiedSigner::establish(
        &chain(&hierarchy),
        &anchors,
        &staples,
        &other,
        RevocationPolicy::Require,
        at(NOW),
    );
    let error = outcome.map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("expected a certificate with the one common name {other}, got {SIGNER}")
    );
    let wanted = certificates_to_staple(&chain(&hierarchy), &anchors, &name(), at(NOW)).unwrap();
    let names: Vec<_> = wanted.iter().map(crate::evidence::chain::Certificate::staple_name).collect();
    let served: Vec<_> =
        hierarchy.chain[..2].iter().map(|(certificate, _)| certificate.sha1_fingerprint()).collect();
    assert_eq!(names, served);
}

#[test]
fn a_key_is_good_until_the_very_second() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let instance: InstanceId = INSTANCE.parse().unwrap();
    let judge = |entry: &Entry, bytes: Option<&[u8]>| {
        let bundle = KeyBundle::parse(bytes.unwrap_or(&entry.sign(&hierarchy.leaf_key)));
        let judged = signer.verify_key(bundle.entries()[0].as_ref().unwrap(), &instance);
        judged.map(|key| key.key().to_string()).map_err(|error| error.reason())
    };
    let entry = |until, instance| Entry::new(KEY).timestamp(until).instance(instance);
    assert_eq!(judge(&entry(NOW + 1, INSTANCE), None), Ok(KEY.to_owned()));
    assert_eq!(judge(&entry(NOW, INSTANCE), None), Err(Reason::Expired));
    assert_eq!(judge(&entry(NOW + 1, "i-0123456789abcdef1"), None), Err(Reason::WrongInstance));
    // A bad signature comes first: what was not signed is not compared with anything.
    let forged = entry(NOW, "i-0123456789abcdef1").with_signature(&[1; 256]);
    assert_eq!(judge(&entry(NOW, INSTANCE), Some(&forged)), Err(Reason::BadSignature));
    let by_another = entry(NOW + 1, INSTANCE).sign(&hierarchy.intermediate.key);
    assert_eq!(judge(&entry(NOW, INSTANCE), Some(&by_another)), Err(Reason::BadSignature));
}

#[test]
fn a_path_that_lacks_only_a_staple_is_told_before_one_whose_root_is_expired() {
    let hierarchy = hierarchy();
    let root = |issuer: &Issuer, until| {
        issuer.certificate().validity(NOW - 9000, until).self_signed(&issuer.key).pem()
    };
    // The search comes to the newer root first, which has expired; the older one has cross-signed it.
    let store = format!("{}{}", root(&hierarchy.root, NOW - 1), root(&hierarchy.older_root, NOW + 9000));
    let establish = |staples: &[Staple]| {
        let (chain, anchors) = (chain(&hierarchy), anchors(&store));
        VerifiedSigner::establish(
            &chain,
            &anchors,
            &read(staples),
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        )
    };
    assert_eq!(reason(establish(&[])), Reason::StapleMissing);
    assert_eq!(establish(&hierarchy.staples(NOW)).unwrap().path().len(), 3);
}

#[test]
fn a_root_that_cannot_be_read_whole_is_no_root() {
    let hierarchy = hierarchy();
    let root = hierarchy.root.certificate().validity(NOW - 9000, NOW - 5);
    // Where the bits of a keyUsage should be: webpki does not look, and our parser gives up.
    let odd = root.extension(oids::KEY_USAGE, true, &[0x05, 0x00]).self_signed(&hierarchy.root.key).pem();
    let anchors = anchors(&odd);
    let staples = read(&hierarchy.staples(NOW));
    let outcome = VerifiedSigner::establish(
        &chain(&hierarchy),
        &anchors,
        &staples,
        &name(),
        RevocationPolicy::Require,
        at(NOW),
    );
    assert_eq!(reason(outcome), Reason::SignerUntrusted);
}

#[test]
fn roots_of_one_name_do_not_lend_each_other_what_they_lack() {
    let hierarchy = hierarchy();
    let constraints = NameConstraints { permitted: &["other.example"], excluded: &[] };
    let certificate = |until| hierarchy.root.certificate().validity(NOW - 9000, until);
    let expired = certificate(NOW - 1).self_signed(&hierarchy.root.key).pem();
    let constrained =
        certificate(NOW + 9000).name_constraints(&constraints).self_signed(&hierarchy.root.key).pem();
    let staples = read(&hierarchy.staples(NOW));
    for store in [format!("{expired}{constrained}"), format!("{constrained}{expired}")] {
        let (chain, anchors) = (chain(&hierarchy), anchors(&store));
        let outcome = VerifiedSigner::establish(
            &chain,
            &anchors,
            &staples,
            &name(),
            RevocationPolicy::Require,
            at(NOW),
        );
        assert!(outcome.is_err());
    }
}

#[test]
fn of_several_leaves_with_the_name_a_good_one_is_found() {
    let mut hierarchy = hierarchy();
    let expired = hierarchy.leaf(SIGNER, NOW).validity(NOW - 9000, NOW - 1).serial(&[0x55]);
    let expired = hierarchy.intermediate.sign(expired);
    hierarchy.chain.insert(0, (expired, hierarchy.intermediate.clone()));
    assert_eq!(establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap().path().len(), 2);
}

#[test]
fn without_staples_only_where_the_policy_says_so() {
    let hierarchy = hierarchy();
    let establish = |staples: &[Staple]| {
        let (chain, anchors) = (chain(&hierarchy), anchors(&hierarchy.anchor_pem()));
        VerifiedSigner::establish(
            &chain,
            &anchors,
            &read(staples),
            &name(),
            RevocationPolicy::WhenStapled,
            at(NOW),
        )
    };
    assert_eq!(establish(&[]).unwrap().unstapled().count(), 2);
    assert_eq!(establish(&hierarchy.staples(NOW)[..1]).unwrap().unstapled().count(), 1);
    let unknown = hierarchy.staple(1, NOW).status(CertStatus::Unknown).build();
    assert_eq!(reason(establish(&[unknown])), Reason::StapleUnknown);
    let stale = hierarchy.staple(1, NOW).updates(NOW - 9000, Some(NOW - 8000)).build();
    assert_eq!(reason(establish(&[stale])), Reason::StapleStale);
}
