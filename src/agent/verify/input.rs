//! Reads the input of `verify`: files, or a capture.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use eic_core::decision::{Evidence, Expectations, SignerEvidence};
use eic_core::evidence::chain::{MAX_CHAIN_BYTES, SignerChain};
use eic_core::evidence::key_bundle::{KeyBundle, MAX_BUNDLE_BYTES};
use eic_core::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use eic_core::identity::{InstanceId, LoginName, Pins, SignerName};
use eic_core::order;
use eic_core::policy::Policy;
use eic_core::time::Timestamp;
use eic_core::verification::RevocationPolicy;
use eic_host::trust_store::{Owner, Roots, TrustStore, TrustStoreError};
use eic_login::fetch::RunError;
use eic_login::fetch::lost_staples::LostStaples;

use super::report::Claimed;
use super::{Case, Unproven};
use crate::capture::document::{self, Capture};
use crate::capture::replay;
use crate::cli::VerifyArgs;

/// Reads the files that the command line names. It is an error if one cannot be read. If a file can be read and its
/// evidence is refused, the case contains that refusal.
pub(super) fn read_case(arguments: &VerifyArgs, now: Timestamp) -> Result<Case, String> {
    match &arguments.capture {
        Some(file) => read_capture(arguments, file),
        None => read_files(arguments, now),
    }
}

/// Reads a capture. It contains the expected values and the instant.
fn read_capture(arguments: &VerifyArgs, file: &Path) -> Result<Case, String> {
    let capture = Capture::parse(&read_file(file, document::MAX_BYTES)?)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let user = match (&arguments.user, replay::users(&capture).as_slice()) {
        (Some(user), _) | (None, [user]) => user.clone(),
        (None, users) => {
            let names: Vec<_> = users.iter().map(LoginName::as_str).collect();
            return Err(format!(
                "expected --user with one of the capture's users, which are: {}",
                names.join(" ")
            ));
        }
    };
    let taken_at = capture.taken_at().ok_or("the capture does not say when it was taken")?;
    let mut signer = String::new();
    let mut read = || -> Result<(Evidence, Expectations), RunError> {
        let name = replay::signer_name(&capture, &Pins::default())?;
        let name = arguments.signer_name.clone().unwrap_or(name);
        signer = name.to_string();
        let instance = match &arguments.instance_id {
            Some(instance) => instance.clone(),
            None => replay::instance_id(&capture)?,
        };
        let evidence = replay::evidence(&capture, &user, &trust(arguments))?;
        Ok((evidence, expectations(arguments, name, instance)))
    };
    let evidence = read().map_err(|error| Unproven::new(error.reason(), error.to_string()));
    let instance = replay::instance_id(&capture).ok().map(|id| id.to_string());
    let claimed = Claimed { taken_at: taken_at.to_string(), instance };
    Ok(Case {
        signer,
        evidence,
        lost: replay::lost_staples(&capture),
        redacted: capture.redacted,
        claimed: Some(claimed),
        at: arguments.at.unwrap_or(taken_at),
    })
}

fn read_files(arguments: &VerifyArgs, now: Timestamp) -> Result<Case, String> {
    // clap requires these if there is no capture.
    let (Some(keys), Some(signer_cert), Some(ocsp_dir), Some(instance), Some(name)) = (
        &arguments.keys,
        &arguments.signer_cert,
        &arguments.ocsp_dir,
        &arguments.instance_id,
        &arguments.signer_name,
    ) else {
        return Err("expected --capture, or all of the files and names that it replaces".to_owned());
    };
    if is_stdin(keys) && is_stdin(signer_cert) {
        return Err("standard input can be either --keys or --signer-cert, not both".to_owned());
    }
    let keys = read_bundle(keys)?;
    let pem = read_file(signer_cert, MAX_CHAIN_BYTES)?;
    let files = read_staples(ocsp_dir)?;
    let case = |evidence| Case {
        signer: name.to_string(),
        evidence,
        lost: LostStaples::default(),
        redacted: false,
        claimed: None,
        at: arguments.at.unwrap_or(now),
    };
    let trust = trust(arguments);
    let anchors = match trust.load() {
        Ok(anchors) => anchors,
        Err(error @ (TrustStoreError::Unreadable(..) | TrustStoreError::NotHashed(_)))
            if trust.is_chosen() =>
        {
            return Err(error.to_string());
        }
        Err(error) => return Ok(case(Err(Unproven::new(error.reason(), error.to_string())))),
    };
    let chain = match SignerChain::parse(&pem) {
        Ok(chain) => chain,
        Err(error) => return Ok(case(Err(Unproven::new(error.reason(), error.to_string())))),
    };
    let mut staples = Vec::new();
    let mut unreadable_staples = Vec::new();
    for file in &files {
        match OcspStaple::parse(file) {
            Ok(staple) => staples.push(staple),
            Err(error) => unreadable_staples.push(error),
        }
    }
    let evidence = Evidence { signer: SignerEvidence { chain, staples, unreadable_staples, anchors }, keys };
    Ok(case(Ok((evidence, expectations(arguments, name.clone(), instance.clone())))))
}

fn trust(arguments: &VerifyArgs) -> TrustStore {
    TrustStore {
        ca_file: arguments.trust.ca_file.clone(),
        ca_dir: arguments.trust.ca_dir.clone(),
        roots: Roots::System,
        // Any owner is good enough: the caller chooses the roots, and only the caller uses the result.
        owner: Owner::Anyone,
    }
}

fn expectations(arguments: &VerifyArgs, signer: SignerName, instance: InstanceId) -> Expectations {
    Expectations {
        signer,
        instance,
        offered: arguments.fingerprint.clone(),
        policy: Policy::default(),
        revocation: RevocationPolicy::Require,
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a key bundle. A bundle that is too long is verified up to the limit, as in a run.
fn read_bundle(path: &Path) -> Result<KeyBundle, String> {
    let bytes = read_head(path, MAX_BUNDLE_BYTES.saturating_add(1))?;
    Ok(match bytes.get(..MAX_BUNDLE_BYTES) {
        Some(head) if bytes.len() > MAX_BUNDLE_BYTES => KeyBundle::parse_cut(head),
        _ => KeyBundle::parse(&bytes),
    })
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let bytes = read_head(path, limit.saturating_add(1))?;
    if bytes.len() > limit {
        return Err(format!("{} is larger than {limit} bytes", path.display()));
    }
    Ok(bytes)
}

fn read_head(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("cannot read {}: {error}", path.display());
    // Other files than regular ones are allowed: a shell's <(command) is a pipe.
    let source: Box<dyn Read> =
        if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(unreadable)?) };
    let mut bytes = Vec::new();
    source.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The contents of the regular files in the directory, in the order of their names. Hidden files are skipped.
fn read_staples(directory: &Path) -> Result<Vec<Vec<u8>>, String> {
    let unreadable = |error: io::Error| format!("cannot read {}: {error}", directory.display());
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
        return Err(why);
    }
    let paths = order::by(paths, Ord::cmp);
    // Read one byte more than the limit, so that the parser detects and reports a file that is too long.
    paths.iter().map(|path| read_head(path, MAX_STAPLE_BYTES.saturating_add(1))).collect()
}
