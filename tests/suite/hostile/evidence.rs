//! The evidence of one row: good as it begins, and then whatever the row makes of it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use eic_emulator::Entry;
use eic_emulator::pki::{
    Certificate, CertificateBuilder, Hierarchy, Issuer, KeyPool, KeyUsage, RsaKey, Staple, StapleBuilder,
};

use super::{FIRST, LAST};
use crate::fixtures::{INSTANCE, SIGNER, key_line};

/// A staple as it is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) content: Content,
}

/// What is served as a staple.
#[derive(Clone)]
pub(super) enum Content {
    /// A response, which the service encodes.
    Der(Vec<u8>),
    /// These bytes as they are.
    Raw(Vec<u8>),
}

/// Everything that is served, and the roots that are trusted.
pub(super) struct Evidence {
    /// The instant that it is made for, Unix seconds.
    pub(super) now: i64,
    pub(super) pool: Arc<KeyPool>,
    /// Whom the instance should believe.
    pub(super) signer: Hierarchy,
    /// Somebody else, with the signer's name on his leaf, whom nobody here trusts.
    pub(super) stranger: Hierarchy,
    /// The roots.
    pub(super) anchors: String,
    /// The signer's bundle, where it is not the signer's chain.
    pub(super) pem: Option<Vec<u8>>,
    /// The staples, where they are not the good ones of the signer's chain.
    pub(super) staples: Option<Vec<Served>>,
    /// The user's bundle, where it is not [`usual_bundle`](Self::usual_bundle).
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

    /// Another leaf, made of the usual one.
    pub(super) fn leaf(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let leaf = change(self.signer.leaf(SIGNER, self.now));
        self.signer = self.signer.clone().with_leaf(leaf);
    }

    /// Another certificate of the intermediate, made of the usual one.
    pub(super) fn intermediate(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let intermediate = change(self.signer.intermediate_certificate());
        self.signer = self.signer.clone().with_intermediate(intermediate);
    }

    /// Another root certificate in the trust store.
    pub(super) fn root(&mut self, change: impl FnOnce(CertificateBuilder) -> CertificateBuilder) {
        let root = &self.signer.root;
        self.anchors = change(root.certificate()).self_signed(&root.key).pem();
    }

    /// Only the older root is trusted, which cross-signed the newer one.
    pub(super) fn trust_older_root(&mut self) {
        let older = &self.signer.older_root;
        self.anchors = older.certificate().self_signed(&older.key).pem();
    }

    /// An authority of that name, with a key of its own.
    pub(super) fn authority(&self, name: &str) -> Issuer {
        Issuer::new(name, self.pool.get(name))
    }

    /// The signer's certificate hangs from `issuer`, whose own certificates are these.
    pub(super) fn hang_from(&mut self, issuer: &Issuer, path: Vec<(Certificate, Issuer)>) {
        let leaf = issuer.sign(self.signer.leaf(SIGNER, self.now));
        self.signer.chain = vec![(leaf, issuer.clone())];
        self.signer.chain.extend(path);
    }

    /// The bundle is exactly this.
    pub(super) fn serve_pem(&mut self, blocks: &[String]) {
        self.pem = Some(blocks.concat().into_bytes());
    }

    /// The certificates of the signer's chain, each as PEM.
    pub(super) fn blocks(&self) -> Vec<String> {
        self.signer.chain.iter().map(|(certificate, _)| certificate.pem()).collect()
    }

    /// So many certificates that have nothing to do with the signer.
    pub(super) fn unrelated(&self, count: u8) -> Vec<String> {
        let other = &self.stranger.root;
        let of = |serial| other.certificate().serial(&[1, serial]).self_signed(&other.key).pem();
        (0..count).map(of).collect()
    }

    pub(super) fn signer_cert(&self) -> Vec<u8> {
        self.pem.clone().unwrap_or_else(|| self.signer.bundle_pem().into_bytes())
    }

    // --- staples ---

    /// The staples, the good ones of the chain to begin with.
    pub(super) fn staples_mut(&mut self) -> &mut Vec<Served> {
        let good = self.signer.staples(self.now).into_iter().map(Served::from).collect();
        self.staples.get_or_insert(good)
    }

    /// Replaces the staple of one certificate of the chain.
    pub(super) fn staple(&mut self, position: usize, change: impl FnOnce(StapleBuilder) -> StapleBuilder) {
        let staple = change(self.signer.staple(position, self.now)).build();
        self.staples_mut()[position] = staple.into();
    }

    /// Adds a staple.
    pub(super) fn add_staple(&mut self, staple: Staple) {
        self.staples_mut().push(staple.into());
    }

    /// The leaf's staple is signed by a responder with that certificate.
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

    /// These bytes in the place of the leaf's staple.
    pub(super) fn raw_staple(&mut self, bytes: impl Into<Vec<u8>>) {
        self.staples_mut()[0].content = Content::Raw(bytes.into());
    }

    // --- entries ---

    /// An entry that is right in all its parts, to be signed.
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

    /// The same, with an entry of these lines and this key, signed as it is.
    pub(super) fn between_signed(&mut self, lines: &[&str], key_line: impl AsRef<[u8]>) {
        let entry = self.entry_with(lines, key_line).sign(self.key());
        self.between(entry);
    }

    /// The same, with an entry that is right but for its key line.
    pub(super) fn between_key(&mut self, key_line: impl AsRef<[u8]>) {
        let entry = self.entry(key_line).sign(self.key());
        self.between(entry);
    }

    /// The same, with an entry that is right but for this in the place of `#Timestamp=...`.
    pub(super) fn between_timestamp(&mut self, line: &str) {
        self.between_signed(&[line, &format!("#Instance={INSTANCE}")], key_line("other"));
    }

    /// What lies there where a row says nothing of it: a good entry, a forged one, a good one.
    fn usual_bundle(&self) -> Vec<u8> {
        let forged = self.entry(key_line("other")).sign(&self.stranger.leaf_key);
        [self.signed(FIRST), forged, self.signed(LAST)].concat()
    }

    pub(super) fn keys(&self) -> Vec<u8> {
        self.bundle.clone().unwrap_or_else(|| self.usual_bundle())
    }
}

/// Kept between runs and shared by the private instances: making keys would be most of the time of these tests.
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
    /// The response that it is.
    pub(super) fn der(&self) -> &[u8] {
        let (Content::Der(bytes) | Content::Raw(bytes)) = &self.content;
        bytes
    }

    /// The file that it is.
    pub(super) fn text(&self) -> Vec<u8> {
        match &self.content {
            Content::Der(der) => Staple { name: String::new(), der: der.clone() }.text().into_bytes(),
            Content::Raw(bytes) => bytes.clone(),
        }
    }
}
