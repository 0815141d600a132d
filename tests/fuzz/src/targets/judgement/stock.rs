//! The certificates, staples and entries that the emulator's authorities issued, with the expected verdict on each.
//! The stock is made once.

use std::env;
use std::path::Path;
use std::sync::LazyLock;

use eic_core::evidence::key_bundle::Claims;
use eic_emulator::pki::{
    CertIdHash, CertStatus, CertificateBuilder, Hierarchy, KeyPool, KeyUsage, Name, RsaKey, SignatureScheme,
    StapleBuilder, oids,
};

use super::super::fixtures;

/// 2025-01-30T12:00:00Z
pub(super) const NOW: i64 = 1_738_238_400;
const DAY: i64 = 86_400;
/// The validity of the authorities' certificates in the emulator, in Unix seconds.
const AUTHORITIES: (i64, i64) = (1_432_598_400, 2_366_841_600);

pub(super) const SIGNERS: [&str; 2] =
    ["managed-ssh-signer.us-east-1.amazonaws.com", "managed-ssh-signer.eu-west-1.amazonaws.com"];
pub(super) const INSTANCES: [&str; 2] = ["i-0123456789abcdef0", "i-0123456789abcdef1"];

/// The owner of the key that signed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The signer.
    Signer,
    /// The signer of the other region.
    OtherRegion,
    /// The signer's previous certificate, which has expired.
    Expired,
    /// A certificate with the signer's name, revoked.
    Revoked,
    /// The authority that issued the signer's certificate.
    Intermediate,
    /// A certificate with the signer's name from an untrusted authority.
    Impostor,
}

pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    pub(super) validity: (i64, i64),
    /// Whether a path to the trust anchor may contain it.
    pub(super) trusted: bool,
    /// The owner of its key, if the key signs entries, and the certified name.
    pub(super) signer: Option<(Who, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Good,
    Revoked,
    /// Has a wrong signature, or is not `good`.
    Nothing,
}

pub(super) struct Staple {
    pub(super) der: Vec<u8>,
    /// The index of its certificate.
    pub(super) about: usize,
    pub(super) says: Says,
    /// The validity period in Unix seconds, unique for each staple.
    pub(super) updates: (i64, i64),
}

/// An entry, and the claims that its signature covers.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) bytes: Vec<u8>,
    pub(super) signed_text: Vec<u8>,
    /// The signer. `None` if the signature or the signed text is invalid.
    pub(super) by: Option<Who>,
    /// The key as the agent must print it. `None` if the key line is not one valid key.
    pub(super) key: Option<String>,
    pub(super) instance: &'static str,
    pub(super) expires: i64,
    pub(super) claims: Claims,
}

pub(super) struct Stock {
    /// The only trust anchor, as PEM.
    pub(super) anchor: String,
    pub(super) certificates: Vec<Certificate>,
    pub(super) staples: Vec<Staple>,
    pub(super) entries: Vec<Entry>,
    keys: Vec<(Who, RsaKey)>,
    key_lines: Vec<(String, Option<String>)>,
}

pub(super) static STOCK: LazyLock<Stock> = LazyLock::new(Stock::make);

/// An entry before it is signed.
pub(super) struct Draft<'d> {
    pub(super) who: Who,
    /// The index of the key line.
    pub(super) key: usize,
    pub(super) instance: &'static str,
    pub(super) expires: i64,
    pub(super) caller: &'d [u8],
    /// Whether the entry has an unknown field and another order of fields.
    pub(super) strange: bool,
}

impl Stock {
    fn make() -> Self {
        // Another process reproduces a crash only with the same keys.
        let pool = env::var_os("EIC_FUZZ_KEYS").map_or_else(KeyPool::shared, |folder| {
            std::fs::create_dir_all(&folder).expect("EIC_FUZZ_KEYS can be made");
            KeyPool::in_directory(Path::new(&folder))
        });
        pool.prepare(&["other-region", "expired", "revoked", "responder"]);
        let [good, other_region, expired, revoked, responder] =
            ["leaf", "other-region", "expired", "revoked", "responder"].map(|name| pool.get(name));
        let hierarchy = Hierarchy::new(&pool, SIGNERS[0], NOW);
        let impostor = Hierarchy::of_family(&pool, "impostor", SIGNERS[0], NOW);
        let mut stock = Self {
            anchor: hierarchy.anchor_pem(),
            certificates: Vec::new(),
            staples: Vec::new(),
            entries: Vec::new(),
            keys: vec![
                (Who::Signer, good),
                (Who::OtherRegion, other_region.clone()),
                (Who::Expired, expired.clone()),
                (Who::Revoked, revoked.clone()),
                (Who::Intermediate, hierarchy.intermediate.key.clone()),
                (Who::Impostor, impostor.leaf_key.clone()),
            ],
            key_lines: key_lines(),
        };
        stock.issue_certificates(&hierarchy, &impostor, [&other_region, &expired, &revoked]);
        stock.make_staples(&hierarchy, &impostor, &responder);
        stock.sign_entries();
        stock
    }

    fn issue_certificates(&mut self, good: &Hierarchy, impostor: &Hierarchy, keys: [&RsaKey; 3]) {
        let [other_region, expired, revoked] = keys;
        let mut add = |der: &[u8], validity, trusted, signer| {
            self.certificates.push(Certificate { der: der.to_vec(), validity, trusted, signer });
        };
        let current = (NOW - 30 * DAY, NOW + 366 * DAY);
        let leaf = |name: &str, key: &RsaKey, (from, until): (i64, i64)| {
            CertificateBuilder::new(Name::common(name), key.public(), from, until).signer_profile(name)
        };
        let today = NOW - NOW.rem_euclid(DAY);
        let own = (today - 30 * DAY, today + 366 * DAY - 1);
        for (place, (certificate, _)) in good.chain.iter().enumerate() {
            let signer = (place == 0).then_some((Who::Signer, SIGNERS[0]));
            add(certificate.der(), if place == 0 { own } else { AUTHORITIES }, true, signer);
        }
        let ca = &good.intermediate;
        let old = (NOW - 60 * DAY, NOW - DAY);
        let trusted = [
            (leaf(SIGNERS[1], other_region, current), current, Who::OtherRegion, SIGNERS[1]),
            (leaf(SIGNERS[0], expired, old), old, Who::Expired, SIGNERS[0]),
            (leaf(SIGNERS[0], revoked, current), current, Who::Revoked, SIGNERS[0]),
        ];
        for (content, validity, who, name) in trusted {
            add(ca.sign(content).der(), validity, true, Some((who, name)));
        }

        let look_alike = "managed-ssh-signer.us-east-1.amazonaws.com.example.com";
        let of_revoked = |name| leaf(name, revoked, current);
        let bad = [
            ca.sign(of_revoked(SIGNERS[0]).scheme(SignatureScheme::Pkcs1Sha1)),
            ca.sign(of_revoked(SIGNERS[0]).extended_key_usage(&[oids::CODE_SIGNING])),
            ca.sign(of_revoked(SIGNERS[0]).key_usage(&[KeyUsage::KeyEncipherment])),
            ca.sign(of_revoked(SIGNERS[0]).san(&[look_alike])),
            ca.sign(of_revoked(look_alike)),
            of_revoked(SIGNERS[0]).sign(&Name::common(SIGNERS[0]), &good.leaf_key),
            of_revoked(SIGNERS[0]).self_signed(revoked),
            good.root.sign(good.intermediate_certificate().basic_constraints(false, None)),
            good.root.sign(good.intermediate_certificate().key_usage(&[KeyUsage::DigitalSignature])),
            impostor.anchor.clone(),
        ];
        for certificate in bad.iter().chain(impostor.chain.iter().map(|(certificate, _)| certificate)) {
            add(certificate.der(), AUTHORITIES, false, None);
        }
        // The chain may contain the anchor itself, but no path needs it.
        add(good.anchor.der(), AUTHORITIES, false, None);
    }

    fn make_staples(&mut self, good: &Hierarchy, impostor: &Hierarchy, responder: &RsaKey) {
        let delegate = |purposes: &[&[u32]]| {
            let (from, until) = (NOW - 30 * DAY, NOW + 366 * DAY);
            let content = CertificateBuilder::new(Name::common("OCSP"), responder.public(), from, until);
            let content = content.key_usage(&[KeyUsage::DigitalSignature]).extended_key_usage(purposes);
            good.intermediate.sign(content)
        };
        // Staples of the certificates outside the usual chain, by index in the stock.
        let about = |place: usize, content: CertificateBuilder| {
            let certificate = good.intermediate.sign(content);
            assert_eq!(
                certificate.der(),
                self.certificates[place].der,
                "the emulator makes the same certificate again"
            );
            StapleBuilder::new(&certificate, &good.intermediate, NOW)
        };
        let again = |name: &str, who: Who, (from, until): (i64, i64)| {
            let (_, key) = self.keys.iter().find(|(of, _)| *of == who).expect("each signer has a key");
            CertificateBuilder::new(Name::common(name), key.public(), from, until).signer_profile(name)
        };
        let other_region = about(4, again(SIGNERS[1], Who::OtherRegion, self.certificates[4].validity));
        let expired = about(5, again(SIGNERS[0], Who::Expired, self.certificates[5].validity));
        let revoked = about(6, again(SIGNERS[0], Who::Revoked, self.certificates[6].validity));
        let gone = CertStatus::Revoked { at: NOW - DAY, reason: None };
        let leaf = || good.staple(0, NOW);
        let (ago, then) = (NOW - 30 * DAY, NOW - 20 * DAY);

        let mut plan: Vec<(usize, Says, StapleBuilder)> =
            (0..4).map(|place| (place, Says::Good, good.staple(place, NOW))).collect();
        let signing = delegate(&[oids::OCSP_SIGNING]);
        plan.extend([
            (0, Says::Good, leaf().cert_id_hash(CertIdHash::Sha256)),
            (0, Says::Good, leaf().delegated_to(signing.clone(), responder)),
            (4, Says::Good, other_region),
            (5, Says::Good, expired),
            (6, Says::Good, revoked.clone()),
            (6, Says::Revoked, revoked.status(gone)),
            (0, Says::Revoked, leaf().status(gone)),
            (1, Says::Revoked, good.staple(1, NOW).status(gone)),
            (0, Says::Nothing, leaf().delegated_to(delegate(&[oids::SERVER_AUTH]), responder)),
            (0, Says::Nothing, leaf().signed_by(responder)),
            (0, Says::Nothing, leaf().signed_by(&impostor.intermediate.key)),
            (0, Says::Nothing, leaf().signed_by(&good.leaf_key)),
            (1, Says::Nothing, good.staple(1, NOW).delegated_to(signing, responder)),
            (0, Says::Nothing, leaf().status(CertStatus::Unknown)),
            (0, Says::Nothing, leaf().scheme(SignatureScheme::Pkcs1Sha1)),
            (0, Says::Nothing, leaf().tampered()),
        ]);
        for (number, (about, says, content)) in (0..).zip(plan) {
            let updates = (NOW - 3600 - number, NOW + 6 * DAY + number);
            let der = content.updates(updates.0, Some(updates.1)).build().der;
            self.staples.push(Staple { der, about, says, updates });
        }
        for place in 0..2_u8 {
            let updates = (ago - i64::from(place), then - i64::from(place));
            let about = usize::from(place);
            let der = good.staple(about, NOW).updates(updates.0, Some(updates.1)).build().der;
            self.staples.push(Staple { der, about, says: Says::Good, updates });
        }
        let without_end = leaf().updates(NOW - 7200, None).build().der;
        self.staples.push(Staple { der: without_end, about: 0, says: Says::Nothing, updates: (0, 0) });
        let try_later = leaf().build_error(3).der;
        self.staples.push(Staple { der: try_later, about: 0, says: Says::Nothing, updates: (0, 0) });
    }

    fn sign_entries(&mut self) {
        let usual = || Draft {
            who: Who::Signer,
            key: 0,
            instance: INSTANCES[0],
            expires: NOW + 60,
            caller: b"arn:aws:sts::123456789012:assumed-role/Admin/someone",
            strange: false,
        };
        let mut drafts: Vec<_> = (0..self.key_lines.len()).map(|key| Draft { key, ..usual() }).collect();
        drafts.extend([-3600, -1, 0, 1, 366 * DAY].map(|left| Draft { expires: NOW + left, ..usual() }));
        drafts.push(Draft { instance: INSTANCES[1], ..usual() });
        drafts.push(Draft { strange: true, caller: b"", ..usual() });
        drafts.extend(self.keys.iter().skip(1).map(|(who, _)| Draft { who: *who, ..usual() }));
        self.entries = drafts.iter().map(|draft| self.sign(draft)).collect();

        // Entries that the signer's key signed with another scheme than the service, or did not sign.
        let (line, _) = &self.key_lines[1];
        let key = &self.keys[0].1;
        let whole = || eic_emulator::Entry::new(line).timestamp(NOW + 60).instance(INSTANCES[0]);
        let worthless = [
            whole().scheme(SignatureScheme::PssSha256 { salt: 20 }).sign(key),
            whole().scheme(SignatureScheme::Pkcs1Sha256).sign(key),
            whole().with_signature(&[0x5a; 256]),
            eic_emulator::Entry::new(line).timestamp(NOW + 60).sign(key),
            eic_emulator::Entry::new(line).instance(INSTANCES[0]).sign(key),
            whole().instance(INSTANCES[0]).sign(key),
        ];
        let nothing = self.entries[0].clone();
        self.entries.extend(worthless.map(|bytes| Entry { bytes, by: None, ..nothing.clone() }));
    }

    /// The entry in the service's format and with its signature scheme.
    pub(super) fn sign(&self, draft: &Draft<'_>) -> Entry {
        let (line, key) = &self.key_lines[draft.key];
        let caller: Vec<u8> = draft.caller.iter().copied().filter(|byte| *byte != b'\n').collect();
        let mut entry = eic_emulator::Entry::new(line);
        if draft.strange {
            entry = entry.line([b"#Caller=", caller.as_slice()].concat()).line("#Zone=us-east-1a");
        }
        entry = entry.timestamp(draft.expires).instance(draft.instance);
        if !draft.strange {
            entry = entry.line([b"#Caller=", caller.as_slice()].concat()).request("r-1");
        }
        let (_, signing) =
            self.keys.iter().find(|(who, _)| *who == draft.who).expect("each signer has a key");
        Entry {
            bytes: entry.sign(signing),
            signed_text: entry.signed_text(),
            by: Some(draft.who),
            key: key.clone(),
            instance: draft.instance,
            expires: draft.expires,
            claims: Claims {
                principal: Some(String::from_utf8_lossy(&caller).into_owned()),
                request_id: (!draft.strange).then(|| "r-1".to_owned()),
                ..Claims::default()
            },
        }
    }

    pub(super) fn key_lines(&self) -> usize {
        self.key_lines.len()
    }
}

/// Lines to sign as keys, each with its key if it is valid.
fn key_lines() -> Vec<(String, Option<String>)> {
    let line = |name: &str| {
        let line = String::from_utf8(fixtures::read(&format!("keys/{name}.pub"))).unwrap();
        line.trim_end().to_owned()
    };
    let mut lines: Vec<_> = ["ed25519", "rsa-2048", "ecdsa-256", "sk-ed25519", "future"]
        .map(|name| (line(name), Some(line(name))))
        .into();
    let key = line("other");
    lines.push((format!("{key} somebody@somewhere"), Some(key.clone())));
    lines.push((format!("command=\"id\" {key}"), None));
    lines.push((format!("cert-authority {key}"), None));
    lines.push((key.replacen("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", 1), None));
    lines.push((key[..key.len() - 12].to_owned(), None));
    lines
}
