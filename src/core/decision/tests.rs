//! Tests of whole decisions. The emulator makes the evidence for one fixed instant.

use eic_emulator::Entry;
use eic_emulator::pki::{Hierarchy, KeyPool, RsaKey};

use super::*;
use crate::policy::{Action, Glob, Limits, Rule};

/// 2025-01-30T12:00:00Z
pub(super) const NOW: i64 = 1_738_238_400;
const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";
pub(super) const INSTANCE: &str = "i-0123456789abcdef0";
pub(super) const FIRST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
pub(super) const SECOND: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2Fk5pW1V0l8TrhcfH8wRrzDUU2OPZH9ZuUoa5Fg2ZC";

pub(super) fn at(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).unwrap())
}

pub(super) fn hierarchy() -> Hierarchy {
    Hierarchy::new(&KeyPool::shared(), SIGNER, NOW)
}

fn entry(key: &str) -> Entry {
    Entry::new(key).timestamp(NOW + 60).instance(INSTANCE).caller("arn:aws:iam::222222222222:user/bob")
}

pub(super) fn evidence(hierarchy: &Hierarchy, bundle: &[u8]) -> Evidence {
    let staples = hierarchy.staples(NOW);
    let signer = SignerEvidence {
        chain: SignerChain::parse(hierarchy.bundle_pem().as_bytes()).unwrap(),
        staples: staples.iter().map(|staple| OcspStaple::parse(&staple.der).unwrap()).collect(),
        unreadable_staples: Vec::new(),
        anchors: TrustAnchors::from_pem([hierarchy.anchor_pem().as_bytes()]).unwrap(),
    };
    Evidence { signer, keys: KeyBundle::parse(bundle) }
}

pub(super) fn expected() -> Expectations {
    Expectations {
        signer: SIGNER.parse().unwrap(),
        instance: INSTANCE.parse().unwrap(),
        offered: None,
        policy: Policy::default(),
        revocation: RevocationPolicy::Require,
    }
}

fn accepted(decision: &Decision) -> Vec<String> {
    decision.accepted().map(|key| key.verified().key().to_string()).collect()
}

fn refusals(decision: &Decision) -> Vec<Reason> {
    decision.refused().map(|refusal| refusal.error.reason()).collect()
}

fn along_path(
    path: &SignerPath,
    evidence: &Evidence,
    expected: &Expectations,
    now: Timestamp,
) -> Result<Decision, SignerError> {
    let budget = Budget::default();
    let signer = prove_signer(Some(path), &evidence.signer, expected, now, &budget)?;
    Ok(decide_under(signer, &evidence.keys, expected, &budget))
}

#[test]
fn known_path_gives_the_same_decision() {
    let hierarchy = hierarchy();
    let keys = entry(FIRST).sign(&hierarchy.leaf_key);
    let judged = evidence(&hierarchy, &keys);
    let path = |name: &str| {
        SignerPath::find(
            &judged.signer.chain,
            &judged.signer.anchors,
            &name.parse().unwrap(),
            at(NOW),
            &Budget::default(),
        )
    };
    let path = path(SIGNER).unwrap();
    let words = |outcome: Result<Decision, SignerError>| match outcome {
        Ok(decision) => format!("{decision:?}"),
        Err(error) => error.to_string(),
    };
    let both = |evidence: &Evidence, expected: &Expectations, now: i64| {
        let along = words(along_path(&path, evidence, expected, at(now)));
        assert_eq!(along, words(decide(evidence, expected, at(now), &Budget::default())), "{now}");
        along
    };
    assert!(both(&judged, &expected(), NOW).contains("Accepted"));
    assert!(both(&judged, &expected(), NOW + 61).contains("Expired"), "the later instant counts");
    let mut unstapled = evidence(&hierarchy, &keys);
    unstapled.signer.staples.clear();
    assert!(both(&unstapled, &expected(), NOW).contains("expected an OCSP staple"));
    let lenient = Expectations { revocation: RevocationPolicy::WhenStapled, ..expected() };
    assert!(both(&unstapled, &lenient, NOW).contains("Accepted"));
    unstapled.signer.unreadable_staples.push(OcspStaple::parse(b"x").unwrap_err());
    assert!(both(&unstapled, &lenient, NOW).contains("cannot be read"));
    let other = "managed-ssh-signer.eu-west-1.amazonaws.com";
    let elsewhere = Expectations { signer: other.parse().unwrap(), ..expected() };
    assert!(both(&judged, &elsewhere, NOW).contains("one common name"), "the path is for another signer");
}

#[test]
fn each_entry_is_judged_by_itself_and_reported_in_order() {
    let hierarchy = hierarchy();
    let key = &hierarchy.leaf_key;
    let bundle = [
        entry(FIRST).sign(key),
        b"rubbish\n\n".to_vec(),
        entry(FIRST).with_signature(&[1; 256]),
        entry(SECOND).request("r-5").sign(key),
        Entry::new(FIRST).timestamp(NOW - 1).instance(INSTANCE).request("r-6").sign(key),
    ]
    .concat();
    let decision = decide(&evidence(&hierarchy, &bundle), &expected(), at(NOW), &Budget::default()).unwrap();
    assert_eq!(accepted(&decision), [FIRST, SECOND]);
    assert_eq!(refusals(&decision), [Reason::NoKey, Reason::BadSignature, Reason::Expired]);
    let kinds: String = decision
        .verdicts()
        .iter()
        .map(|verdict| match verdict {
            Verdict::Accepted(_) => 'a',
            Verdict::NotOffered(_) => 'n',
            Verdict::Refused(_) => 'r',
        })
        .collect();
    assert_eq!(kinds, "arrar");
    let claims: Vec<_> = decision.refused().map(|refusal| refusal.claims.request_id.as_deref()).collect();
    assert_eq!(claims, [None, None, Some("r-6")], "a refusal contains the claims of its entry");
    assert!(decision.signer().path()[0].certificate.subject().contains(SIGNER));
}

#[test]
fn only_the_offered_key_is_handed_over_and_the_others_are_no_refusals() {
    let hierarchy = hierarchy();
    let bundle = [entry(FIRST).sign(&hierarchy.leaf_key), entry(SECOND).sign(&hierarchy.leaf_key)].concat();
    let evidence = evidence(&hierarchy, &bundle);
    let fingerprint = evidence.keys.entries()[1].as_ref().unwrap().key.fingerprint().clone();
    let expected = Expectations { offered: Some(fingerprint.clone()), ..expected() };
    let decision = decide(&evidence, &expected, at(NOW), &Budget::default()).unwrap();
    assert_eq!(accepted(&decision), [SECOND]);
    assert_eq!(refusals(&decision), []);
    assert!(matches!(&decision.verdicts()[0], Verdict::NotOffered(key) if key.key().to_string() == FIRST));

    // The rules apply to the offered key only.
    let policy = Policy { rules: vec![deny_all()], ..Policy::default() };
    let decision =
        decide(&evidence, &Expectations { policy, ..expected }, at(NOW), &Budget::default()).unwrap();
    assert_eq!((accepted(&decision).len(), refusals(&decision)), (0, vec![Reason::DeniedByRule]));
}

#[test]
fn refusal_has_the_message_of_its_cause() {
    let hierarchy = hierarchy();
    let bundle = [
        b"#Instance=i-1\n\n".to_vec(),
        entry(FIRST).instance(INSTANCE).sign(&hierarchy.leaf_key),
        Entry::new(FIRST).timestamp(NOW + 60).instance("i-0fedcba9876543210").sign(&hierarchy.leaf_key),
        entry(FIRST).sign(&hierarchy.leaf_key),
    ]
    .concat();
    let policy = Policy { rules: vec![deny_all()], ..Policy::default() };
    let expected = Expectations { policy, ..expected() };
    let decision = decide(&evidence(&hierarchy, &bundle), &expected, at(NOW), &Budget::default()).unwrap();
    let words: Vec<_> = decision.refused().map(|refusal| refusal.error.to_string()).collect();
    assert_eq!(
        words,
        [
            "expected a key line after the # lines, got none",
            "expected #Instance once, got it twice",
            "signed for \"i-0fedcba9876543210\", this is i-0123456789abcdef0",
            "deny all (a rule of this instance), pushed by arn:aws:iam::222222222222:user/bob",
        ]
    );
    let claims: Vec<_> = decision.refused().map(|refusal| refusal.claims.instance.as_deref()).collect();
    assert_eq!(claims, [Some("i-1"), Some(INSTANCE), Some("i-0fedcba9876543210"), Some(INSTANCE)]);
}

fn deny_all() -> Rule {
    Rule {
        name: "deny all".into(),
        action: Action::Deny,
        users: Vec::new(),
        principals: vec![Glob::new("*")],
        accounts: Vec::new(),
        key_types: Vec::new(),
        limits: Limits::default(),
    }
}

#[test]
fn unreadable_staple_is_an_error_if_a_staple_is_missing() {
    let hierarchy = hierarchy();
    let bundle = entry(FIRST).sign(&hierarchy.leaf_key);
    let reason = |staples: usize, unreadable: bool, revocation| {
        let mut evidence = evidence(&hierarchy, &bundle);
        evidence.signer.staples.truncate(staples);
        evidence.signer.unreadable_staples.extend(unreadable.then_some(OcspError::Encoding));
        let expected = Expectations { revocation, ..expected() };
        decide(&evidence, &expected, at(NOW), &Budget::default())
            .map(|decision| accepted(&decision).len())
            .map_err(|error| {
                assert_eq!(
                    error.to_string().contains(&OcspError::Encoding.to_string()),
                    unreadable,
                    "{error}"
                );
                error.reason()
            })
    };
    for revocation in [RevocationPolicy::Require, RevocationPolicy::WhenStapled] {
        assert_eq!(reason(1, true, revocation), Err(Reason::StapleMalformed));
        assert_eq!(reason(2, true, revocation), Ok(1), "each certificate has a staple");
    }
    assert_eq!(reason(1, false, RevocationPolicy::Require), Err(Reason::StapleMissing));
    assert_eq!(reason(1, false, RevocationPolicy::WhenStapled), Ok(1));
}

/// A response with a defect cannot prove "good", but it counts as present.
#[test]
fn defective_staple_is_an_error_if_a_staple_is_missing() {
    let hierarchy = hierarchy();
    let bundle = entry(FIRST).sign(&hierarchy.leaf_key);
    let reason = |staples: usize, faulty: bool| {
        let mut evidence = evidence(&hierarchy, &bundle);
        evidence.signer.staples.truncate(staples);
        let of_another = [&hierarchy.staple(2, NOW).build().der[..], &[0]].concat();
        evidence.signer.staples.extend(faulty.then(|| OcspStaple::parse(&of_another).unwrap()));
        let expected = Expectations { revocation: RevocationPolicy::WhenStapled, ..expected() };
        let decided = decide(&evidence, &expected, at(NOW), &Budget::default());
        decided.map(|decision| accepted(&decision).len()).map_err(|error| error.reason())
    };
    assert_eq!(reason(1, true), Err(Reason::StapleMalformed));
    assert_eq!(reason(1, false), Ok(1));
    assert_eq!(reason(2, true), Ok(1), "each certificate has a staple");
}

/// With a signer's key of 3,560 bits, the budget is enough for 677 signatures of entries.
#[test]
fn good_entry_is_checked_before_a_flood_of_unacceptable_entries() {
    let mut hierarchy = hierarchy();
    hierarchy.leaf_key = RsaKey::longer();
    let leaf = hierarchy.leaf(SIGNER, NOW);
    let hierarchy = hierarchy.with_leaf(leaf);
    let good = entry(SECOND).sign(&hierarchy.leaf_key);
    let offered = KeyBundle::parse(&good).entries()[0].as_ref().unwrap().key.fingerprint().clone();
    let told = |flood: &Entry, offered: Option<&Fingerprint>| {
        // The flood comes first in the bundle. The signer did not sign it.
        let bundle = [flood.with_signature(&[1; 445]).repeat(700), good.clone()].concat();
        let expected = Expectations { offered: offered.cloned(), ..expected() };
        let decision =
            decide(&evidence(&hierarchy, &bundle), &expected, at(NOW), &Budget::default()).unwrap();
        let refused = refusals(&decision);
        let unchecked = refused.iter().filter(|reason| **reason == Reason::TooManyEntries).count();
        // Only the last entries of the bundle are unchecked.
        assert!(refused[refused.len() - unchecked..].iter().all(|reason| *reason == Reason::TooManyEntries));
        (accepted(&decision).len(), unchecked, refused.len() - unchecked)
    };
    let elsewhere = Entry::new(SECOND).timestamp(NOW + 60).instance("i-0fedcba9876543210");
    let expired = Entry::new(SECOND).timestamp(NOW).instance(INSTANCE);
    for (flood, offered) in [(elsewhere, None), (expired, None), (entry(FIRST), Some(&offered))] {
        assert_eq!(told(&flood, offered), (1, 24, 676), "{flood:?}");
    }
    // These differ from the good entry in their signatures only.
    assert_eq!(told(&entry(FIRST), None), (0, 24, 677));
    assert_eq!(told(&entry(SECOND), Some(&offered)), (0, 24, 677));
}
