//! Reads the files that `verify` is given.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::cli::Verify;
use crate::decision::Evidence;
use crate::evidence::chain::{MAX_CHAIN_BYTES, SignerChain};
use crate::evidence::key_bundle::{KeyBundle, MAX_BUNDLE_BYTES};
use crate::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use crate::reason::Reason;
use crate::trust_store::{Roots, TrustStore, TrustStoreError};

/// Why there is nothing to judge.
pub(super) enum InputError {
    /// A file cannot be read: the command line names the wrong one.
    Unreadable(String),
    /// The files can be read, and what they hold is refused as a whole.
    Unusable(Reason, String),
}

pub(super) fn read(arguments: &Verify) -> Result<Evidence, InputError> {
    if is_stdin(&arguments.keys) && is_stdin(&arguments.signer_cert) {
        return Err(InputError::Unreadable(
            "standard input can be either --keys or --signer-cert, not both".to_owned(),
        ));
    }
    let keys = read_bundle(&arguments.keys)?;
    let pem = read_file(&arguments.signer_cert, MAX_CHAIN_BYTES)?;
    let files = read_staples(&arguments.ocsp_dir)?;

    let trust = TrustStore {
        ca_file: arguments.trust.ca_file.clone(),
        ca_dir: arguments.trust.ca_dir.clone(),
        roots: Roots::System,
    };
    let anchors = trust.load().map_err(|error| match error {
        TrustStoreError::Unreadable(..) | TrustStoreError::NotHashed(_) if trust.is_chosen() => {
            InputError::Unreadable(error.to_string())
        }
        other => InputError::Unusable(other.reason(), other.to_string()),
    })?;
    let chain =
        SignerChain::parse(&pem).map_err(|error| InputError::Unusable(error.reason(), error.to_string()))?;
    let mut staples = Vec::new();
    let mut unreadable_staples = Vec::new();
    for file in &files {
        match OcspStaple::parse(file) {
            Ok(staple) => staples.push(staple),
            Err(error) => unreadable_staples.push(error),
        }
    }
    Ok(Evidence { chain, staples, unreadable_staples, keys, anchors })
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// As from metadata: what is too long is judged up to there.
fn read_bundle(path: &Path) -> Result<KeyBundle, InputError> {
    let bytes = read_head(path, MAX_BUNDLE_BYTES.saturating_add(1))?;
    Ok(match bytes.get(..MAX_BUNDLE_BYTES) {
        Some(head) if bytes.len() > MAX_BUNDLE_BYTES => KeyBundle::parse_cut(head),
        _ => KeyBundle::parse(&bytes),
    })
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, InputError> {
    let bytes = read_head(path, limit.saturating_add(1))?;
    if bytes.len() > limit {
        return Err(InputError::Unreadable(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

fn read_head(path: &Path, limit: usize) -> Result<Vec<u8>, InputError> {
    let unreadable =
        |error: io::Error| InputError::Unreadable(format!("cannot read {}: {error}", path.display()));
    // Not only regular files: a shell's <(command) is a pipe.
    let source: Box<dyn Read> =
        if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(unreadable)?) };
    let mut bytes = Vec::new();
    source.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The regular files of the directory, in the order of their names; hidden ones are not staples.
fn read_staples(directory: &Path) -> Result<Vec<Vec<u8>>, InputError> {
    let unreadable =
        |error: io::Error| InputError::Unreadable(format!("cannot read {}: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() {
            paths.push(path);
        }
    }
    if paths.len() > MAX_STAPLES {
        let why = format!(
            "{} holds {} files, at most {MAX_STAPLES} staples are read",
            directory.display(),
            paths.len()
        );
        return Err(InputError::Unreadable(why));
    }
    paths.sort();
    // One byte over the limit is read, so that the parser sees that there is more, and says so.
    paths.iter().map(|path| read_head(path, MAX_STAPLE_BYTES.saturating_add(1))).collect()
}
