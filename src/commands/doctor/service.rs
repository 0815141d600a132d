//! The links from the machine itself to the signer: everything before sshd.

use std::path::Path;

use super::super::capture::{Fetched, Wanted, fetch};
use super::super::config::unsupported;
use super::super::{Clock, replay};
use super::check::Check;
use super::metadata::{
    METADATA, clock_is_right, instance_is_this, metadata, metadata_v6, proxy, unless_late,
};
use super::signer::{SIGNER, region, signer, trust_store};
use crate::config::{CommandLine, DEFAULT_PATH, Settings};
use crate::evidence::key_bundle::KeyBundle;
use crate::identity::LoginName;
use crate::imds::Endpoint;
use crate::instance::Machine;
use crate::privileges::give_up_root;
use crate::verification::{Budget, SignerPath};

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
        self.checks.push(metadata(endpoint, fetched, user.as_ref(), works(&second)));
        self.checks.push(match &second {
            None => Check::skipped("metadata-v6", METADATA, "the settings name one address"),
            Some((endpoint, fetched)) => metadata_v6(endpoint, fetched, works(&first)),
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
        let pins = settings.pins();
        let name = replay::signer_name(&fetched.capture, &pins);
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
        self.checks.push(trust_store(&anchors, &left_out, settings));
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
                    unless_late(
                        error.reason(),
                        "ask AWS support whether EC2 Instance Connect is up in this region",
                    ),
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
