//! RSA keys that are made once and kept in a pool. They can also make signatures that a verifier must refuse.

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
use crate::directory::random_hex;

/// The size of Amazon's keys, in bits.
const USUAL_BITS: usize = 2048;

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// PKCS #1 v1.5 with SHA-256, for certificates and staples.
    Pkcs1Sha256,
    /// PKCS #1 v1.5 with SHA-256, named by an `AlgorithmIdentifier` without the NULL parameters. Some authorities omit
    /// them (RFC 4055, section 5).
    Pkcs1Sha256WithoutNull,
    /// PKCS #1 v1.5 with SHA-1, which a verifier must refuse.
    Pkcs1Sha1,
    /// PSS with SHA-256 and MGF1 with SHA-256. Key bundle entries use a salt of 32 bytes.
    PssSha256 {
        /// The length of the salt, in bytes.
        salt: usize,
    },
}

impl SignatureScheme {
    /// The scheme of a key bundle entry.
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
    /// A public key of these numbers. A matching private key need not exist.
    pub fn of_numbers(modulus: &[u8], exponent: &[u8]) -> Self {
        Self(der::sequence(&[der::unsigned(modulus), der::unsigned(exponent)]))
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        let algorithm = der::sequence(&[der::oid(oids::RSA_ENCRYPTION), der::null()]);
        der::sequence(&[algorithm, der::bits(&self.0)])
    }

    /// The `RSAPublicKey`, which a certificate contains in a bit string and OCSP hashes.
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
    /// Absent for keys that ring refuses. The hostile tests need such keys.
    fast: Option<RsaKeyPair>,
    public: PublicKey,
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RsaKey").field(&super::hex(&self.0.public.id())).finish()
    }
}

impl RsaKey {
    /// Makes a key of this many bits. This is slow; [`KeyPool`] avoids it.
    pub fn generate(bits: usize) -> Self {
        Self::from_private(RsaPrivateKey::new(&mut OsRng, bits).expect("an RSA key can be made"))
    }

    /// A key of 3,560 bits, longer than the usual ones. It is fast to make because its primes are known:
    /// 2^2281 - 1 and 2^1279 - 1. The longer prime must be the first, otherwise signing with the library takes far
    /// too long.
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

    /// The public key.
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

/// Keys by name. The first request for a name makes its key. With a directory, the pool also keeps the key there.
#[derive(Default)]
pub struct KeyPool {
    keys: Mutex<HashMap<String, Arc<OnceLock<RsaKey>>>>,
    directory: Option<PathBuf>,
}

impl KeyPool {
    /// The pool of this process. Tests share it, so a run makes each key once. If the variable `EIC_EMULATOR_KEYS`
    /// names a directory, the keys are kept there. This saves time when many processes need them.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<KeyPool>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| match std::env::var_os("EIC_EMULATOR_KEYS") {
            Some(directory) => Self::in_directory(Path::new(&directory)),
            None => Arc::default(),
        }))
    }

    /// A pool that keeps its keys in files called `NAME.der`, which only their owner may read.
    pub fn in_directory(directory: &Path) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::default(), directory: Some(directory.to_owned()) })
    }

    /// The key called `name`. It has the usual size.
    pub fn get(&self, name: &str) -> RsaKey {
        let cell = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keys.entry(name.to_owned()).or_default())
        };
        cell.get_or_init(|| self.load(name)).clone()
    }

    /// Makes the missing keys of this list in parallel, with one thread each.
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
        // If the file cannot be written, this run still uses the key. The next run makes another one.
        drop(write_private(&path, &key.to_pkcs1_der()));
        key
    }
}

/// Writes to a second file and renames it, so an interrupted run never leaves an incomplete key. Several processes can
/// write the same key. Each has a second file of its own.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("unfinished-{}", random_hex(8)));
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
    fn both_libraries_make_the_same_signature() {
        let key = KeyPool::shared().get("leaf");
        let fast = key.sign(SignatureScheme::Pkcs1Sha256, b"text");
        let slow = key.sign_slowly(Pkcs1v15Sign::new::<Sha256>(), &sha256(b"text"));
        assert_eq!(fast, slow);
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().pkcs1_der());
        assert!(public.verify(b"text", &fast).is_ok());
    }

    #[test]
    fn salt_of_another_length_is_refused() {
        let key = KeyPool::shared().get("leaf");
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public().pkcs1_der());
        assert!(public.verify(b"text", &key.sign(SignatureScheme::ENTRY, b"text")).is_ok());
        let short = key.sign(SignatureScheme::PssSha256 { salt: 20 }, b"text");
        assert!(public.verify(b"text", &short).is_err());
    }

    #[test]
    fn key_that_ring_refuses_can_sign() {
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
