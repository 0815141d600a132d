//! The sources of the root certificates: the operator's files or the distribution's.
//!
//! A run opens the files before it reads foreign data. It reads and parses them only if there is a key to verify.
//! So a run without a key saves that time. A run with a key needs no right to open files when it reads foreign data.
//!
//! A distribution ships about 140 roots. The agent first parses only the roots that the signer's certificates name.
//! If no path ends in one of these, the agent parses all roots.
//!
//! A root decides who may sign for AWS. So the rule of the settings file also applies here: root owns the file and
//! every folder on its path, and no other user can write them ([`crate::ownership`]). A bundle that breaks the rule
//! is not used. A distribution's own bundle may be in a folder of root that a group can write, if the folder has
//! the sticky bit (NixOS). In a hashed directory, only the files that break the rule are skipped. An operator may
//! have added one file from a folder such as Debian's `/usr/local/share`, which the group `staff` could write until
//! release 11.

mod error;
mod places;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use eic_core::evidence::chain::SignerChain;
use eic_core::verification::{AnchorsError, IssuerSearch, TrustAnchors};
pub use error::TrustStoreError;
use places::{has_certificates, open_bundle, open_own_bundle, read_hashed, unreadable};

use crate::files::read_open;
use crate::ownership::Insecure;
use crate::reach::Use;

/// Maximum number of bytes of a trust store that are read. Distributions ship 200 KB to 1 MB.
const MAX_STORE_BYTES: usize = 4 * 1024 * 1024;

/// A bundle is searched in parts of this size. A root takes 1 to 3 KB.
const PART_BYTES: usize = 32 * 1024;

/// The distributions' bundles. The first usable bundle counts.
const BUNDLES: &[&str] = &[
    // Amazon Linux 2 and 2023, RHEL and Rocky 8 to 10, Fedora: created by update-ca-trust(8).
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // The older path of the same bundle. Some images have only this one.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // Debian, Ubuntu, Alpine: update-ca-certificates(8).
    "/etc/ssl/certs/ca-certificates.crt",
    // SUSE, older and newer.
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    // Alpine without ca-certificates.
    "/etc/ssl/cert.pem",
];

/// The folders in which distributions keep their bundles.
const OWN_FOLDERS: &[&str] = &["/etc", "/usr", "/var", "/nix"];

/// The hashed directories (`openssl rehash`). They are used if there is no bundle.
const DIRECTORIES: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Which roots of the trust store are trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Roots {
    /// All roots.
    #[default]
    System,
    /// Only the roots of Amazon Trust Services.
    Amazon,
}

/// The configured source of the roots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustStore {
    /// A PEM bundle that the operator named.
    pub ca_file: Option<PathBuf>,
    /// A hashed directory that the operator named.
    pub ca_dir: Option<PathBuf>,
    /// Which roots are trusted.
    pub roots: Roots,
    /// The required owner of the named file and directory. The distributions' files must always belong to root.
    pub owner: Owner,
}

/// The required owner of files that the operator names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    /// Root: sshd acts on the result.
    #[default]
    Root,
    /// Any user: only the caller uses the result, and the caller chooses the roots (`verify`).
    Anyone,
}

impl TrustStore {
    /// Whether the operator chose the source. If not, the distribution's source is used.
    #[must_use]
    pub const fn is_chosen(&self) -> bool {
        self.ca_file.is_some() || self.ca_dir.is_some()
    }

    /// The files and directories that may hold the roots, and how each is used.
    #[must_use]
    pub fn places(&self) -> Vec<(PathBuf, Use)> {
        if self.is_chosen() {
            let file = self.ca_file.iter().map(|path| (path.clone(), Use::Read));
            return file.chain(self.ca_dir.iter().map(|path| (path.clone(), Use::List))).collect();
        }
        let files = BUNDLES.iter().map(|path| (PathBuf::from(path), Use::Read));
        files.chain(DIRECTORIES.iter().map(|path| (PathBuf::from(path), Use::List))).collect()
    }

    /// Whether opening the files may block: the operator named them, or a bundle of the distribution is a link to another
    /// place than the distribution's own folders. Links of folders above a bundle are not seen.
    #[must_use]
    pub fn may_block(&self) -> bool {
        let leads_away = |bundle: &str| {
            std::fs::read_link(bundle).is_ok_and(|target| {
                let target = Path::new(bundle).parent().map_or(target.clone(), |folder| folder.join(&target));
                !OWN_FOLDERS.iter().any(|own| target.starts_with(own))
            })
        };
        self.is_chosen() || BUNDLES.iter().any(|bundle| leads_away(bundle))
    }

    /// Opens and reads the roots.
    pub fn load(&self) -> Result<TrustAnchors, TrustStoreError> {
        self.open().load()
    }

    /// Opens the files that contain the roots. [`OpenStore::load`] reports errors.
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

    /// Opens all bundles of the distributions. If none of them looks like a real bundle, also reads the hashed
    /// directories, which takes longer.
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

/// A trust store with open files.
#[derive(Debug)]
pub struct OpenStore {
    roots: Roots,
    is_chosen: bool,
    places: Vec<Result<RootsPlace, TrustStoreError>>,
    /// Files of hashed directories that users other than root can change.
    left_out: Vec<Insecure>,
}

#[derive(Debug)]
struct RootsPlace {
    path: PathBuf,
    files: Vec<Pem>,
}

/// A bundle is one open file. The files of a hashed directory are read at once, because they may be more than a
/// process can have open.
#[derive(Debug)]
enum Pem {
    Open(File),
    Read(Vec<u8>),
}

impl OpenStore {
    /// Reads and parses the roots of the first source that has any. A distribution's source without roots is
    /// skipped. Its error is reported only if no source has roots.
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

    /// Messages about sources of the distribution, and files of hashed directories, that were skipped because users
    /// other than root can change them. Each message contains the command that fixes the cause.
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

    /// Parses only the self-issued roots of the first source that may have issued a certificate of `chain`. They are a
    /// subset of the result of [`load`](Self::load). `None` is inconclusive. Call `load` then.
    #[must_use]
    pub fn issuers(&self, chain: &SignerChain) -> Option<TrustAnchors> {
        // The first source with roots counts. This one has roots if the parse succeeds.
        let place = self.places.iter().flatten().next()?;
        let mut search = IssuerSearch::new(chain);
        for file in &place.files {
            match file {
                Pem::Open(file) => search_file(file, &mut search)?,
                Pem::Read(bytes) => search.last_part(bytes),
            }
        }
        place.anchors(search.anchors(), self.roots).ok()
    }
}

/// Reads a PEM file in parts. `None` if it cannot be read, is longer than [`MAX_STORE_BYTES`], or has a block that is longer
/// than a part or does not end.
fn search_file(file: &File, search: &mut IssuerSearch<'_>) -> Option<()> {
    let mut file = file;
    file.rewind().ok()?;
    let mut part = vec![0; PART_BYTES];
    let (mut length, mut total) = (0_usize, 0_usize);
    loop {
        let read = match file.read(part.get_mut(length..)?) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.ok()?,
        };
        length = length.checked_add(read)?;
        total = total.checked_add(read).filter(|total| *total <= MAX_STORE_BYTES)?;
        if read == 0 {
            // A full part also has no room to read.
            return (length < PART_BYTES).then(|| search.last_part(part.get(..length).unwrap_or_default()));
        }
        let searched = search.part(part.get(..length)?)?;
        part.copy_within(searched..length, 0);
        length = length.checked_sub(searched)?;
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
        let files: io::Result<Vec<_>> = self.files.iter().map(Pem::bytes).collect();
        let files = files.map_err(|error| unreadable(&self.path, error))?;
        self.anchors(TrustAnchors::from_pem(files.iter().map(AsRef::as_ref)), roots)
    }

    fn anchors(
        &self,
        anchors: Result<TrustAnchors, AnchorsError>,
        roots: Roots,
    ) -> Result<TrustAnchors, TrustStoreError> {
        let anchors = match roots {
            Roots::System => anchors,
            Roots::Amazon => anchors.and_then(TrustAnchors::of_amazon),
        };
        anchors.map_err(|error| TrustStoreError::Anchors(self.path.clone(), error))
    }
}

#[cfg(test)]
mod tests;
