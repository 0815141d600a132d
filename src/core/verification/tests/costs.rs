//! Tests of the work limits, by counts.

use eic_emulator::pki::{Certificate, CertificateBuilder, PublicKey, RsaKey, SignatureScheme};

use super::*;
use crate::verification::budget::Counted;
use crate::verification::candidates::Candidates;

fn bundle(certificates: &[Certificate]) -> SignerChain {
    let pem: String = certificates.iter().map(Certificate::pem).collect();
    SignerChain::parse(pem.as_bytes()).unwrap()
}

/// Why a signer with these certificates is refused under the hierarchy's root without staples, and how many
/// signatures were checked.
fn unstapled(hierarchy: &Hierarchy, certificates: &[Certificate]) -> (Reason, usize) {
    let (chain, anchors, budget) =
        (bundle(certificates), anchors(&hierarchy.anchor_pem()), Budget::default());
    let policy = RevocationPolicy::Require;
    let outcome = VerifiedSigner::establish(&chain, &anchors, &[], &name(), policy, at(NOW), &budget);
    let told = reason(outcome);
    assert_eq!(told == Reason::SignerTooCostly, budget.is_exceeded());
    (told, budget.signature_checks())
}

#[test]
fn a_bundle_like_amazons_takes_six_signature_checks() {
    let hierarchy = hierarchy();
    let root = |issuer: &Issuer| issuer.certificate().self_signed(&issuer.key).pem();
    let (chain, staples) = (chain(&hierarchy), read(&hierarchy.staples(NOW)));
    for (roots, checks) in [
        (vec![&hierarchy.root], 4),
        (vec![&hierarchy.root, &hierarchy.older_root, &hierarchy.oldest_root], 6),
        (vec![&hierarchy.oldest_root], 8),
    ] {
        let anchors = anchors(&roots.iter().map(|issuer| root(issuer)).collect::<String>());
        let budget = Budget::default();
        let path = SignerPath::find(&chain, &anchors, &name(), at(NOW), &budget).unwrap();
        let require = RevocationPolicy::Require;
        assert!(path.verify_staples(&staples, require, at(NOW), &budget).is_some());
        assert_eq!(budget.signature_checks(), checks, "{} roots", roots.len());
        // A second decision uses the stored results.
        assert!(path.verify_staples(&staples, require, at(NOW), &budget).is_some());
        let again = VerifiedSigner::establish(&chain, &anchors, &staples, &name(), require, at(NOW), &budget);
        assert!(again.is_ok());
        assert_eq!(budget.signature_checks(), checks);
        assert!(checks * 6 <= MAX_SIGNATURE_CHECKS);
    }
}

/// The stored result of a check is used only for exactly the same check.
#[test]
fn result_is_reused_only_for_the_same_signature_check() {
    use rustls::pki_types::SignatureVerificationAlgorithm as _;
    let hierarchy = hierarchy();
    let (key, other_key) = (&hierarchy.leaf_key, &hierarchy.root.key);
    let sign = |key: &RsaKey, message: &[u8]| key.sign(SignatureScheme::Pkcs1Sha256, message);
    let good = (sign(key, b"a"), b"a", key, webpki::ring::RSA_PKCS1_2048_8192_SHA256);
    let others = [
        (sign(key, b"b"), b"a", key, good.3),
        (good.0.clone(), b"b", key, good.3),
        (good.0.clone(), b"a", other_key, good.3),
        (good.0.clone(), b"a", key, webpki::ring::RSA_PKCS1_2048_8192_SHA384),
    ];
    // The order must not matter.
    for other in others {
        for order in [[&good, &other], [&other, &good]] {
            let budget = Budget::default();
            for (signature, message, key, algorithm) in order.into_iter().chain(order) {
                let counted = Counted { algorithm: *algorithm, budget: &budget };
                let checked = counted.verify_signature(key.public().pkcs1_der(), *message, signature);
                let is_good = *signature == good.0
                    && *message == good.1
                    && key.public().id() == good.2.public().id()
                    && algorithm.signature_alg_id() == good.3.signature_alg_id();
                assert_eq!(checked.is_ok(), is_good);
            }
            assert_eq!(budget.signature_checks(), 2);
        }
    }
}

#[test]
fn each_forged_certificate_takes_one_signature_check() {
    let hierarchy = hierarchy();
    let forged = |serial| {
        hierarchy.leaf(SIGNER, NOW).serial(&[serial]).sign(&hierarchy.root.name, &hierarchy.leaf_key)
    };
    let forged: Vec<_> = (1..=32).map(forged).collect();
    assert_eq!(unstapled(&hierarchy, &forged), (Reason::SignerUntrusted, 32));
}

#[test]
fn a_mesh_of_authorities_is_too_costly_after_48_signature_checks() {
    let hierarchy = hierarchy();
    let pool = KeyPool::shared();
    let keys = ["mesh-1", "mesh-2", "mesh-3", "mesh-4"].map(|key| Issuer::new("Mesh", pool.get(key)));
    let mut certificates: Vec<_> =
        (1..=4).map(|serial| keys[0].sign(hierarchy.leaf(SIGNER, NOW).serial(&[serial]))).collect();
    certificates.extend(keys.iter().map(|key| hierarchy.root.sign(key.certificate())));
    certificates
        .extend(keys.iter().flat_map(|above| keys.iter().map(|below| above.sign(below.certificate()))));
    assert_eq!(certificates.len(), 24);
    let (told, checks) = unstapled(&hierarchy, &certificates);
    assert_eq!((told, checks), (Reason::SignerTooCostly, 48));
    let budget = Budget::default();
    let anchors = anchors(&hierarchy.anchor_pem());
    let outcome = SignerPath::find(&bundle(&certificates), &anchors, &name(), at(NOW), &budget);
    let words = outcome.unwrap_err().to_string();
    assert!(
        words.starts_with("expected at most 48 signature checks, 256 paths and 250000 comparisons"),
        "{words}"
    );
}

/// Six authorities above each other, each with two certificates, and `leaves` leaf certificates below them.
fn ladder(hierarchy: &Hierarchy, leaves: u8) -> Vec<Certificate> {
    let steps =
        ["1", "2", "3", "4", "5", "6"].map(|step| Issuer::new(step, hierarchy.intermediate.key.clone()));
    let leaf = |serial| steps[0].sign(hierarchy.leaf(SIGNER, NOW).serial(&[3, serial]));
    let mut certificates: Vec<_> = (0..leaves).map(leaf).collect();
    let above = steps.iter().skip(1).chain([&hierarchy.root]);
    for (below, above) in steps.iter().zip(above) {
        certificates.extend([1, 2].map(|serial| above.sign(below.certificate().serial(&[serial]))));
    }
    certificates
}

#[test]
fn more_than_256_paths_are_too_costly() {
    let hierarchy = hierarchy();
    assert_eq!(unstapled(&hierarchy, &ladder(&hierarchy, 1)), (Reason::StapleMissing, 13));
    assert_eq!(unstapled(&hierarchy, &ladder(&hierarchy, 4)), (Reason::StapleMissing, 16));
    assert_eq!(unstapled(&hierarchy, &ladder(&hierarchy, 5)), (Reason::SignerTooCostly, 17));
}

#[test]
fn a_path_has_at_most_six_authorities_below_the_root() {
    let hierarchy = hierarchy();
    let seventh = Issuer::new("7", hierarchy.intermediate.key.clone());
    let mut certificates = ladder(&hierarchy, 0);
    let first = Issuer::new("1", hierarchy.intermediate.key.clone());
    certificates.push(first.sign(seventh.certificate()));
    certificates.push(seventh.sign(hierarchy.leaf(SIGNER, NOW)));
    assert_eq!(unstapled(&hierarchy, &certificates).0, Reason::SignerUntrusted);
}

#[test]
fn more_than_250000_comparisons_of_names_are_too_costly() {
    let hierarchy = hierarchy();
    let excluded: Vec<_> = (0..250).map(|number| format!("x{number}")).collect();
    let excluded: Vec<_> = excluded.iter().map(String::as_str).collect();
    let constraints = NameConstraints { permitted: &[], excluded: &excluded };
    let mut names: Vec<_> = (0..249).map(|number| format!("y{number}")).collect();
    names.push(SIGNER.to_owned());
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // Each path compares 250 names with 250 constraints.
    let told = |authorities: u8| {
        let leaf = hierarchy.intermediate.sign(hierarchy.leaf(SIGNER, NOW).san(&names));
        let authority = hierarchy.intermediate_certificate().name_constraints(&constraints);
        let authorities =
            (1..=authorities).map(|serial| hierarchy.root.sign(authority.clone().serial(&[serial])));
        unstapled(&hierarchy, &std::iter::once(leaf).chain(authorities).collect::<Vec<_>>())
    };
    assert_eq!(told(4), (Reason::StapleMissing, 5));
    assert_eq!(told(5), (Reason::SignerTooCostly, 6));
}

#[test]
fn an_authority_may_change_its_key_once_on_a_path() {
    let hierarchy = hierarchy();
    let pool = KeyPool::shared();
    let keys = ["mesh-1", "mesh-2", "mesh-3"].map(|key| Issuer::new("Renewed", pool.get(key)));
    let renewed = |keys: &[Issuer]| {
        let leaf = keys[0].sign(hierarchy.leaf(SIGNER, NOW));
        let above = keys.iter().skip(1).chain([&hierarchy.root]);
        let authorities = keys.iter().zip(above).map(|(below, above)| above.sign(below.certificate()));
        unstapled(&hierarchy, &std::iter::once(leaf).chain(authorities).collect::<Vec<_>>()).0
    };
    assert_eq!(renewed(&keys[..1]), Reason::StapleMissing);
    assert_eq!(renewed(&keys[..2]), Reason::StapleMissing);
    assert_eq!(renewed(&keys), Reason::SignerUntrusted);
}

/// The evidence beyond the limit may contain a revocation.
#[test]
fn no_proof_is_accepted_after_a_bound_was_exceeded() {
    let hierarchy = hierarchy();
    let (chain, anchors) = (chain(&hierarchy), anchors(&hierarchy.anchor_pem()));
    let establish = |staples: &[OcspStaple], budget: &Budget| {
        let policy = RevocationPolicy::Require;
        VerifiedSigner::establish(&chain, &anchors, staples, &name(), policy, at(NOW), budget)
    };
    // Each names the issuer as its responder, but has an invalid signature.
    let forged =
        |number: i64| hierarchy.staple(0, NOW).updates(NOW - number, Some(NOW + 60)).tampered().build();
    let forged: Vec<_> = (0..50).map(forged).collect();
    for (count, expected) in [(44, None), (45, Some(Reason::SignerTooCostly))] {
        let staples = read(&[&hierarchy.staples(NOW)[..2], &forged[..count]].concat());
        let budget = Budget::default();
        let outcome = establish(&staples, &budget);
        assert_eq!(outcome.err().map(|error| error.reason()), expected, "{count}");
        assert_eq!(budget.signature_checks(), 48);
        let path = SignerPath::find(&chain, &anchors, &name(), at(NOW), &Budget::default()).unwrap();
        let along = path.verify_staples(&staples, RevocationPolicy::Require, at(NOW), &budget);
        assert_eq!(along.is_none(), expected.is_some(), "{count}");
    }
}

#[test]
fn certificates_outside_the_chain_of_names_are_not_checked() {
    let hierarchy = hierarchy();
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    let other = |serial| -> CertificateBuilder { stranger.root.certificate().serial(&[serial]) };
    // All of them name the root as their issuer.
    let others = (1..=28).map(|serial| other(serial).sign(&hierarchy.root.name, &stranger.leaf_key));
    let usual = hierarchy.chain[..2].iter().map(|(certificate, _)| certificate.clone());
    assert_eq!(unstapled(&hierarchy, &usual.chain(others).collect::<Vec<_>>()), (Reason::StapleMissing, 2));
}

/// The authority has two self-issued certificates. A path through them would contain its key twice.
#[test]
fn no_path_contains_a_key_twice() {
    let hierarchy = hierarchy();
    let authority = Issuer::new("Looped", KeyPool::shared().get("mesh-1"));
    let certificates = [
        authority.sign(hierarchy.leaf(SIGNER, NOW)),
        authority.certificate().self_signed(&authority.key),
        authority.sign(authority.certificate().serial(&[7])),
        hierarchy.root.sign(authority.certificate()),
    ];
    let (chain, anchors, budget) =
        (bundle(&certificates), anchors(&hierarchy.anchor_pem()), Budget::default());
    let leaves: Vec<_> = chain.named(&name()).collect();
    let candidates = Candidates::above(&leaves, chain.certificates(), anchors.as_slice(), &budget);
    let mut lengths = Vec::new();
    candidates.each_path(leaves[0], |path, anchor| {
        lengths.push((path.len(), anchor));
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(lengths, [(2, 0)]);
}

/// Three certificates connect the root to the older root, and two connect the older root to the oldest root. They give
/// ten paths. Each path is tried again after each further staple. There are up to 16 staples, in addition to those of
/// the path.
#[test]
fn ten_paths_may_be_tried_for_each_of_twenty_staples() {
    let hierarchy = hierarchy();
    let root = |issuer: &Issuer| issuer.certificate().self_signed(&issuer.key).pem();
    let roots = [&hierarchy.root, &hierarchy.older_root, &hierarchy.oldest_root];
    let anchors = anchors(&roots.map(root).concat());
    let mut certificates: Vec<_> =
        hierarchy.chain[..2].iter().map(|(certificate, _)| certificate.clone()).collect();
    let cross =
        |issuer: &Issuer, subject: &Issuer, serial| issuer.sign(subject.certificate().serial(&[serial]));
    certificates.extend((1..=3).map(|serial| cross(&hierarchy.older_root, &hierarchy.root, serial)));
    certificates.extend((1..=2).map(|serial| cross(&hierarchy.oldest_root, &hierarchy.older_root, serial)));
    let (chain, budget, policy) = (bundle(&certificates), Budget::default(), RevocationPolicy::Require);
    for number in 1..=20 {
        let told = VerifiedSigner::establish(&chain, &anchors, &[], &name(), policy, at(NOW), &budget);
        assert_eq!(reason(told), Reason::StapleMissing, "{number}");
    }
    assert_eq!(budget.signature_checks(), 7);
    let staples = read(&hierarchy.staples(NOW));
    assert!(VerifiedSigner::establish(&chain, &anchors, &staples, &name(), policy, at(NOW), &budget).is_ok());
}

/// The work of one check grows with the square of the key size.
#[test]
fn longer_signer_key_allows_fewer_entry_checks() {
    let entry = Entry::new(KEY).timestamp(NOW + 60).instance(INSTANCE).with_signature(&[1; 256]);
    let bundle = KeyBundle::parse(&entry.repeat(2048));
    let instance: InstanceId = INSTANCE.parse().unwrap();
    for (bits, checks) in [(2048, 2048), (3072, 910), (4096, 512)] {
        let key = PublicKey::of_numbers(&vec![0xff; bits / 8], &[1, 0, 1]);
        let leaf = CertificateBuilder::new(Name::common(SIGNER), &key, NOW - 9000, NOW + 9000);
        let hierarchy = hierarchy().with_leaf(leaf.signer_profile(SIGNER));
        let signer = establish(&hierarchy, &hierarchy.staples(NOW), NOW).unwrap();
        let budget = Budget::default();
        let judged = bundle.entries().iter().flatten();
        let told: Vec<_> =
            judged.map(|entry| signer.verify_key(entry, &instance, &budget).unwrap_err()).collect();
        assert_eq!(told.len(), 2048);
        let (checked, others) = told.split_at(checks);
        assert!(checked.iter().all(|error| error.reason() == Reason::BadSignature), "{bits}");
        assert!(others.iter().all(|error| error.reason() == Reason::TooManyEntries), "{bits}");
        assert_eq!(budget.entry_checks(), checks, "{bits}");
        // Many entries cause entries to be refused, but not the signer.
        assert!(!budget.is_exceeded(), "{bits}");
        if let Some(error) = others.first() {
            let words = error.to_string();
            assert!(words.contains("2048 checks with an RSA key of 2,048 bits"), "{words}");
        }
    }
}

/// The processor time of `what` on this thread, in microseconds.
fn processor_time(what: impl FnOnce()) -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let spent = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().user_time().num_microseconds();
    let from = spent();
    what();
    spent() - from
}

/// Every staple is judged again when another staple arrives. The second judgement must not decode or encode the
/// contents again.
#[test]
fn long_responder_name_is_not_decoded_for_each_judgement() {
    let hierarchy = hierarchy();
    let (chain, anchors) = (chain(&hierarchy), anchors(&hierarchy.anchor_pem()));
    let policy = RevocationPolicy::Require;
    let judge = |name: &Name| {
        let staple = |number: i64| {
            let staple = hierarchy.staple(0, NOW).updates(NOW - number, Some(NOW + 60)).signature(&[1]);
            staple.responder(ResponderId::Name(name.clone())).build()
        };
        let staples = read(&(0..20).map(staple).collect::<Vec<_>>());
        let budget = Budget::default();
        let once = || {
            let told = VerifiedSigner::establish(
                &chain,
                &anchors,
                &staples,
                &super::name(),
                policy,
                at(NOW),
                &budget,
            );
            assert_eq!(reason(told), Reason::StapleResponder);
        };
        processor_time(|| (0..MAX_PATHS).for_each(|_| once()))
    };
    let short = judge(&Name::common("x"));
    let long = judge(&(0..200).fold(Name::new(), |name, _| name.cn("x")));
    assert!(long < short * 3, "{long} and {short} microseconds");
}
