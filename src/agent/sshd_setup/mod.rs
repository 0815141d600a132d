//! `enable`, `disable` and `status`. This file has what they share: this machine's sshd, and the effective command.

mod chain;
mod diagnose;
mod disable;
mod enable;
mod fixes;
mod inspection;
mod install;
mod memory_folder;
mod others;
pub(super) mod own_line;
mod pin;
mod program;
mod status;

use std::path::{Path, PathBuf};

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::ownership::{self, Insecure};
use eic_host::sshd::command::{CommandOwner, command_owner};
use eic_host::sshd::listener::Listener;
use eic_host::sshd::server::{CONFIG, EffectiveCommand, Server, ServerError};
use eic_host::sshd::sources::Sources;
use eic_host::sshd::units;

pub(super) use crate::advice::Fix;
pub(super) use diagnose::{SetupFault, SetupState, is_ours, placed, shown_reload, user_fault, where_from};
pub(super) use disable::run as disable;
pub(super) use enable::run as enable;
pub(super) use inspection::{Inspection, InspectionError, started_on_demand};
pub(super) use others::OtherServer;
pub(super) use program::ProgramState;
pub(super) use status::run as status;

/// Our drop-in. It sorts before systemd's `20-systemd-userdb.conf`, which also sets an `AuthorizedKeysCommand`.
pub(super) const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-eic-agent.conf";

/// Path of this program in packages. Used if the kernel does not report the path of the running program.
const PACKAGED: &str = "/usr/bin/eic-agent";

/// The state of this machine's sshd that matters for the agent.
#[derive(Clone)]
pub(super) struct SshdState {
    pub(super) server: Server,
    /// The running server that serves logins.
    pub(super) listener: Option<Listener>,
    /// Other running servers, with their own configuration.
    pub(super) others: Vec<Listener>,
    /// The configuration file of the running server. The default file if no server runs.
    pub(super) config: PathBuf,
    /// Path of this program, for sshd to run.
    pub(super) own: PathBuf,
    /// Whether this is the server that `enable` configures.
    is_main: bool,
    /// Whether the running server is the main process of sshd's systemd unit.
    is_unit: bool,
}

/// The effective command.
struct CommandsInForce {
    /// According to the configuration files alone.
    filed: EffectiveCommand,
    /// For the running server, if its command line sets a command.
    running: Option<EffectiveCommand>,
}

/// Why the state of this machine's sshd is unknown.
pub(super) enum SshdUnknown {
    /// No sshd is installed.
    Absent,
    /// Only root can look at sshd. Holds what was seen.
    NeedsRoot(String),
    /// sshd is not queried, because another user can change sshd or its configuration, or because the configuration
    /// file of the running server is unknown.
    Refused(SetupFault),
}

impl std::fmt::Display for SshdUnknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no sshd on this machine; install openssh-server"),
            Self::NeedsRoot(seen) => write!(f, "{seen}; run with sudo"),
            Self::Refused(fault) => fault.fmt(f),
        }
    }
}

impl SshdUnknown {
    fn insecure(what: &str, insecure: &Insecure) -> Self {
        let is_closed = matches!(insecure, Insecure::Unreadable(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied);
        if is_closed && !nix::unistd::Uid::effective().is_root() {
            return Self::NeedsRoot(format!("{what}: {}", insecure.seen()));
        }
        let otherwise = || match insecure {
            Insecure::Unreadable(_, error) if error.kind() == std::io::ErrorKind::NotFound => {
                "restore it, or correct the link or the Include that names it".to_owned()
            }
            Insecure::Unreadable(..) => insecure.advice("it"),
            _ => "root must own it and every folder above it, and only root may write them".to_owned(),
        };
        let fix = insecure.remedy().map_or_else(|| Fix::Do(otherwise()), Fix::Run);
        Self::Refused(SetupFault { seen: format!("{what}: {}", insecure.seen()), fix })
    }
}

impl From<SshdUnknown> for String {
    fn from(unseen: SshdUnknown) -> Self {
        unseen.to_string()
    }
}

impl SshdState {
    /// Like [`Self::detect`], but fails if sshd would refuse to run this program.
    fn find() -> Result<Self, String> {
        Ok(Self { own: own_program()?, ..Self::detect().map_err(String::from)? })
    }

    /// Finds sshd, its running servers and its configuration. For commands that change nothing: it does not check
    /// whether sshd would run this program.
    pub(super) fn detect() -> Result<Self, SshdUnknown> {
        let server =
            Server::find().map_err(|insecure| SshdUnknown::insecure("sshd is not run", &insecure))?;
        let server = server.ok_or(SshdUnknown::Absent)?;
        let of_unit = units::sshd_pid();
        let (listener, others) = chosen(Listener::all(server.program()), of_unit);
        let is_unit = of_unit.is_some() && listener.as_ref().map(|listener| listener.pid) == of_unit;
        Ok(Self { others, is_unit, ..Self::of(server, listener)? })
    }

    /// The state of a server that `enable` does not configure.
    fn of_other(&self, listener: Listener) -> Result<Self, SshdUnknown> {
        Ok(Self { is_main: false, ..Self::of(self.server.clone(), Some(listener))? })
    }

    fn of(server: Server, listener: Option<Listener>) -> Result<Self, SshdUnknown> {
        if let Some((seen, fix)) = listener.as_ref().and_then(Listener::unknown_config) {
            return Err(SshdUnknown::Refused(SetupFault { seen, fix: Fix::Do(fix.to_owned()) }));
        }
        let config = listener.as_ref().and_then(|listener| listener.config.clone());
        let config = config.unwrap_or_else(|| CONFIG.into());
        if nix::unistd::Uid::effective().is_root() {
            secure(&config)?;
        }
        let own = own_path();
        let own = own.canonicalize().unwrap_or(own);
        Ok(Self { server, listener, others: Vec::new(), config, own, is_main: true, is_unit: false })
    }

    /// Why the options of the running server are unknown. Such an option may override all files.
    pub(super) fn unclear(&self) -> Option<String> {
        let listener = self.listener.as_ref().filter(|listener| !listener.is_clear)?;
        Some(format!(
            "running sshd (pid {}): the agent cannot separate its arguments; move its options into {}",
            listener.pid,
            self.config.display()
        ))
    }

    /// Whether the server's command line has more than single-letter flags, and so may name a file or a setting.
    fn says_more_than_flags(&self) -> bool {
        self.listener
            .as_ref()
            .is_some_and(|listener| listener.config.is_some() || !listener.options.is_empty())
    }

    /// The settings on the command line of the running server.
    pub(super) fn options(&self) -> &[String] {
        self.listener.as_ref().map_or(&[], |listener| &listener.options)
    }

    fn in_force(&self) -> Result<CommandsInForce, ServerError> {
        let filed = self.server.effective(&self.config, &[])?;
        let running = match &self.listener {
            Some(listener) if listener.sets_command() => {
                Some(self.server.effective(&self.config, &listener.options)?)
            }
            _ => None,
        };
        Ok(CommandsInForce { filed, running })
    }

    fn command_owner(&self, effective: &EffectiveCommand) -> CommandOwner {
        command_owner(effective.command.as_deref(), &self.own)
    }
}

/// Checks the ownership of sshd's configuration and of every included file, by the rule that sshd uses for programs. A
/// user who can change one of these files can make sshd, and root's commands here, run a command as any user.
fn secure(config: &Path) -> Result<(), SshdUnknown> {
    let refused = |insecure: &Insecure| {
        SshdUnknown::insecure(&format!("sshd's configuration {} is not read", config.display()), insecure)
    };
    ownership::check(config).map_err(|insecure| refused(&insecure))?;
    Sources::read(config).insecure.first().map_or(Ok(()), |insecure| Err(refused(insecure)))
}

/// Splits the servers into the one that serves logins, and the others. The first choice is the server of systemd's
/// unit. The second choice is a server with the default configuration. The third choice is for machines without
/// systemd: the server, if there is only one.
fn chosen(mut all: Vec<Listener>, of_unit: Option<u32>) -> (Option<Listener>, Vec<Listener>) {
    let place = all
        .iter()
        .position(|listener| Some(listener.pid) == of_unit)
        .or_else(|| all.iter().position(|listener| listener.config.is_none()))
        .or_else(|| (all.len() == 1 && !units::systemd_runs()).then_some(0));
    match place {
        Some(place) => (Some(all.remove(place)), all),
        None => (None, all),
    }
}

/// The files that may have our lines: every file that a running server reads, and the files that `enable` writes. The
/// second list has a message for each file that another user can change, and for each server whose configuration file
/// is unknown.
fn places(servers: &[Listener]) -> (Vec<PathBuf>, Vec<String>) {
    let known = servers.iter().filter(|server| server.unknown_config().is_none());
    let configs = known.filter_map(|server| server.config.as_deref());
    let sources: Vec<_> = configs.chain([Path::new(CONFIG)]).map(Sources::read).collect();
    let insecure = sources.iter().flat_map(|sources| &sources.insecure).map(ToString::to_string);
    let unknown = servers.iter().filter_map(Listener::unknown_config);
    let insecure = insecure.chain(unknown.map(|(seen, fix)| format!("{seen}; {fix}"))).collect();
    let mut files: Vec<_> = sources.into_iter().flat_map(|sources| sources.files).collect();
    // Keep our drop-in under its own path, even if an Include names it by another path.
    files.splice(0..0, [CONFIG, DROP_IN].map(PathBuf::from));
    let mut seen = Vec::new();
    files.retain(|file| {
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    });
    (files, insecure)
}

fn need_root() -> Result<(), String> {
    if nix::unistd::Uid::effective().is_root() {
        Ok(())
    } else {
        Err("this needs root; run it with sudo".to_owned())
    }
}

/// Path of this program. Without /proc, as in a bare chroot, the kernel does not report it.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| {
        let called = std::env::args_os().next().map(PathBuf::from);
        called.filter(|called| called.is_absolute()).unwrap_or_else(|| PACKAGED.into())
    })
}

/// The real path of this program. Fails if sshd would refuse to run it, or if `sshd_config` cannot name it.
fn own_program() -> Result<PathBuf, String> {
    let own = ownership::check(&own_path()).map_err(|insecure| not_for_sshd(&insecure))?;
    let plain = own
        .to_str()
        .is_some_and(|path| path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\%#".contains(&byte)));
    if plain {
        Ok(own)
    } else {
        Err(format!("sshd_config cannot name {}; move this program to another path", own.display()))
    }
}

/// Why `enable` does not give this program to sshd. sshd's own rule may be less strict.
fn not_for_sshd(insecure: &Insecure) -> String {
    let path = own_path();
    match ProgramState::of(&path, Some("root")) {
        ProgramState::Faulty(fault) => format!("sshd would not run this program: {fault}"),
        ProgramState::Unknown(why) => format!("it is not known whether sshd can run this program: {why}"),
        ProgramState::Runs | ProgramState::Insecure(_) => {
            let fix =
                insecure.remedy().map_or_else(|| insecure.advice("the program"), |fix| format!("run: {fix}"));
            format!("other users than root can change this program: {}; {fix}", insecure.seen())
        }
    }
}

pub(super) fn shown(command: Option<&str>) -> String {
    command.map_or_else(|| "none".to_owned(), |command| printable(command, MAX_SHOWN))
}
