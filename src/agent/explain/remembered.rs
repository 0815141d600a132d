//! What a run that starts now takes from its memory, what it requests, and whether its result differs from that of fresh
//! evidence.

use std::collections::BTreeSet;

use eic_core::verification::{Budget, SignerPath};
use eic_host::instance::Machine;
use eic_login::Clock;
use eic_login::config::Settings;
use eic_login::fetch::remembered::{Judged, judge};
use eic_login::fetch::{Request, SIGNER_CERT, can_match};
use eic_login::memory::MemoryState;
use serde::Serialize;

use crate::capture::document::CapturedAnswer;
use crate::capture::{Fetched, replay};
use crate::cli::ExplainArgs;
use crate::run_memory::RunMemory;
use crate::settings;
use crate::verify::VerifyReport;

/// The memory of the next run.
#[derive(Debug, Serialize)]
pub(super) struct NextRun {
    /// What is remembered, or why nothing is.
    pub(super) memory: String,
    /// What a run requests. Empty if that is not known.
    pub(super) requests: Vec<&'static str>,
    /// How the result of a run differs from that of fresh evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) differs: Option<String>,
}

/// What a run would do, judged by the same functions as in a run.
pub(super) fn next_run(
    arguments: &ExplainArgs,
    clock: Clock,
    settings: &Settings,
    (machine, user): (&Machine, Option<&str>),
    (fetched, fresh): (&Fetched, &VerifyReport),
) -> NextRun {
    let found = RunMemory::find(settings, machine, user);
    let memory = found.seen();
    let (token, evidence) = match found {
        RunMemory::NoUser { is_known: false, .. } => {
            return NextRun { memory, requests: Vec::new(), differs: None };
        }
        RunMemory::State(MemoryState::Record { token, evidence }) => (
            token.is_some_and(|token| token.is_used),
            evidence.filter(|(kept, _)| kept.is_used).map(|(_, signer)| signer),
        ),
        RunMemory::NoUser { .. } | RunMemory::State(_) => (false, None),
    };
    let mut requests = if token { vec!["keys"] } else { vec!["token", "keys"] };
    let capture = &fetched.capture;
    let keys = replay::keys(capture, &arguments.user).ok().flatten();
    let keys = keys.filter(|keys| can_match(keys, arguments.fingerprint.as_ref()));
    let (Some(keys), Ok(instance)) = (keys, replay::instance_id(capture)) else {
        return NextRun { memory, requests, differs: None };
    };
    if *machine == Machine::Xen {
        requests.push("instance-id");
    }
    let trust = settings.trust_store().open();
    let request = Request {
        user: &arguments.user,
        machine,
        trust: Some(&trust),
        offered: arguments.fingerprint.clone(),
        policy: settings::policy(settings, Some(&arguments.user)),
        revocation: settings.revocation.value,
        pins: settings.pins(),
        clock: &clock,
    };
    let pins = settings.pins();
    let name = replay::signer_name(capture, &pins).ok();
    let judged = evidence.as_ref().map(|signer| judge(signer, &keys, &request, instance));
    let decision = match judged {
        Some(Judged::Decided(decision)) => Some((decision, false)),
        // The run asks whether the service has another signer by now.
        Some(Judged::Unsigned(judgement)) => {
            let is_valid = match (capture.answer(SIGNER_CERT), replay::chain(capture), &name) {
                (CapturedAnswer::Body(sent), Ok(chain), Some(name)) => {
                    judgement.is_valid(&sent, &chain, name)
                }
                _ => false,
            };
            is_valid.then(|| (judgement.decide(&keys), true))
        }
        Some(Judged::Unproven) | None => None,
    };
    if !matches!(decision, Some((_, false))) {
        requests.extend(pins.region.is_none().then_some("region"));
        requests.extend(pins.domain.is_none().then_some("domain"));
        requests.push("signer-cert");
    }
    if let Some((decision, _)) = decision {
        let report = VerifyReport::new("", &Ok(decision), clock.now());
        let differs = difference(&report, fresh, settings);
        return NextRun { memory, requests, differs };
    }
    // Without a path to a trusted root, there is no certificate whose staple a run would request.
    let has_path = || {
        let (chain, anchors) = (replay::chain(capture).ok()?, trust.load().ok()?);
        SignerPath::find(&chain, &anchors, name.as_ref()?, clock.now(), &Budget::default()).ok()
    };
    requests.extend(has_path().map(|_| "staples"));
    NextRun { memory, requests, differs: None }
}

/// The difference between the keys that a run accepts with remembered evidence and those of fresh evidence.
fn difference(remembered: &VerifyReport, fresh: &VerifyReport, settings: &Settings) -> Option<String> {
    let accepted = |report: &VerifyReport| -> BTreeSet<String> {
        let keys = report.keys.iter().filter(|key| key.verdict == "accepted");
        keys.filter_map(|key| key.fingerprint.clone()).collect()
    };
    let (now, later) = (accepted(remembered), accepted(fresh));
    if now == later {
        return None;
    }
    Some(format!(
        "until the remembered evidence is {} s old, a run accepts {} of these keys with it, and not {}",
        settings.remember.value.as_secs(),
        now.len(),
        later.len()
    ))
}
