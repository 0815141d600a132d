//! `explain`: which keys sshd would get for a user right now, and why.

mod chained;
mod document;
mod remembered;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use chained::Chain;
use document::{Document, Evaluation, StepTimings};
use eic_core::audit_line::IDENT;
use eic_core::decision::{Decision, Evidence, Expectations};
use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_host::instance::Machine;
use eic_host::reach::Use;
use eic_host::stdout::write_once;
use eic_login::Clock;
use eic_login::audit::Audit;
use eic_login::config::{CommandLine, SessionForm, Settings};
use eic_login::fetch::RunError;
use eic_login::imds::Endpoint;

use crate::capture::replay;
use crate::capture::{CaptureRequest, Fetched, fetch};
use crate::cli::ExplainArgs;
use crate::config::{Unsupported, unsupported};
use crate::environment::{self, EnvironmentBefore};
use crate::layout::{fit_report, json};
use crate::outcome::Outcome;
use crate::run_user::RunUser;
use crate::settings;
use crate::verify::{Unproven, VerifyReport, verify_case};

pub(super) fn run(
    arguments: &ExplainArgs,
    clock: Clock,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let mut times = StepTimings::default();
    // First the steps that need root, as in a login: settings, sshd's configuration, and the providers as their user.
    let chain = Chain::run(&arguments.user, arguments.fingerprint.as_ref());
    let settings = times.of_settings(|| resolve(&chain.settings));
    let before =
        settings.as_ref().map(|settings| environment::renew_record(settings, Some(arguments.user.as_str())));
    let before = before.unwrap_or_default();
    let runs = RunUser::of(chain.user.as_deref());
    let settings = settings.and_then(|settings| usable(settings, &runs));
    if let Err(error) = runs.give_up_root() {
        let _ = writeln!(notes, "{IDENT}: {}", one_line(&error.to_string()));
        return Outcome::Undecided;
    }
    let settings = settings.and_then(|settings| supported(settings, &before));
    let user = chain.user.as_deref();
    let own = settings.and_then(|(settings, refused)| {
        let refused = refused.map(|fault| fault.to_string());
        let sessions = environment::undecided_sessions(&settings, &before);
        let replaced = chain.forced_command.as_deref().map(environment::replaces_wrapper);
        let replaced = replaced.filter(|_| settings.session.value == SessionForm::Wrapper);
        let sessions = sessions.into_iter().chain(replaced).collect();
        let own = evaluate(arguments, clock, (&settings, user), &mut times);
        own.map(|own| Evaluation { refused, sessions, ..own })
    });
    let document = Document::new(arguments, clock, own, chain, times);
    let text = if arguments.json { json(&document) } else { fit_report(&document.to_string()) };
    match write_once(text.as_bytes(), out) {
        Ok(()) if document.gives_any() => Outcome::Done,
        _ => Outcome::Undecided,
    }
}

/// Returns the settings if the user of a run can read them and reaches the metadata service.
fn usable(settings: Settings, runs: &RunUser) -> Result<Settings, String> {
    let file = settings.file.iter().map(|file| (file.clone(), Use::Read)).collect::<Vec<_>>();
    if let Some(Ok(obstacle)) = runs.is_known().then(|| runs.blocked(&file)).flatten() {
        return Err(format!("{}: {}", Reason::SettingsUnreadable.as_str(), obstacle.seen()));
    }
    if let Some(silent) = settings::silent_roots(&settings) {
        return Err(format!("{}: {}", Reason::TrustStoreUnusable.as_str(), silent.seen()));
    }
    let addresses: Vec<_> = settings.endpoints().iter().filter_map(Endpoint::address).collect();
    if let Some(name) = runs.refused_by_firewall(&addresses) {
        return Err(format!(
            "{}: a firewall refuses the user {name}, as whom sshd runs the agent, and lets root through",
            Reason::MetadataUnreachable.as_str(),
        ));
    }
    Ok(settings)
}

/// Returns the settings if a run hands out keys with them, else the first fault. The second value says why sshd refuses
/// those keys.
fn supported(
    settings: Settings,
    before: &EnvironmentBefore,
) -> Result<(Settings, Option<Unsupported>), String> {
    let (by_run, by_sshd): (Vec<_>, Vec<_>) =
        unsupported(&settings, before, None).into_iter().partition(|fault| fault.reason.is_some());
    match by_run.first() {
        None => Ok((settings, by_sshd.into_iter().next())),
        Some(fault) => Err(fault.to_string()),
    }
}

fn resolve(line: &CommandLine) -> Result<Settings, String> {
    settings::resolve(line).map_err(|error| format!("{}: {error}", error.reason()))
}

fn evaluate(
    arguments: &ExplainArgs,
    clock: Clock,
    (settings, user): (&Settings, Option<&str>),
    times: &mut StepTimings,
) -> Result<Evaluation, String> {
    let machine = Machine::detect(Path::new("/sys"));
    if machine == Machine::NotEc2 {
        return Err("this is not an EC2 instance: no key can be pushed to it".to_owned());
    }
    let fetched = fetch(&CaptureRequest {
        endpoints: &settings.endpoints(),
        allowed: settings.timeout.value,
        machine: &machine,
        users: std::slice::from_ref(&arguments.user),
        now: clock.started(),
    });
    times.fetched(&fetched);
    let started = Instant::now();
    let report = report(arguments, clock, settings, &fetched);
    times.judgement(started.elapsed());
    let next = remembered::next_run(arguments, clock, settings, (&machine, user), (&fetched, &report));
    let pins = settings.pins();
    Ok(Evaluation {
        report,
        next,
        pins: (!pins.is_empty()).then(|| pins.to_string()),
        withheld: settings.audit_required.value && Audit::to_system().destination().is_none(),
        refused: None,
        sessions: Vec::new(),
    })
}

/// Verifies everything that was fetched.
fn report(arguments: &ExplainArgs, clock: Clock, settings: &Settings, fetched: &Fetched) -> VerifyReport {
    let capture = &fetched.capture;
    let mut signer = String::new();
    let mut read = || -> Result<(Evidence, Expectations), RunError> {
        let name = replay::signer_name(capture, &settings.pins())?;
        signer = name.to_string();
        let expected = Expectations {
            signer: name,
            instance: replay::instance_id(capture)?,
            offered: arguments.fingerprint.clone(),
            policy: settings::policy(settings, Some(&arguments.user)),
            revocation: settings.revocation.value,
        };
        Ok((replay::evidence(capture, &arguments.user, &settings.trust_store())?, expected))
    };
    let now = clock.now();
    let judged: Result<Decision, Unproven> = match read() {
        Ok((evidence, expected)) => verify_case(&evidence, &replay::lost_staples(capture), &expected, now),
        Err(error) => Err(Unproven::new(error.reason(), error.to_string())),
    };
    VerifyReport::new(&signer, &judged, now)
}
