//! Checks from the machine itself to the signer: everything before sshd.

use std::path::{Path, PathBuf};

use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::identity::LoginName;
use eic_core::reason::Reason;
use eic_core::verification::{Budget, SignerPath};
use eic_host::instance::Machine;
use eic_host::reach::{Obstacle, Use};
use eic_login::Clock;
use eic_login::config::{CommandLine, ConfigError, DEFAULT_PATH, FileError, Settings};
use eic_login::imds::Endpoint;
use eic_login::privileges::PrivilegesError;

use super::check::{Check, CheckStatus};
use super::memory::{self, MEMORY};
use super::metadata::{
    METADATA, clock_is_right, fix_unless_timeout, instance_is_this, is_no_connection, metadata, metadata_v6,
    proxy,
};
use super::pushed_key::PushedKey;
use super::reach_metadata::{RootConnects, own_name};
use super::signer::{SIGNER, region, signer, silent_trust_store, trust_store};
use super::sshd::shown_fix;
use crate::capture::replay;
use crate::capture::{CaptureRequest, Fetched, fetch};
use crate::cli::SYSFS;
use crate::config::{rules, unsupported};
use crate::environment;
use crate::run_user::RunUser;
use crate::settings;
use crate::sshd_setup::Fix;

/// The results of these checks, and the pushed keys for later checks.
#[derive(Default)]
pub(super) struct Service {
    pub(super) checks: Vec<Check>,
    /// The keys that are pushed for the user now.
    pub(super) pushed: Vec<PushedKey>,
    /// The user that queried the metadata service.
    pub(super) asked_as: String,
}

/// How sshd runs the agent.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) user: RunUser,
    /// The login name of that user.
    pub(super) name: Option<String>,
}

/// The failed check of settings that a run cannot read.
fn unreadable(id: &'static str, why: &'static str, obstacle: &Obstacle) -> Check {
    let seen = format!("{}: {}", Reason::SettingsUnreadable.as_str(), obstacle.seen());
    Check::fail(id, why, seen, shown_fix(Fix::of(obstacle, "the settings file")))
}

/// Results of the checks as root: the settings, and the variables that sshd permits.
pub(super) struct RootFindings {
    pub(super) settings: Result<Settings, ConfigError>,
    pub(super) environment: environment::EnvironmentBefore,
    root: RootConnects,
    /// The settings file of the command line in sshd's configuration, if it names one.
    config: Option<PathBuf>,
    /// The file or folder of roots that does not answer.
    silent_roots: Option<Obstacle>,
}

impl RootFindings {
    /// Whether the settings require that each key is logged before it is handed out.
    pub(super) fn audit_required(&self) -> bool {
        self.settings.as_ref().is_ok_and(|settings| settings.audit_required.value)
    }

    /// The time limit of a run. `None` if the settings are not valid.
    pub(super) fn timeout(&self) -> Option<std::time::Duration> {
        self.settings.as_ref().ok().map(|settings| settings.timeout.value)
    }
}

/// Reads the settings of a run with this command line, and queries sshd about them. Call this while we are root.
pub(super) fn before(user: Option<&str>, line: &CommandLine) -> RootFindings {
    let settings = settings::resolve(line);
    let environment =
        settings.as_ref().map(|settings| environment::renew_record(settings, user)).unwrap_or_default();
    let is_ec2 = Machine::detect(Path::new(SYSFS)) != Machine::NotEc2;
    let asked = settings.as_ref().ok().filter(|_| is_ec2).map(Settings::endpoints);
    let config = line.config.clone();
    let silent_roots = settings.as_ref().ok().and_then(settings::silent_roots);
    RootFindings {
        settings,
        environment,
        config,
        silent_roots,
        root: RootConnects::try_all(asked.unwrap_or_default()),
    }
}

/// Runs the checks up to the signer. Gives up root's rights first, because the checks read answers from the network.
pub(super) fn checks(before: &RootFindings, runs: &Runs, user: Option<&str>, clock: Clock) -> Service {
    let machine = Machine::detect(Path::new(SYSFS));
    let was_root = nix::unistd::Uid::effective().is_root();
    let kept = runs.user.give_up_root().err();
    let settings = settings(before, runs, was_root, kept.as_ref());
    let asked_as = own_name();
    let mut service = Service { checks: vec![is_ec2(&machine), settings], pushed: Vec::new(), asked_as };
    match (&before.settings, &machine, kept) {
        (_, Machine::NotEc2, _) => service.skip_all("this is not an EC2 instance"),
        (Err(_), ..) => service.skip_all("the settings, which name the metadata service, cannot be read"),
        (_, _, Some(error)) => service.skip_all(&error.to_string()),
        (Ok(settings), ..) => {
            service.fetch_and_check(&machine, settings, (runs, before), user, clock);
            let (memory, is_used) = memory::check(settings, &machine, runs.name.as_deref());
            if is_used {
                memory::doubt_failures(&mut service.checks);
            }
            service.checks.push(memory);
        }
    }
    service
}

/// `settings`: whether the settings are valid, and sshd supports them.
fn settings(before: &RootFindings, runs: &Runs, was_root: bool, kept: Option<&PrivilegesError>) -> Check {
    const ID: &str = "settings";
    const WHY: &str = "with a fault in the settings, no pushed key can log in";
    let settings = match &before.settings {
        Ok(settings) => settings,
        Err(ConfigError::File(path, FileError::Unreadable(error)))
            if !was_root && error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            let closed = match runs.user.blocked(&[(path.clone(), Use::Read)]) {
                Some(Ok(obstacle)) => return unreadable(ID, WHY, &obstacle),
                Some(Err(why)) => why,
                None => format!("this user cannot read {}", path.display()),
            };
            return Check::skipped(ID, WHY, format!("{closed}; run with sudo to check the settings"));
        }
        Err(error) => {
            if let Some(silent) = settings::silent_file(error) {
                return unreadable(ID, WHY, &silent);
            }
            let seen = format!("{}: {error}", error.reason());
            let fix = match &before.config {
                None => format!("correct {DEFAULT_PATH}; this shows every fault: sudo eic-agent config"),
                Some(file) => format!(
                    "correct {0}; this shows every fault: sudo eic-agent config --config {0}",
                    file.display()
                ),
            };
            return Check::fail(ID, WHY, seen, fix);
        }
    };
    let file = settings.file.iter().map(|file| (file.clone(), Use::Read));
    match runs.user.blocked(&file.collect::<Vec<_>>()) {
        Some(Ok(obstacle)) => return unreadable(ID, WHY, &obstacle),
        Some(Err(why)) => {
            return Check::skipped(
                ID,
                WHY,
                format!("valid, but it is not known whether the agent can read them in a login: {why}"),
            );
        }
        None => {}
    }
    match unsupported(settings, &before.environment, kept).into_iter().next() {
        Some(fault) => {
            let of_file = before.config.as_ref().map(|file| format!(" --config {}", file.display()));
            let of_file = of_file.unwrap_or_default();
            let fix = format!("correct that; this shows every fault: sudo eic-agent config{of_file}");
            Check::fail(ID, WHY, fault.to_string(), fix)
        }
        None => match &settings.file {
            Some(file) => rule_with_a_mistake(file, settings)
                .unwrap_or_else(|| Check::ok(ID, WHY, format!("{} is valid", file.display()))),
            None => Check::ok(ID, WHY, format!("no {DEFAULT_PATH}: defaults apply")),
        },
    }
}

/// A rule, or a pattern of it, that can never match or is probably a mistake. It stops no other login, but a rule that
/// denies does not deny.
fn rule_with_a_mistake(file: &Path, settings: &Settings) -> Option<Check> {
    let problems = [rules::problems(settings), rules::unusable(settings), rules::doubts(settings)].concat();
    let first = problems.first()?;
    let more = match problems.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(Check::warn(
        "settings",
        "a rule with a mistake neither allows nor denies what it was written for",
        format!("{}:{first}{more}", file.display()),
        format!("correct the rule in {}; sudo eic-agent config shows every such rule", file.display()),
    ))
}

/// The ids of the checks in [`Service::fetch_and_check`], in order.
const ALL: [&str; 9] =
    ["metadata", "metadata-v6", "proxy", "instance", "clock", "region", "trust-store", "signer", "staples"];

fn is_ec2(machine: &Machine) -> Check {
    const ID: &str = "machine";
    const WHY: &str = "keys can be pushed only to EC2 instances, and each key is signed for one instance";
    match machine {
        Machine::Known(id) => Check::ok(ID, WHY, format!("{id} (Nitro or metal)")),
        Machine::Xen => Check::ok(ID, WHY, "a Xen instance; its id comes from metadata"),
        Machine::NotEc2 => Check::fail(
            ID,
            WHY,
            "not an EC2 instance: /sys has neither an instance id (board_asset_tag) nor EC2's hypervisor uuid",
            "log in by other means; in a container, mount the host's /sys",
        ),
    }
}

impl Service {
    /// Marks failures as uncertain if the check `answer` succeeded. `answer` ran the command as the user that sshd uses.
    /// The checks here ran as another user, whom a firewall or a file's mode may refuse.
    pub(super) fn doubt_if_answered(&mut self, answer: &Check, runs: &Runs) {
        let is_other = runs.name.as_ref().is_some_and(|name| *name != self.asked_as && name != "root");
        if answer.verdict == CheckStatus::Ok && is_other {
            for check in self.checks.iter_mut().filter(|check| check.verdict == CheckStatus::Fail) {
                check.is_open = true;
            }
        }
    }

    fn skip_all(&mut self, seen: &str) {
        self.skip(&ALL, seen);
        self.checks.push(Check::skipped("memory", MEMORY, seen));
    }

    fn skip(&mut self, ids: &[&'static str], seen: &str) {
        self.checks.extend(ids.iter().map(|id| Check::skipped(id, METADATA, seen)));
    }

    fn fetch_and_check(
        &mut self,
        machine: &Machine,
        settings: &Settings,
        (runs, before): (&Runs, &RootFindings),
        user: Option<&str>,
        clock: Clock,
    ) {
        let user = user.and_then(|name| LoginName::try_from(name).ok());
        let users: Vec<_> = user.iter().cloned().collect();
        let get = |endpoints: &[Endpoint]| {
            fetch(&CaptureRequest {
                endpoints,
                allowed: settings.timeout.value,
                machine,
                users: &users,
                now: clock.started(),
            })
        };
        let endpoints = settings.endpoints();
        // As in a login, this queries the next address only if there is no connection to the one before.
        let fetched = get(&endpoints);
        let is_refused =
            fetched.refused.as_ref().is_some_and(is_no_connection) && before.root.is_refused_by_user();
        let refused_user = is_refused.then_some(self.asked_as.as_str());
        self.checks.push(metadata(&endpoints, &fetched, machine, user.as_ref(), refused_user));
        self.checks.push(match endpoints.get(1) {
            None => Check::skipped("metadata-v6", METADATA, "the settings name one address"),
            Some(second) if fetched.capture.endpoint.as_deref() == Some(second.to_string().as_str()) => {
                Check::ok("metadata-v6", METADATA, format!("{second} answers"))
            }
            Some(second) => {
                metadata_v6(second, &get(std::slice::from_ref(second)), fetched.refused.is_none())
            }
        });
        if fetched.refused.is_some() {
            self.checks.push(proxy(None));
            let rest = ["instance", "clock", "region", "trust-store", "signer", "staples"];
            return self.skip(&rest, "the metadata service does not answer");
        }
        self.check_evidence(&fetched, settings, (runs, before), user.as_ref(), clock);
    }

    fn check_evidence(
        &mut self,
        fetched: &Fetched,
        settings: &Settings,
        (runs, before): (&Runs, &RootFindings),
        user: Option<&LoginName>,
        clock: Clock,
    ) {
        let now = clock.now();
        self.checks.push(proxy(Some(fetched)));
        self.checks.push(instance_is_this(fetched));
        self.checks.push(clock_is_right(fetched.capture.date.as_deref(), fetched.greeted));
        let pins = settings.pins();
        let name = replay::signer_name(&fetched.capture, &pins);
        if let Some(silent) = &before.silent_roots {
            self.checks.push(region(&name, &pins, &fetched.capture, || false));
            self.checks.push(silent_trust_store(silent));
            return self.skip(&["signer", "staples"], "the trusted roots are unknown");
        }
        let store = settings.trust_store().open();
        let anchors = store.load();
        let chain = replay::chain(&fetched.capture);
        let is_trusted = || match (&name, &anchors, &chain) {
            (Ok(name), Ok(anchors), Ok(chain)) => {
                SignerPath::find(chain, anchors, name, now, &Budget::default()).is_ok()
            }
            _ => false,
        };
        self.checks.push(region(&name, &pins, &fetched.capture, is_trusted));
        let left_out: Vec<_> = store.left_out().collect();
        self.checks.push(trust_store(&anchors, &left_out, settings, (&runs.user, is_trusted())));
        match (&name, &anchors, &chain) {
            (Ok(name), Ok(anchors), Ok(chain)) => {
                let (staples, _) = replay::staples(&fetched.capture);
                let revocation = settings.revocation.value;
                let lost = replay::lost_staples(&fetched.capture);
                self.checks.extend(signer(chain, anchors, (&staples, &lost), name, revocation, now));
            }
            (_, _, Err(error)) => {
                self.checks.push(Check::fail(
                    "signer",
                    SIGNER,
                    format!("{}: {error}", error.reason()),
                    fix_unless_timeout(
                        error.reason(),
                        "ask AWS support whether EC2 Instance Connect is up in this region",
                    ),
                ));
                self.skip(&["staples"], "there are no signer certificates");
            }
            _ => self.skip(&["signer", "staples"], "the region or the trusted roots are unknown"),
        }
        let keys = user.and_then(|user| replay::keys(&fetched.capture, user).ok().flatten());
        let entries = keys.iter().flat_map(KeyBundle::entries).filter_map(|entry| entry.as_ref().ok());
        let pushed = entries.map(|entry| PushedKey {
            algorithm: entry.algorithm().to_owned(),
            fingerprint: entry.key().fingerprint().clone(),
            rsa_bits: entry.key().rsa_bits(),
        });
        self.pushed = pushed.collect();
    }
}
