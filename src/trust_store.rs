//! Where the roots are read from: the operator's files, or the distribution's.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::reason::Reason;
use crate::verification::{AnchorsError, TrustAnchors};

/// Largest bundle that is read, in bytes; distributions ship 200 KB to 1 MB.
const MAX_STORE_BYTES: u64 = 8 * 1024 * 1024;

/// Most files of a hashed directory that are read.
const MAX_STORE_FILES: usize = 4096;

/// The distributions' bundles, the first one there is used.
const BUNDLES: &[&str] = &[
    // Amazon Linux 2 and 2023, RHEL and Rocky 8 to 10, Fedora: made by update-ca-trust(8).
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // The older name of the same, which some images keep alone.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // Debian, Ubuntu, Alpine: update-ca-certificates(8).
    "/etc/ssl/certs/ca-certificates.crt",
    // SUSE, older and newer.
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    // Alpine without ca-certificates.
    "/etc/ssl/cert.pem",
];

/// The hashed directories (`openssl rehash`), used where there is no bundle.
const DIRECTORIES: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Where the roots are to come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustStore {
    /// A PEM bundle named by the operator.
    pub ca_file: Option<PathBuf>,
    /// A hashed directory named by the operator.
    pub ca_dir: Option<PathBuf>,
}

/// Why there are no roots.
#[derive(Debug)]
pub enum TrustStoreError {
    /// A file or directory cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A bundle is larger than 8 MiB.
    TooLarge(PathBuf),
    /// A directory holds no hashed certificate.
    NotHashed(PathBuf),
    /// None of the places of the distributions exists.
    NoneFound,
    /// What was read holds no root.
    Anchors(PathBuf, AnchorsError),
}

impl TrustStoreError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        Reason::TrustStoreUnusable
    }
}

impl fmt::Display for TrustStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "the trust store {} cannot be read: {error}", path.display())
            }
            Self::TooLarge(path) => {
                write!(f, "the trust store {} is larger than {MAX_STORE_BYTES} bytes", path.display())
            }
            Self::NotHashed(path) => {
                write!(f, "{} holds no hashed certificate; run: openssl rehash {0}", path.display())
            }
            Self::NoneFound => f.write_str("no CA certificates found; install the package ca-certificates"),
            Self::Anchors(path, error) => write!(f, "the trust store {}: {error}", path.display()),
        }
    }
}

impl TrustStore {
    /// Whether it is the operator's own choice rather than the system's.
    #[must_use]
    pub const fn is_chosen(&self) -> bool {
        self.ca_file.is_some() || self.ca_dir.is_some()
    }

    /// Reads the roots.
    pub fn load(&self) -> Result<TrustAnchors, TrustStoreError> {
        let mut files = Vec::new();
        let mut place = PathBuf::new();
        if let Some(path) = &self.ca_file {
            files.push(read_bundle(path)?);
            place.clone_from(path);
        }
        if let Some(path) = &self.ca_dir {
            files.extend(read_hashed(path)?);
            place.clone_from(path);
        }
        if !self.is_chosen() {
            (place, files) = read_system(BUNDLES, DIRECTORIES)?;
        }
        TrustAnchors::from_pem(files.iter().map(Vec::as_slice))
            .map_err(|error| TrustStoreError::Anchors(place, error))
    }
}

fn read_system(bundles: &[&str], directories: &[&str]) -> Result<(PathBuf, Vec<Vec<u8>>), TrustStoreError> {
    for path in bundles.iter().map(Path::new) {
        match read_bundle(path) {
            Ok(bundle) if !bundle.is_empty() => return Ok((path.to_owned(), vec![bundle])),
            // An emptied bundle is passed over like an absent one: another place may hold the roots.
            Ok(_) => {}
            Err(TrustStoreError::Unreadable(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for path in directories.iter().map(Path::new) {
        if let Ok(files) = read_hashed(path) {
            return Ok((path.to_owned(), files));
        }
    }
    Err(TrustStoreError::NoneFound)
}

fn read_bundle(path: &Path) -> Result<Vec<u8>, TrustStoreError> {
    let unreadable = |error| TrustStoreError::Unreadable(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_STORE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= MAX_STORE_BYTES) {
        Ok(bytes)
    } else {
        Err(TrustStoreError::TooLarge(path.to_owned()))
    }
}

/// The files of a hashed directory: `HHHHHHHH.N` as openssl-rehash(1) names them. Only these count, as for
/// OpenSSL; a directory of certificates often holds others that nobody meant as roots.
fn read_hashed(path: &Path) -> Result<Vec<Vec<u8>>, TrustStoreError> {
    let unreadable = |error| TrustStoreError::Unreadable(path.to_owned(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)?.flatten() {
        let name = entry.file_name();
        if files.len() < MAX_STORE_FILES && name.to_str().is_some_and(is_hash_name) {
            // A link that leads nowhere is common after a root was removed, and takes nothing away.
            files.extend(read_bundle(&entry.path()).ok());
        }
    }
    if files.is_empty() { Err(TrustStoreError::NotHashed(path.to_owned())) } else { Ok(files) }
}

fn is_hash_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hash_names_count() {
        for good in ["b1159c4c.0", "B1159C4C.12"] {
            assert!(is_hash_name(good), "{good}");
        }
        for bad in ["b1159c4c", "b1159c4c.r0", "b1159c4.0", "root.pem", ".0", "b1159c4c."] {
            assert!(!is_hash_name(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let absent = TrustStore { ca_file: Some("/nonexistent/ca.pem".into()), ca_dir: None };
        assert_eq!(absent.load().unwrap_err().reason(), Reason::TrustStoreUnusable);
        let nothing = read_system(&["/nonexistent/a.pem"], &["/nonexistent/b"]).unwrap_err();
        assert_eq!(nothing.to_string(), "no CA certificates found; install the package ca-certificates");
    }

    #[test]
    fn every_place_is_tried_in_order() {
        let root = std::env::temp_dir().join(format!("eic-agent-store-{}", std::process::id()));
        fs::create_dir_all(root.join("hashed")).unwrap();
        fs::write(root.join("empty.pem"), "").unwrap();
        fs::write(root.join("second.pem"), "second").unwrap();
        fs::write(root.join("hashed/0123abcd.0"), "hashed").unwrap();
        fs::write(root.join("hashed/README"), "not a root").unwrap();
        let text = |name: &str| root.join(name).to_str().unwrap().to_owned();
        let (absent, empty, second, hashed) =
            (text("absent"), text("empty.pem"), text("second.pem"), text("hashed"));
        let bundles = [absent.as_str(), empty.as_str(), second.as_str()];
        assert_eq!(read_system(&bundles, &[&hashed]).unwrap().1, [b"second"]);
        assert_eq!(read_system(&bundles[..2], &[&hashed]).unwrap().1, [b"hashed"]);
        assert!(matches!(read_hashed(&root), Err(TrustStoreError::NotHashed(_))));
        fs::remove_dir_all(root).unwrap();
    }
}
