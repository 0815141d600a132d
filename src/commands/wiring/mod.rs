//! What `enable`, `disable` and `status` share: this machine's sshd, and the pair of settings in force.

mod disable;
mod enable;
mod place;
mod status;

use std::path::{Path, PathBuf};

pub(super) use disable::run as disable;
pub(super) use enable::run as enable;
pub(super) use status::run as status;

use crate::ownership;
use crate::sshd::command::{Holder, holder};
use crate::sshd::listener::Listener;
use crate::sshd::server::{CONFIG, Effective, Server, ServerError};
use crate::sshd::sources::Sources;
use crate::text::{MAX_SHOWN, printable};

/// Our file where an `Include` reads its folder: before systemd's `20-systemd-userdb.conf`.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-eic-agent.conf";

/// Where packages put this program; named where the kernel does not tell where it lies.
const PACKAGED: &str = "/usr/bin/eic-agent";

/// This machine's sshd, as far as it is about us.
struct Machine {
    server: Server,
    listener: Option<Listener>,
    /// The configuration that the running server reads, else the usual one.
    config: PathBuf,
    /// This program, as sshd will run it.
    own: PathBuf,
}

/// What is in force, by the files alone and for the running server.
struct InForce {
    filed: Effective,
    /// Where the running server's own command line says something else.
    running: Option<Effective>,
}

impl Machine {
    fn find() -> Result<Self, String> {
        let server = Server::find().ok_or("there is no sshd on this machine; install openssh-server")?;
        let listener = Listener::find();
        let config = listener.as_ref().and_then(|listener| listener.config.clone());
        Ok(Self { server, listener, config: config.unwrap_or_else(|| CONFIG.into()), own: own_program()? })
    }

    fn in_force(&self) -> Result<InForce, ServerError> {
        let filed = self.server.effective(&self.config, &[])?;
        let running = match &self.listener {
            Some(listener) if listener.sets_command() => {
                Some(self.server.effective(&self.config, &listener.options)?)
            }
            _ => None,
        };
        Ok(InForce { filed, running })
    }

    fn holder(&self, effective: &Effective) -> Holder {
        holder(effective.command.as_deref(), &self.own)
    }
}

/// The files that our lines may stand in: what sshd reads, and where `enable` writes by itself.
fn places(config: &Path) -> Vec<PathBuf> {
    let mut files = Sources::read(config).files;
    for usual in [Path::new(CONFIG), Path::new(DROP_IN)] {
        if !files.iter().any(|file| file == usual) {
            files.push(usual.to_owned());
        }
    }
    files
}

fn need_root() -> Result<(), String> {
    if nix::unistd::Uid::effective().is_root() {
        Ok(())
    } else {
        Err("this takes root; run it with sudo".to_owned())
    }
}

/// This program's real path, which has to pass sshd's own check of what it runs.
fn own_program() -> Result<PathBuf, String> {
    // Without /proc, as in a bare chroot, the kernel does not tell.
    let own = std::env::current_exe().unwrap_or_else(|_| {
        let called = std::env::args_os().next().map(PathBuf::from);
        called.filter(|called| called.is_absolute()).unwrap_or_else(|| PACKAGED.into())
    });
    let own =
        ownership::check(&own).map_err(|insecure| format!("sshd would not run this program: {insecure}"))?;
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
fn shown(command: Option<&str>) -> String {
    command.map_or_else(|| "none".to_owned(), |command| printable(command, MAX_SHOWN))
}
