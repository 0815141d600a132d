//! Whether sshd runs this program, and if not, why. `status` and `doctor` share this diagnosis.

use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::sshd::command::{CommandOwner, command_owner, leads_to, split};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::last_read::Unread;
use eic_host::sshd::place::read_config;
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::sources::{Setting, Sources};
use eic_host::sshd::units;

use super::{DROP_IN, ProgramState, SshdState, own_line, shown as shown_command};
use crate::advice::Fix;

/// The package's file for systemd-sysusers(8), which creates the user.
const SYSUSERS: &str = "/usr/lib/sysusers.d/eic-agent.conf";

/// A fault of the setup, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetupFault {
    pub(crate) seen: String,
    pub(crate) fix: Fix,
}

impl std::fmt::Display for SetupFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.seen, self.fix)
    }
}

/// The effective command for a login, and the values to compare it with.
pub(crate) struct SetupState<'a> {
    pub(crate) machine: &'a SshdState,
    pub(crate) sources: &'a Sources,
    /// For the running server, with the options on its command line.
    pub(crate) running: &'a EffectiveCommand,
    /// According to the files alone.
    pub(crate) filed: &'a EffectiveCommand,
    /// For a login that no `Match` applies to.
    pub(crate) general: &'a EffectiveCommand,
    /// A file or folder that the running server may not have read since its last change.
    pub(crate) unread: Option<&'a Unread>,
}

impl SetupState<'_> {
    /// Every reason why the running server does not use this program, or may not use it. The first reason must be fixed
    /// first.
    pub(crate) fn faults(&self) -> Result<Vec<SetupFault>, String> {
        let Some(unread) = self.unread_fault() else { return self.filed_faults() };
        // What the files set takes effect only when the server reads them.
        let later = |fault: SetupFault| SetupFault { seen: format!("after that: {}", fault.seen), ..fault };
        Ok(std::iter::once(unread).chain(self.filed_faults()?.into_iter().map(later)).collect())
    }

    /// The same for a server that has read the files as they are now.
    pub(crate) fn filed_faults(&self) -> Result<Vec<SetupFault>, String> {
        if let Some(lost) = self.lost() {
            return Ok(vec![lost]);
        }
        let mut faults = Vec::new();
        faults.extend(self.line_fault());
        if let ProgramState::Faulty(fault) = self.program_state() {
            faults.push(fault);
        }
        faults.extend(user_fault(self.running.user.as_deref())?.map(|fault| self.as_started(fault)));
        if !self.running.takes_keys {
            let setting = "set PubkeyAuthentication yes";
            let winner = self.sources.of(Keyword::PubkeyAuthentication, "no");
            let place = winner.map_or_else(String::new, |winner| format!(" ({})", placed(winner)));
            faults.push(SetupFault {
                seen: format!("sshd accepts no keys: PubkeyAuthentication is no{place}"),
                fix: Fix::Do(format!("{setting}, then: {}", shown_reload(self.machine))),
            });
        }
        Ok(faults)
    }

    /// The fault in our command line because of which no run gives a key. `None` also if the command in force is not ours.
    pub(crate) fn line_fault(&self) -> Option<SetupFault> {
        let command =
            self.running.command.as_deref().filter(|command| is_ours(Some(command), &self.machine.own))?;
        let place = self.winner().map_or_else(|| "the running sshd's command line".to_owned(), placed);
        let (seen, fix) = own_line::fault(command, &place)?;
        let fix = Fix::Do(format!("{fix}, then: {}", shown_reload(self.machine)));
        Some(self.as_started(SetupFault { seen, fix }))
    }

    /// Whether sshd can run this program as the effective command. The program of another command does not matter.
    pub(crate) fn program_state(&self) -> ProgramState {
        let command = self.running.command.as_deref();
        if !is_ours(command, &self.machine.own) {
            return ProgramState::Runs;
        }
        let program = split(command.unwrap_or_default()).into_iter().next().unwrap_or_default();
        ProgramState::of(Path::new(&program), self.running.user.as_deref())
    }

    /// Why it is unknown whether the running server uses what the files have. `None` if it has read them, or if its
    /// command line sets a command that is not ours.
    pub(crate) fn unread_fault(&self) -> Option<SetupFault> {
        let (unread, listener) = (self.unread?, self.machine.listener.as_ref()?);
        if self.is_on_command_line() && !is_ours(self.running.command.as_deref(), &self.machine.own) {
            return None;
        }
        let path = unread.path.display();
        let seen = if unread.is_certain {
            format!(
                "sshd (pid {}) has not read {path} since it changed, so it is not known what sshd does now",
                listener.pid
            )
        } else {
            format!(
                "{path} changed after sshd (pid {}) was started, and it is not known whether sshd has read it since, because sshd has no pid file that belongs to root",
                listener.pid
            )
        };
        let command = if unread.is_certain { reload(self.machine) } else { restart(self.machine) };
        Some(SetupFault { seen, fix: command })
    }

    /// Why it is not certain that the running server uses the effective command: its command line may override every
    /// file.
    pub(crate) fn doubt(&self) -> Option<String> {
        let unseen = "run with sudo to see what the running sshd was started with";
        let is_root = nix::unistd::Uid::effective().is_root();
        self.machine.unclear().or_else(|| (!is_root).then(|| unseen.to_owned()))
    }

    /// Why sshd does not run eic-agent. `None` if it does.
    pub(crate) fn lost(&self) -> Option<SetupFault> {
        let command = self.running.command.as_deref();
        if is_ours(command, &self.machine.own) {
            return None;
        }
        let seen =
            format!("sshd does not run eic-agent: AuthorizedKeysCommand is {}", shown_command(command));
        if self.is_on_command_line() {
            let seen = format!("{seen}, from sshd's command line, which overrides every file");
            return Some(SetupFault { seen, fix: self.started_otherwise() });
        }
        let place = self.winner().map_or_else(String::new, |winner| format!(" ({})", placed(winner)));
        Some(SetupFault { seen: format!("{seen}{place}{}", self.ours()), fix: self.fix() })
    }

    /// The line that sets the effective command. `None` if it is set on the running server's command line.
    pub(crate) fn winner(&self) -> Option<&Setting> {
        if self.is_on_command_line() {
            return None;
        }
        let command = self.running.command.as_deref().unwrap_or("none");
        let is_general = self.running.command == self.general.command;
        let mut conditional = self.sources.conditional().filter(|setting| setting.value == command);
        if is_general { self.sources.of_command(command) } else { conditional.next() }
    }

    fn is_on_command_line(&self) -> bool {
        self.running.command != self.filed.command
    }

    /// Where our own line is, and why it is not in force.
    fn ours(&self) -> String {
        let own = &self.machine.own;
        let is_ours = |setting: &&Setting| is_ours(Some(&setting.value), own);
        let mut commands = self.sources.commands.iter().filter(is_ours);
        if let Some(first) = commands.clone().find(|setting| setting.within.is_none()) {
            let is_conditional = self.winner().is_some_and(|winner| winner.within.is_some());
            let why = if is_conditional { "a Match block overrides it" } else { "sshd uses the first value" };
            return format!("; eic-agent's line is at {first}, but {why}");
        }
        if let Some(ours) = commands.next() {
            return format!("; eic-agent's line is at {}, which does not apply to this login", placed(ours));
        }
        let drop_in = Path::new(DROP_IN);
        if !self.sources.files.iter().any(|file| file == drop_in) && names(drop_in, own) {
            return format!(
                "; sshd does not read eic-agent's lines in {DROP_IN}: {} does not include it",
                self.machine.config.display()
            );
        }
        String::new()
    }

    /// Adapts the fix of a fault: if the running server was started with the faulty value, a change of files does not
    /// help.
    pub(crate) fn as_started(&self, fault: SetupFault) -> SetupFault {
        if !self.is_on_command_line() && self.running.user == self.filed.user {
            return fault;
        }
        let seen = format!("{}; the running sshd was started with it", fault.seen);
        SetupFault { seen, fix: self.started_otherwise() }
    }

    /// What to do about a server that was started with `-o AuthorizedKeysCommand`.
    fn started_otherwise(&self) -> Fix {
        let pid = self.machine.listener.as_ref().map_or_else(String::new, |l| format!(" (pid {})", l.pid));
        let by_hand = format!(
            "remove -o AuthorizedKeysCommand from the unit or script that starts sshd{pid}, if it is still there, and restart sshd"
        );
        if !self.machine.is_main {
            return Fix::Do(by_hand);
        }
        let files = units::overrides();
        if !files.is_empty() {
            return Fix::Do(where_from(&files));
        }
        if !units::systemd_runs() {
            return Fix::Do(by_hand);
        }
        Fix::Do(format!(
            "no unit sets AuthorizedKeysCommand any more: sudo systemctl restart {} (open sessions continue); if that does not help, find what starts sshd with -o AuthorizedKeysCommand",
            units::sshd_unit()
        ))
    }
}

/// Whether a command runs this program, directly or by our symbolic link at the path of Amazon's command.
pub(crate) fn is_ours(command: Option<&str>, own: &Path) -> bool {
    match command_owner(command, own) {
        CommandOwner::Ours => true,
        CommandOwner::Amazons => {
            let program = command.and_then(|command| split(command).into_iter().next()).unwrap_or_default();
            leads_to(Path::new(&program), own)
        }
        CommandOwner::Nobody | CommandOwner::Other => false,
    }
}

/// Why sshd cannot run a command as this user. A user name with a `%` token depends on the login, and is not checked.
pub(crate) fn user_fault(user: Option<&str>) -> Result<Option<SetupFault>, String> {
    let Some(user) = user else {
        let seen = "sshd does not run eic-agent: no AuthorizedKeysCommandUser is set".to_owned();
        return Ok(Some(SetupFault { seen, fix: Fix::Run(format!("{IDENT} enable")) }));
    };
    if user.contains('%') || Account::find(user).is_some() || Account::look_up(user)?.is_some() {
        return Ok(None);
    }
    let seen = format!(
        "sshd does not run eic-agent: its AuthorizedKeysCommandUser {user:?} is neither in /etc/passwd nor known to getent"
    );
    let fix = if user != IDENT {
        Fix::Do(format!("name an existing user, for example {IDENT}"))
    } else if Path::new(SYSUSERS).is_file() {
        Fix::Run("systemd-sysusers eic-agent.conf".to_owned())
    } else {
        Fix::Run(format!("useradd --system --no-create-home --shell /usr/sbin/nologin {IDENT}"))
    };
    Ok(Some(SetupFault { seen, fix }))
}

/// The command that makes sshd reload its configuration, with sudo.
pub(crate) fn shown_reload(machine: &SshdState) -> String {
    shown(reload(machine))
}

fn shown(fix: Fix) -> String {
    match fix {
        Fix::Run(command) => format!("sudo {command}"),
        Fix::Do(words) => words,
    }
}

/// The fix that makes sshd read its configuration again.
fn reload(machine: &SshdState) -> Fix {
    match &machine.listener {
        Some(listener) => Fix::Run(reload_command(listener.pid, machine.is_unit)),
        None if units::systemd_runs() => Fix::Run(format!("systemctl restart {}", units::sshd_unit())),
        None => Fix::Do("start sshd".to_owned()),
    }
}

/// The command that makes a running server read its configuration again.
pub(super) fn reload_command(pid: u32, is_unit: bool) -> String {
    match (is_unit, is_unit && units::has_socket()) {
        // On a reload, a server that systemd started for a socket would lose the socket.
        (_, true) => format!("systemctl restart {}", units::sshd_unit()),
        (true, false) => format!("systemctl reload {}", units::sshd_unit()),
        (false, false) => format!("kill -HUP {pid}"),
    }
}

/// The fix that restarts sshd. Open sessions stay.
fn restart(machine: &SshdState) -> Fix {
    if machine.is_unit {
        return Fix::Run(format!("systemctl restart {}", units::sshd_unit()));
    }
    Fix::Do("restart sshd (open sessions continue)".to_owned())
}

/// How to remove the command that these unit files set.
pub(crate) fn where_from(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!(
        "remove AuthorizedKeysCommand from {}, then: sudo systemctl daemon-reload && sudo systemctl restart {} (open sessions continue)",
        names.join(" and "),
        units::sshd_unit()
    )
}

/// Formats the file and line of a setting, with its `Match`.
pub(crate) fn placed(setting: &Setting) -> String {
    let within = setting.within.as_deref();
    within.map_or_else(|| setting.to_string(), |within| format!("{setting}, inside \"Match {within}\""))
}

/// Whether a file that sshd does not read would set our command.
fn names(file: &Path, own: &Path) -> bool {
    let content = read_config(file).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&content).lines().any(|line| {
        let setting = Keyword::of_line(line);
        setting.is_some_and(|(keyword, command)| {
            let program = split(command).into_iter().next();
            keyword == Keyword::AuthorizedKeysCommand
                && program.is_some_and(|program| leads_to(Path::new(&program), own))
        })
    })
}
