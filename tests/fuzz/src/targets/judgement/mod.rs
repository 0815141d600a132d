//! The whole decision, with evidence that the emulator's authorities issued and the fuzzer rearranged. Property: an
//! accepted key has a signature of the signer, is for this instance, and has not expired.

mod case;
mod stock;

use std::sync::LazyLock;

use case::Case;
use eic_core::decision::{Decision, Evidence, Pushes, SignerEvidence, authorized_keys, decide};
use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::key_bundle::{Claims, KeyBundle};
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::key_options::Values;
use eic_core::policy::PermittedKey;
use eic_core::time::Timestamp;
use eic_core::verification::{
    Budget, CLOCK_SKEW, PathCertificate, RevocationPolicy, SignerError, TrustAnchors,
};
use stock::{Certificate, Entry, STOCK, Says, Who};

use super::assert_printable;

/// Makes the stock, which all inputs share.
pub fn prepare() {
    LazyLock::force(&STOCK);
}

/// Decides, and compares every accepted certificate and key with the stock.
pub fn run(input: &[u8]) {
    let case = Case::of(input);
    let bundle = case.bundle();
    match judge(&case, &bundle) {
        Some(Ok(decision)) => {
            check_path(&case, decision.signer().path());
            check_accepted(&case, &bundle, &decision);
        }
        Some(Err(error)) => {
            assert_printable(&error.to_string());
            assert!(!case.usual, "refused the usual signer: {error}");
        }
        None => assert!(!case.usual, "could not read the usual chain"),
    }
    if case.usual {
        check_next(&case, &bundle);
    }
}

fn judge(case: &Case, bundle: &[u8]) -> Option<Result<Decision, SignerError>> {
    let chain = SignerChain::parse(&case.chain_text()).ok()?;
    let (mut staples, mut unreadable_staples) = (Vec::new(), Vec::new());
    for piece in &case.staples {
        match OcspStaple::parse(&piece.served()) {
            Ok(staple) => staples.push(staple),
            Err(error) => unreadable_staples.push(error),
        }
    }
    let anchors = TrustAnchors::from_pem([STOCK.anchor.as_bytes()]).expect("the anchor is a root");
    let signer = SignerEvidence { chain, staples, unreadable_staples, anchors };
    let evidence = Evidence { signer, keys: KeyBundle::parse(bundle) };
    Some(decide(&evidence, &case.expected, instant(case.now), &Budget::default()))
}

/// Checks that every certificate of the path is from the stock, is valid now, and has a good staple from the stock.
fn check_path(case: &Case, path: &[PathCertificate]) {
    let now = instant(case.now);
    let (_, name) = signer_of(path);
    assert_eq!(name, case.expected.signer.as_str());
    for step in path {
        let (place, issued) = issued(step);
        assert!(issued.trusted, "the path contains the untrusted certificate {place}");
        let (from, until) = issued.validity;
        assert!((from..=until).contains(&case.now), "certificate {place} at {}", case.now);
        let Some(facts) = &step.staple else {
            assert_eq!(case.expected.revocation, RevocationPolicy::WhenStapled);
            continue;
        };
        let said = STOCK.staples.iter().find(|staple| {
            let (this_update, next_update) = (instant(staple.updates.0), instant(staple.updates.1));
            staple.about == place && (facts.this_update, facts.next_update) == (this_update, next_update)
        });
        let said =
            said.unwrap_or_else(|| panic!("the stock has no such staple for certificate {place}: {facts:?}"));
        assert_eq!(said.says, Says::Good, "the status of certificate {place}");
        assert!(facts.this_update <= now.later(CLOCK_SKEW) && now <= facts.next_update.later(CLOCK_SKEW));
        // A staple that revokes the certificate overrides every other staple.
        for sent in case.staples.iter().filter_map(|piece| piece.stock) {
            let sent = &STOCK.staples[sent];
            let revokes = sent.says == Says::Revoked && sent.about == place;
            assert!(!revokes, "certificate {place} is revoked");
        }
    }
}

/// Checks that the bundle contains every accepted key as it was signed, and that the output is exactly these keys. The
/// pushes of a key by one principal are one line, and equal lines are one.
fn check_accepted(case: &Case, bundle: &[u8], decision: &Decision) {
    let (who, _) = signer_of(decision.signer().path());
    let mut pushes = Vec::new();
    for key in decision.accepted() {
        assert!(!case.denied, "a rule denies every key");
        let entry = STOCK.entries.iter().chain(&case.signed).find(|entry| is_of(entry, key, who));
        let entry = entry.unwrap_or_else(|| panic!("{who:?} signed no such entry: {key:?}"));
        assert_eq!(entry.instance, case.expected.instance.as_str());
        assert!(entry.expires > case.now, "expired {}, now {}", entry.expires, case.now);
        assert!(contains(bundle, &entry.signed_text), "not in the bundle: {entry:?}");
        assert!(case.offered().is_none_or(|offered| offered == key.verified().key().fingerprint()));
        let Claims { principal, request_id, .. } = &entry.claims;
        let values =
            Values { principal: named(principal.as_deref()), request_id: named(request_id.as_deref()) };
        let prefix = case.expected.policy.prefix.of(None, &values).expect("a short prefix");
        pushes.push((
            entry.key.as_deref().expect("is_of compares it"),
            principal.as_deref(),
            prefix,
            entry.expires,
        ));
    }
    assert_eq!(authorized_keys(&decision.key_lines()), expected_lines(&pushes));
    let lines = decision.key_lines();
    let told = lines.iter().flat_map(|line| line.pushes().flat_map(Pushes::all));
    assert_eq!(told.count(), pushes.len(), "each push belongs to one line");
    for refusal in decision.refused() {
        assert_printable(&refusal.error.to_string());
    }
}

/// The lines of these pushes, each with its key, its principal, its options and its expiry.
fn expected_lines(pushes: &[(&str, Option<&str>, String, i64)]) -> String {
    let mut keys: Vec<&str> = Vec::new();
    for (key, ..) in pushes {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    let mut lines = String::new();
    for key in keys {
        let mut pushes: Vec<_> = pushes.iter().filter(|push| push.0 == key).collect();
        pushes.sort_by_key(|push| std::cmp::Reverse(push.3));
        let (mut principals, mut prefixes) = (Vec::new(), Vec::new());
        for (_, principal, prefix, _) in pushes {
            if !principals.contains(principal) && !prefixes.contains(&prefix) {
                lines.extend([prefix.as_str(), key, "\n"]);
                prefixes.push(prefix);
            }
            principals.push(*principal);
        }
    }
    lines
}

/// An empty value names no one.
fn named(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

fn is_of(entry: &Entry, key: &PermittedKey, who: Who) -> bool {
    let key = key.verified();
    let claims = key.claims();
    entry.by == Some(who)
        && entry.key == Some(key.key().to_string())
        && instant(entry.expires) == key.expires()
        && claims.instance.as_deref() == Some(entry.instance)
        && claims.principal == entry.claims.principal
        && claims.request_id == entry.claims.request_id
}

/// Checks that an entry of the usual signer is accepted, regardless of the text before it.
fn check_next(case: &Case, bundle: &[u8]) {
    let good = &STOCK.entries[0];
    let bundle = [bundle, b"\n\n", &good.bytes].concat();
    let decision =
        judge(case, &bundle).expect("the chain was read before").expect("the signer is the usual one");
    let last = decision.accepted().last().map(|key| key.verified().key().to_string());
    assert_eq!(last, good.key, "an earlier entry prevented a good one");
}

/// The owner and the name of the key in a path's first certificate.
fn signer_of(path: &[PathCertificate]) -> (Who, &'static str) {
    issued(&path[0]).1.signer.expect("the first certificate of a path is a signer's")
}

fn issued(step: &PathCertificate) -> (usize, &'static Certificate) {
    let der = step.certificate.der().as_ref();
    let found = STOCK.certificates.iter().enumerate().find(|(_, issued)| issued.der == der);
    found.unwrap_or_else(|| panic!("not in the stock: {:?}", step.certificate))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn instant(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).expect("later than 1970"))
}
