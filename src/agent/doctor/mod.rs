//! `doctor`: checks every link of the chain from the metadata service to a login, in order.
//!
//! | file | checks |
//! | --- | --- |
//! | [`service`] | `machine`, `settings`, and then the checks of the next two files |
//! | [`metadata`] | `metadata`, `metadata-v6`, `proxy`, `instance`, `clock` |
//! | [`signer`] | `region`, `trust-store`, `signer`, `staples` |
//! | [`memory`] | `memory` |
//! | [`server`] | `openssh`, `listener`, `command`, `command-user`, `unit-override` |
//! | [`connections`] | a part of `listener` |
//! | [`command_path`] | `command-path` |
//! | [`keys`] | `public-keys`, `auth-tries`, `key-types` |
//! | [`revoked_keys`] | `revoked-keys` |
//! | [`providers`] | `providers` |
//! | [`access`] | `access` |
//! | [`account`] | `account` |
//! | [`shell`] | `shell` |
//! | [`sessions`] | `session` |
//! | [`system`] | `selinux`, `log`, `unit`, `confinement` |
//! | [`log_limit`] | `log-limit` |
//! | [`live_run`] | `answer` |
//! | [`pam`] | `pam` |
//!
//! [`causes`] finds the failure that causes the others, and [`report`] prints all of them.
//!
//! The rules of `/etc/hosts.deny` are not evaluated. If there are any, the result of a login is not known.

mod access;
mod account;
mod causes;
mod check;
mod command_path;
mod connections;
mod keys;
mod live_run;
mod log_limit;
mod memory;
mod metadata;
mod pam;
mod providers;
mod pushed_key;
mod reach_metadata;
mod report;
mod revoked_keys;
mod server;
mod service;
mod sessions;
mod shell;
mod signer;
mod sshd;
mod system;

use std::io::Write;

use eic_host::stdout::write_once;
use eic_login::Clock;
use eic_login::config::CommandLine;
use report::{DoctorReport, Style};

use crate::advice::Reader;
use crate::cli::DoctorArgs;
use crate::instance_facts::instance_facts;
use crate::layout;
use crate::outcome::Outcome;
use crate::run_user::RunUser;
use crate::sshd_setup::{is_ours, own_line};

/// The user of a run. Unknown if sshd does not run eic-agent.
fn runs(sshd: &Result<sshd::Sshd, sshd::SshdUnavailable>) -> service::Runs {
    let Ok(sshd) = sshd else { return service::Runs::default() };
    let (command, user) = sshd.wired(|wired| (wired.running.command.clone(), wired.running.user.clone()));
    if !is_ours(command.as_deref(), &sshd.machine.own) {
        return service::Runs::default();
    }
    service::Runs { user: RunUser::of(user.as_deref()), name: user }
}

/// The options of our own line in sshd's configuration. Default if sshd does not run eic-agent.
fn options_of_line(sshd: &Result<sshd::Sshd, sshd::SshdUnavailable>) -> CommandLine {
    let command = sshd.as_ref().ok().and_then(|sshd| sshd.wired(|wired| wired.running.command.clone()));
    let is_ours = sshd.as_ref().is_ok_and(|sshd| is_ours(command.as_deref(), &sshd.machine.own));
    own_line::options(command.as_deref().filter(|_| is_ours))
}

pub(super) fn run(
    arguments: &DoctorArgs,
    clock: Clock,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let reader = Reader::detect();
    let user = arguments.user.as_deref();
    // The checks that need root come first. Answers from the network are not read as root.
    let sshd = sshd::Sshd::of_login(user);
    let settled = service::before(user, &options_of_line(&sshd));
    let audit_required = settled.audit_required();
    let listener = sshd.as_ref().ok().and_then(|sshd| sshd.machine.listener.as_ref()).map(|sshd| sshd.pid);
    let before = server::checks(&sshd, settled.timeout());
    let login = account::checks(&sshd, user, clock.started());
    let after = login.checks.into_iter().chain(system::checks(listener, audit_required));
    let after: Vec<_> = std::iter::once(providers::check(&sshd)).chain(after).collect();
    let answer = live_run::check(&sshd, user, &before);
    let runs = runs(&sshd);
    let mut service = service::checks(&settled, &runs, user, clock);
    service.doubt_if_answered(&answer, &runs);
    let mut checks = service.checks;
    let answer = live_run::explained(answer, &checks, &service.asked_as);
    checks.extend(before);
    checks.extend(keys::checks(&sshd, &service.pushed));
    checks.extend(after);
    checks.extend(sessions::check(&settled, &sshd, user));
    checks.push(answer);
    checks.push(login.pam);
    if let Ok(sshd) = &sshd {
        server::mark_unread_files(&mut checks, sshd);
    }
    if let (Ok(sshd), Some(user)) = (&sshd, user) {
        access::mark_dependence_on_client(&mut checks, sshd, user);
    }
    for check in &mut checks {
        check.seen = reader.adapt(&check.seen);
        check.fix = check.fix.take().map(|fix| reader.adapt(&fix));
    }
    let mut report = DoctorReport::new(arguments.user.clone(), clock.started().to_string(), checks);
    let text = if arguments.json {
        report.instance = Some(instance_facts());
        layout::json(&report)
    } else {
        let style = Style {
            width: layout::width(),
            colours: !arguments.no_color && layout::has_colours(),
            quiet: arguments.quiet,
        };
        report.text(style)
    };
    if let Err(error) = write_once(text.as_bytes(), out) {
        let _ = writeln!(notes, "eic-agent: cannot write the result: {error}");
        return Outcome::Undecided;
    }
    if report.is_broken() { Outcome::Undecided } else { Outcome::Done }
}
