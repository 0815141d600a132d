//! `enable`: has sshd ask this program, or leaves everything as it is and says why.

use std::io::Write;
use std::path::Path;

use super::place::{Pair, put_in, undo};
use super::{InForce, Machine, shown};
use crate::accounts::Account;
use crate::audit::IDENT;
use crate::cli::Enable;
use crate::commands::Outcome;
use crate::sshd::command::{Holder, chained, plain};
use crate::sshd::replace::{lock, sweep};
use crate::sshd::server::Effective;
use crate::sshd::sources::Sources;
use crate::sshd::units;
use crate::text::one_line;

/// Why it ends without our lines in place.
enum Refusal {
    /// It could not be done; everything is as it was.
    Failed(String),
    /// Another command is in force, and was left alone.
    LeftAlone(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Runs the command.
pub(in crate::commands) fn run(arguments: &Enable, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let mut say = |line: String| {
        let _ = writeln!(out, "{}", one_line(&line));
    };
    match enable(arguments.chain, &mut say) {
        Ok(()) => Outcome::Done,
        Err(Refusal::Failed(why)) => {
            let _ = writeln!(notes, "{IDENT}: nothing is changed: {}", one_line(&why));
            Outcome::Undecided
        }
        Err(Refusal::LeftAlone(why)) => {
            let _ = writeln!(notes, "{IDENT}: nothing is changed: {}", one_line(&why));
            Outcome::LeftAlone
        }
    }
}

fn enable(chain: bool, say: &mut impl FnMut(String)) -> Result<(), Refusal> {
    super::need_root()?;
    let machine = Machine::find()?;
    let folder = machine.config.parent().unwrap_or(Path::new("/")).to_owned();
    // Held to the end: what is read below is what is changed.
    let _held = lock(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    sweep(&machine.config);
    let wrong = |error| format!("{}: {error}", machine.config.display());
    machine.server.test(&machine.config).map_err(wrong)?;
    let in_force = machine.in_force().map_err(wrong)?;
    if machine.holder(&in_force.filed) == Holder::Ours {
        say(format!(
            "sshd is wired already: AuthorizedKeysCommand {}",
            shown(in_force.filed.command.as_deref())
        ));
        // A run that was cut short may not have come this far.
        tell_sshd(&machine, units::reload_sshd()?, say);
    } else {
        wire(&machine, &in_force, chain, say)?;
    }
    for line in besides(&machine, &in_force) {
        say(line);
    }
    match units::start_own() {
        Ok(_) => {}
        Err(why) => say(format!("warning: {why}")),
    }
    Ok(())
}

fn wire(
    machine: &Machine,
    in_force: &InForce,
    chain: bool,
    say: &mut impl FnMut(String),
) -> Result<(), Refusal> {
    let pair = pair(machine, in_force, chain)?;
    let change = put_in(machine, &pair)?;
    let reloaded = match units::reload_sshd() {
        Ok(reloaded) => reloaded,
        Err(why) => {
            undo(change)?;
            return Err(Refusal::Failed(why));
        }
    };
    say(format!("wrote {}", change.path().display()));
    say(format!("AuthorizedKeysCommand {}", pair.command));
    say(format!("AuthorizedKeysCommandUser {}", pair.user));
    tell_sshd(machine, reloaded, say);
    Ok(())
}

fn tell_sshd(machine: &Machine, reloaded: Option<&str>, say: &mut impl FnMut(String)) {
    match (reloaded, &machine.listener) {
        (Some(unit), _) => say(format!("reloaded {unit}")),
        (None, Some(listener)) => {
            say(format!("sshd (pid {0}) is no unit of systemd's; tell it: kill -HUP {0}", listener.pid));
        }
        (None, None) => {}
    }
}

/// The pair to put in: ours, with what is in force asked beside it where that is wanted.
fn pair(machine: &Machine, in_force: &InForce, chain: bool) -> Result<Pair, Refusal> {
    if let Some(running) =
        in_force.running.as_ref().filter(|running| machine.holder(running) == Holder::Other)
    {
        return Err(Refusal::LeftAlone(format!(
            "sshd was started with -o AuthorizedKeysCommand {}, which wins over every file; {}",
            shown(running.command.as_deref()),
            where_from(&units::overrides())
        )));
    }
    match machine.holder(&in_force.filed) {
        Holder::Other if chain => chain_of(machine, &in_force.filed),
        Holder::Other => Err(Refusal::LeftAlone(standing(machine, &in_force.filed))),
        _ => own_pair(machine),
    }
}

fn own_pair(machine: &Machine) -> Result<Pair, Refusal> {
    if Account::find(IDENT).is_none() {
        return Err(Refusal::Failed(format!(
            "there is no user {IDENT} for sshd to run it as; run: systemd-sysusers, or useradd --system --no-create-home --shell /usr/sbin/nologin {IDENT}"
        )));
    }
    Ok(Pair { command: plain(&machine.own), user: IDENT.to_owned() })
}

/// Ours in front of the command in force, which keeps its user: sshd runs us as root, and we run it as that
/// user and become nobody ourselves. A user that sshd makes of the login name (`%u`) stays sshd's to make.
fn chain_of(machine: &Machine, effective: &Effective) -> Result<Pair, Refusal> {
    let command = effective.command.as_deref().unwrap_or_default();
    let user = effective.user.as_deref().unwrap_or_default();
    let (runs_us, runs_it) = match user {
        "root" => ("root", None),
        user if user.contains('%') => (user, None),
        user => ("root", Some(user)),
    };
    if let Some(user) = runs_it.filter(|user| Account::find(user).is_none()) {
        return Err(Refusal::LeftAlone(format!(
            "{} runs as {user}, who does not stand in /etc/passwd; it cannot be run as that user from here",
            shown(Some(command))
        )));
    }
    if runs_us == "root" && Account::find(IDENT).is_none() {
        own_pair(machine)?;
    }
    match chained(&machine.own, command, runs_it) {
        Ok(command) => Ok(Pair { command, user: runs_us.to_owned() }),
        Err(why) => {
            Err(Refusal::LeftAlone(format!("{} cannot be asked beside: {why}", shown(Some(command)))))
        }
    }
}

/// What stands in the way, where, and what to do.
fn standing(machine: &Machine, effective: &Effective) -> String {
    let command = effective.command.as_deref();
    let sources = Sources::read(&machine.config);
    let place = command.and_then(|command| sources.of_command(command));
    format!(
        "another AuthorizedKeysCommand is in force{}: {} as {}; to have it asked as well, run: eic-agent enable --chain",
        place.map_or_else(String::new, |place| format!(" ({place})")),
        shown(command),
        effective.user.as_deref().unwrap_or("no user")
    )
}

/// What an operator should know although it is wired.
fn besides(machine: &Machine, before: &InForce) -> Vec<String> {
    let mut lines = Vec::new();
    for except in Sources::read(&machine.config).conditional() {
        lines.push(format!(
            "note: logins of \"Match {}\" keep the AuthorizedKeysCommand of {except}",
            except.within.as_deref().unwrap_or_default()
        ));
    }
    let overrides = units::overrides();
    if !overrides.is_empty() {
        lines.push(format!(
            "warning: sshd's unit sets an AuthorizedKeysCommand that wins over every file: {}",
            where_from(&overrides)
        ));
    } else if before.running.is_some() {
        lines.push(
            "warning: the running sshd was started with an AuthorizedKeysCommand of its own; it takes the new one when it is restarted (open sessions stay): systemctl restart sshd"
                .to_owned(),
        );
    }
    lines
}

fn where_from(overrides: &[std::path::PathBuf]) -> String {
    if overrides.is_empty() {
        return "find who starts it so".to_owned();
    }
    let files: Vec<_> = overrides.iter().map(|file| file.display().to_string()).collect();
    format!(
        "remove that from {}, then: systemctl daemon-reload, and restart sshd (open sessions stay)",
        files.join(", ")
    )
}
