//! Properties of any evidence, order, noise or key. Each test tries some hundreds of random cases, different ones in
//! every run.

use std::sync::LazyLock;

use data_encoding::BASE64;
use eic_core::decision::{Evidence, Expectations, SignerEvidence, authorized_keys, decide};
use eic_core::evidence::chain::{Certificate, SignerChain};
use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::evidence::public_key::PublicKey;
use eic_core::policy::Policy;
use eic_core::time::Timestamp;
use eic_core::verification::{
    AnchorsError, Budget, IssuerSearch, RevocationPolicy, SignerPath, TrustAnchors,
};
use eic_emulator::Entry;
use eic_emulator::pki::{Hierarchy, Issuer, KeyPool, wrapped_base64};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, SizeRange, select};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::fixtures::{INSTANCE, SIGNER, key_line};

/// 2025-01-30T12:00:00Z
const NOW: u32 = 1_738_238_400;

/// Good evidence, in pieces.
#[derive(Clone, Debug)]
struct Pieces {
    /// DER, the signer's certificate first.
    certificates: Vec<Vec<u8>>,
    /// DER.
    staples: Vec<Vec<u8>>,
    /// Signed entries, each for another key, with the number of signed bytes of each.
    entries: Vec<(Vec<u8>, usize)>,
}

static HIERARCHY: LazyLock<Hierarchy> =
    LazyLock::new(|| Hierarchy::new(&KeyPool::shared(), SIGNER, i64::from(NOW)));

static IMPOSTOR: LazyLock<Hierarchy> =
    LazyLock::new(|| Hierarchy::of_family(&KeyPool::shared(), "impostor", SIGNER, i64::from(NOW)));

static GOOD: LazyLock<Pieces> = LazyLock::new(|| {
    let hierarchy = HIERARCHY.clone().truncated(2);
    Pieces {
        certificates: hierarchy.chain.iter().map(|(certificate, _)| certificate.der().to_vec()).collect(),
        staples: hierarchy.staples(i64::from(NOW)).into_iter().map(|staple| staple.der).collect(),
        entries: KEYS.iter().map(|key| entry(key)).collect(),
    }
});

static KEYS: LazyLock<Vec<String>> =
    LazyLock::new(|| ["ed25519", "rsa-2048", "ecdsa-256", "sk-ed25519"].map(key_line).into());

fn entry(key: &str) -> (Vec<u8>, usize) {
    let entry =
        Entry::new(key).timestamp(i64::from(NOW) + 60).instance(INSTANCE).caller("arn:x").request("r");
    (entry.sign(&HIERARCHY.leaf_key), entry.signed_text().len())
}

/// The text that sshd would get for this evidence.
fn printed(chain: &[u8], staples: &[Vec<u8>], bundle: &[u8]) -> String {
    let Ok(chain) = SignerChain::parse(chain) else { return String::new() };
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    for staple in staples {
        match OcspStaple::parse(staple) {
            Ok(staple) => read.push(staple),
            Err(error) => unreadable.push(error),
        }
    }
    let signer = SignerEvidence {
        chain,
        staples: read,
        unreadable_staples: unreadable,
        anchors: TrustAnchors::from_pem([HIERARCHY.anchor_pem().as_bytes()]).unwrap(),
    };
    let evidence = Evidence { signer, keys: KeyBundle::parse(bundle) };
    let expected = Expectations {
        signer: SIGNER.parse().unwrap(),
        instance: INSTANCE.parse().unwrap(),
        offered: None,
        policy: Policy::default(),
        revocation: RevocationPolicy::Require,
    };
    let decision = decide(&evidence, &expected, Timestamp::from_unix(u64::from(NOW)), &Budget::default());
    decision.map_or_else(|_| String::new(), |it| authorized_keys(&it.key_lines()))
}

fn pem(certificates: &[Vec<u8>]) -> Vec<u8> {
    let block = |der: &Vec<u8>| {
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", wrapped_base64(der, 64))
    };
    certificates.iter().map(block).collect::<String>().into_bytes()
}

fn lines<'k>(keys: impl IntoIterator<Item = &'k String>) -> String {
    keys.into_iter().flat_map(|key| [key.as_str(), "\n"]).collect()
}

/// Changes one byte into a different one.
fn changed(bytes: &[u8], place: Index, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = place.index(bytes.len());
    bytes[place] ^= mask;
    bytes
}

/// Text between entries that is not a valid entry: bytes, lines of the usual kinds, a good entry with one wrong byte,
/// or an entry by another signer.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let wrong = (0..4_usize, any::<Index>(), 1..=u8::MAX).prop_map(|(which, place, mask)| {
        let (bytes, signed) = &GOOD.entries[which];
        [&changed(&bytes[..*signed], place, mask), &bytes[*signed..]].concat()
    });
    let stranger = (0..4_usize).prop_map(|which| {
        let entry = Entry::new(&KEYS[which]).timestamp(i64::from(NOW) + 60).instance(INSTANCE);
        entry.sign(&IMPOSTOR.leaf_key)
    });
    let line = select(vec![
        "#Timestamp=1738238460",
        "#Instance=i-0123456789abcdef0",
        "#Instance=i-0123456789abcdef1",
        "# a remark",
        "ssh-ed25519 AAAA",
        "c2lnbmVk",
        "<html>",
        "",
        "\r",
    ]);
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(line, 0..12).prop_map(|lines| lines.join("\n").into_bytes()),
        wrong,
        stranger,
    ]
}

/// The roots in which the chain can end, and one in which it cannot.
static ROOTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let itself = |root: &Issuer| root.certificate().self_signed(&root.key).der().to_vec();
    let hierarchy = &HIERARCHY;
    vec![
        hierarchy.anchor.der().to_vec(),
        itself(&hierarchy.older_root),
        itself(&hierarchy.oldest_root),
        IMPOSTOR.anchor.der().to_vec(),
    ]
});

/// A trust store of some of these roots. Each has one of `before` in front of it and one of `ends` at its end.
fn store(before: &'static [&'static str], ends: &'static [&'static str]) -> impl Strategy<Value = String> {
    let widths = vec![64, 64, 64, 76, 63, 65, 1, 10_000];
    let line_ends = vec!["\n", "\n", "\r\n", "\r"];
    let block = (0..ROOTS.len(), select(widths), select(line_ends), select(before), select(ends));
    vec(block, 1..6).prop_map(|blocks| {
        let block = |(root, width, line_end, before, end): (usize, _, &str, &str, &str)| {
            let lines = wrapped_base64(&ROOTS[root], width).replace('\n', line_end);
            format!("{before}-----BEGIN CERTIFICATE-----{line_end}{lines}{end}")
        };
        blocks.into_iter().map(block).collect()
    })
}

/// Whether the signer has a path with the roots that are parsed for the chain, and with all roots.
fn paths(store: &str) -> (bool, bool) {
    let certificates: Vec<_> =
        HIERARCHY.chain.iter().map(|(certificate, _)| certificate.der().to_vec()).collect();
    let chain = SignerChain::parse(&pem(&certificates)).unwrap();
    let signer = SIGNER.parse().unwrap();
    let is_path = |anchors: &TrustAnchors| {
        SignerPath::find(&chain, anchors, &signer, Timestamp::from_unix(u64::from(NOW)), &Budget::default())
            .is_ok()
    };
    let mut search = IssuerSearch::new(&chain);
    search.last_part(store.as_bytes());
    let few = search.anchors().is_ok_and(|few| is_path(&few));
    for size in [1, 7, 64, 1000] {
        let parts = in_parts(store.as_bytes(), &chain, size);
        assert!(
            parts.is_none_or(|found| found.is_ok_and(|found| is_path(&found)) == few),
            "in parts of {size} bytes"
        );
    }
    (few, TrustAnchors::from_pem([store.as_bytes()]).is_ok_and(|all| is_path(&all)))
}

/// Searches a store that is read in parts of this size; `None` if a part is inconclusive.
fn in_parts(pem: &[u8], chain: &SignerChain, size: usize) -> Option<Result<TrustAnchors, AnchorsError>> {
    let mut search = IssuerSearch::new(chain);
    let mut part = Vec::new();
    for read in pem.chunks(size) {
        part.extend_from_slice(read);
        let searched = search.part(&part)?;
        part.drain(..searched);
    }
    search.last_part(&part);
    Some(search.anchors())
}

/// The strict checks of roots must not refuse a root in which AWS's path may end.
#[test]
fn amazons_roots_of_this_machine_pass_the_checks_of_an_anchor() {
    let places = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];
    let store =
        places.iter().find_map(|place| std::fs::read(place).ok()).expect("ca-certificates is installed");
    let mut amazons = 0;
    for der in CertificateDer::pem_slice_iter(&store).flatten() {
        let root = Certificate::parse(der).unwrap();
        if ["Amazon", "Starfield"].iter().any(|name| root.subject().contains(name)) {
            assert_eq!(root.anchor_fault(), None, "{}", root.subject());
            amazons += 1;
        }
    }
    assert!(amazons >= 5, "{amazons} of Amazon's roots");
}

fn shuffled<T: Clone + std::fmt::Debug>(
    items: Vec<T>,
    count: impl Into<SizeRange>,
) -> impl Strategy<Value = Vec<T>> {
    let count = count.into();
    Just(items).prop_shuffle().prop_flat_map(move |items| {
        (Just(items), vec(Just(()), count.clone()))
            .prop_map(|(items, take)| items.into_iter().take(take.len()).collect())
    })
}

/// A key line, and the key as the agent prints it.
fn any_key() -> impl Strategy<Value = (String, String)> {
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let ed25519 = any::<[u8; 32]>()
        .prop_map(move |key| ("ssh-ed25519".to_owned(), [field(b"ssh-ed25519"), field(&key)].concat()));
    let rsa = vec(any::<u8>(), 256..=512).prop_map(move |mut modulus| {
        (modulus[0], modulus[1]) = (0, modulus[1] | 0x80);
        if let Some(last) = modulus.last_mut() {
            *last |= 1;
        }
        ("ssh-rsa".to_owned(), [field(b"ssh-rsa"), field(&[1, 0, 1]), field(&modulus)].concat())
    });
    let unknown = ("x-[a-z0-9]{1,20}(@[a-z]{1,10}\\.example)?", vec(any::<u8>(), 0..300))
        .prop_map(move |(name, body)| (name.clone(), [field(name.as_bytes()), body].concat()));
    let key = prop_oneof![ed25519, rsa, unknown];
    (key, "[ \t]{1,3}", "([ \t]{1,3}[!-~ ]{0,40})?").prop_map(|((algorithm, blob), gap, comment)| {
        let blob = BASE64.encode(&blob);
        (format!("{algorithm}{gap}{blob}{comment}"), format!("{algorithm} {blob}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_byte_changed_in_an_entry_is_refused(which in 0..4_usize, place: Index, mask in 1..=u8::MAX) {
        let good = &GOOD;
        let (bytes, signed) = &good.entries[which];
        let bundle = [&changed(&bytes[..*signed], place, mask), &bytes[*signed..]].concat();
        prop_assert_eq!(printed(&pem(&good.certificates), &good.staples, &bundle), "");
        prop_assert_eq!(printed(&pem(&good.certificates), &good.staples, bytes), lines([&KEYS[which]]));
    }

    #[test]
    fn a_byte_changed_in_a_certificate_is_refused(which in 0..2_usize, place: Index, mask in 1..=u8::MAX) {
        let good = &GOOD;
        let mut certificates = good.certificates.clone();
        certificates[which] = changed(&certificates[which], place, mask);
        prop_assert_eq!(printed(&pem(&certificates), &good.staples, &good.entries[0].0), "");
    }

    #[test]
    fn a_byte_changed_in_a_staple_is_refused(which in 0..2_usize, place: Index, mask in 1..=u8::MAX) {
        let good = &GOOD;
        let mut staples = good.staples.clone();
        staples[which] = changed(&staples[which], place, mask);
        prop_assert_eq!(printed(&pem(&good.certificates), &staples, &good.entries[0].0), "");
    }

    #[test]
    fn order_and_noise_around_entries_change_nothing(
        entries in shuffled((0..4_usize).collect(), 0..=4),
        noise in vec(noise(), 5),
    ) {
        let good = &GOOD;
        let mut bundle = Vec::new();
        for (place, noise) in noise.iter().enumerate() {
            bundle.extend_from_slice(noise);
            bundle.extend_from_slice(b"\n\n");
            bundle.extend(entries.get(place).into_iter().flat_map(|which| good.entries[*which].0.clone()));
        }
        let expected = lines(entries.iter().map(|which| &KEYS[*which]));
        prop_assert_eq!(printed(&pem(&good.certificates), &good.staples, &bundle), expected);
    }

    #[test]
    fn order_and_noise_around_the_signer_change_nothing(
        strange in shuffled(IMPOSTOR.chain.iter().map(|(certificate, _)| certificate.der().to_vec()).collect(), 0..=4),
        places in vec(any::<Index>(), 12),
        remarks in vec("[a-z #:=]{0,60}\n", 8),
        junk in vec(vec(any::<u8>(), 0..300), 0..4),
        are_base64 in vec(any::<bool>(), 8),
    ) {
        let good = &GOOD;
        let mut places = places.into_iter();
        let mut certificates = good.certificates.clone();
        for der in strange.into_iter().chain(good.certificates.iter().take(1).cloned()) {
            certificates.insert(places.next().unwrap().index(certificates.len()), der);
        }
        let first = places.next().unwrap().index(certificates.len());
        certificates.rotate_left(first);
        let blocks = certificates.iter().zip(remarks.iter().cycle());
        let chain: Vec<_> = blocks.flat_map(|(der, remark)| [remark.as_bytes(), &pem(std::slice::from_ref(der))].concat()).collect();

        let mut staples = good.staples.clone();
        for other in IMPOSTOR.staples(i64::from(NOW)).into_iter().map(|staple| staple.der).take(2).chain(junk) {
            staples.insert(places.next().unwrap().index(staples.len() + 1), other);
        }
        for (staple, is_base64) in staples.iter_mut().zip(are_base64) {
            if is_base64 {
                *staple = wrapped_base64(staple, 64).into_bytes();
            }
        }
        prop_assert_eq!(printed(&chain, &staples, &good.entries[0].0), lines([&KEYS[0]]));
    }

    #[test]
    fn roots_for_the_chain_give_the_same_result_as_all_roots(
        store in store(&["", "", "# a remark\n", "\r\n", "text\r"], &["-----END CERTIFICATE-----\n"]),
    ) {
        let (few, all) = paths(&store);
        prop_assert_eq!(few, all);
    }

    #[test]
    fn path_with_the_roots_for_the_chain_also_exists_with_all_roots(
        store in store(
            &["", "", "#", " ", "text", "\u{feff}", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\n"],
            &["-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----", "#-----END CERTIFICATE-----\n", ""],
        ),
    ) {
        let (few, all) = paths(&store);
        prop_assert!(all || !few);
    }

    #[test]
    fn printed_key_is_parsed_as_the_same_key((line, shown) in any_key()) {
        let key = PublicKey::parse(line.as_bytes()).unwrap();
        prop_assert_eq!(key.to_string(), shown.clone());
        prop_assert_eq!(PublicKey::parse(shown.as_bytes()), Ok(key));
    }

    #[test]
    fn signed_key_is_printed((line, shown) in any_key()) {
        let good = &GOOD;
        let (bundle, _) = entry(&line);
        prop_assert_eq!(printed(&pem(&good.certificates), &good.staples, &bundle), lines([&shown]));
    }
}
