//! `session`: whether sessions have the wrapper of `[keys] session`. Without that setting, there is no such check.

use eic_core::identity::LoginName;
use eic_core::key_options::SessionStart;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::sshd::keyword::Keyword;
use eic_login::config::SessionForm;
use eic_login::session_wrapper;

use super::check::Check;
use super::service::RootFindings;
use super::sshd::{Sshd, SshdUnavailable};
use crate::environment;

const ID: &str = "session";

const WHY: &str =
    "only a session with the wrapper has the principal in its environment; logins work without it";

/// The check, or `None` if the settings do not ask for the wrapper. Call this without root's rights, as in a login.
pub(super) fn check(
    before: &RootFindings,
    sshd: &Result<Sshd, SshdUnavailable>,
    user: Option<&str>,
) -> Option<Check> {
    let (settings, before) = (before.settings.as_ref().ok()?, &before.environment);
    if settings.session.value == SessionForm::Plain {
        return None;
    }
    if let Some(seen) = environment::undecided_sessions(settings, before) {
        return Some(Check::warn(ID, WHY, seen, "correct that; this shows it again: sudo eic-agent config"));
    }
    let forced = sshd.as_ref().ok().and_then(|sshd| {
        let command = sshd.running.value(Keyword::ForceCommand)?;
        Some((environment::replaces_wrapper(command), sshd.place(Keyword::ForceCommand, command)))
    });
    if let Some((seen, place)) = forced {
        let fix = "remove ForceCommand for this login, or do without the principal";
        return Some(Check::warn(ID, WHY, format!("{seen}{place}"), fix));
    }
    let Some(user) = user.and_then(|user| LoginName::try_from(user).ok()) else {
        return Some(Check::ok(ID, WHY, "it is known what sshd does with sessions"));
    };
    let name = printable(user.as_str(), MAX_SHOWN);
    Some(match session_wrapper::of_command(&user, settings.audit_required.value, before.listener()) {
        SessionStart::NotWrapped(why) => {
            let fix = "docs/settings.md lists the sessions that have no wrapper";
            Check::warn(ID, WHY, format!("sessions of {name} have no wrapper: {why}"), fix)
        }
        SessionStart::Wrapped(_) | SessionStart::Plain => {
            Check::ok(ID, WHY, format!("sessions of {name} start with the wrapper"))
        }
    })
}
