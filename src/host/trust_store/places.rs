//! One source of roots: a bundle, or a hashed directory of certificates.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{MAX_STORE_BYTES, Owner, Pem, TrustStoreError};
use crate::files::{open_regular, read_open};
use crate::ownership::{Folder, Insecure, open_of_distribution, open_trusted};

/// Smallest size of a distribution's bundle, in bytes: about twenty roots.
const MIN_BUNDLE_BYTES: u64 = 32 * 1024;

/// Maximum number of files of a hashed directory that are read.
const MAX_STORE_FILES: usize = 4096;

/// A bundle's first certificate begins within this many bytes, after the distribution's comments.
const MAX_PREAMBLE_BYTES: usize = 4096;

/// The beginning of a certificate in PEM (RFC 7468 section 5.1). Other PEM objects begin in the same way.
const BEGIN: &[u8] = b"-----BEGIN ";

/// Maximum number of names in a directory that are checked. In a hashed directory, most names are certificates and
/// links to them.
const MAX_NAMES: usize = 16 * MAX_STORE_FILES;

/// The content of a hashed directory.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    pub(super) files: Vec<Pem>,
    /// Files that users other than root can change.
    pub(super) left_out: Vec<Insecure>,
}

pub(super) fn unreadable(path: &Path, error: io::Error) -> TrustStoreError {
    TrustStoreError::Unreadable(path.to_owned(), Arc::new(error))
}

fn refused(path: &Path, insecure: Insecure) -> TrustStoreError {
    match insecure {
        Insecure::Unreadable(_, error) => unreadable(path, error),
        Insecure::NotAFile(_) => {
            unreadable(path, io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
        insecure => TrustStoreError::Insecure(path.to_owned(), Arc::new(insecure)),
    }
}

/// Opens a bundle of the distribution.
///
/// A distribution has one or two of the bundles. Their paths are not walked if there is nothing at their end.
pub(super) fn open_own_bundle(path: &Path, owner: Owner) -> Result<File, TrustStoreError> {
    if let Err(error) = path.symlink_metadata() {
        return Err(unreadable(path, error));
    }
    match owner {
        Owner::Root => open_of_distribution(path).map_err(|insecure| refused(path, insecure)),
        Owner::Anyone => open_bundle(path, owner),
    }
}

/// Opens a bundle that the operator named.
pub(super) fn open_bundle(path: &Path, owner: Owner) -> Result<File, TrustStoreError> {
    match owner {
        Owner::Root => open_trusted(path).map_err(|insecure| refused(path, insecure)),
        Owner::Anyone => open_regular(path).map_err(|error| unreadable(path, error)),
    }
}

/// Whether the file looks like a distribution's bundle with many certificates. The search continues after a bundle
/// that is small or broken.
pub(super) fn has_certificates(bundle: &File) -> bool {
    if bundle.metadata().map_or(0, |metadata| metadata.len()) < MIN_BUNDLE_BYTES {
        return false;
    }
    let mut head = [0; MAX_PREAMBLE_BYTES];
    let read = bundle.read_at(&mut head, 0).unwrap_or(0);
    head.get(..read).is_some_and(|head| head.windows(BEGIN.len()).any(|window| window == BEGIN))
}

/// Reads the files of a hashed directory. As in OpenSSL, only files named `HHHHHHHH.N` by openssl-rehash(1) are
/// used. A directory of certificates often holds others that are not meant as roots.
pub(super) fn read_hashed(path: &Path, owner: Owner) -> Result<Hashed, TrustStoreError> {
    let directory = Directory::open(path, owner)?;
    let mut hashed = Hashed::default();
    let mut left = MAX_STORE_BYTES;
    let mut first_error = None;
    for name in directory.names().map_err(|error| unreadable(path, error))? {
        if hashed.files.len().saturating_add(hashed.left_out.len()) >= MAX_STORE_FILES {
            break;
        }
        if !name.to_str().is_some_and(is_hash_name) {
            continue;
        }
        match directory.open_file(&name) {
            Ok(file) => {
                if let Ok(bytes) = read_open(&file, left) {
                    left = left.saturating_sub(bytes.len());
                    hashed.files.push(Pem::Read(bytes));
                }
            }
            Err(Insecure::Unreadable(path, error)) if error.kind() != io::ErrorKind::NotFound => {
                first_error.get_or_insert((path, error));
            }
            // A dangling link is common after a root was removed, and does no harm.
            Err(Insecure::Unreadable(..) | Insecure::NotAFile(_)) => {}
            Err(insecure) => hashed.left_out.push(insecure),
        }
    }
    match hashed.left_out.pop() {
        Some(insecure) if hashed.files.is_empty() => Err(refused(path, insecure)),
        None if hashed.files.is_empty() && first_error.is_some() => {
            first_error.map_or_else(|| Ok(hashed), |(path, error)| Err(unreadable(&path, error)))
        }
        None if hashed.files.is_empty() => Err(TrustStoreError::NotHashed(path.to_owned())),
        last => {
            hashed.left_out.extend(last);
            Ok(hashed)
        }
    }
}

/// A directory, opened by the rule for its owner.
enum Directory<'p> {
    Trusted(Folder),
    Any(&'p Path),
}

impl<'p> Directory<'p> {
    fn open(path: &'p Path, owner: Owner) -> Result<Self, TrustStoreError> {
        match owner {
            Owner::Root => Folder::open(path).map(Self::Trusted).map_err(|insecure| refused(path, insecure)),
            Owner::Anyone => Ok(Self::Any(path)),
        }
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        match self {
            Self::Trusted(folder) => folder.names(MAX_NAMES),
            Self::Any(path) => {
                let entries = fs::read_dir(path)?.take(MAX_NAMES).flatten();
                Ok(entries.map(|entry| entry.file_name()).collect())
            }
        }
    }

    fn open_file(&self, name: &OsStr) -> Result<File, Insecure> {
        match self {
            Self::Trusted(folder) => folder.open_file(name),
            Self::Any(path) => {
                let path = path.join(name);
                open_regular(&path).map_err(|error| Insecure::Unreadable(path, error))
            }
        }
    }
}

pub(super) fn is_hash_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}
