//! What a run that starts now takes from its memory, what it requests, and whether its result differs from that of fresh
//! evidence.

use std::collections::BTreeSet;

use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::policy::Policy;
use eic_core::verification::{Budget, SignerPath};
use eic_host::instance::Machine;
use eic_login::Clock;
use eic_login::config::Settings;
use eic_login::fetch::remembered::{Judged, judge};
use eic_login::fetch::{Request, SIGNER_CERT};
use eic_login::memory::MemoryState;
use serde::Serialize;

use crate::capture::document::CapturedAnswer;
use crate::capture::{Fetched, replay};
use crate::cli::ExplainArgs;
use crate::run_memory::RunMemory;
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
    let keys =
        replay::keys(capture, &arguments.user).ok().flatten().filter(|keys| is_judged(keys, arguments));
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
        policy: Policy {
            rules: settings.rules.iter().map(|rule| rule.value.clone()).collect(),
            user: Some(arguments.user.clone()),
        },
        revocation: settings.revocation.value,
        pins: settings.pins(),
        clock: &clock,
    };
    let judged = evidence.as_ref().map(|signer| (signer, judge(signer, &keys, &request, instance)));
    let decision = match judged {
        Some((_, Judged::Decided(decision))) => Some((decision, false)),
        // The run asks whether the service has another signer by now.
        Some((signer, Judged::Unsigned(judgement))) => {
            let is_sent =
                matches!(capture.answer(SIGNER_CERT), CapturedAnswer::Body(sent) if *sent == signer.chain);
            let (name, chain) = (replay::signer_name(capture, &settings.pins()), replay::chain(capture));
            let is_same = is_sent
                && name.is_ok_and(|name| {
                    judgement.is_of(&name) && chain.is_ok_and(|chain| chain.named(&name).count() == 1)
                });
            is_same.then(|| (judgement.decide(&keys), true))
        }
        Some((_, Judged::Unproven)) | None => None,
    };
    let pins = settings.pins();
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
        let name = replay::signer_name(capture, &pins).ok()?;
        let (chain, anchors) = (replay::chain(capture).ok()?, trust.load().ok()?);
        SignerPath::find(&chain, &anchors, &name, clock.now(), &Budget::default()).ok()
    };
    requests.extend(has_path().map(|_| "staples"));
    NextRun { memory, requests, differs: None }
}

/// Whether a run judges these keys. If not, it requests no evidence.
fn is_judged(keys: &KeyBundle, arguments: &ExplainArgs) -> bool {
    let is_asked_for = arguments.fingerprint.as_ref().is_none_or(|offered| keys.may_hold(offered));
    !keys.entries().is_empty() && is_asked_for
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
