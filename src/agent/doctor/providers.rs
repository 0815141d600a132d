//! `providers`: the other commands that our command in sshd's configuration runs.

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::ownership;
use eic_host::reach::{Reach, Subject, Use};
use eic_login::providers;

use super::check::Check;
use super::sshd::{Sshd, SshdUnavailable, not_asked};
use crate::sshd_setup::own_line::words_of;
use crate::sshd_setup::{is_ours, shown, shown_reload};

const PROVIDERS: &str =
    "sshd runs one command only; eic-agent runs the others, and without them their keys are missing";

/// `providers`: whether each chained provider can run.
pub(super) fn check(sshd: &Result<Sshd, SshdUnavailable>) -> Check {
    const ID: &str = "providers";
    let sshd = match sshd {
        Ok(sshd) => sshd,
        Err(blind) => return blind.skipped(ID, PROVIDERS),
    };
    let (command, user) = sshd.wired(|wired| (wired.running.command.clone(), wired.running.user.clone()));
    if !is_ours(command.as_deref(), &sshd.machine.own) {
        return not_asked(ID, PROVIDERS);
    }
    let Ok(words) = words_of(command.as_deref()) else {
        return Check::skipped(ID, PROVIDERS, "the arguments of the command cannot be parsed");
    };
    let asked = providers::split(&words.providers);
    let names: Vec<_> = asked.iter().map(|provider| provider.program().display().to_string()).collect();
    let names = names.join(" and ");
    let place = sshd.wired(|wired| wired.winner().map(ToString::to_string)).unwrap_or_default();
    let correct = |what: &str| format!("{what} in {place}, then: {}", shown_reload(&sshd.machine));
    match &words.provider_user {
        _ if asked.is_empty() => return Check::ok(ID, PROVIDERS, "none is chained"),
        Some(wanted) if Account::find(wanted).is_none() => {
            let seen = format!(
                "{names} cannot run: --provider-user {} is not in /etc/passwd",
                printable(wanted, MAX_SHOWN)
            );
            return Check::warn(
                ID,
                PROVIDERS,
                seen,
                correct("write a user of /etc/passwd after --provider-user"),
            );
        }
        Some(wanted) if user.as_deref() != Some("root") => {
            let runs = shown(user.as_deref());
            let seen =
                format!("{names} runs as {runs}, not as --provider-user {}", printable(wanted, MAX_SHOWN));
            let pair = sshd.machine.server.accepts_pair(command.as_deref().unwrap_or_default(), "root");
            let fix = pair.map_or_else(
                || correct("remove --provider-user"),
                |(_, user)| correct(&format!("set {user}")),
            );
            return Check::warn(ID, PROVIDERS, seen, fix);
        }
        _ => {}
    }
    let runs = words.provider_user.as_deref().or(user.as_deref());
    // The agent starts a provider of another user without that user's supplementary groups.
    let has_groups = words.provider_user.is_none();
    let subject = runs.and_then(|name| Account::look_up(name).ok().flatten()).map(|account| {
        if has_groups { Subject::of(&account) } else { Ok(Subject::without_groups(&account)) }
    });
    let mut unknown = None;
    for provider in &asked {
        match subject
            .as_ref()
            .map(|subject| subject.as_ref().map(|it| Reach::of(it, provider.program(), Use::Execute)))
        {
            Some(Ok(Reach::No(obstacle))) => {
                let program = provider.program().display();
                let seen = format!("{program} is not run: {}", obstacle.seen());
                let advice = || correct(&format!("{}, or remove it", obstacle.advice(&program.to_string())));
                let fix = obstacle.command().map_or_else(advice, |command| format!("sudo {command}"));
                return Check::warn(ID, PROVIDERS, seen, fix);
            }
            Some(Ok(Reach::Unknown(why))) => unknown = Some(why),
            Some(Err(why)) => unknown = Some(why.clone()),
            Some(Ok(Reach::Yes)) | None => {}
        }
        if let Err(insecure) = ownership::check(provider.program()) {
            let program = provider.program().display();
            let advice = || correct(&format!("{}, or remove it", insecure.advice(&program.to_string())));
            let fix = insecure.remedy().map_or_else(advice, |command| format!("sudo {command}"));
            let seen = format!("{} is not run: {}", provider.program().display(), insecure.seen());
            return Check::warn(ID, PROVIDERS, seen, fix);
        }
    }
    if let Some(why) = unknown {
        return Check::skipped(
            ID,
            PROVIDERS,
            format!("it is not known whether {} can run {names}: {why}", shown(runs)),
        );
    }
    Check::ok(ID, PROVIDERS, format!("{names}, as {}", shown(runs)))
}
