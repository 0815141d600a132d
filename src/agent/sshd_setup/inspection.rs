//! sshd's effective configuration for one login. `status`, `enable`, `doctor` and `explain` all judge the machine by
//! it, so that they agree. sshd is queried once, for all checks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_host::process::output_with_timeout;
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::last_read::Unread;
use eic_host::sshd::offer::Offer;
use eic_host::sshd::server::{EffectiveCommand, EffectiveConfig};
use eic_host::sshd::sources::Sources;
use eic_host::sshd::{sockets, units};

use super::{SetupFault, SetupState, SshdState, SshdUnknown, placed};

/// Timeout of `systemctl is-active`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// sshd and its effective configuration for the login.
pub(crate) struct Inspection {
    pub(crate) machine: SshdState,
    pub(crate) sources: Sources,
    /// For the running server, with the options on its command line. These override every file.
    pub(crate) running: EffectiveConfig,
    /// According to the files alone.
    filed: EffectiveConfig,
    /// For a login that no `Match` applies to.
    general: EffectiveConfig,
    /// A file or folder that the running server may not have read since its last change. If set, the values above hold
    /// only after the server has read it.
    pub(crate) unread: Option<Unread>,
}

/// Why sshd's effective configuration is unknown.
pub(crate) enum InspectionError {
    /// No sshd is installed.
    Absent,
    /// sshd is not queried: see [`SshdUnknown::Refused`].
    Refused(SetupFault),
    /// sshd refuses its configuration: its message, and the configuration file.
    Broken(String, PathBuf),
    /// sshd reports its configuration only to root. Has its message.
    NeedsRoot(String),
}

impl Inspection {
    /// Queries sshd about logins of `user`, or about logins that no `Match` applies to.
    pub(crate) fn of_login(user: Option<&str>) -> Result<Self, InspectionError> {
        Self::of(SshdState::detect()?, user)
    }

    /// The same for a known state of sshd.
    pub(super) fn of(machine: SshdState, user: Option<&str>) -> Result<Self, InspectionError> {
        let mut inspection = Self::of_files(machine, user)?;
        inspection.unread = inspection.machine.listener.as_ref().and_then(|listener| {
            let pid_file = inspection.running.value(Keyword::PidFile).map(Path::new);
            Unread::find(listener.pid, pid_file, &inspection.sources)
        });
        Ok(inspection)
    }

    /// The same, without the question whether the running server has read the files as they are now.
    pub(super) fn of_files(mut machine: SshdState, user: Option<&str>) -> Result<Self, InspectionError> {
        let is_root = nix::unistd::Uid::effective().is_root();
        let config = machine.config.clone();
        let blind = |error: &dyn std::fmt::Display| {
            let words = error.to_string();
            if is_root {
                InspectionError::Broken(words, config.clone())
            } else {
                InspectionError::NeedsRoot(words)
            }
        };
        let server = machine.server.clone();
        let ask = |options: &[String], user| server.printed(&config, options, user);
        let filed = ask(&[], user).map_err(|error| blind(&error))?;
        // The server's title may show its options incompletely or changed, so sshd may refuse them.
        let options = machine.options().to_owned();
        let running = if options.is_empty() { Some(filed.clone()) } else { ask(&options, user).ok() };
        if let (None, Some(listener)) = (&running, &mut machine.listener) {
            listener.is_clear = false;
        }
        let running = running.unwrap_or_else(|| filed.clone());
        let general = match user {
            Some(_) => ask(&options, None).or_else(|_| ask(&[], None)).map_err(|error| blind(&error))?,
            None => running.clone(),
        };
        let sources = Sources::read(&machine.config);
        Ok(Self { machine, sources, running, filed, general, unread: None })
    }

    /// Calls `judge` with the effective command and the values to compare it with.
    pub(crate) fn wired<T>(&self, judge: impl FnOnce(&SetupState<'_>) -> T) -> T {
        let [running, filed, general] = [&self.running, &self.filed, &self.general].map(EffectiveCommand::of);
        judge(&SetupState {
            machine: &self.machine,
            sources: &self.sources,
            running: &running,
            filed: &filed,
            general: &general,
            unread: self.unread.as_ref(),
        })
    }

    /// The ports of the configuration.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.running.values(Keyword::Port).filter_map(|port| port.parse().ok())
    }

    /// A setting to recommend. `None` if this sshd does not accept it.
    pub(crate) fn offer(&self, keyword: Keyword, value: &str) -> Option<Offer> {
        self.machine.server.accepts(keyword, value)
    }

    /// ` (FILE:LINE)` of the line that sets `keyword` to this value. Empty if it is not found: sshd may print another
    /// value than the line has.
    pub(crate) fn place(&self, keyword: Keyword, value: &str) -> String {
        if self.machine.listener.as_ref().is_some_and(|listener| listener.sets(keyword)) {
            return " (on the running sshd's own command line)".to_owned();
        }
        let is_special = !self.running.values(keyword).eq(self.general.values(keyword));
        let found = self.sources.of(keyword, value).or_else(|| self.sources.first(keyword, is_special));
        found.map_or_else(String::new, |setting| format!(" ({})", placed(setting)))
    }
}

/// What starts sshd when a client connects, if no sshd runs now: another process at one of these ports, or a socket of
/// systemd. `None` if nothing does. The error says why this is unknown.
pub(crate) fn started_on_demand(ports: &[u16]) -> Result<Option<String>, String> {
    if let Some(port) = ports.iter().find(|port| sockets::is_listened_at(**port)) {
        return Ok(Some(format!(
            "a process listens at port {port}, but no sshd runs; it may start an sshd for each connection"
        )));
    }
    if !units::systemd_runs() {
        return Ok(None);
    }
    let names = ["ssh.socket", "sshd.socket"];
    let mut asked = Command::new("systemctl");
    match output_with_timeout(asked.args(["is-active", "--quiet"]).args(names), TIMEOUT) {
        Ok(said) if said.status.success() => {
            Ok(Some("systemd starts sshd when a client connects".to_owned()))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(format!("systemctl is-active {}: {error}", names.join(" "))),
    }
}

impl From<SshdUnknown> for InspectionError {
    fn from(unseen: SshdUnknown) -> Self {
        match unseen {
            SshdUnknown::Absent => Self::Absent,
            SshdUnknown::NeedsRoot(seen) => Self::NeedsRoot(seen),
            SshdUnknown::Refused(fault) => Self::Refused(fault),
        }
    }
}

impl From<InspectionError> for String {
    fn from(error: InspectionError) -> Self {
        match error {
            InspectionError::Absent => SshdUnknown::Absent.to_string(),
            InspectionError::Refused(fault) => fault.to_string(),
            InspectionError::Broken(words, config) => format!("{}: {words}", config.display()),
            InspectionError::NeedsRoot(words) => format!("{words}; run with sudo"),
        }
    }
}
