//! The signer's chain, with the structure of Amazon's: leaf, intermediate, and a root that an older root cross-signed.

use super::{Certificate, CertificateBuilder, KeyPool, Name, RsaKey, Staple, StapleBuilder, oids};

/// 2015-05-26: the start of the authorities' validity. It is fixed, so a restart makes the same certificates.
const AUTHORITIES_FROM: i64 = 1_432_598_400;
/// 2045-01-01: the end of the authorities' validity.
const AUTHORITIES_UNTIL: i64 = 2_366_841_600;
const DAY: i64 = 86_400;

/// An issuer's name and key.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The subject of the issuer's certificate.
    pub name: Name,
    /// The issuer's key pair.
    pub key: RsaKey,
}

impl Issuer {
    /// An authority of the emulator with this name and key.
    pub fn new(name: &str, key: RsaKey) -> Self {
        Self { name: Name::authority(name), key }
    }

    /// Starts a certificate for this authority.
    pub fn certificate(&self) -> CertificateBuilder {
        CertificateBuilder::new(self.name.clone(), self.key.public(), AUTHORITIES_FROM, AUTHORITIES_UNTIL)
            .authority_profile(None)
    }

    /// Signs a certificate of another subject.
    pub fn sign(&self, content: CertificateBuilder) -> Certificate {
        content.sign(&self.name, &self.key)
    }
}

/// A signer: its key, its chain, and the authorities that make staples.
///
/// The fields are public so that a test can replace any of them.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// The key that signs entries.
    pub leaf_key: RsaKey,
    /// The issuer of the leaf.
    pub intermediate: Issuer,
    /// The name and the key of the trust anchor.
    pub root: Issuer,
    /// The older root that cross-signed [`root`](Self::root).
    pub older_root: Issuer,
    /// The oldest root, which cross-signed [`older_root`](Self::older_root). No bundle contains its certificate.
    pub oldest_root: Issuer,
    /// The self-signed certificate that instances trust.
    pub anchor: Certificate,
    /// The certificates of the metadata item `signer-cert`, leaf first, each with its issuer.
    pub chain: Vec<(Certificate, Issuer)>,
}

impl Hierarchy {
    /// The names of a family's keys in the pool.
    fn key_names(family: &str) -> [String; 5] {
        ["leaf", "intermediate", "root", "older-root", "oldest-root"]
            .map(|role| if family.is_empty() { role.to_owned() } else { format!("{family}-{role}") })
    }

    /// The usual hierarchy for `signer_name`. Its leaf is valid at `now`.
    pub fn new(pool: &KeyPool, signer_name: &str, now: i64) -> Self {
        Self::of_family(pool, "", signer_name, now)
    }

    /// A hierarchy with the keys of `family`. Hierarchies of two families share no key and do not trust each other.
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

    /// Starts a leaf certificate for [`leaf_key`](Self::leaf_key) with the profile of the real one.
    pub fn leaf(&self, signer_name: &str, now: i64) -> CertificateBuilder {
        // Whole days: a restart on the same day makes the same certificate.
        let today = now - now.rem_euclid(DAY);
        CertificateBuilder::new(
            Name::common(signer_name),
            self.leaf_key.public(),
            today - 30 * DAY,
            today + 366 * DAY - 1,
        )
        .signer_profile(signer_name)
    }

    /// Starts the intermediate's certificate with the profile of the real one.
    pub fn intermediate_certificate(&self) -> CertificateBuilder {
        self.intermediate
            .certificate()
            .authority_profile(Some(0))
            .extended_key_usage(&[oids::SERVER_AUTH, oids::CLIENT_AUTH])
    }

    /// The signer's own certificate.
    ///
    /// # Panics
    /// If the chain is empty.
    pub fn leaf_certificate(&self) -> &Certificate {
        &self.chain[0].0
    }

    /// Replaces the leaf certificate. The intermediate signs the new one.
    #[must_use]
    pub fn with_leaf(mut self, content: CertificateBuilder) -> Self {
        self.chain[0] = (self.intermediate.sign(content), self.intermediate.clone());
        self
    }

    /// Replaces the intermediate's certificate. The root signs the new one.
    #[must_use]
    pub fn with_intermediate(mut self, content: CertificateBuilder) -> Self {
        self.chain[1] = (self.root.sign(content), self.root.clone());
        self
    }

    /// Keeps only the first certificates of the chain. With 2, it removes the cross-signed ones.
    #[must_use]
    pub fn truncated(mut self, certificates: usize) -> Self {
        self.chain.truncate(certificates);
        self
    }

    /// The content of the metadata item `signer-cert`.
    pub fn bundle_pem(&self) -> String {
        self.chain.iter().map(|(certificate, _)| certificate.pem()).collect()
    }

    /// The trust anchor as PEM, for a CA file.
    pub fn anchor_pem(&self) -> String {
        self.anchor.pem()
    }

    /// Starts a staple for the certificate at index `position` of the chain.
    pub fn staple(&self, position: usize, now: i64) -> StapleBuilder {
        let (certificate, issuer) = &self.chain[position];
        StapleBuilder::new(certificate, issuer, now)
    }

    /// A good staple for each certificate of the chain.
    pub fn staples(&self, now: i64) -> Vec<Staple> {
        (0..self.chain.len()).map(|position| self.staple(position, now).build()).collect()
    }
}
