//! Where the roots are read from: the operator's files, or the distribution's.
//!
//! They are opened before a run looks at anything foreign, and read once there is a key to judge: a run that finds
//! none is spared the time, and one that does can no longer open a file. Of the 140 roots of a distribution only those
//! that the signer's certificates name are parsed, as long as a path leads to them.
//!
//! A root decides who may sign for AWS, so the rule for the settings file holds for its file, too: the file and every
//! folder on the way to it are root's, and nobody else can write them ([`crate::ownership`]). A bundle that breaks the
//! rule is not used; a distribution's own may be in a sticky store of root's and a group, as on NixOS. In a hashed
//! directory, only the files that break it are left out, since an operator may have added one of many from a folder
//! such as Debian's `/usr/local/share`, which the group `staff` could write until release 11.

mod places;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eic_core::evidence::chain::SignerChain;
use eic_core::reason::Reason;
use eic_core::verification::{AnchorsError, TrustAnchors};
use places::{has_certificates, open_bundle, open_own_bundle, read_hashed, unreadable};

use crate::files::read_open;
use crate::ownership::Insecure;

/// Most that is read of a trust store, in bytes; distributions ship 200 KB to 1 MB.
const MAX_STORE_BYTES: usize = 4 * 1024 * 1024;

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
    /// Whose the named file and directory may be. The distributions' places must always be root's.
    pub owner: Owner,
}

/// Whose the files may be that the operator names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    /// Root's alone: sshd acts on what is judged by them.
    #[default]
    Root,
    /// Anyone's: the caller alone reads the judgement, and chooses the roots (`verify`).
    Anyone,
}

/// Why there are no roots.
#[derive(Debug, Clone)]
pub enum TrustStoreError {
    /// A file or directory cannot be read.
    Unreadable(PathBuf, Arc<io::Error>),
    /// A file or directory is not root's alone.
    Insecure(PathBuf, Arc<Insecure>),
    /// A directory holds no hashed certificate.
    NotHashed(PathBuf),
    /// None of the places of the distributions has roots; holds what was wrong with those that are there.
    NoneFound(Vec<Self>),
    /// What was read holds no root.
    Anchors(PathBuf, AnchorsError),
}

impl TrustStoreError {
    /// The stable name of this refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        if self.is_insecure() { Reason::TrustStoreInsecure } else { Reason::TrustStoreUnusable }
    }

    fn is_insecure(&self) -> bool {
        match self {
            Self::Insecure(..) => true,
            Self::NoneFound(tried) => tried.iter().any(Self::is_insecure),
            Self::Unreadable(..) | Self::NotHashed(_) | Self::Anchors(..) => false,
        }
    }

    /// The command that mends it, where there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Insecure(_, insecure) => insecure.remedy(),
            Self::NoneFound(tried) => tried.iter().find_map(Self::remedy),
            Self::Unreadable(..) | Self::NotHashed(_) | Self::Anchors(..) => None,
        }
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
            Self::Insecure(path, insecure) => write!(f, "the trust store {}: {insecure}", path.display()),
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
            let mut left_out = Vec::new();
            let places = vec![self.open_chosen(&mut left_out)];
            return OpenStore { roots: self.roots, is_chosen: true, places, left_out };
        }
        self.open_system(BUNDLES, DIRECTORIES, Owner::Root)
    }

    fn open_chosen(&self, left_out: &mut Vec<Insecure>) -> Result<RootsPlace, TrustStoreError> {
        let mut place = RootsPlace { path: PathBuf::new(), files: Vec::new() };
        if let Some(path) = &self.ca_file {
            place.files.push(Pem::Open(open_bundle(path, self.owner)?));
            place.path.clone_from(path);
        }
        if let Some(path) = &self.ca_dir {
            let hashed = read_hashed(path, self.owner)?;
            place.files.extend(hashed.files);
            place.path.clone_from(path);
            left_out.extend(hashed.left_out);
        }
        Ok(place)
    }

    /// All of the distributions' bundles that are there, and only where none of them looks like one, the
    /// hashed directories, which take longer.
    fn open_system(&self, bundles: &[&str], directories: &[&str], owner: Owner) -> OpenStore {
        let mut has_bundle = false;
        let mut places = Vec::new();
        let mut left_out = Vec::new();
        for path in bundles.iter().map(Path::new) {
            let bundle =
                open_own_bundle(path, owner).inspect(|bundle| has_bundle |= has_certificates(bundle));
            places.push(
                bundle.map(|bundle| RootsPlace { path: path.to_owned(), files: vec![Pem::Open(bundle)] }),
            );
        }
        for path in directories.iter().map(Path::new).filter(|_| !has_bundle) {
            places.push(read_hashed(path, owner).map(|hashed| {
                left_out.extend(hashed.left_out);
                RootsPlace { path: path.to_owned(), files: hashed.files }
            }));
        }
        OpenStore { roots: self.roots, is_chosen: false, places, left_out }
    }
}

/// A trust store whose files are open.
#[derive(Debug)]
pub struct OpenStore {
    roots: Roots,
    is_chosen: bool,
    places: Vec<Result<RootsPlace, TrustStoreError>>,
    /// Files of hashed directories that are not root's alone.
    left_out: Vec<Insecure>,
}

#[derive(Debug)]
struct RootsPlace {
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
                Err(error) => tried.push(error),
            }
        }
        Err(TrustStoreError::NoneFound(tried))
    }

    /// What was left out because others than root can change it: a distribution's place, or a file of a hashed
    /// directory. Each in words, with the command that mends it.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        let places = self.places.iter().filter_map(|place| match place {
            Err(TrustStoreError::Insecure(_, insecure)) => Some(insecure.to_string()),
            _ => None,
        });
        let mut told = HashSet::new();
        places
            .chain(self.left_out.iter().map(ToString::to_string))
            .filter(move |words| told.insert(words.clone()))
    }

    /// Reads the place that counts if it has roots, without parsing any.
    #[must_use]
    pub fn read_first(&self) -> Option<FirstPlace<'_>> {
        let place = self.places.iter().flatten().next()?;
        Some(FirstPlace { roots: self.roots, place, files: place.pem_files().ok()? })
    }
}

/// The first place of a trust store, read.
#[derive(Debug)]
pub struct FirstPlace<'s> {
    roots: Roots,
    place: &'s RootsPlace,
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

impl RootsPlace {
    fn load(&self, roots: Roots) -> Result<TrustAnchors, TrustStoreError> {
        self.parse(&self.pem_files()?, roots, |files| TrustAnchors::from_pem(files))
    }

    fn pem_files(&self) -> Result<Vec<Cow<'_, [u8]>>, TrustStoreError> {
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

#[cfg(test)]
mod tests;
