//! Where the roots are read from: the operator's files, or the distribution's.
//!
//! They are opened before a run looks at anything foreign, and read once there is a key to judge: a run that finds
//! none is spared the time, and one that does can no longer open a file. Of the 140 roots of a distribution only those
//! that the signer's certificates name are parsed, as long as a path leads to them.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::evidence::chain::SignerChain;
use crate::files::{open_regular, read_open, read_regular};
use crate::reason::Reason;
use crate::verification::{AnchorsError, TrustAnchors};

/// Most that is read of a trust store, in bytes; distributions ship 200 KB to 1 MB.
const MAX_STORE_BYTES: usize = 4 * 1024 * 1024;

/// What a distribution's bundle has at the very least, in bytes: some twenty roots.
const MIN_BUNDLE_BYTES: u64 = 32 * 1024;

/// Most files of a hashed directory that are read.
const MAX_STORE_FILES: usize = 4096;

/// A bundle's first certificate begins here at the latest, behind what a distribution has to say of it.
const MAX_PREAMBLE_BYTES: usize = 4096;

/// How a certificate begins in PEM (RFC 7468 section 5.1), and other things do as well.
const BEGIN: &[u8] = b"-----BEGIN ";

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

/// Which of the roots count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Roots {
    /// All of the trust store's.
    #[default]
    System,
    /// Those of the trust store that are Amazon Trust Services'.
    Amazon,
}

/// Where the roots are to come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustStore {
    /// A PEM bundle named by the operator.
    pub ca_file: Option<PathBuf>,
    /// A hashed directory named by the operator.
    pub ca_dir: Option<PathBuf>,
    /// Which of the roots count.
    pub roots: Roots,
}

/// Why there are no roots.
#[derive(Debug, Clone)]
pub enum TrustStoreError {
    /// A file or directory cannot be read.
    Unreadable(PathBuf, Arc<io::Error>),
    /// A directory holds no hashed certificate.
    NotHashed(PathBuf),
    /// None of the places of the distributions has roots; holds what was wrong with those that are there.
    NoneFound(Vec<String>),
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
            Self::NotHashed(path) => {
                write!(f, "{} holds no hashed certificate; run: openssl rehash {0}", path.display())
            }
            Self::NoneFound(tried) => {
                f.write_str("no CA certificates found; install the package ca-certificates")?;
                tried.iter().try_for_each(|why| write!(f, "; {why}"))
            }
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

    /// Opens and reads the roots.
    pub fn load(&self) -> Result<TrustAnchors, TrustStoreError> {
        self.open().load()
    }

    /// Opens the files that the roots are in. What is wrong with them is told where they are read.
    #[must_use]
    pub fn open(&self) -> OpenStore {
        if self.is_chosen() {
            return OpenStore { roots: self.roots, is_chosen: true, places: vec![self.open_chosen()] };
        }
        self.open_system(BUNDLES, DIRECTORIES)
    }

    fn open_chosen(&self) -> Result<Place, TrustStoreError> {
        let mut place = Place { path: PathBuf::new(), files: Vec::new() };
        if let Some(path) = &self.ca_file {
            place.files.push(Pem::Open(open_bundle(path)?));
            place.path.clone_from(path);
        }
        if let Some(path) = &self.ca_dir {
            place.files.extend(read_hashed(path)?);
            place.path.clone_from(path);
        }
        Ok(place)
    }

    /// All of the distributions' bundles that are there, and only where none of them looks like one, the
    /// hashed directories, which take longer.
    fn open_system(&self, bundles: &[&str], directories: &[&str]) -> OpenStore {
        let mut has_bundle = false;
        let mut places = Vec::new();
        for path in bundles.iter().map(Path::new) {
            let bundle = open_bundle(path).inspect(|bundle| has_bundle |= has_certificates(bundle));
            places.push(bundle.map(|bundle| Place { path: path.to_owned(), files: vec![Pem::Open(bundle)] }));
        }
        for path in directories.iter().map(Path::new).filter(|_| !has_bundle) {
            places.push(read_hashed(path).map(|files| Place { path: path.to_owned(), files }));
        }
        OpenStore { roots: self.roots, is_chosen: false, places }
    }
}

/// A trust store whose files are open.
#[derive(Debug)]
pub struct OpenStore {
    roots: Roots,
    is_chosen: bool,
    places: Vec<Result<Place, TrustStoreError>>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    files: Vec<Pem>,
}

/// A bundle, which is one open file, or one of a hashed directory's files: those may be more than a process
/// can have open, and are read at once.
#[derive(Debug)]
enum Pem {
    Open(File),
    Read(Vec<u8>),
}

impl OpenStore {
    /// Reads and parses the roots: those of the first place that has any. A distribution's place
    /// without any is passed over like one that is not there, and told when none is left.
    pub fn load(&self) -> Result<TrustAnchors, TrustStoreError> {
        let mut tried = Vec::new();
        for place in &self.places {
            match place.as_ref().map_err(Clone::clone).and_then(|place| place.load(self.roots)) {
                loaded if self.is_chosen => return loaded,
                Ok(anchors) => return Ok(anchors),
                Err(TrustStoreError::Unreadable(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(TrustStoreError::NoneFound(tried))
    }

    /// Reads the place that counts if it has roots, without parsing any.
    #[must_use]
    pub fn read_first(&self) -> Option<FirstPlace<'_>> {
        let place = self.places.iter().flatten().next()?;
        Some(FirstPlace { roots: self.roots, place, files: place.read().ok()? })
    }
}

/// The first place of a trust store, read.
#[derive(Debug)]
pub struct FirstPlace<'s> {
    roots: Roots,
    place: &'s Place,
    files: Vec<Cow<'s, [u8]>>,
}

impl FirstPlace<'_> {
    /// Of the roots that [`OpenStore::load`] gives, those that issued themselves and can have issued a certificate of
    /// `chain`, without parsing the others. None where there are none, which says nothing: `load` has to be asked.
    #[must_use]
    pub fn issuers(&self, chain: &SignerChain) -> Option<TrustAnchors> {
        // The place that counts is the first that has roots; that it has these is enough to know.
        let parse = |files: Vec<&[u8]>| TrustAnchors::issuers_from_pem(files, chain);
        self.place.parse(&self.files, self.roots, parse).ok()
    }
}

impl Pem {
    fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Open(file) => read_open(file, MAX_STORE_BYTES).map(Cow::Owned),
            Self::Read(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }
}

impl Place {
    fn load(&self, roots: Roots) -> Result<TrustAnchors, TrustStoreError> {
        self.parse(&self.read()?, roots, |files| TrustAnchors::from_pem(files))
    }

    fn read(&self) -> Result<Vec<Cow<'_, [u8]>>, TrustStoreError> {
        let files: io::Result<_> = self.files.iter().map(Pem::bytes).collect();
        files.map_err(|error| unreadable(&self.path, error))
    }

    fn parse(
        &self,
        files: &[Cow<'_, [u8]>],
        roots: Roots,
        parse: impl Fn(Vec<&[u8]>) -> Result<TrustAnchors, AnchorsError>,
    ) -> Result<TrustAnchors, TrustStoreError> {
        let anchors = parse(files.iter().map(AsRef::as_ref).collect());
        let anchors = match roots {
            Roots::System => anchors,
            Roots::Amazon => anchors.and_then(TrustAnchors::of_amazon),
        };
        anchors.map_err(|error| TrustStoreError::Anchors(self.path.clone(), error))
    }
}

fn unreadable(path: &Path, error: io::Error) -> TrustStoreError {
    TrustStoreError::Unreadable(path.to_owned(), Arc::new(error))
}

fn open_bundle(path: &Path) -> Result<File, TrustStoreError> {
    open_regular(path).map_err(|error| unreadable(path, error))
}

/// Whether it looks like a distribution's bundle: certificates, and many. What holds but a few, or one that is
/// broken, is no reason to look nowhere else.
fn has_certificates(bundle: &File) -> bool {
    if bundle.metadata().map_or(0, |metadata| metadata.len()) < MIN_BUNDLE_BYTES {
        return false;
    }
    let mut head = [0; MAX_PREAMBLE_BYTES];
    let read = bundle.read_at(&mut head, 0).unwrap_or(0);
    head.get(..read).is_some_and(|head| head.windows(BEGIN.len()).any(|window| window == BEGIN))
}

/// The files of a hashed directory: `HHHHHHHH.N` as openssl-rehash(1) names them. Only these count, as for
/// OpenSSL; a directory of certificates often holds others that nobody meant as roots.
fn read_hashed(path: &Path) -> Result<Vec<Pem>, TrustStoreError> {
    let mut files = Vec::new();
    let mut left = MAX_STORE_BYTES;
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, error))?.flatten() {
        let name = entry.file_name();
        if files.len() < MAX_STORE_FILES && name.to_str().is_some_and(is_hash_name) {
            // A link that leads nowhere is common after a root was removed, and takes nothing away.
            if let Ok(file) = read_regular(&entry.path(), left) {
                left = left.saturating_sub(file.len());
                files.push(Pem::Read(file));
            }
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
        let absent = TrustStore { ca_file: Some("/nonexistent/ca.pem".into()), ..TrustStore::default() };
        assert_eq!(absent.load().unwrap_err().reason(), Reason::TrustStoreUnusable);
        let nothing = TrustStore::default()
            .open_system(&["/nonexistent/a.pem"], &["/nonexistent/b"])
            .load()
            .unwrap_err();
        assert_eq!(nothing.to_string(), "no CA certificates found; install the package ca-certificates");
    }

    #[test]
    fn the_first_place_that_has_roots_is_taken() {
        let folder = std::env::temp_dir().join(format!("eic-agent-store-{}", std::process::id()));
        fs::create_dir_all(folder.join("hashed")).unwrap();
        fs::create_dir_all(folder.join("unhashed")).unwrap();
        let root = crate::verification::testing::anchor_pem();
        for (name, content) in [
            ("empty.pem", ""),
            ("comment.pem", "# nothing here\n"),
            ("good.pem", &root),
            ("hashed/0123abcd.0", &root),
            ("hashed/README", "not a root"),
            ("unhashed/root.pem", &root),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (absent, empty, comment, good) =
            (text("absent"), text("empty.pem"), text("comment.pem"), text("good.pem"));
        let (hashed, unhashed) = (text("hashed"), text("unhashed"));
        let load = |bundles: &[&str], directories: &[&str]| {
            TrustStore::default().open_system(bundles, directories).load()
        };
        assert!(load(&[&absent, &empty, &comment, &hashed, &good], &[]).is_ok(), "a folder is no bundle");
        assert!(load(&[&absent, &empty], &[&unhashed, &hashed]).is_ok());
        let refused = load(&[&absent, &empty, &comment], &[&unhashed]).unwrap_err().to_string();
        for place in [&empty, &comment, &unhashed] {
            assert!(refused.contains(place.as_str()), "{refused}");
        }
        assert!(!refused.contains(&absent), "{refused}");
        let amazon = TrustStore { ca_file: Some(good.into()), roots: Roots::Amazon, ..TrustStore::default() };
        assert!(amazon.load().unwrap_err().to_string().contains("expected a root of Amazon Trust Services"));
        fs::remove_dir_all(folder).unwrap();
    }
}
