//! RSA keys: made once, kept in a pool, and able to sign in ways that nobody should accept.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPrivateKey};

use super::{der, oids, sha1, sha256};

/// The size of Amazon's keys.
const USUAL_BITS: usize = 2048;

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// PKCS #1 v1.5 with SHA-256: certificates and staples.
    Pkcs1Sha256,
    /// The same, named without the NULL that stands for no parameters, as some authorities write it (RFC 4055, section 5).
    Pkcs1Sha256WithoutNull,
    /// PKCS #1 v1.5 with SHA-1, which nobody may accept.
    Pkcs1Sha1,
    /// PSS with SHA-256, MGF1 with SHA-256 and a salt of this length: 32 for key bundle entries.
    PssSha256 {
        /// Bytes of salt.
        salt: usize,
    },
}

impl SignatureScheme {
    /// What signs a key bundle entry.
    pub const ENTRY: Self = Self::PssSha256 { salt: 32 };

    /// The `AlgorithmIdentifier` that names this scheme.
    pub fn identifier(self) -> Vec<u8> {
        match self {
            Self::Pkcs1Sha256 => der::sequence(&[der::oid(oids::SHA256_WITH_RSA), der::null()]),
            Self::Pkcs1Sha256WithoutNull => der::sequence(&[der::oid(oids::SHA256_WITH_RSA)]),
            Self::Pkcs1Sha1 => der::sequence(&[der::oid(oids::SHA1_WITH_RSA), der::null()]),
            Self::PssSha256 { salt } => {
                let hash = der::sequence(&[der::oid(oids::SHA256), der::null()]);
                let mask = der::sequence(&[der::oid(oids::MGF1), hash.clone()]);
                let parameters = [
                    der::context(0, &hash),
                    der::context(1, &mask),
                    der::context(2, &der::integer(salt as u64)),
                ];
                der::sequence(&[der::oid(oids::RSASSA_PSS), der::sequence(&parameters)])
            }
        }
    }
}

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// A key that need not exist: nobody has to know its private half, or be able to use it.
    pub fn of_numbers(modulus: &[u8], exponent: &[u8]) -> Self {
        Self(der::sequence(&[der::unsigned(modulus), der::unsigned(exponent)]))
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        let algorithm = der::sequence(&[der::oid(oids::RSA_ENCRYPTION), der::null()]);
        der::sequence(&[algorithm, der::bits(&self.0)])
    }

    /// The `RSAPublicKey`: what a certificate's bit string holds and what OCSP hashes.
    pub fn pkcs1_der(&self) -> &[u8] {
        &self.0
    }

    /// The usual key identifier, SHA-1 of the `RSAPublicKey` (RFC 5280, 4.2.1.2).
    pub fn id(&self) -> Vec<u8> {
        sha1(&self.0)
    }
}

/// An RSA key pair. Clones share one key.
#[derive(Clone)]
pub struct RsaKey(Arc<Inner>);

struct Inner {
    private: RsaPrivateKey,
    /// Absent for keys that ring refuses, which the hostile tests want all the same.
    fast: Option<RsaKeyPair>,
    public: PublicKey,
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RsaKey").field(&super::hex(&self.0.public.id())).finish()
    }
}

impl RsaKey {
    /// Makes a key of this many bits: a slow thing, so see [`KeyPool`] first.
    pub fn generate(bits: usize) -> Self {
        Self::from_private(RsaPrivateKey::new(&mut OsRng, bits).expect("an RSA key can be made"))
    }

    /// A key of 3,560 bits, which is longer than the usual ones, at once: its primes are known ones, 2^2281 - 1 and
    /// 2^1279 - 1. The longer one comes first, or the library would take for ever to sign.
    pub fn longer() -> Self {
        let [p, q] = [2281_usize, 1279].map(|bits| (BigUint::from(1_u8) << bits) - 1_u8);
        Self::from_private(RsaPrivateKey::from_p_q(p, q, BigUint::from(65_537_u32)).expect("both are primes"))
    }

    /// Reads a PKCS #1 private key.
    pub fn from_pkcs1_der(der: &[u8]) -> io::Result<Self> {
        RsaPrivateKey::from_pkcs1_der(der).map(Self::from_private).map_err(io::Error::other)
    }

    fn from_private(private: RsaPrivateKey) -> Self {
        let encoded = private.to_pkcs1_der().expect("a key can be encoded");
        let fast = RsaKeyPair::from_der(encoded.as_bytes()).ok();
        let public = private.to_public_key().to_pkcs1_der().expect("a key can be encoded").into_vec();
        Self(Arc::new(Inner { private, fast, public: PublicKey(public) }))
    }

    /// The PKCS #1 private key.
    pub fn to_pkcs1_der(&self) -> Vec<u8> {
        self.0.private.to_pkcs1_der().expect("a key can be encoded").as_bytes().to_vec()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// Signs `message`.
    pub fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Vec<u8> {
        match (scheme, &self.0.fast) {
            (SignatureScheme::Pkcs1Sha256 | SignatureScheme::Pkcs1Sha256WithoutNull, Some(fast)) => {
                sign_fast(fast, &RSA_PKCS1_SHA256, message)
            }
            (SignatureScheme::PssSha256 { salt: 32 }, Some(fast)) => {
                sign_fast(fast, &RSA_PSS_SHA256, message)
            }
            (SignatureScheme::Pkcs1Sha256 | SignatureScheme::Pkcs1Sha256WithoutNull, None) => {
                self.sign_slowly(Pkcs1v15Sign::new::<Sha256>(), &sha256(message))
            }
            (SignatureScheme::Pkcs1Sha1, _) => self.sign_slowly(pkcs1_sha1(), &sha1(message)),
            (SignatureScheme::PssSha256 { salt }, _) => {
                self.sign_slowly(Pss::new_with_salt::<Sha256>(salt), &sha256(message))
            }
        }
    }

    fn sign_slowly(&self, scheme: impl rsa::traits::SignatureScheme, digest: &[u8]) -> Vec<u8> {
        self.0.private.sign_with_rng(&mut OsRng, scheme, digest).expect("the key is long enough")
    }
}

fn sign_fast(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("the key can sign");
    signature
}

fn pkcs1_sha1() -> Pkcs1v15Sign {
    let digest_info =
        der::sequence(&[der::sequence(&[der::oid(oids::SHA1), der::null()]), der::octets(&[0; 20])]);
    let prefix = digest_info[..digest_info.len() - 20].into();
    Pkcs1v15Sign { hash_len: Some(20), prefix }
}

/// Keys by name, each made the first time that it is asked for, and kept in a directory where there is one.
#[derive(Default)]
pub struct KeyPool {
    keys: Mutex<HashMap<String, Arc<OnceLock<RsaKey>>>>,
    directory: Option<PathBuf>,
}

impl KeyPool {
    /// The pool of this process: tests share it, so that a run makes each key once. Where the directory
    /// `EIC_EMULATOR_KEYS` is named, as when the same tests run hundreds of times, the keys are kept there.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<KeyPool>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| match std::env::var_os("EIC_EMULATOR_KEYS") {
            Some(directory) => Self::in_directory(Path::new(&directory)),
            None => Arc::default(),
        }))
    }

    /// A pool whose keys outlive the process, as `NAME.der` files that only their owner may read.
    pub fn in_directory(directory: &Path) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::default(), directory: Some(directory.to_owned()) })
    }

    /// The key called `name`, of the usual size.
    pub fn get(&self, name: &str) -> RsaKey {
        let cell = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keys.entry(name.to_owned()).or_default())
        };
        cell.get_or_init(|| self.load(name)).clone()
    }

    /// Makes the missing ones of these keys at the same time, one thread each.
    pub fn prepare(&self, names: &[&str]) {
        std::thread::scope(|scope| {
            for name in names {
                scope.spawn(|| self.get(name));
            }
        });
    }

    fn load(&self, name: &str) -> RsaKey {
        let Some(directory) = &self.directory else { return RsaKey::generate(USUAL_BITS) };
        let path = directory.join(format!("{name}.der"));
        if let Some(key) = std::fs::read(&path).ok().and_then(|der| RsaKey::from_pkcs1_der(&der).ok()) {
            return key;
        }
        let key = RsaKey::generate(USUAL_BITS);
        // A key that cannot be kept is still a key: the next run makes another one.
        drop(write_private(&path, &key.to_pkcs1_der()));
        key
    }
}

/// Through a second file, so that a run cut short never leaves half a key behind.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    std::fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn both_ways_of_signing_agree() {
        let key = KeyPool::shared().get("leaf");
        let fast = key.sign(SignatureScheme::Pkcs1Sha256, b"text");
        let slow = key.sign_slowly(Pkcs1v15Sign::new::<Sha256>(), &sha256(b"text"));
        assert_eq!(fast, slow);
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().pkcs1_der());
        assert!(public.verify(b"text", &fast).is_ok());
    }

    #[test]
    fn only_a_salt_of_32_passes_where_32_is_asked_for() {
        let key = KeyPool::shared().get("leaf");
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public().pkcs1_der());
        assert!(public.verify(b"text", &key.sign(SignatureScheme::ENTRY, b"text")).is_ok());
        let short = key.sign(SignatureScheme::PssSha256 { salt: 20 }, b"text");
        assert!(public.verify(b"text", &short).is_err());
    }

    #[test]
    fn a_short_key_signs_all_the_same() {
        let key = RsaKey::generate(1024);
        assert!(key.0.fast.is_none());
        assert_eq!(key.sign(SignatureScheme::Pkcs1Sha256, b"text").len(), 128);
        assert_eq!(key.sign(SignatureScheme::Pkcs1Sha1, b"text").len(), 128);
    }

    #[test]
    fn a_pool_in_a_directory_keeps_its_keys() {
        let directory = crate::directory::TempDir::new("eic-emulator-keys").unwrap();
        let first = KeyPool::in_directory(directory.path()).get("kept");
        let second = KeyPool::in_directory(directory.path()).get("kept");
        assert_eq!(first.public(), second.public());
    }
}
