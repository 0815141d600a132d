//! Measures the parts of a verification with the fixtures of openssl: parsing, the path, the staples and the signature.

use std::hint::black_box;
use std::time::{Duration, Instant};

use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::identity::{InstanceId, SignerName};
use eic_core::time::Timestamp;
use eic_core::verification::{Budget, RevocationPolicy, SignerPath, TrustAnchors, VerifiedSigner};
use serde_json::{Value, json};

use crate::measure::at;
use crate::world::INSTANCE;

/// How long each part is measured, and the length of one batch.
const MEASURED: Duration = Duration::from_millis(300);
const BATCH: Duration = Duration::from_millis(2);

const CHAIN: &str = concat!(
    include_str!("../../fixtures/certs/leaf.pem"),
    include_str!("../../fixtures/certs/intermediate.pem"),
    include_str!("../../fixtures/certs/root-by-older.pem"),
    include_str!("../../fixtures/certs/older-by-oldest.pem"),
);
const ROOT: &str = include_str!("../../fixtures/certs/root.pem");
const STAPLES: [&[u8]; 2] =
    [include_bytes!("../../fixtures/staples/leaf"), include_bytes!("../../fixtures/staples/intermediate")];
const KEYS: &[u8] = include_bytes!("../../fixtures/bundles/good-ed25519");
const INSTANTS: &str = include_str!("../../fixtures/instants");

/// The cost of one part.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// The median of the batches, in microseconds.
    pub(crate) median: f64,
    pub(crate) least: f64,
}

pub(crate) fn all() -> Vec<Part> {
    let now = INSTANTS.lines().find_map(|line| line.strip_prefix("at=")?.parse().ok());
    let now = Timestamp::from_unix(now.expect("the fixtures contain an instant"));
    let name =
        SignerName::try_from("managed-ssh-signer.us-east-1.amazonaws.com").expect("a valid signer name");
    let instance = InstanceId::try_from(INSTANCE).expect("a valid instance ID");
    let chain = || SignerChain::parse(CHAIN.as_bytes()).expect("a chain");
    let anchors = || TrustAnchors::from_pem([ROOT.as_bytes()]).expect("a root");
    let staples = || STAPLES.map(|staple| OcspStaple::parse(staple).expect("a staple"));
    let (parsed, roots, vouchers) = (chain(), anchors(), staples());
    let establish = || {
        let policy = RevocationPolicy::Require;
        VerifiedSigner::establish(&parsed, &roots, &vouchers, &name, policy, now, &Budget::default())
            .expect("the fixtures' signer is valid")
    };
    let signer = establish();
    let bundle = KeyBundle::parse(KEYS);
    let entry = bundle.entries()[0].as_ref().expect("an entry");
    vec![
        part("parse: key bundle of one entry", || KeyBundle::parse(KEYS)),
        part("parse: chain of four certificates", chain),
        part("parse: two staples", staples),
        part("path: leaf to root, names and signatures", || {
            SignerPath::find(&parsed, &roots, &name, now, &Budget::default())
        }),
        part("path with staples: the same, and a staple for each certificate", establish),
        part("signature: one entry, RSA-PSS", || signer.verify_key(entry, &instance, &Budget::default())),
        part("all parts, from bytes to a verified key", || {
            let (chain, anchors, staples) = (chain(), anchors(), staples());
            let policy = RevocationPolicy::Require;
            let signer = VerifiedSigner::establish(
                &chain,
                &anchors,
                &staples,
                &name,
                policy,
                now,
                &Budget::default(),
            )?;
            let bundle = KeyBundle::parse(KEYS);
            Ok::<_, eic_core::verification::SignerError>(
                bundle
                    .entries()
                    .iter()
                    .flatten()
                    .filter(|entry| signer.verify_key(entry, &instance, &Budget::default()).is_ok())
                    .count(),
            )
        }),
    ]
}

fn part<T>(name: &'static str, work: impl Fn() -> T) -> Part {
    let clock = |rounds: u32| {
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(work());
        }
        started.elapsed()
    };
    // Warm up the caches.
    clock(1);
    let one = clock(4) / 4;
    let rounds =
        u32::try_from(BATCH.as_nanos() / one.as_nanos().max(1)).unwrap_or(u32::MAX).clamp(1, 100_000);
    let started = Instant::now();
    let mut batches = Vec::new();
    while started.elapsed() < MEASURED {
        batches.push(clock(rounds).as_secs_f64() * 1e6 / f64::from(rounds));
    }
    Part { name, median: at(&mut batches, 50), least: at(&mut batches, 0) }
}

impl Part {
    pub(crate) fn json(&self) -> Value {
        json!({ "part": self.name, "median_us": self.median, "least_us": self.least })
    }
}
