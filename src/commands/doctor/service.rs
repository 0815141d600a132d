//! The links from the machine itself to the signer: everything before sshd.

use std::env;
use std::path::Path;

use super::super::capture::{Fetched, Wanted, fetch};
use super::super::config::unsupported;
use super::super::{Clock, replay};
use super::check::Check;
use crate::config::{CommandLine, DEFAULT_PATH, Settings};
use crate::evidence::chain::{Certificate, SignerChain};
use crate::evidence::key_bundle::KeyBundle;
use crate::evidence::ocsp::OcspStaple;
use crate::identity::{LoginName, SignerName};
use crate::imds::{Endpoint, ImdsError};
use crate::instance::Machine;
use crate::privileges::give_up_root;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;
use crate::verification::{
    CLOCK_SKEW, RevocationPolicy, SignerError, SignerPath, TrustAnchors, VerifiedSigner,
};

/// A key lives for 60 seconds: with a clock that is off by less, what is left of it is enough to log in.
const NOTICEABLE_SKEW: u64 = 30;

/// Variables that send a program's requests to a proxy; ours never, but everybody who compares with curl.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// What the checks after these need to know of what came.
#[derive(Default)]
pub(super) struct Service {
    pub(super) checks: Vec<Check>,
    /// The algorithms of the keys that are pushed for the user right now.
    pub(super) pushed: Vec<String>,
}

/// The settings' check, and the settings where they are sound. While we are root: sshd is asked, too.
pub(super) fn settings() -> (Check, Option<Settings>) {
    const ID: &str = "settings";
    const WHY: &str = "a settings file with a fault hands out no pushed key at all";
    match Settings::resolve(&CommandLine::default()) {
        Err(error) => {
            let seen = format!("{}: {error}", error.reason());
            (
                Check::fail(
                    ID,
                    WHY,
                    seen,
                    format!("mend {DEFAULT_PATH}; eic-agent config shows every fault"),
                ),
                None,
            )
        }
        Ok(settings) => {
            let check = match unsupported(&settings).into_iter().next() {
                Some(fault) => Check::fail(ID, WHY, fault, "eic-agent config, as root, shows every fault"),
                None => match &settings.file {
                    Some(file) => Check::ok(ID, WHY, format!("{} is sound", file.display())),
                    None => Check::ok(ID, WHY, format!("no {DEFAULT_PATH}: the defaults")),
                },
            };
            (check, Some(settings))
        }
    }
}

/// Everything else up to the signer. What comes from the network is not read as root.
pub(super) fn checks(settings: (Check, Option<Settings>), user: Option<&str>, clock: Clock) -> Service {
    let machine = Machine::detect(Path::new("/sys"));
    let (settings_check, settings) = settings;
    let mut service = Service { checks: vec![is_ec2(&machine), settings_check], pushed: Vec::new() };
    let kept = give_up_root().err();
    match (settings, &machine, kept) {
        (_, Machine::NotEc2, _) => service.skip(&ALL, "this is no EC2 instance"),
        (None, ..) => service.skip(&ALL, "the settings say where to ask, and cannot be read"),
        (_, _, Some(error)) => service.skip(&ALL, &error.to_string()),
        (Some(settings), ..) => service.ask(&machine, &settings, user, clock),
    }
    service
}

/// The ids of what [`Service::ask`] looks at, in order.
const ALL: [&str; 9] =
    ["metadata", "metadata-v6", "proxy", "instance", "clock", "region", "trust-store", "signer", "staples"];

const METADATA: &str = "pushed keys are in the instance's metadata and nowhere else";
const CLOCK: &str = "a key is good for a minute, and certificates between their dates, by this clock";
const SIGNER: &str =
    "a key counts only with the signature of this region's signer, whom a trusted root vouches for";

fn is_ec2(machine: &Machine) -> Check {
    const ID: &str = "machine";
    const WHY: &str = "keys can be pushed to EC2 instances only, and each is signed for one instance";
    match machine {
        Machine::Known(id) => Check::ok(ID, WHY, format!("{id} (Nitro or metal)")),
        Machine::Xen => Check::ok(ID, WHY, "an instance under Xen; metadata tells its id"),
        Machine::NotEc2 => Check::fail(
            ID,
            WHY,
            "neither board_asset_tag nor the hypervisor's uuid below /sys is EC2's",
            "use another way to log in; in a container, let it see the machine's /sys",
        ),
    }
}

impl Service {
    fn skip(&mut self, ids: &[&'static str], seen: &str) {
        self.checks.extend(ids.iter().map(|id| Check::skipped(id, METADATA, seen)));
    }

    fn ask(&mut self, machine: &Machine, settings: &Settings, user: Option<&str>, clock: Clock) {
        let user = user.and_then(|name| LoginName::try_from(name).ok());
        let users: Vec<_> = user.iter().cloned().collect();
        let get = |endpoint: &Endpoint| {
            fetch(&Wanted {
                endpoints: std::slice::from_ref(endpoint),
                allowed: settings.timeout.value,
                machine,
                users: &users,
                now: clock.started,
            })
        };
        let endpoints = settings.endpoints();
        let mut answers = endpoints.iter().map(|endpoint| (endpoint, get(endpoint)));
        let first = answers.next();
        let second = answers.next();
        let Some((endpoint, fetched)) = &first else {
            return self.skip(&ALL, "the settings name no endpoint");
        };
        let works = |answer: &Option<(&Endpoint, Fetched)>| {
            answer.as_ref().is_some_and(|(_, fetched)| fetched.refused.is_none())
        };
        self.checks.push(metadata(endpoint, fetched, works(&second)));
        self.checks.push(match &second {
            None => Check::skipped("metadata-v6", METADATA, "the settings name one address"),
            Some((endpoint, fetched)) => match &fetched.refused {
                None => Check::ok("metadata-v6", METADATA, format!("{endpoint} answers")),
                Some(ImdsError::Unreachable(..)) => {
                    Check::ok("metadata-v6", METADATA, format!("{endpoint} is off, as it usually is"))
                }
                Some(error) if works(&first) => Check::warn(
                    "metadata-v6",
                    METADATA,
                    format!("{endpoint}: {}: {error}", error.reason()),
                    "nothing, as long as the other address answers",
                ),
                Some(error) => {
                    Check::skipped("metadata-v6", METADATA, format!("{endpoint}: {}", error.reason()))
                }
            },
        });
        let chosen =
            if works(&first) { first } else { second.filter(|(_, fetched)| fetched.refused.is_none()) };
        let Some((_, fetched)) = chosen else {
            self.checks.push(proxy(None));
            let rest = ["instance", "clock", "region", "trust-store", "signer", "staples"];
            return self.skip(&rest, "the metadata service does not answer");
        };
        self.judge(&fetched, settings, user.as_ref(), clock);
    }

    fn judge(&mut self, fetched: &Fetched, settings: &Settings, user: Option<&LoginName>, clock: Clock) {
        let now = clock.now();
        self.checks.push(proxy(Some(fetched)));
        self.checks.push(instance_is_this(fetched));
        self.checks.push(clock_is_right(fetched.capture.date.as_deref(), fetched.greeted));
        let name = replay::signer_name(&fetched.capture);
        self.checks.push(match &name {
            Ok(name) => Check::ok("region", SIGNER, format!("its signer is {name}")),
            Err(error) => Check::fail(
                "region",
                SIGNER,
                format!("{}: {error}", error.reason()),
                "find out what answers in place of the metadata service",
            ),
        });
        let anchors = settings.trust_store().load();
        self.checks.push(match &anchors {
            Ok(anchors) => Check::ok(
                "trust-store",
                SIGNER,
                format!("trusted roots: {}{}", anchors.count(), place(settings)),
            ),
            Err(error) => {
                let is_chosen = settings.ca_file.value.is_some() || settings.ca_dir.value.is_some();
                let mend = format!("mend what [trust] in {DEFAULT_PATH} names");
                let fix = if is_chosen { mend } else { "install the package ca-certificates".to_owned() };
                Check::fail("trust-store", SIGNER, error.to_string(), fix)
            }
        });
        let chain = replay::chain(&fetched.capture);
        match (&name, &anchors, &chain) {
            (Ok(name), Ok(anchors), Ok(chain)) => {
                let (staples, _) = replay::staples(&fetched.capture);
                let revocation = settings.revocation.value;
                let lost = replay::lost_staple(&fetched.capture);
                self.checks.extend(signer(chain, anchors, (&staples, lost), name, revocation, now));
            }
            (_, _, Err(error)) => {
                self.checks.push(Check::fail(
                    "signer",
                    SIGNER,
                    format!("{}: {error}", error.reason()),
                    "ask AWS support whether EC2 Instance Connect is up in this region",
                ));
                self.skip(&["staples"], "there is no signer to vouch for");
            }
            _ => self.skip(&["signer", "staples"], "region and trusted roots come first"),
        }
        let keys = user.and_then(|user| replay::keys(&fetched.capture, user).ok().flatten());
        let entries = keys.iter().flat_map(KeyBundle::entries).filter_map(|entry| entry.as_ref().ok());
        self.pushed = entries.map(|entry| entry.algorithm().to_owned()).collect();
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

fn metadata(endpoint: &Endpoint, fetched: &Fetched, other_works: bool) -> Check {
    const ID: &str = "metadata";
    let Some(error) = &fetched.refused else {
        let server = fetched.capture.server.as_deref().unwrap_or("an unnamed server");
        return Check::ok(
            ID,
            METADATA,
            format!("{endpoint} ({server}) gave a token in {:.1} ms", fetched.token.as_secs_f64() * 1000.0),
        );
    };
    let seen = format!("{endpoint}: {}: {error}", error.reason());
    let fix = match error {
        ImdsError::Timeout { .. } => {
            "let packets to 169.254.169.254 through (nft list ruleset, iptables -S); in a container raise the hop limit: aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2"
        }
        ImdsError::Unreachable(..) => {
            "see that a route leads there (ip route get 169.254.169.254) and no firewall refuses it (nft list ruleset)"
        }
        ImdsError::Forbidden(_) => "aws ec2 modify-instance-metadata-options --http-endpoint enabled",
        ImdsError::Throttled(..) => {
            "find what else asks so often: at most 1,024 packets a second go to link-local services"
        }
        _ => "find out what answers in place of the metadata service",
    };
    if other_works { Check::warn(ID, METADATA, seen, fix) } else { Check::fail(ID, METADATA, seen, fix) }
}

/// What stands in between: what says so itself, what is not the service's own server, and what the
/// environment sends others to.
fn proxy(fetched: Option<&Fetched>) -> Check {
    const ID: &str = "proxy";
    const WHY: &str = "what stands between can keep keys back, though it can forge none";
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
            "find out who answers at that address",
        );
    }
    let set: Vec<_> = PROXY_VARIABLES.into_iter().filter(|name| env::var_os(name).is_some()).collect();
    if set.is_empty() {
        return Check::ok(ID, WHY, "none is seen");
    }
    Check::ok(
        ID,
        WHY,
        format!("none is seen; {} is set here, and has no effect on eic-agent", set.join(", ")),
    )
}

/// The machine's word counts; where metadata says otherwise, it is another instance's.
fn instance_is_this(fetched: &Fetched) -> Check {
    const ID: &str = "instance";
    const WHY: &str = "each key is signed for one instance";
    let theirs = replay::metadata_instance_id(&fetched.capture);
    match (fetched.capture.machine.as_deref(), theirs) {
        (_, Err(error)) => Check::fail(
            ID,
            WHY,
            format!("{}: {error}", error.reason()),
            "find out what answers in place of the metadata service",
        ),
        (Some(own), Ok(theirs)) if own != "xen" && own != theirs.as_str() => Check::fail(
            ID,
            WHY,
            format!("the machine's firmware says {own}, metadata says {theirs}"),
            "find out what answers in place of the metadata service: it is another instance's",
        ),
        (_, Ok(theirs)) => Check::ok(ID, WHY, format!("metadata agrees: {theirs}")),
    }
}

fn clock_is_right(date: Option<&str>, now: Timestamp) -> Check {
    const ID: &str = "clock";
    const FIX: &str = "set the clock: chronyc makestep, with the Amazon Time Sync Service 169.254.169.123";
    let Some(theirs) = date.and_then(Timestamp::of_http_date) else {
        return Check::skipped(ID, CLOCK, "the metadata service tells no time");
    };
    let (behind, ahead) = (now.seconds_until(theirs), theirs.seconds_until(now));
    let off = behind.max(ahead);
    let seen = match (behind, ahead) {
        (0..=2, 0..=2) => "within 2 s of the metadata service's".to_owned(),
        (behind, 0) => format!("{behind} s behind the metadata service's ({now} here, {theirs} there)"),
        (_, ahead) => format!("{ahead} s ahead of the metadata service's ({now} here, {theirs} there)"),
    };
    match off {
        0..=NOTICEABLE_SKEW => Check::ok(ID, CLOCK, seen),
        // Ahead of the service by a key's whole life, each key is expired when it comes.
        _ if ahead >= 60 || off > CLOCK_SKEW => Check::fail(ID, CLOCK, seen, FIX),
        _ => Check::warn(ID, CLOCK, seen, FIX),
    }
}

/// The path with what is left of every certificate, then the staples with what is left of each.
fn signer(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    (staples, lost): (&[OcspStaple], Option<(Reason, String)>),
    name: &SignerName,
    revocation: RevocationPolicy,
    now: Timestamp,
) -> Vec<Check> {
    let path = match SignerPath::find(chain, anchors, name, now) {
        Ok(path) => path,
        Err(error) => {
            let refused = refused("signer", &error);
            return vec![refused, Check::skipped("staples", SIGNER, "there is no path to vouch for")];
        }
    };
    let shown: Vec<_> = path.certificates().map(|certificate| left(certificate, now)).collect();
    let signer = Check::ok("signer", SIGNER, format!("trusted: {}", shown.join(", then ")));
    let staples = match VerifiedSigner::establish(chain, anchors, staples, name, revocation, now) {
        Ok(proven) => {
            let left = proven.path().iter().map(|step| match &step.staple {
                Some(staple) => format!("{} h left", now.seconds_until(staple.next_update) / 3600),
                None => "none, which the settings allow".to_owned(),
            });
            Check::ok("staples", SIGNER, format!("all good: {}", left.collect::<Vec<_>>().join(", ")))
        }
        Err(error) => match lost.filter(|_| error.reason() == Reason::StapleMissing) {
            Some((reason, detail)) => Check::fail(
                "staples",
                SIGNER,
                format!("{reason}: {detail}"),
                "see that metadata answers in time",
            ),
            None => refused("staples", &error),
        },
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
            "see that the clock is right; if it is, wait for the service to renew what it serves"
        }
        Reason::SignerUntrusted => {
            "update the package ca-certificates; under roots = \"amazon\" see that Amazon's roots are in it"
        }
        Reason::SignerRevoked => "trust none of its keys; ask AWS support",
        Reason::StapleMissing => "wait for the service to serve them again; then ask AWS support",
        Reason::SignerNameMismatch | Reason::SignerConstrained | Reason::SignerKeyUsage => {
            "find out what answers in place of the metadata service"
        }
        _ => "wait for the service to renew what it serves; then ask AWS support",
    };
    Check::fail(id, SIGNER, format!("{reason}: {error}"), fix)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::check::Verdict;
    use super::*;
    use crate::capture::Capture;

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
    fn who_stands_in_between_is_named() {
        for (server, via, verdict, seen) in [
            (Some("EC2ws"), None, Verdict::Ok, "none is seen"),
            (Some("EC2ws"), Some("1.1 squid"), Verdict::Warn, "Via: 1.1 squid"),
            (Some("nginx"), None, Verdict::Warn, "expected the server EC2ws, got nginx"),
        ] {
            let check = proxy(Some(&answered(server, via)));
            assert!(check.verdict == verdict && check.seen.contains(seen), "{check:?}");
        }
        assert_eq!(proxy(None).verdict, Verdict::Ok);
    }

    #[test]
    fn a_clock_counts_from_where_it_hurts() {
        let now = Timestamp::from_unix(1_738_238_400);
        for (date, verdict) in [
            ("Thu, 30 Jan 2025 12:00:00 GMT", Verdict::Ok),
            ("Thu, 30 Jan 2025 12:00:30 GMT", Verdict::Ok),
            ("Thu, 30 Jan 2025 12:00:31 GMT", Verdict::Warn),
            ("Thu, 30 Jan 2025 12:05:01 GMT", Verdict::Fail),
            ("Thu, 30 Jan 2025 11:59:29 GMT", Verdict::Warn),
            ("Thu, 30 Jan 2025 11:59:00 GMT", Verdict::Fail),
            ("then", Verdict::Skipped),
        ] {
            assert_eq!(clock_is_right(Some(date), now).verdict, verdict, "{date}");
        }
    }
}
