//! Tests of names, paths, roots and the keys that a verified signer signed.

use super::*;
use crate::verification::candidates::Candidates;

#[test]
fn the_path_ends_at_the_first_trusted_root() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let subjects: Vec<_> = signer.path().iter().map(|step| step.certificate.subject()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(subjects[0].contains(SIGNER) && subjects[1].contains("M01"), "{subjects:?}");
    assert!(signer.anchor().contains("Root CA 1"), "{}", signer.anchor());
    assert_eq!(signer.now(), at(NOW));

    // If only the older root is trusted, the cross-signed certificate is part of the path and also needs a staple.
    let older = hierarchy.older_root.certificate().self_signed(&hierarchy.older_root.key).pem();
    let establish = |staples: &[Staple]| prove(&chain(&hierarchy), &anchors(&older), &read(staples));
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
    assert!(prove(&shuffled, &anchors, &staples).is_ok());
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
fn expired_root_is_refused_unless_it_was_renewed() {
    let hierarchy = hierarchy();
    let root = |until| {
        hierarchy.root.certificate().validity(NOW - 9000, until).self_signed(&hierarchy.root.key).pem()
    };
    let staples = read(&hierarchy.staples(NOW));
    let establish = |pem: &str| prove(&chain(&hierarchy), &anchors(pem), &staples);
    assert_eq!(reason(establish(&root(NOW - 1))), Reason::SignerExpired);
    assert!(establish(&root(NOW)).is_ok());
    for renewed in
        [format!("{}{}", root(NOW - 1), root(NOW + 1)), format!("{}{}", root(NOW + 1), root(NOW - 1))]
    {
        assert!(establish(&renewed).is_ok());
    }
}

#[test]
fn signer_of_another_name_is_refused() {
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
        &Budget::default(),
    );
    let error = outcome.map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("expected a certificate with the one common name {other}, got {SIGNER}")
    );
    let wanted =
        SignerPath::find(&chain(&hierarchy), &anchors, &name(), at(NOW), &Budget::default()).unwrap();
    let names: Vec<_> = wanted.certificates().map(crate::evidence::chain::Certificate::staple_name).collect();
    let served: Vec<_> =
        hierarchy.chain[..2].iter().map(|(certificate, _)| certificate.sha1_fingerprint()).collect();
    assert_eq!(names, served);
}

#[test]
fn dates_of_a_known_path_are_checked_again() {
    let usual = hierarchy();
    let (begin, end) = (NOW - 1000, NOW + 1000);
    let year = 31_536_000;
    for (place, hierarchy) in [
        ("signer", usual.clone().with_leaf(usual.leaf(SIGNER, NOW).validity(begin, end))),
        (
            "intermediate",
            usual.clone().with_intermediate(usual.intermediate_certificate().validity(begin, end)),
        ),
    ] {
        for (now, good) in [(begin - 1, false), (begin, true), (NOW, true), (end, true), (end + 1, false)] {
            let signer = establish(&hierarchy, &hierarchy.staples(now), now);
            assert_eq!(signer.is_ok(), good, "{place} at {now}: {signer:?}");
        }
    }
    let root = usual.root.certificate().validity(begin, end).self_signed(&usual.root.key).pem();
    let path =
        SignerPath::find(&chain(&usual), &anchors(&root), &name(), at(NOW), &Budget::default()).unwrap();
    for (now, good) in [(begin - 1, false), (begin, true), (end, true), (end + 1, false), (end + year, false)]
    {
        let staples = read(&usual.staples(now));
        let along = path.verify_staples(&staples, RevocationPolicy::Require, at(now), &Budget::default());
        assert_eq!(along.is_some(), good, "root at {now}");
    }
}

#[test]
fn key_expires_at_its_timestamp() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let instance: InstanceId = INSTANCE.parse().unwrap();
    let judge = |entry: &Entry, bytes: Option<&[u8]>| {
        let bundle = KeyBundle::parse(bytes.unwrap_or(&entry.sign(&hierarchy.leaf_key)));
        let judged = signer.verify_key(bundle.entries()[0].as_ref().unwrap(), &instance, &Budget::default());
        judged.map(|key| key.key().to_string()).map_err(|error| error.reason())
    };
    let entry = |until, instance| Entry::new(KEY).timestamp(until).instance(instance);
    assert_eq!(judge(&entry(NOW + 1, INSTANCE), None), Ok(KEY.to_owned()));
    assert_eq!(judge(&entry(NOW, INSTANCE), None), Err(Reason::Expired));
    assert_eq!(judge(&entry(NOW + 1, "i-0123456789abcdef1"), None), Err(Reason::WrongInstance));
    // A bad signature is reported first, because no value is compared before the signature is verified.
    let forged = entry(NOW, "i-0123456789abcdef1").with_signature(&[1; 256]);
    assert_eq!(judge(&entry(NOW, INSTANCE), Some(&forged)), Err(Reason::BadSignature));
    let by_another = entry(NOW + 1, INSTANCE).sign(&hierarchy.intermediate.key);
    assert_eq!(judge(&entry(NOW, INSTANCE), Some(&by_another)), Err(Reason::BadSignature));
}

#[test]
fn missing_staple_is_reported_instead_of_an_expired_root() {
    let hierarchy = hierarchy();
    let root = |issuer: &Issuer, until| {
        issuer.certificate().validity(NOW - 9000, until).self_signed(&issuer.key).pem()
    };
    // The search tries the newer root first, which has expired. The older root has cross-signed the newer one.
    let store = format!("{}{}", root(&hierarchy.root, NOW - 1), root(&hierarchy.older_root, NOW + 9000));
    let establish = |staples: &[Staple]| {
        let (chain, anchors) = (chain(&hierarchy), anchors(&store));
        prove(&chain, &anchors, &read(staples))
    };
    assert_eq!(reason(establish(&[])), Reason::StapleMissing);
    assert_eq!(establish(&hierarchy.staples(NOW)).unwrap().path().len(), 3);
}

#[test]
fn root_with_an_unreadable_extension_is_refused() {
    let hierarchy = hierarchy();
    let root = hierarchy.root.certificate().validity(NOW - 9000, NOW - 5);
    // A NULL instead of the bits of a keyUsage. webpki does not read this extension, and our parser refuses it.
    let odd = root.extension(oids::KEY_USAGE, true, &[0x05, 0x00]).self_signed(&hierarchy.root.key).pem();
    let anchors = anchors(&odd);
    let staples = read(&hierarchy.staples(NOW));
    let outcome = prove(&chain(&hierarchy), &anchors, &staples);
    assert_eq!(reason(outcome), Reason::SignerUntrusted);
}

#[test]
fn roots_of_one_name_are_judged_separately() {
    let hierarchy = hierarchy();
    let constraints = NameConstraints { permitted: &["other.example"], excluded: &[] };
    let certificate = |until| hierarchy.root.certificate().validity(NOW - 9000, until);
    let expired = certificate(NOW - 1).self_signed(&hierarchy.root.key).pem();
    let constrained =
        certificate(NOW + 9000).name_constraints(&constraints).self_signed(&hierarchy.root.key).pem();
    let staples = read(&hierarchy.staples(NOW));
    for store in [format!("{expired}{constrained}"), format!("{constrained}{expired}")] {
        let (chain, anchors) = (chain(&hierarchy), anchors(&store));
        let outcome = prove(&chain, &anchors, &staples);
        assert!(outcome.is_err());
    }
}

#[test]
fn good_leaf_is_found_among_several_with_the_name() {
    let mut hierarchy = hierarchy();
    let expired = hierarchy.leaf(SIGNER, NOW).validity(NOW - 9000, NOW - 1).serial(&[0x55]);
    let expired = hierarchy.intermediate.sign(expired);
    hierarchy.chain.insert(0, (expired, hierarchy.intermediate.clone()));
    assert_eq!(establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap().path().len(), 2);
}

#[test]
fn unsigned_certificates_of_the_right_name_take_one_check_each() {
    let hierarchy = hierarchy();
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    // Subject and issuer of each are the intermediate's name. So by name, each could be the issuer of any other.
    let name_of_it = &hierarchy.intermediate.name;
    let junk: Vec<_> = (1..=25_u8)
        .map(|serial| {
            let keys = [
                &stranger.leaf_key,
                &stranger.intermediate.key,
                &stranger.root.key,
                &stranger.older_root.key,
            ];
            let key = keys[usize::from(serial) % keys.len()];
            let issuer = Issuer { name: name_of_it.clone(), key: key.clone() };
            issuer.certificate().serial(&[serial]).sign(name_of_it, &stranger.oldest_root.key).pem()
        })
        .collect();
    let real: Vec<_> = hierarchy.chain.iter().map(|(certificate, _)| certificate.pem()).collect();
    let anchors = anchors(&hierarchy.anchor_pem());
    let staples = read(&hierarchy.staples(NOW));
    // The position of the genuine certificates must not matter.
    for bundle in [
        format!("{}{}", real.concat(), junk.concat()),
        format!("{}{}{}", real[0], junk.concat(), real[1..].concat()),
    ] {
        let chain = SignerChain::parse(bundle.as_bytes()).unwrap();
        let budget = Budget::default();
        let signer = VerifiedSigner::establish(
            &chain,
            &anchors,
            &staples,
            &name(),
            RevocationPolicy::Require,
            at(NOW),
            &budget,
        );
        assert_eq!(signer.unwrap().path().len(), 2);
        // One check for the intermediate, 26 with its key (the leaf and the 25 others), and two staples.
        assert_eq!(budget.signature_checks(), 1 + 26 + 2);
    }
}

#[test]
fn bundle_of_certificates_under_anchors_is_searched() {
    let hierarchy = hierarchy();
    // Every leaf names the root as its issuer, but the root did not sign all of them.
    let leaf = |serial: u8| hierarchy.leaf(SIGNER, NOW).serial(&[serial]);
    let signed = (1..=3).map(|serial| hierarchy.root.sign(leaf(serial)));
    let forged = (4..=8).map(|serial| leaf(serial).sign(&hierarchy.root.name, &hierarchy.leaf_key));
    let bundle: String = forged.chain(signed).map(|certificate| certificate.pem()).collect();
    let chain = SignerChain::parse(bundle.as_bytes()).unwrap();
    let reached = |store: &str| -> Vec<String> {
        let (anchors, budget) = (anchors(store), Budget::default());
        let leaves: Vec<_> = chain.named(&name()).collect();
        let candidates = Candidates::above(&leaves, chain.certificates(), anchors.as_slice(), &budget);
        let mut reached = Vec::new();
        for leaf in leaves {
            candidates.each_path(leaf, |path, _| {
                reached.push(path[0].serial().to_owned());
                std::ops::ControlFlow::Continue(())
            });
        }
        reached
    };
    assert_eq!(reached(&hierarchy.anchor_pem()), ["01", "02", "03"]);
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    assert_eq!(reached(&stranger.anchor_pem()), [""; 0]);
    assert_eq!(reached(&format!("{}{}", stranger.anchor_pem(), hierarchy.anchor_pem())).len(), 3);
}

#[test]
fn key_errors_contain_both_values() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let words = |entry: &[u8]| {
        let bundle = KeyBundle::parse(entry);
        let entry = bundle.entries()[0].as_ref().unwrap();
        signer.verify_key(entry, &INSTANCE.parse().unwrap(), &Budget::default()).unwrap_err().to_string()
    };
    let entry = |until, instance: &str| Entry::new(KEY).timestamp(until).instance(instance);
    assert_eq!(
        words(&entry(NOW + 1, INSTANCE).with_signature(&[1; 256])),
        "expected the signer's RSA-PSS signature (SHA-256, salt 32) over the entry, got another"
    );
    assert_eq!(
        words(&entry(NOW + 1, "i-0\x1b").sign(&hierarchy.leaf_key)),
        "signed for \"i-0\\x1b\", this is i-0123456789abcdef0"
    );
    assert_eq!(
        words(&entry(NOW - 60, INSTANCE).sign(&hierarchy.leaf_key)),
        "expired 2025-01-30T11:59:00Z, now 2025-01-30T12:00:00Z"
    );
}

#[test]
fn verified_key_has_the_signed_values() {
    let hierarchy = hierarchy();
    let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
    let entry = Entry::new(format!("{KEY} comment")).timestamp(NOW + 60).instance(INSTANCE).caller("arn:x");
    let bundle = KeyBundle::parse(&entry.request("r-1").sign(&hierarchy.leaf_key));
    let key = signer
        .verify_key(bundle.entries()[0].as_ref().unwrap(), &INSTANCE.parse().unwrap(), &Budget::default())
        .unwrap();
    assert_eq!((key.key().to_string(), key.expires()), (KEY.to_owned(), at(NOW + 60)));
    let claims = key.claims();
    assert_eq!(claims.principal.as_deref(), Some("arn:x"));
    assert_eq!(claims.request_id.as_deref(), Some("r-1"));
    assert_eq!(claims.instance.as_deref(), Some(INSTANCE));
    assert_eq!(claims.fingerprint.as_ref(), Some(key.key().fingerprint()));
}
