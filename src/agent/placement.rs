//! `placement`: prints the region and domain that metadata reports, if their signer is served and trusted.
//! `enable --pin` runs it as a separate process, so that no process with root's privileges reads from the network.

use std::io::Write;
use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_core::identity::{Domain, LoginName, Pins, Region, SignerName};
use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_core::verification::{Budget, SignerPath};
use eic_host::instance::Machine;
use eic_host::stdout::write_once;
use eic_login::Clock;
use eic_login::config::CommandLine;
use eic_login::fetch::RunError;
use eic_login::privileges::give_up_root;

use crate::capture::replay;
use crate::capture::{CaptureRequest, fetch};
use crate::outcome::Outcome;
use crate::settings;

pub(super) fn run(clock: Clock, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let said = find(clock).and_then(|(region, domain)| {
        write_once(format!("{region}\n{domain}\n").as_bytes(), out).map_err(|error| error.to_string())
    });
    match said {
        Ok(()) => Outcome::Done,
        Err(why) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&why));
            Outcome::Undecided
        }
    }
}

fn find(clock: Clock) -> Result<(Region, Domain), String> {
    // First of all, so that the settings are read without root's rights, as in a login.
    give_up_root().map_err(|error| error.to_string())?;
    let settings = settings::resolve(&CommandLine::default()).map_err(|error| error.to_string())?;
    let machine = Machine::detect(Path::new("/sys"));
    if machine == Machine::NotEc2 {
        return Err("this is not an EC2 instance".to_owned());
    }
    // No keys are needed. An empty list would fetch the keys of all users, so name a user that has none.
    let users: [LoginName; 1] = ["nobody".parse().map_err(|error| format!("{error}"))?];
    let fetched = fetch(&CaptureRequest {
        endpoints: &settings.endpoints(),
        allowed: settings.timeout.value,
        machine: &machine,
        users: &users,
        now: clock.started(),
    });
    let told = |error: RunError| format!("{}: {error}", error.reason());
    if let Some(error) = fetched.refused {
        return Err(told(error.into()));
    }
    let capture = &fetched.capture;
    let region = replay::region(capture).map_err(told)?;
    let domain = replay::domain(capture).map_err(told)?;
    let pins = Pins { region: Some(region.clone()), domain: Some(domain.clone()) };
    let name = SignerName::of_service(&region, &domain);
    let chain = replay::chain(capture).map_err(told)?;
    if let Some(silent) = settings::silent_roots(&settings) {
        return Err(format!("{}: {}", Reason::TrustStoreUnusable.as_str(), silent.seen()));
    }
    let anchors = settings.trust_store().load().map_err(|error| told(RunError::TrustStore(error)))?;
    SignerPath::find(&chain, &anchors, &name, clock.now(), &Budget::default())
        .map_err(|error| format!("the signer of {pins}: {}: {error}", error.reason()))?;
    Ok((region, domain))
}
