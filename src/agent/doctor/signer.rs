//! Checks from the trusted roots to the signer.

use eic_core::evidence::chain::{Certificate, SignerChain};
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::identity::{Pins, SignerName};
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use eic_core::verification::{
    Budget, RevocationPolicy, SignerError, SignerPath, TrustAnchors, VerifiedSigner,
};
use eic_host::reach::Obstacle;
use eic_host::trust_store::TrustStoreError;
use eic_login::config::{DEFAULT_PATH, Settings};
use eic_login::fetch::RunError;
use eic_login::fetch::lost_staples::LostStaples;

use super::check::Check;
use super::metadata::fix_unless_timeout;
use super::sshd::shown_fix;
use crate::capture::document::Capture;
use crate::capture::replay;
use crate::run_user::RunUser;
use crate::sshd_setup::Fix;

pub(super) const SIGNER: &str =
    "a key is valid only if this region's signer signed it, and a trusted root certifies the signer";

/// `region`: the name of the region's signer, and whether metadata agrees with the pins. If it does not agree, logins
/// still work as long as the pinned signer is served.
pub(super) fn region(
    name: &Result<SignerName, RunError>,
    pins: &Pins,
    capture: &Capture,
    is_trusted: impl FnOnce() -> bool,
) -> Check {
    const ID: &str = "region";
    match name {
        Ok(name) if pins.is_empty() => Check::ok(ID, SIGNER, format!("the signer is {name}")),
        Ok(name) => match disagreement(pins, capture) {
            None => {
                Check::ok(ID, SIGNER, format!("the signer is {name}; metadata agrees with the pinned {pins}"))
            }
            Some(other) => {
                let seen = format!("{DEFAULT_PATH} pins {pins}, and metadata says {other}");
                let fix = format!(
                    "if this image was copied from another region, correct [trust] in {DEFAULT_PATH}; if not, find out what answers instead of the metadata service"
                );
                if is_trusted() {
                    Check::warn(ID, SIGNER, seen, fix)
                } else {
                    Check::fail(ID, SIGNER, seen, fix)
                }
            }
        },
        Err(error) => Check::fail(
            ID,
            SIGNER,
            format!("{}: {error}", error.reason()),
            fix_unless_timeout(error.reason(), "find out what answers instead of the metadata service"),
        ),
    }
}

/// The values from metadata that differ from the pins.
fn disagreement(pins: &Pins, capture: &Capture) -> Option<String> {
    let region = pins.region.as_ref().and_then(|pinned| match replay::region(capture) {
        Ok(told) if told == *pinned => None,
        Ok(told) => Some(format!("region {told}")),
        Err(error) => Some(format!("no region ({}: {error})", error.reason())),
    });
    let domain = pins.domain.as_ref().and_then(|pinned| match replay::domain(capture) {
        Ok(told) if told == *pinned => None,
        Ok(told) => Some(format!("domain {told}")),
        Err(error) => Some(format!("no domain ({}: {error})", error.reason())),
    });
    match (region, domain) {
        (Some(region), Some(domain)) => Some(format!("{region} and {domain}")),
        (region, domain) => region.or(domain),
    }
}

/// `trust-store`, if a file or folder of roots does not answer.
pub(super) fn silent_trust_store(silent: &Obstacle) -> Check {
    let seen = format!("{}: {}", Reason::TrustStoreUnusable.as_str(), silent.seen());
    Check::fail("trust-store", SIGNER, seen, silent.advice("the CA certificates"))
}

pub(super) fn trust_store(
    anchors: &Result<TrustAnchors, TrustStoreError>,
    left_out: &[String],
    settings: &Settings,
    (runs, is_trusted): (&RunUser, bool),
) -> Check {
    const ID: &str = "trust-store";
    let blocked = || runs.blocked(&settings.trust_store().places());
    let closed = |obstacle: &Obstacle| shown_fix(Fix::of(obstacle, "the CA certificates"));
    if let (Ok(anchors), [], Some(Ok(obstacle))) = (anchors, left_out, blocked()) {
        // Another source was used. It may lack the signer's root.
        let seen =
            format!("trusted roots: {}{}; not read: {}", anchors.count(), place(settings), obstacle.seen());
        return if is_trusted {
            Check::warn(ID, SIGNER, seen, closed(&obstacle))
        } else {
            Check::fail(ID, SIGNER, seen, closed(&obstacle))
        };
    }
    match (anchors, left_out) {
        (Ok(anchors), []) => {
            Check::ok(ID, SIGNER, format!("trusted roots: {}{}", anchors.count(), place(settings)))
        }
        (Ok(anchors), [first, rest @ ..]) => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Check::warn(
                ID,
                SIGNER,
                format!("trusted roots: {}{}; ignored: {first}{more}", anchors.count(), place(settings)),
                "make the ignored files writable by root only",
            )
        }
        (Err(error), _) if error.is_unreadable() && error.remedy().is_none() => match blocked() {
            Some(Ok(obstacle)) => {
                let seen = format!("{}: {}", error.reason(), obstacle.seen());
                Check::fail(ID, SIGNER, seen, closed(&obstacle))
            }
            Some(Err(why)) => Check::skipped(ID, SIGNER, format!("{error}; {why}")),
            None => Check::skipped(ID, SIGNER, format!("{error}; run with sudo to read them as in a login")),
        },
        (Err(error), _) => {
            let is_chosen = settings.ca_file.value.is_some() || settings.ca_dir.value.is_some();
            let fix = match error.remedy() {
                Some(remedy) => format!("sudo {remedy}"),
                None if is_chosen => format!("correct the files that [trust] in {DEFAULT_PATH} names"),
                None => "install the package ca-certificates".to_owned(),
            };
            Check::fail(ID, SIGNER, format!("{}: {error}", error.reason()), fix)
        }
    }
}

fn place(settings: &Settings) -> String {
    let chosen: Vec<_> = [&settings.ca_file.value, &settings.ca_dir.value]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    if chosen.is_empty() {
        ", the distribution's".to_owned()
    } else {
        format!(" of {}", chosen.join(" and "))
    }
}

/// `signer` and `staples`: the path and its staples, with the remaining validity of each.
pub(super) fn signer(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    (staples, lost): (&[OcspStaple], &LostStaples<(Reason, String)>),
    name: &SignerName,
    revocation: RevocationPolicy,
    now: Timestamp,
) -> Vec<Check> {
    let budget = Budget::default();
    let path = match SignerPath::find(chain, anchors, name, now, &budget) {
        Ok(path) => path,
        Err(error) => {
            let refused = refused("signer", &error);
            return vec![refused, Check::skipped("staples", SIGNER, "the signer has no certificate path")];
        }
    };
    let shown: Vec<_> = path.certificates().map(|certificate| left(certificate, now)).collect();
    let signer = Check::ok("signer", SIGNER, format!("trusted: {}", shown.join(", then ")));
    let proven = match path.verify_staples(staples, revocation, now, &budget) {
        Some(proven) => Ok(proven),
        None => VerifiedSigner::establish(chain, anchors, staples, name, revocation, now, &budget),
    };
    let staples = match (lost.cause(proven.as_ref(), chain), proven) {
        (Some((reason, detail)), _) => Check::fail(
            "staples",
            SIGNER,
            format!("{reason}: {detail}"),
            fix_unless_timeout(*reason, "find out what answers instead of the metadata service"),
        ),
        (None, Ok(proven)) => {
            let left = proven.path().iter().map(|step| match &step.staple {
                Some(staple) => format!("{} h left", now.seconds_until(staple.next_update) / 3600),
                None => "none, which the settings allow".to_owned(),
            });
            Check::ok("staples", SIGNER, format!("all good: {}", left.collect::<Vec<_>>().join(", ")))
        }
        (None, Err(error)) => refused("staples", &error),
    };
    vec![signer, staples]
}

fn left(certificate: &Certificate, now: Timestamp) -> String {
    let days = now.seconds_until(certificate.validity().1) / 86_400;
    format!("{} ({days} days left)", printable(certificate.subject(), MAX_SHOWN))
}

fn refused(id: &'static str, error: &SignerError) -> Check {
    let reason = error.reason();
    let fix = match reason {
        Reason::SignerExpired
        | Reason::SignerNotYetValid
        | Reason::StapleStale
        | Reason::StapleNotYetValid => {
            "check the clock; if it is right, wait until AWS renews the certificates and staples"
        }
        Reason::SignerUntrusted => {
            "update the package ca-certificates; with roots = \"amazon\", check that it has Amazon's roots"
        }
        Reason::SignerRevoked => "do not trust any key of this signer; ask AWS support",
        Reason::StapleMissing => {
            "wait until the metadata service has the staples again; if that does not help, ask AWS support"
        }
        Reason::SignerNameMismatch
        | Reason::SignerConstrained
        | Reason::SignerKeyUsage
        | Reason::SignerKeyUnsuitable
        | Reason::SignerTooCostly => "find out what answers instead of the metadata service",
        _ => "wait until AWS renews the certificates and staples; if that does not help, ask AWS support",
    };
    Check::fail(id, SIGNER, format!("{reason}: {error}"), fix)
}
