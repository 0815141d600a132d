//! The evidence of one row. It begins as good evidence, and the row changes it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use eic_emulator::Entry;
use eic_emulator::pki::{
    Certificate, CertificateBuilder, Hierarchy, Issuer, KeyPool, KeyUsage, RsaKey, Staple, StapleBuilder,
};

use super::{FIRST, LAST};
use crate::fixtures::{INSTANCE, SIGNER, key_line};

/// A staple as the service serves it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) content: Content,
}

/// The content of a served staple.
#[derive(Clone)]
pub(super) enum Content {
    /// A response, which the service encodes.
    Der(Vec<u8>),
    /// These bytes as they are.
    Raw(Vec<u8>),
}

/// Everything that is served, and the trusted roots.
pub(super) struct Evidence {
    /// The instant for which the evidence is made, in Unix seconds.
    pub(super) now: i64,
    pub(super) pool: Arc<KeyPool>,
    /// The signer that the instance should trust.
    pub(super) signer: Hierarchy,
    /// Another signer, with the right name on its leaf. Its root is not trusted.
    pub(super) stranger: Hierarchy,
    /// The trusted roots, as PEM.
    pub(super) anchors: String,
    /// The signer's bundle, if it is not the signer's chain.
    pub(super) pem: Option<Vec<u8>>,
    /// The staples, if they are not the good ones of the signer's chain.
    pub(super) staples: Option<Vec<Served>>,
    /// The user's bundle, if it is not [`usual_bundle`](Self::usual_bundle).
    pub(super) bundle: Option<Vec<u8>>,
}

impl Evidence {
    pub(super) fn new(now: i64) -> Self {
        let pool = pool();
        let signer = Hierarchy::new(&pool, SIGNER, now);
        let stranger = Hierarchy::of_family(&pool, "stranger", SIGNER, now);
        let anchors = signer.anchor_pem();
        Self { now, pool, signer, stranger, anchors, pem: None, staples: None, bundle: None }
    }

    // --- certificates ---

    /// Replaces the leaf with a changed one.
    pub(super) fn leaf(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let leaf = change(self.signer.leaf(SIGNER, self.now));
        self.signer = self.signer.clone().with_leaf(leaf);
    }

    /// Replaces the intermediate's certificate with a changed one.
    pub(super) fn intermediate(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let intermediate = change(self.signer.intermediate_certificate());
        self.signer = self.signer.clone().with_intermediate(intermediate);
    }

    /// Replaces the root in the trust store with a changed one.
    pub(super) fn root(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let root = &self.signer.root;
        self.anchors = change(root.certificate()).self_signed(&root.key).pem();
    }

    /// Trusts only the older root, which cross-signed the newer one.
    pub(super) fn trust_older_root(&mut self) {
        let older = &self.signer.older_root;
        self.anchors = older.certificate().self_signed(&older.key).pem();
    }

    /// An authority with this name and its own key.
    pub(super) fn authority(&self, name: &str) -> Issuer {
        Issuer::new(name, self.pool.get(name))
    }

    /// Replaces the signer's chain: `issuer` issues the leaf, and `path` contains the certificates above it.
    pub(super) fn hang_from(&mut self, issuer: &Issuer, path: Vec<(Certificate, Issuer)>) {
        let leaf = issuer.sign(self.signer.leaf(SIGNER, self.now));
        self.signer.chain = vec![(leaf, issuer.clone())];
        self.signer.chain.extend(path);
    }

    /// Serves exactly these blocks as the signer's bundle.
    pub(super) fn serve_pem(&mut self, blocks: &[String]) {
        self.pem = Some(blocks.concat().into_bytes());
    }

    /// The certificates of the signer's chain, each as PEM.
    pub(super) fn blocks(&self) -> Vec<String> {
        self.signer.chain.iter().map(|(certificate, _)| certificate.pem()).collect()
    }

    /// `count` certificates that are unrelated to the signer.
    pub(super) fn unrelated(&self, count: u8) -> Vec<String> {
        let other = &self.stranger.root;
        let of = |serial| other.certificate().serial(&[1, serial]).self_signed(&other.key).pem();
        (0..count).map(of).collect()
    }

    pub(super) fn signer_cert(&self) -> Vec<u8> {
        self.pem.clone().unwrap_or_else(|| self.signer.bundle_pem().into_bytes())
    }

    // --- staples ---

    /// The staples. They begin as the good ones of the chain.
    pub(super) fn staples_mut(&mut self) -> &mut Vec<Served> {
        let good = self.signer.staples(self.now).into_iter().map(Served::from).collect();
        self.staples.get_or_insert(good)
    }

    /// Replaces the staple of one certificate of the chain.
    pub(super) fn staple(&mut self, position: usize, change: impl FnOnce(StapleBuilder) -> StapleBuilder) {
        let staple = change(self.signer.staple(position, self.now)).build();
        self.staples_mut()[position] = staple.into();
    }

    pub(super) fn add_staple(&mut self, staple: Staple) {
        self.staples_mut().push(staple.into());
    }

    /// Has the leaf's staple signed by a responder, whose certificate `issuer` signs.
    pub(super) fn delegate(
        &mut self,
        issuer: &Issuer,
        change: impl FnOnce(CertificateBuilder) -> CertificateBuilder,
    ) {
        let responder = self.authority("responder");
        let plain = responder
            .certificate()
            .validity(self.now - 3600, self.now + 3600)
            .basic_constraints(false, None)
            .key_usage(&[KeyUsage::DigitalSignature]);
        let certificate = issuer.sign(change(plain));
        self.staple(0, |staple| staple.delegated_to(certificate, &responder.key));
    }

    /// Replaces the leaf's staple with these bytes.
    pub(super) fn raw_staple(&mut self, bytes: impl Into<Vec<u8>>) {
        self.staples_mut()[0].content = Content::Raw(bytes.into());
    }

    // --- entries ---

    /// A good entry, not yet signed.
    pub(super) fn entry(&self, key_line: impl AsRef<[u8]>) -> Entry {
        self.entry_with(
            &[&format!("#Timestamp={}", self.now + 600), &format!("#Instance={INSTANCE}")],
            key_line,
        )
    }

    /// An entry with these lines before its key.
    pub(super) fn entry_with(&self, lines: &[&str], key_line: impl AsRef<[u8]>) -> Entry {
        lines.iter().fold(Entry::new(key_line), eic_emulator::Entry::line)
    }

    /// A whole good entry for a key of `tests/fixtures/keys`.
    pub(super) fn signed(&self, name: &str) -> Vec<u8> {
        self.entry(key_line(name)).sign(self.key())
    }

    pub(super) fn key(&self) -> &RsaKey {
        &self.signer.leaf_key
    }

    /// A bundle of a good entry, these bytes, and another good entry.
    pub(super) fn between(&mut self, bytes: impl AsRef<[u8]>) {
        self.bundle = Some([&self.signed(FIRST), bytes.as_ref(), &self.signed(LAST)].concat());
    }

    /// Like [`Self::between`], with a signed entry of these lines and this key.
    pub(super) fn between_signed(&mut self, lines: &[&str], key_line: impl AsRef<[u8]>) {
        let entry = self.entry_with(lines, key_line).sign(self.key());
        self.between(entry);
    }

    /// Like [`Self::between`], with a signed entry that is good except for its key line.
    pub(super) fn between_key(&mut self, key_line: impl AsRef<[u8]>) {
        let entry = self.entry(key_line).sign(self.key());
        self.between(entry);
    }

    /// Like [`Self::between`], with a signed entry that is good except for this line instead of `#Timestamp=...`.
    pub(super) fn between_timestamp(&mut self, line: &str) {
        self.between_signed(&[line, &format!("#Instance={INSTANCE}")], key_line("other"));
    }

    /// The bundle of a row that sets none: a good entry, a forged one, and a good one.
    fn usual_bundle(&self) -> Vec<u8> {
        let forged = self.entry(key_line("other")).sign(&self.stranger.leaf_key);
        [self.signed(FIRST), forged, self.signed(LAST)].concat()
    }

    pub(super) fn keys(&self) -> Vec<u8> {
        self.bundle.clone().unwrap_or_else(|| self.usual_bundle())
    }
}

/// The keys are kept between runs and shared by the private instances. Making them would take most of the time of
/// these tests.
fn pool() -> Arc<KeyPool> {
    static POOL: OnceLock<Arc<KeyPool>> = OnceLock::new();
    let in_folder = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-keys");
        std::fs::create_dir_all(&folder).unwrap();
        KeyPool::in_directory(&folder)
    };
    Arc::clone(POOL.get_or_init(in_folder))
}

impl From<Staple> for Served {
    fn from(staple: Staple) -> Self {
        Self { name: staple.name, content: Content::Der(staple.der) }
    }
}

impl Served {
    /// The bytes of the response.
    pub(super) fn der(&self) -> &[u8] {
        let (Content::Der(bytes) | Content::Raw(bytes)) = &self.content;
        bytes
    }

    /// The content of the file.
    pub(super) fn text(&self) -> Vec<u8> {
        match &self.content {
            Content::Der(der) => Staple { name: String::new(), der: der.clone() }.text().into_bytes(),
            Content::Raw(bytes) => bytes.clone(),
        }
    }
}
