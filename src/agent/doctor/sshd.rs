//! sshd's effective configuration for one login. sshd is queried once, for all checks.

use std::path::PathBuf;

use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::offer::Offer;
use eic_host::sshd::server::{EffectiveCommand, EffectiveConfig};
use eic_host::sshd::sources::Sources;

use super::check::Check;
use crate::sshd_setup::shown_reload;
use crate::sshd_setup::{Fix, SetupFault, SetupState, SshdState, SshdUnknown, placed};

/// sshd and its effective configuration for the login.
pub(super) struct Sshd {
    pub(super) machine: SshdState,
    pub(super) sources: Sources,
    /// For the running server, with the options on its command line. These override every file.
    pub(super) running: EffectiveConfig,
    /// According to the files alone.
    filed: EffectiveConfig,
    /// For a login that no `Match` applies to.
    general: EffectiveConfig,
}

/// Why sshd's effective configuration is unknown.
pub(super) enum SshdUnavailable {
    /// No sshd is installed.
    Absent,
    /// sshd is not queried: see [`SshdUnknown::Refused`].
    Refused(SetupFault),
    /// sshd refuses its configuration: its message, and the configuration file.
    Broken(String, PathBuf),
    /// sshd reports its configuration only to root. Has its message.
    NeedsRoot(String),
}

impl Sshd {
    /// Queries sshd about logins of `user`, or about logins that no `Match` applies to.
    pub(super) fn inspect(user: Option<&str>) -> Result<Self, SshdUnavailable> {
        let machine = SshdState::detect()?;
        let is_root = nix::unistd::Uid::effective().is_root();
        let blind = |error: &dyn std::fmt::Display| {
            let words = error.to_string();
            if is_root {
                SshdUnavailable::Broken(words, machine.config.clone())
            } else {
                SshdUnavailable::NeedsRoot(words)
            }
        };
        let ask = |options: &[String], user| machine.server.printed(&machine.config, options, user);
        let filed = ask(&[], user).map_err(|error| blind(&error))?;
        // The server's title may show its options incompletely or changed, so sshd may refuse them.
        let options = machine.options();
        let running = if options.is_empty() { None } else { ask(options, user).ok() };
        let running = running.unwrap_or_else(|| filed.clone());
        let general = match user {
            Some(_) => ask(options, None).or_else(|_| ask(&[], None)).map_err(|error| blind(&error))?,
            None => running.clone(),
        };
        let sources = Sources::read(&machine.config);
        Ok(Self { machine, sources, running, filed, general })
    }

    /// Calls `judge` with the effective command and the values to compare it with.
    pub(super) fn wired<T>(&self, judge: impl FnOnce(&SetupState<'_>) -> T) -> T {
        let [running, filed, general] = [&self.running, &self.filed, &self.general].map(EffectiveCommand::of);
        judge(&SetupState {
            machine: &self.machine,
            sources: &self.sources,
            running: &running,
            filed: &filed,
            general: &general,
        })
    }

    /// A setting to recommend. `None` if this sshd does not accept it.
    pub(super) fn offer(&self, keyword: Keyword, value: &str) -> Option<Offer> {
        self.machine.server.accepts(keyword, value)
    }

    /// ` (FILE:LINE)` of the line that sets `keyword` to this value. Empty if it is not found: sshd may print another
    /// value than the line has.
    pub(super) fn place(&self, keyword: Keyword, value: &str) -> String {
        if self.machine.listener.as_ref().is_some_and(|listener| listener.sets(keyword)) {
            return " (on the running sshd's own command line)".to_owned();
        }
        let is_special = !self.running.values(keyword).eq(self.general.values(keyword));
        let found = self.sources.of(keyword, value).or_else(|| self.sources.first(keyword, is_special));
        found.map_or_else(String::new, |setting| format!(" ({})", placed(setting)))
    }
}

impl From<SshdUnknown> for SshdUnavailable {
    fn from(unseen: SshdUnknown) -> Self {
        match unseen {
            SshdUnknown::Absent => Self::Absent,
            SshdUnknown::NeedsRoot(seen) => Self::NeedsRoot(seen),
            SshdUnknown::Refused(fault) => Self::Refused(fault),
        }
    }
}

impl SshdUnavailable {
    /// A check that is skipped for this reason.
    pub(super) fn skipped(&self, id: &'static str, why: &'static str) -> Check {
        let seen = match self {
            Self::Absent => "there is no sshd to ask".to_owned(),
            Self::Refused(_) => "sshd is not asked; the check \"command\" says why".to_owned(),
            Self::Broken(..) => "sshd refuses its configuration".to_owned(),
            Self::NeedsRoot(_) => "sshd tells root only; run with sudo to see it".to_owned(),
        };
        Check::skipped(id, why, seen)
    }
}

pub(super) fn shown_fix(fix: Fix) -> String {
    match fix {
        Fix::Run(command) => format!("sudo {command}"),
        Fix::Do(words) => words,
    }
}

pub(super) fn failed(id: &'static str, why: &'static str, fault: SetupFault) -> Check {
    Check::fail(id, why, fault.seen, shown_fix(fault.fix))
}

pub(super) fn not_asked(id: &'static str, why: &'static str) -> Check {
    Check::skipped(id, why, "sshd does not ask this program")
}

/// `, then: …` with the command that makes sshd reload its configuration.
pub(super) fn then_reload(sshd: &Sshd) -> String {
    format!(", then: {}", shown_reload(&sshd.machine))
}
