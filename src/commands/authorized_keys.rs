//! `authorized-keys`: what sshd runs.

use std::ffi::OsStr;
use std::io::Write;
use std::time::Duration;

use super::Outcome;
use super::gather::{Request, RunError, decide_from_metadata};
use crate::audit::{Audit, IDENT};
use crate::cli::AuthorizedKeys;
use crate::decision::Decision;
use crate::identity::{Fingerprint, LoginName};
use crate::imds::{Endpoint, Session};
use crate::instance::Machine;
use crate::output::write_authorized_keys;
use crate::time::Timestamp;
use crate::trust_store::TrustStore;

/// Runs the command. Keys go to `out`; `notes` is for a person who runs it by hand (sshd discards it).
pub(super) fn run(
    arguments: &AuthorizedKeys,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    // Nothing can be pushed for a name outside the API's pattern, and nothing to a machine outside EC2.
    let Some(Ok(user)) = arguments.user.to_str().map(LoginName::try_from) else { return Outcome::Done };
    let machine = Machine::detect(&arguments.sysfs);
    if machine == Machine::NotEc2 {
        return Outcome::Done;
    }
    end_at_last(arguments.timeout);

    let trust =
        TrustStore { ca_file: arguments.trust.ca_file.clone(), ca_dir: arguments.trust.ca_dir.clone() };
    let audit = if may_audit(arguments) { Audit::to_system() } else { Audit::silent() };
    let offered = arguments.fingerprint.as_deref().and_then(OsStr::to_str).and_then(Fingerprint::offered);
    let request = Request { user: &user, machine: &machine, trust: &trust, offered, now };
    match ask_metadata(arguments, request) {
        Ok(None) => Outcome::Done,
        Ok(Some(decision)) => hand_over(&decision, &audit, &user, out, notes),
        Err(error) => {
            audit.failed(error.reason(), &error.to_string(), &user);
            let _ = writeln!(notes, "eic-agent: {}: {error}", error.reason());
            Outcome::Undecided
        }
    }
}

fn ask_metadata(arguments: &AuthorizedKeys, request: Request<'_>) -> Result<Option<Decision>, RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let endpoints = arguments.imds_endpoint.clone().map_or_else(Endpoint::of_service, |chosen| vec![chosen]);
    runtime.block_on(async {
        let session = Session::open(&endpoints, arguments.timeout).await?;
        decide_from_metadata(session, request).await
    })
}

/// Every key that is handed over is in the log before sshd can read it.
fn hand_over(
    decision: &Decision,
    audit: &Audit,
    user: &LoginName,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    for refusal in decision.refused() {
        let _ = writeln!(notes, "eic-agent: refused: {}: {}", refusal.error.reason(), refusal.error);
    }
    audit.refused(decision.refused(), user);
    for key in decision.accepted() {
        audit.provided(key, user);
    }
    match write_authorized_keys(decision.accepted(), out) {
        Ok(()) => Outcome::Done,
        Err(error) => {
            let _ = writeln!(notes, "eic-agent: cannot write the keys: {error}");
            Outcome::Undecided
        }
    }
}

/// The last resort against a wait that nobody thought of: the kernel ends the process a second after the
/// deadline (alarm(2); its default action is to terminate).
fn end_at_last(deadline: Duration) {
    let seconds = u32::try_from(deadline.as_secs()).unwrap_or(u32::MAX);
    nix::unistd::alarm::set(seconds.saturating_add(1));
}

/// Any user may run the program with a metadata service, roots and a machine of his own choosing; what it
/// then finds is no event of this instance. sshd's configuration runs it as root or as `eic-agent`.
fn may_audit(arguments: &AuthorizedKeys) -> bool {
    let chosen = arguments.imds_endpoint.is_some()
        || arguments.trust.ca_file.is_some()
        || arguments.trust.ca_dir.is_some()
        || arguments.sysfs.as_os_str() != "/sys";
    let user = nix::unistd::geteuid();
    !chosen || user.is_root() || Some(user.as_raw()) == agent_uid()
}

/// The uid of the user `eic-agent`, from the file itself: a static binary has no name service to ask, and
/// one that hangs would hang the login.
fn agent_uid() -> Option<u32> {
    const MAX_PASSWD_BYTES: u64 = 1024 * 1024;
    let mut text = Vec::new();
    let file = std::fs::File::open("/etc/passwd").ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_PASSWD_BYTES), &mut text).ok()?;
    uid_in(&String::from_utf8_lossy(&text), IDENT)
}

/// passwd(5): `name:password:uid:...`
fn uid_in(passwd: &str, name: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::uid_in;

    #[test]
    fn the_agents_uid_is_found_in_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\neic-agent:x:990:990::/:/sbin/nologin\n";
        assert_eq!(uid_in(passwd, "eic-agent"), Some(990));
        assert_eq!(uid_in(passwd, "eic"), None);
        assert_eq!(uid_in("eic-agent\neic-agent:x:no:1\n", "eic-agent"), None);
        assert_eq!(uid_in("", "eic-agent"), None);
    }
}
