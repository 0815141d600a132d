//! Checks of the metadata service: which server answers, for which instance, and with which clock.

use std::env;

use eic_core::identity::LoginName;
use eic_core::reason::Reason;
use eic_core::time::Timestamp;
use eic_core::verification::CLOCK_SKEW;
use eic_host::instance::Machine;
use eic_login::config::DEFAULT_PATH;
use eic_login::imds::{Endpoint, ImdsError, change_option};

use super::check::Check;
use crate::capture::Fetched;
use crate::capture::replay;

/// Largest clock difference without a warning, in seconds. A key is valid for 60 seconds, so enough of that time
/// remains for a login.
const NOTICEABLE_SKEW: u64 = 30;

/// Variables that make programs such as curl use a proxy. The agent ignores them. The report names them, because they
/// make a comparison with curl misleading.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

pub(super) const METADATA: &str = "only the metadata service has the pushed keys";
const CLOCK: &str = "this clock decides whether a key (60 s) and the certificates are valid";

/// What to do about an item that could not be fetched. If the service answered too late, throttled the request, or
/// could not be reached, this does not depend on the item.
pub(super) const fn fix_unless_timeout(reason: Reason, otherwise: &'static str) -> &'static str {
    match reason {
        Reason::MetadataTimeout | Reason::MetadataThrottled | Reason::MetadataUnreachable => {
            "find out why metadata answers late: EC2 allows 1,024 packets a second to link-local services"
        }
        _ => otherwise,
    }
}

/// Whether this error may mean that there was no connection.
pub(super) const fn is_no_connection(error: &ImdsError) -> bool {
    matches!(error, ImdsError::Timeout { .. } | ImdsError::Unreachable(..))
}

/// `metadata`: the token, and the keys of `user`, which every login fetches next. `endpoints` are asked as a login asks
/// them. `refused_user` is the user of this process, if a firewall refuses that user and not root.
pub(super) fn metadata(
    endpoints: &[Endpoint],
    fetched: &Fetched,
    machine: &Machine,
    user: Option<&LoginName>,
    refused_user: Option<&str>,
) -> Check {
    const ID: &str = "metadata";
    let Some(error) = &fetched.refused else {
        if let Some(error) = user.and_then(|user| replay::keys(&fetched.capture, user).err()) {
            let fix =
                fix_unless_timeout(error.reason(), "find out what answers instead of the metadata service");
            return Check::fail(ID, METADATA, format!("{}: {error}", error.reason()), fix);
        }
        return Check::ok(ID, METADATA, answered_by(endpoints, fetched));
    };
    let seen = format!("{}: {error}", error.reason());
    if let Some(refused) = refused_user {
        // The error's own words are about a service that is off.
        let seen =
            format!("{}: a firewall refuses the user {refused}, and lets root through", error.reason());
        let fix = format!(
            "let the user {refused} through to the metadata service: look for \"meta skuid\" in the output of: sudo nft list ruleset, and for \"--uid-owner\" in the output of: sudo iptables -S OUTPUT"
        );
        return Check::fail(ID, METADATA, seen, fix);
    }
    let address = endpoints.first().and_then(Endpoint::address);
    let host = address.map_or_else(|| "169.254.169.254".to_owned(), |address| address.ip().to_string());
    let fix = match error {
        ImdsError::Timeout { .. } => &format!(
            "allow packets to {host} (nft list ruleset, iptables -S); in a container raise the hop limit: {}",
            change_option(machine.id(), "--http-put-response-hop-limit 2")
        ),
        ImdsError::Unreachable(..) => &format!(
            "check that a route leads there (ip route get {host}) and that no firewall refuses it (nft list ruleset)"
        ),
        ImdsError::Forbidden(..) => &change_option(machine.id(), "--http-endpoint enabled"),
        ImdsError::Throttled(..) => {
            "find the program that sends so many requests: EC2 allows 1,024 packets a second to link-local services"
        }
        _ => "find out what answers instead of the metadata service",
    };
    Check::fail(ID, METADATA, seen, fix)
}

/// Which address answered. It is no fault if only the second one does: an instance in an IPv6-only subnet has no other.
fn answered_by(endpoints: &[Endpoint], fetched: &Fetched) -> String {
    let server = fetched.capture.server.as_deref().unwrap_or("an unnamed server");
    let endpoint = fetched.capture.endpoint.as_deref().unwrap_or("the service");
    let seen =
        format!("{endpoint} ({server}) gave a token in {:.1} ms", fetched.token.as_secs_f64() * 1000.0);
    match endpoints.first().map(ToString::to_string) {
        Some(first) if first != endpoint => format!(
            "{seen}; {first} does not answer, as on an IPv6-only instance. To ask {endpoint} at once, set endpoint = \"{endpoint}\" below [imds] in {DEFAULT_PATH}"
        ),
        _ => seen,
    }
}

/// `metadata-v6`: the service's second address, which is normally disabled. No login needs it if the first answers.
pub(super) fn metadata_v6(endpoint: &Endpoint, fetched: &Fetched, other_works: bool) -> Check {
    const ID: &str = "metadata-v6";
    match &fetched.refused {
        None if other_works => Check::ok(ID, METADATA, format!("{endpoint} answers")),
        None => Check::ok(
            ID,
            METADATA,
            format!("{endpoint} answers; logins do not ask it, because the first address takes connections"),
        ),
        Some(ImdsError::Unreachable(..)) => {
            Check::ok(ID, METADATA, format!("{endpoint} is off (the usual state)"))
        }
        Some(error) if other_works => Check::ok(
            ID,
            METADATA,
            format!("{endpoint} does not answer, and no login needs it: {}", error.reason()),
        ),
        Some(error) => Check::skipped(ID, METADATA, format!("{endpoint}: {}", error.reason())),
    }
}

/// `proxy`: a proxy between us and the service. A `Via` header shows it, or a `Server` header other than `EC2ws`. Proxy
/// variables in the environment are only named.
pub(super) fn proxy(fetched: Option<&Fetched>) -> Check {
    const ID: &str = "proxy";
    const WHY: &str = "a proxy can withhold keys, but cannot forge one";
    if let Some(via) = fetched.and_then(|fetched| fetched.via.as_deref()) {
        return Check::warn(
            ID,
            WHY,
            format!("answers come through a proxy (Via: {via})"),
            "let 169.254.169.254 bypass it",
        );
    }
    let server = fetched.and_then(|fetched| fetched.capture.server.as_deref());
    if let Some(server) = server.filter(|server| *server != "EC2ws") {
        return Check::warn(
            ID,
            WHY,
            format!("expected the server EC2ws, got {server}"),
            "find out which program answers at that address",
        );
    }
    let set: Vec<_> = PROXY_VARIABLES.into_iter().filter(|name| env::var_os(name).is_some()).collect();
    if set.is_empty() {
        return Check::ok(ID, WHY, "none found");
    }
    Check::ok(ID, WHY, format!("none found; {} is set here, and has no effect on eic-agent", set.join(", ")))
}

/// `instance`: compares the firmware's instance id with that of metadata. The firmware's id is the reliable one.
pub(super) fn instance_is_this(fetched: &Fetched) -> Check {
    const ID: &str = "instance";
    const WHY: &str = "each key is signed for one instance";
    let theirs = replay::metadata_instance_id(&fetched.capture);
    match (fetched.capture.machine.as_deref(), theirs) {
        (_, Err(error)) => Check::fail(
            ID,
            WHY,
            format!("{}: {error}", error.reason()),
            fix_unless_timeout(error.reason(), "find out what answers instead of the metadata service"),
        ),
        (Some(own), Ok(theirs)) if own != "xen" && own != theirs.as_str() => Check::fail(
            ID,
            WHY,
            format!("the machine's firmware says {own}, metadata says {theirs}"),
            "find out what answers instead of the metadata service: it gives the metadata of another instance",
        ),
        (_, Ok(theirs)) => Check::ok(ID, WHY, format!("metadata agrees: {theirs}")),
    }
}

pub(super) fn clock_is_right(date: Option<&str>, now: Timestamp) -> Check {
    const ID: &str = "clock";
    const FIX: &str =
        "set the clock: sudo chronyc makestep, with the Amazon Time Sync Service 169.254.169.123";
    let Some(theirs) = date.and_then(Timestamp::of_http_date) else {
        return Check::skipped(ID, CLOCK, "the metadata service sends no time");
    };
    let (behind, ahead) = (now.seconds_until(theirs), theirs.seconds_until(now));
    let off = behind.max(ahead);
    let seen = match (behind, ahead) {
        (0..=2, 0..=2) => "within 2 s of the metadata service's clock".to_owned(),
        (behind, 0) => format!("{behind} s behind the metadata service's clock ({now} here, {theirs} there)"),
        (_, ahead) => format!("{ahead} s ahead of the metadata service's clock ({now} here, {theirs} there)"),
    };
    match off {
        0..=NOTICEABLE_SKEW => Check::ok(ID, CLOCK, seen),
        // With a clock 60 s ahead, every key has already expired when it arrives.
        _ if ahead >= 60 => Check::fail(ID, CLOCK, seen, FIX),
        // With a clock this far behind, the newest staples are refused, and older ones are accepted. The check
        // `staples` decides.
        _ if off > CLOCK_SKEW => Check::fail(ID, CLOCK, seen, FIX).left_open(),
        _ => Check::warn(ID, CLOCK, seen, FIX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::check::CheckStatus;
    use super::*;
    use crate::capture::document::Capture;

    fn answered(server: Option<&str>, via: Option<&str>) -> Fetched {
        let mut capture = Capture::new(Timestamp::from_unix(1), None);
        capture.server = server.map(str::to_owned);
        Fetched {
            capture,
            token: Duration::ZERO,
            greeted: Timestamp::from_unix(1),
            via: via.map(str::to_owned),
            refused: None,
        }
    }

    #[test]
    fn proxy_in_front_of_metadata_is_named() {
        for (server, via, verdict, seen) in [
            (Some("EC2ws"), None, CheckStatus::Ok, "none found"),
            (Some("EC2ws"), Some("1.1 squid"), CheckStatus::Warn, "Via: 1.1 squid"),
            (Some("nginx"), None, CheckStatus::Warn, "expected the server EC2ws, got nginx"),
        ] {
            let check = proxy(Some(&answered(server, via)));
            assert!(check.verdict == verdict && check.seen.contains(seen), "{check:?}");
        }
        assert_eq!(proxy(None).verdict, CheckStatus::Ok);
    }

    #[test]
    fn clock_ten_minutes_behind_is_reported() {
        let now = Timestamp::from_unix(1_738_238_400);
        for (date, verdict) in [
            ("Thu, 30 Jan 2025 12:00:00 GMT", CheckStatus::Ok),
            ("Thu, 30 Jan 2025 12:00:30 GMT", CheckStatus::Ok),
            ("Thu, 30 Jan 2025 12:00:31 GMT", CheckStatus::Warn),
            ("Thu, 30 Jan 2025 12:05:01 GMT", CheckStatus::Fail),
            ("Thu, 30 Jan 2025 11:59:29 GMT", CheckStatus::Warn),
            ("Thu, 30 Jan 2025 11:59:00 GMT", CheckStatus::Fail),
            ("then", CheckStatus::Skipped),
        ] {
            assert_eq!(clock_is_right(Some(date), now).verdict, verdict, "{date}");
        }
    }
}
