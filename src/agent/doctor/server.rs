//! Checks of sshd itself: its release, whether it runs, and whether it is configured to run this program and can.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_core::key_options::Release;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::files::head_of_regular;
use eic_host::sshd::command::{CommandOwner, command_owner, split};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::release::installed_release;
use eic_host::sshd::server::CONFIG;
use eic_host::sshd::units;

use super::check::{Check, CheckStatus};
use super::command_path::{PATH, command_path, program_of};
use super::connections;
use super::sshd::{Sshd, SshdUnavailable, failed, not_asked, shown_fix};
use crate::sshd_setup::{
    OtherServer, SetupFault, SetupState, SshdState, is_ours, placed, shown, started_on_demand, user_fault,
    where_from,
};

const OPENSSH: &str = "eic-agent needs OpenSSH 7.4 or later";
const LISTENER: &str = "no login is possible if no sshd listens";
const COMMAND: &str = "sshd takes pushed keys only from the AuthorizedKeysCommand that is in force";
const USER: &str = "sshd runs the command only if AuthorizedKeysCommandUser names a user";
const OVERRIDE: &str = "options on sshd's command line override every file of its configuration";

/// First release that reads `authorized_keys` before it runs the command (OpenSSH 8.1, auth2-pubkey.c).
const FILES_FIRST: Release = Release(8, 1);

/// Package managers, and their command that installs sshd.
const INSTALLERS: [(&str, &str); 4] = [
    ("/usr/bin/apt-get", "apt-get install openssh-server"),
    ("/usr/bin/dnf", "dnf install openssh-server"),
    ("/usr/bin/yum", "yum install openssh-server"),
    ("/usr/bin/zypper", "zypper install openssh"),
];

/// `openssh`, `listener`, `command`, `command-user`, `command-path` and `unit-override`. `timeout` is the time limit of
/// a run, if the settings are valid.
pub(super) fn checks(sshd: &Result<Sshd, SshdUnavailable>, timeout: Option<Duration>) -> Vec<Check> {
    let listener = listener(sshd);
    // A running server keeps the configuration that it has read before.
    let runs = listener.verdict == CheckStatus::Ok;
    let listener = match sshd {
        Ok(sshd) => connections::judged(listener, sshd, timeout),
        Err(_) => listener,
    };
    let mut checks = vec![openssh(sshd), listener];
    match sshd {
        Ok(sshd) => checks.extend(sshd.wired(|wired| {
            [command(wired), command_user(wired), command_path(wired), unit_override(Some(wired))]
        })),
        Err(blind) => checks.extend([
            if runs { unread_command(blind).left_open() } else { unread_command(blind) },
            blind.skipped("command-user", USER),
            blind.skipped("command-path", PATH),
            unit_override(None),
        ]),
    }
    checks
}

fn openssh(sshd: &Result<Sshd, SshdUnavailable>) -> Check {
    const ID: &str = "openssh";
    if let Err(SshdUnavailable::Absent) = sshd {
        let installer = INSTALLERS.iter().find(|(program, _)| Path::new(program).exists());
        let fix = installer
            .map_or_else(|| "install openssh-server".to_owned(), |(_, words)| format!("sudo {words}"));
        return Check::fail(ID, OPENSSH, "there is no sshd on this machine", fix);
    }
    match installed_release() {
        Err(why) => Check::skipped(ID, OPENSSH, format!("sshd does not report its release: {why}")),
        Ok(release) if release < Release::OLDEST => Check::warn(
            ID,
            OPENSSH,
            format!("expected {} or later, got {release}", Release::OLDEST),
            "update OpenSSH",
        ),
        // Not a warning: supported distributions have such releases, and the operator cannot change that.
        Ok(release) if release < FILES_FIRST => Check::ok(
            ID,
            OPENSSH,
            format!(
                "{release}; it runs the command before it reads authorized_keys, so every login waits for it"
            ),
        ),
        Ok(release) => Check::ok(ID, OPENSSH, release.to_string()),
    }
}

/// `listener`: whether an sshd listens, or systemd starts it when a client connects.
fn listener(sshd: &Result<Sshd, SshdUnavailable>) -> Check {
    const ID: &str = "listener";
    // Do not use the argument `sshd`: if the configuration is broken, a server may still run with the previous one.
    let machine = match SshdState::detect() {
        Ok(machine) => machine,
        Err(unseen) => return SshdUnavailable::from(unseen).skipped(ID, LISTENER),
    };
    let servers: Vec<_> =
        machine.listener.iter().chain(&machine.others).map(|server| format!("pid {}", server.pid)).collect();
    if !servers.is_empty() {
        let others: Vec<_> =
            OtherServer::all(&machine).iter().map(|other| format!("; another {other}")).collect();
        let check = Check::ok(ID, LISTENER, format!("sshd runs ({}){}", servers.join(", "), others.concat()));
        // The other checks judge the default configuration, which no running server uses.
        return if machine.listener.is_none() { check.left_open() } else { check };
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Check::skipped(ID, LISTENER, "run with sudo to see whether an sshd runs");
    }
    let ports: Vec<u16> = sshd.iter().flat_map(Sshd::ports).collect();
    match started_on_demand(&ports) {
        // It may be another program, or an sshd with another configuration.
        Ok(Some(how)) => return Check::ok(ID, LISTENER, how).left_open(),
        Ok(None) => {}
        Err(why) => return Check::skipped(ID, LISTENER, format!("no sshd runs; {why}")),
    }
    let start = if units::systemd_runs() {
        format!("sudo systemctl start {}", units::sshd_unit())
    } else {
        format!("start sshd: sudo {}", machine.server.program().display())
    };
    let fix = match sshd.as_ref().ok().and_then(missing_host_key) {
        Some(key) => format!("make sshd's host key: {key}; then: {start}"),
        None => start,
    };
    let failed = Check::fail(ID, LISTENER, "no sshd runs", fix);
    // sshd does not start with a configuration that it refuses.
    if matches!(sshd, Err(SshdUnavailable::Broken(..))) { failed.after(&["command"]) } else { failed }
}

/// The command that makes a host key, if sshd has none. Without a host key, sshd does not start.
fn missing_host_key(sshd: &Sshd) -> Option<String> {
    let is_temporary = |key: &&str| key.contains("/eic-agent.") && key.ends_with("/host-key");
    let keys: Vec<_> = sshd.running.values(Keyword::HostKey).collect();
    // sshd was queried with a temporary key, because it has no other. With that key, it does not print its default
    // paths.
    let was_temporary = keys.iter().any(is_temporary);
    let first = keys.into_iter().find(|key| !is_temporary(key)).unwrap_or("/etc/ssh/ssh_host_");
    was_temporary.then(|| {
        if first.starts_with("/etc/ssh/ssh_host_") {
            "sudo ssh-keygen -A".to_owned()
        } else {
            format!("sudo ssh-keygen -q -N '' -t ed25519 -f {}", printable(first, MAX_SHOWN))
        }
    })
}

fn command(wired: &SetupState<'_>) -> Check {
    const ID: &str = "command";
    let own = &wired.machine.own;
    let in_force = wired.running.command.as_deref();
    let is_started_with = wired.running.command != wired.filed.command;
    let place = match wired.winner() {
        Some(winner) => format!(" ({})", placed(winner)),
        None if is_started_with => " (on the running sshd's own command line)".to_owned(),
        None => String::new(),
    };
    let seen = format!("{}{place}", shown(in_force));
    let program = program_of(in_force);
    if let Some(unread) = wired.unread_fault() {
        return unread_files(wired, &seen, unread);
    }
    let doubt = wired.doubt();
    if let Some(lost) = wired.lost() {
        let is_there = program.is_file();
        return match command_owner(in_force, own) {
            CommandOwner::Amazons if is_there => Check::warn(
                ID,
                COMMAND,
                format!("sshd runs Amazon's command, not eic-agent: {seen}"),
                shown_fix(lost.fix),
            )
            .left_open(),
            CommandOwner::Other if is_there && is_copy(&program, in_force) => Check::warn(
                ID,
                COMMAND,
                format!("sshd runs another copy of eic-agent: {seen}; this one is {}", own.display()),
                format!("sudo {} doctor (checks that copy)", program.display()),
            )
            .left_open(),
            _ => Check { is_open: doubt.is_some(), ..failed(ID, COMMAND, lost) },
        };
    }
    if let Some(fault) = wired.line_fault() {
        return Check { is_open: doubt.is_some(), ..failed(ID, COMMAND, fault) };
    }
    if let Some(why) = doubt {
        return Check::skipped(ID, COMMAND, format!("the files set {seen}; {why}"));
    }
    let mut seen = seen;
    let winner = wired.winner();
    for other in wired.sources.conditional().filter(|other| Some(*other) != winner) {
        if !is_ours(Some(&other.value), own) {
            let _ =
                write!(seen, "; not for \"Match {}\" ({other})", other.within.as_deref().unwrap_or_default());
        }
    }
    for hidden in wired.sources.hidden() {
        let _ = write!(seen, "; for some logins another may be set at {hidden}");
    }
    Check::ok(ID, COMMAND, seen)
}

/// `command`, if the running sshd may not have read the files as they are now.
fn unread_files(wired: &SetupState<'_>, filed: &str, unread: SetupFault) -> Check {
    const ID: &str = "command";
    let unread = SetupFault { seen: format!("{}; the files set {filed}", unread.seen), ..unread };
    if wired.unread.is_some_and(|unread| unread.is_certain) {
        return failed(ID, COMMAND, unread).left_open();
    }
    Check::skipped(ID, COMMAND, format!("{}; to be sure: {}", unread.seen, shown_fix(unread.fix)))
}

/// The checks that judge what sshd's files set. `account`, `pam`, `providers` and `answer` depend on such a setting.
const OF_FILES: [&str; 12] = [
    "command-user",
    "command-path",
    "public-keys",
    "auth-tries",
    "key-types",
    "revoked-keys",
    "access",
    "shell",
    "account",
    "providers",
    "answer",
    "pam",
];

/// Marks failures as uncertain if they come from files that the running sshd may not have read as they are now.
pub(super) fn mark_unread_files(checks: &mut [Check], sshd: &Sshd) {
    let Some((unread, listener)) = sshd.unread.as_ref().zip(sshd.machine.listener.as_ref()) else { return };
    let is_failed = |check: &&mut Check| check.verdict == CheckStatus::Fail && OF_FILES.contains(&check.id);
    for check in checks.iter_mut().filter(is_failed) {
        check.is_open = true;
        // Most faults of an account, such as a missing one, do not depend on the files.
        if check.id == "account" {
            continue;
        }
        check.after = &["command"];
        let words = if unread.is_certain { "has not read" } else { "may not have read" };
        let _ = write!(check.seen, "; sshd (pid {}) {words} the files since they changed", listener.pid);
    }
}

/// `command`, if sshd's effective configuration is unknown.
fn unread_command(blind: &SshdUnavailable) -> Check {
    const ID: &str = "command";
    match blind {
        SshdUnavailable::Broken(words, config) => {
            let file =
                if config == Path::new(CONFIG) { String::new() } else { format!(" -f {}", config.display()) };
            let fix = format!("correct that until this prints nothing: sudo sshd -t{file}");
            Check::fail(ID, COMMAND, words.clone(), fix)
        }
        SshdUnavailable::Refused(fault) => failed(ID, COMMAND, fault.clone()).left_open(),
        SshdUnavailable::NeedsRoot(words) => {
            Check::skipped(ID, COMMAND, format!("run with sudo to see it ({words})"))
        }
        SshdUnavailable::Absent => blind.skipped(ID, COMMAND),
    }
}

fn command_user(wired: &SetupState<'_>) -> Check {
    const ID: &str = "command-user";
    if !is_ours(wired.running.command.as_deref(), &wired.machine.own) {
        return not_asked(ID, USER);
    }
    let user = wired.running.user.as_deref();
    match user_fault(user) {
        Ok(Some(fault)) => failed(ID, USER, fault),
        Ok(None) => Check::ok(ID, USER, printable(user.unwrap_or_default(), MAX_SHOWN)),
        Err(why) => Check::skipped(ID, USER, format!("{}: {why}", shown(user))),
    }
}

fn unit_override(wired: Option<&SetupState<'_>>) -> Check {
    const ID: &str = "unit-override";
    let mut files = units::overrides();
    if let Some(wired) = wired {
        files.retain(|file| !mentions(file, &wired.machine.own));
    }
    let Some(first) = files.first() else {
        let hidden: Vec<_> = units::unreadable().iter().map(|file| file.display().to_string()).collect();
        return if hidden.is_empty() {
            Check::ok(ID, OVERRIDE, "no unit of sshd sets AuthorizedKeysCommand")
        } else {
            Check::skipped(ID, OVERRIDE, format!("run with sudo to read {}", hidden.join(" and ")))
        };
    };
    let seen = format!("{} starts sshd with an AuthorizedKeysCommand of its own", first.display());
    let fix = where_from(&files);
    let is_running = wired.is_some_and(|wired| {
        let listener = wired.machine.listener.as_ref();
        let sets_other = !is_ours(wired.running.command.as_deref(), &wired.machine.own);
        sets_other && listener.is_some_and(eic_host::sshd::listener::Listener::sets_command)
    });
    if is_running {
        Check::fail(ID, OVERRIDE, seen, fix)
    } else {
        Check::warn(ID, OVERRIDE, format!("{seen}, from sshd's next start on"), fix)
    }
}

/// Whether a command is another copy of this program, judged by its name and subcommand.
fn is_copy(program: &Path, command: Option<&str>) -> bool {
    let words = command.map(split).unwrap_or_default();
    program.file_name().is_some_and(|name| name == IDENT)
        && words.get(1).is_some_and(|word| word == "authorized-keys")
}

/// Whether a file contains our own command.
fn mentions(file: &Path, own: &Path) -> bool {
    let content = head_of_regular(file, eic_host::sshd::place::MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&content).contains(&format!("{} authorized-keys", own.display()))
}
