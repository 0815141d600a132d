//! The signer's chain, shaped like Amazon's: leaf, intermediate, and a root that an older hierarchy cross-signed.

use super::{Certificate, CertificateBuilder, KeyPool, Name, RsaKey, Staple, StapleBuilder, oids};

/// 2015-05-26: the authorities' first day. Fixed, so that a restart gives the same certificates.
const AUTHORITIES_FROM: i64 = 1_432_598_400;
/// 2045-01-01: their last.
const AUTHORITIES_UNTIL: i64 = 2_366_841_600;
const DAY: i64 = 86_400;

/// A name that signs, with its key.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The subject of its certificate.
    pub name: Name,
    /// Its key pair.
    pub key: RsaKey,
}

impl Issuer {
    /// An authority of the emulator's own with the pool's key of that label.
    pub fn new(name: &str, key: RsaKey) -> Self {
        Self { name: Name::authority(name), key }
    }

    /// Starts a certificate for this authority itself.
    pub fn certificate(&self) -> CertificateBuilder {
        CertificateBuilder::new(self.name.clone(), self.key.public(), AUTHORITIES_FROM, AUTHORITIES_UNTIL)
            .authority_profile(None)
    }

    /// Signs a certificate that was started elsewhere.
    pub fn sign(&self, content: CertificateBuilder) -> Certificate {
        content.sign(&self.name, &self.key)
    }
}

/// Everything behind a signer: its key, its chain and the staples for it.
///
/// The fields are public so that a test can replace any of them.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// The key that signs entries.
    pub leaf_key: RsaKey,
    /// Issues the leaf.
    pub intermediate: Issuer,
    /// The trust anchor's name and key.
    pub root: Issuer,
    /// The older root that cross-signed [`root`](Self::root).
    pub older_root: Issuer,
    /// The oldest, which cross-signed [`older_root`](Self::older_root) and is itself in no bundle.
    pub oldest_root: Issuer,
    /// The self-signed certificate that instances trust.
    pub anchor: Certificate,
    /// What metadata serves as `signer-cert`, leaf first, each with its issuer.
    pub chain: Vec<(Certificate, Issuer)>,
}

impl Hierarchy {
    /// The names of the keys that a hierarchy of the given family takes from its pool.
    fn key_names(family: &str) -> [String; 5] {
        ["leaf", "intermediate", "root", "older-root", "oldest-root"]
            .map(|role| if family.is_empty() { role.to_owned() } else { format!("{family}-{role}") })
    }

    /// The usual hierarchy for `signer_name`, its leaf valid around `now`.
    pub fn new(pool: &KeyPool, signer_name: &str, now: i64) -> Self {
        Self::of_family(pool, "", signer_name, now)
    }

    /// A hierarchy with keys of its own: hierarchies of two families trust nothing of each other.
    pub fn of_family(pool: &KeyPool, family: &str, signer_name: &str, now: i64) -> Self {
        let names = Self::key_names(family);
        pool.prepare(&names.each_ref().map(String::as_str));
        let [leaf_key, intermediate, root, older, oldest] = names.map(|name| pool.get(&name));
        let called = |role: &str| {
            if family.is_empty() { format!("Emulator {role}") } else { format!("Emulator {family} {role}") }
        };
        let intermediate = Issuer::new(&called("RSA 2048 M01"), intermediate);
        let root = Issuer::new(&called("Root CA 1"), root);
        let older_root = Issuer::new(&called("Services Root G2"), older);
        let oldest_root = Issuer::new(&called("Class 2 Root"), oldest);

        let anchor = root.sign(root.certificate());
        let mut hierarchy =
            Self { leaf_key, intermediate, root, older_root, oldest_root, anchor, chain: Vec::new() };
        let leaf = hierarchy.intermediate.sign(hierarchy.leaf(signer_name, now));
        hierarchy.chain = vec![
            (leaf, hierarchy.intermediate.clone()),
            (hierarchy.root.sign(hierarchy.intermediate_certificate()), hierarchy.root.clone()),
            (hierarchy.older_root.sign(hierarchy.root.certificate()), hierarchy.older_root.clone()),
            (hierarchy.oldest_root.sign(hierarchy.older_root.certificate()), hierarchy.oldest_root.clone()),
        ];
        hierarchy
    }

    /// Starts a leaf certificate as the real one is, over [`leaf_key`](Self::leaf_key).
    pub fn leaf(&self, signer_name: &str, now: i64) -> CertificateBuilder {
        // Whole days, so that the certificate stays the same through a day of restarts.
        let today = now - now.rem_euclid(DAY);
        CertificateBuilder::new(
            Name::common(signer_name),
            self.leaf_key.public(),
            today - 30 * DAY,
            today + 366 * DAY - 1,
        )
        .signer_profile(signer_name)
    }

    /// Starts the intermediate's certificate as the real one is.
    pub fn intermediate_certificate(&self) -> CertificateBuilder {
        self.intermediate
            .certificate()
            .authority_profile(Some(0))
            .extended_key_usage(&[oids::SERVER_AUTH, oids::CLIENT_AUTH])
    }

    /// The signer's own certificate.
    ///
    /// # Panics
    /// When a test emptied the chain.
    pub fn leaf_certificate(&self) -> &Certificate {
        &self.chain[0].0
    }

    /// Replaces the leaf with one that the intermediate signs.
    #[must_use]
    pub fn with_leaf(mut self, content: CertificateBuilder) -> Self {
        self.chain[0] = (self.intermediate.sign(content), self.intermediate.clone());
        self
    }

    /// Replaces the intermediate's certificate with another one that the root signs.
    #[must_use]
    pub fn with_intermediate(mut self, content: CertificateBuilder) -> Self {
        self.chain[1] = (self.root.sign(content), self.root.clone());
        self
    }

    /// Keeps the first certificates of the chain: two leave the cross-signs away.
    #[must_use]
    pub fn truncated(mut self, certificates: usize) -> Self {
        self.chain.truncate(certificates);
        self
    }

    /// The bundle that metadata serves as `signer-cert`.
    pub fn bundle_pem(&self) -> String {
        self.chain.iter().map(|(certificate, _)| certificate.pem()).collect()
    }

    /// The trust anchor, as a CA file holds it.
    pub fn anchor_pem(&self) -> String {
        self.anchor.pem()
    }

    /// Starts the staple of one certificate of the chain.
    pub fn staple(&self, position: usize, now: i64) -> StapleBuilder {
        let (certificate, issuer) = &self.chain[position];
        StapleBuilder::new(certificate, issuer, now)
    }

    /// A good staple for each certificate of the chain.
    pub fn staples(&self, now: i64) -> Vec<Staple> {
        (0..self.chain.len()).map(|position| self.staple(position, now).build()).collect()
    }
}
