//! Whether sshd runs this program, and if not, why. `status` and `doctor` share this diagnosis.

use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::sshd::command::{CommandOwner, chained, command_owner, leads_to, split};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::place::read_config;
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::sources::{Setting, Sources};
use eic_host::sshd::units;

use super::{DROP_IN, SshdState, shown};

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
        match &self.fix {
            Fix::Run(command) => write!(f, "{}; run: {command}", self.seen),
            Fix::Do(words) => write!(f, "{}; {words}", self.seen),
        }
    }
}

/// What to do about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A command to run as root.
    Run(String),
    /// Instructions for the operator.
    Do(String),
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
}

impl SetupState<'_> {
    /// Why sshd does not run this program. `None` if it does.
    pub(crate) fn lost(&self) -> Option<SetupFault> {
        let command = self.running.command.as_deref();
        if is_ours(command, &self.machine.own) {
            return None;
        }
        let seen = format!("sshd does not ask this program: AuthorizedKeysCommand is {}", shown(command));
        if self.is_on_command_line() {
            let seen = format!("{seen}, which it was started with and which wins over every file");
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
            let why = if is_conditional { "a Match wins over it" } else { "the first value wins" };
            return format!("; ours is at {first}, and {why}");
        }
        if let Some(ours) = commands.next() {
            return format!("; ours is at {}, which is not about this login", placed(ours));
        }
        let drop_in = Path::new(DROP_IN);
        if !self.sources.files.iter().any(|file| file == drop_in) && names(drop_in, own) {
            return format!(
                "; ours in {DROP_IN} is not read: {} does not include it",
                self.machine.config.display()
            );
        }
        String::new()
    }

    fn fix(&self) -> Fix {
        let command = self.running.command.as_deref();
        // `enable` cannot override a Match.
        let Some(winner) = self.winner().filter(|winner| winner.within.is_some()) else {
            let chain = if command_owner(command, &self.machine.own) == CommandOwner::Other {
                " --chain"
            } else {
                ""
            };
            return Fix::Run(format!("{IDENT} enable{chain}"));
        };
        let reload = shown_reload(self.machine);
        Fix::Do(match self.both() {
            Some(pair) => {
                format!("take {winner} out, or have both asked: {pair} there; then: {reload}")
            }
            None => format!("take {winner} out, then: {reload}"),
        })
    }

    /// Settings that make sshd run this program, and this program run the command in force as its current user.
    fn both(&self) -> Option<String> {
        let (command, user) = (self.running.command.as_deref()?, self.running.user.as_deref()?);
        let own = &self.machine.own;
        let stays = user == "root" || user.contains('%');
        let line = chained(own, command, (!stays).then_some(user)).ok()?;
        let (command, runs) = self.machine.server.accepts_pair(&line, if stays { user } else { "root" })?;
        Some(if stays { command.to_string() } else { format!("{command} and {runs}") })
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
        let files = units::overrides();
        if !files.is_empty() {
            return Fix::Do(where_from(&files));
        }
        let restart = format!("systemctl restart {}", units::sshd_unit());
        if units::systemd_runs() {
            return Fix::Do(format!(
                "no unit starts it so any more: sudo {restart} (open sessions stay); if that does not help, find what starts sshd with -o AuthorizedKeysCommand"
            ));
        }
        let pid = self.machine.listener.as_ref().map_or_else(String::new, |l| format!(" (pid {})", l.pid));
        Fix::Do(format!(
            "take -o AuthorizedKeysCommand out of what starts sshd{pid}, if it still stands there, and restart it"
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
        let seen = "sshd does not run this program: no AuthorizedKeysCommandUser is set".to_owned();
        return Ok(Some(SetupFault { seen, fix: Fix::Run(format!("{IDENT} enable")) }));
    };
    if user.contains('%') || Account::find(user).is_some() || Account::look_up(user)?.is_some() {
        return Ok(None);
    }
    let seen = format!(
        "sshd does not run this program: its AuthorizedKeysCommandUser {user:?} does not stand in /etc/passwd, nor does getent know it"
    );
    let fix = if user != IDENT {
        Fix::Do(format!("name a user that is there, for example {IDENT}"))
    } else if Path::new(SYSUSERS).is_file() {
        Fix::Run("systemd-sysusers eic-agent.conf".to_owned())
    } else {
        Fix::Run(format!("useradd --system --no-create-home --shell /usr/sbin/nologin {IDENT}"))
    };
    Ok(Some(SetupFault { seen, fix }))
}

/// The command that makes sshd reload its configuration.
pub(crate) fn shown_reload(machine: &SshdState) -> String {
    match &machine.listener {
        _ if units::systemd_runs() => format!("sudo systemctl reload {}", units::sshd_unit()),
        Some(listener) => format!("sudo kill -HUP {}", listener.pid),
        None => "start sshd".to_owned(),
    }
}

/// How to remove the command that these unit files set.
pub(crate) fn where_from(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!(
        "take AuthorizedKeysCommand out of {}, then: sudo systemctl daemon-reload, and: sudo systemctl restart {} (open sessions stay)",
        names.join(" and "),
        units::sshd_unit()
    )
}

/// Formats the file and line of a setting, with its `Match`.
pub(crate) fn placed(setting: &Setting) -> String {
    let within = setting.within.as_deref();
    within.map_or_else(|| setting.to_string(), |within| format!("{setting}, inside \"Match {within}\""))
}

/// Whether a file sets our command. For a file that sshd does not read.
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
