//! What `enable`, `disable` and `status` share: this machine's sshd, and the pair of settings in force.

mod chain;
mod diagnose;
mod disable;
mod enable;
mod install;
mod pin;
mod status;

use std::path::{Path, PathBuf};

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::ownership::{self, Insecure};
use eic_host::sshd::command::{CommandOwner, command_owner};
use eic_host::sshd::listener::Listener;
use eic_host::sshd::server::{CONFIG, EffectiveCommand, Server, ServerError};
use eic_host::sshd::sources::Sources;
use eic_host::sshd::units;

pub(super) use diagnose::{
    Fix, SetupFault, SetupState, is_ours, placed, program_fault, shown_reload, user_fault, where_from,
};
pub(super) use disable::run as disable;
pub(super) use enable::run as enable;
pub(super) use status::run as status;

/// Our file where an `Include` reads its folder: before systemd's `20-systemd-userdb.conf`.
pub(super) const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-eic-agent.conf";

/// Where packages put this program; named where the kernel does not tell where it lies.
const PACKAGED: &str = "/usr/bin/eic-agent";

/// This machine's sshd, as far as it is about us.
pub(super) struct SshdState {
    pub(super) server: Server,
    /// The running server that logins go to.
    pub(super) listener: Option<Listener>,
    /// Other running servers, with a configuration of their own.
    pub(super) others: Vec<Listener>,
    /// The configuration that the running server reads, else the usual one.
    pub(super) config: PathBuf,
    /// This program, as sshd will run it.
    pub(super) own: PathBuf,
}

/// What is in force, by the files alone and for the running server.
struct CommandsInForce {
    filed: EffectiveCommand,
    /// Where the running server's own command line says something else.
    running: Option<EffectiveCommand>,
}

/// Why nothing can be said of this machine's sshd.
pub(super) enum SshdUnknown {
    /// There is none.
    Absent,
    /// It, or what it reads, is not looked at: root takes nothing there that another user can change.
    Refused(SetupFault),
}

impl std::fmt::Display for SshdUnknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no sshd on this machine; install openssh-server"),
            Self::Refused(fault) => fault.fmt(f),
        }
    }
}

impl SshdUnknown {
    fn insecure(what: &str, insecure: &Insecure) -> Self {
        let otherwise = match insecure {
            Insecure::Unreadable(..) => "put it back, or correct the link or the Include that names it",
            _ => "make it a file of root's alone, up to /",
        };
        let fix = insecure.remedy().map_or_else(|| Fix::Do(otherwise.to_owned()), Fix::Run);
        Self::Refused(SetupFault { seen: format!("{what}: {}", insecure.seen()), fix })
    }
}

impl From<SshdUnknown> for String {
    fn from(unseen: SshdUnknown) -> Self {
        unseen.to_string()
    }
}

impl SshdState {
    /// With a program of our own that sshd would run.
    fn find() -> Result<Self, String> {
        Ok(Self { own: own_program()?, ..Self::detect().map_err(String::from)? })
    }

    /// With this program wherever it lies, for those who only look.
    pub(super) fn detect() -> Result<Self, SshdUnknown> {
        let server =
            Server::find().map_err(|insecure| SshdUnknown::insecure("sshd is not run", &insecure))?;
        let server = server.ok_or(SshdUnknown::Absent)?;
        let (listener, others) = chosen(Listener::all(server.program()));
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
        Ok(Self { server, listener, others, config, own })
    }

    /// Why it cannot be told what the running server was started with; what is missed may win over all files.
    pub(super) fn unclear(&self) -> Option<String> {
        let listener = self.listener.as_ref().filter(|listener| !listener.is_clear)?;
        Some(format!(
            "the command line of the running sshd (pid {}) cannot be told apart; put what stands there into {}",
            listener.pid,
            self.config.display()
        ))
    }

    /// Whether more than single letters stands on its command line, so that a setting or a file may be among it.
    fn says_more_than_flags(&self) -> bool {
        self.listener
            .as_ref()
            .is_some_and(|listener| listener.config.is_some() || !listener.options.is_empty())
    }

    /// The settings on the running server's own command line.
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

/// Checks sshd's configuration and every file that it includes by sshd's own rule for what it trusts: who can change
/// one of them can have a command run as any user, by sshd, and by root's commands here.
fn secure(config: &Path) -> Result<(), SshdUnknown> {
    let refused = |insecure: &Insecure| {
        SshdUnknown::insecure(&format!("sshd's configuration {} is not read", config.display()), insecure)
    };
    ownership::check(config).map_err(|insecure| refused(&insecure))?;
    Sources::read(config).insecure.first().map_or(Ok(()), |insecure| Err(refused(insecure)))
}

/// The server that logins go to, and the others: systemd's where it starts one, else one that reads the usual
/// configuration, else the only one there is.
fn chosen(mut all: Vec<Listener>) -> (Option<Listener>, Vec<Listener>) {
    let of_unit = units::sshd_pid();
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

/// The files that our lines may stand in: what any running server reads, and where `enable` writes by itself. A file
/// that somebody else can change is in the second list, with what is wrong.
fn places(servers: &[Listener]) -> (Vec<PathBuf>, Vec<String>) {
    let known = servers.iter().filter(|server| server.unknown_config().is_none());
    let configs = known.filter_map(|server| server.config.as_deref());
    let sources: Vec<_> = configs.chain([Path::new(CONFIG)]).map(Sources::read).collect();
    let insecure = sources.iter().flat_map(|sources| &sources.insecure).map(ToString::to_string);
    let unknown = servers.iter().filter_map(Listener::unknown_config);
    let insecure = insecure.chain(unknown.map(|(seen, fix)| format!("{seen}; {fix}"))).collect();
    let mut files: Vec<_> = sources.into_iter().flat_map(|sources| sources.files).collect();
    // Our own by its own name first, however else it may be included.
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
        Err("this takes root; run it with sudo".to_owned())
    }
}

/// Where this program lies. Without /proc, as in a bare chroot, the kernel does not tell.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| {
        let called = std::env::args_os().next().map(PathBuf::from);
        called.filter(|called| called.is_absolute()).unwrap_or_else(|| PACKAGED.into())
    })
}

/// This program's real path, which has to pass sshd's own check of what it runs.
fn own_program() -> Result<PathBuf, String> {
    let own = ownership::check(&own_path())
        .map_err(|insecure| format!("sshd would not run this program: {insecure}"))?;
    let plain = own
        .to_str()
        .is_some_and(|path| path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\%#".contains(&byte)));
    if plain {
        Ok(own)
    } else {
        Err(format!("sshd_config cannot name {}; put this program elsewhere", own.display()))
    }
}

/// A command for a message.
pub(super) fn shown(command: Option<&str>) -> String {
    command.map_or_else(|| "none".to_owned(), |command| printable(command, MAX_SHOWN))
}

/// What is in force for this user's logins, by the running server where it says something else than the
/// files, and whose command that is.
pub(super) fn in_force_for(user: Option<&str>) -> Result<(EffectiveCommand, CommandOwner, PathBuf), String> {
    let machine = SshdState::detect().map_err(String::from)?;
    let printed = machine.server.printed(&machine.config, machine.options(), user);
    let printed = printed.map_err(|error| format!("{}: {error}", machine.config.display()))?;
    let effective = EffectiveCommand::of(&printed);
    let holder = machine.command_owner(&effective);
    Ok((effective, holder, machine.own))
}
