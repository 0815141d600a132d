//! What the run that sshd starts next finds in its memory. `doctor` and `explain` show it.

use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::instance::Machine;
use eic_login::config::Settings;
use eic_login::memory::{FOLDER, Kept, MemoryFault, MemoryState, NAME, inspect};
use nix::errno::Errno;
use nix::unistd::Uid;

/// What a run finds.
pub(crate) enum RunMemory {
    /// There is no memory for the user of a run, or it is not known. Holds the reason.
    NoUser {
        /// Whether this is certain.
        is_known: bool,
        /// The reason.
        why: String,
    },
    /// The state of the memory.
    State(MemoryState),
}

impl RunMemory {
    /// The memory of a run with these settings, under the `AuthorizedKeysCommandUser` with this name. If the name is not
    /// known, it is the agent's own user. Call this after root's rights were given up.
    pub(crate) fn find(settings: &Settings, machine: &Machine, user: Option<&str>) -> Self {
        if settings.remember.value.is_zero() {
            return Self::State(MemoryState::Off);
        }
        // A run as root becomes the agent's own user.
        let name = user.filter(|name| *name != "root").unwrap_or(IDENT);
        let shown = printable(name, MAX_SHOWN);
        let unknown = |why| Self::NoUser { is_known: false, why };
        if name.contains('%') {
            return unknown(format!("sshd runs the agent as {shown}, which depends on the login"));
        }
        let uid = match Account::look_up(name) {
            Ok(Some(user)) => Uid::from_raw(user.uid),
            Ok(None) => return unknown(format!("there is no user {shown}")),
            Err(why) => return unknown(why),
        };
        let times = (settings.remember.value, settings.timeout.value);
        let state = inspect(Path::new(FOLDER), uid, machine, &settings.endpoints(), times);
        match state {
            MemoryState::Fault(MemoryFault::NoFolder | MemoryFault::FolderOwner(_)) if name != IDENT => {
                let why = format!("none: sshd runs the agent as {shown}, and only {IDENT} has a memory");
                Self::NoUser { is_known: true, why }
            }
            MemoryState::Fault(MemoryFault::Closed(Errno::EACCES)) if uid != Uid::effective() => {
                unknown(if name == IDENT {
                    "run with sudo to see what runs remember".to_owned()
                } else {
                    format!("only {shown} can read {FOLDER}")
                })
            }
            state => Self::State(state),
        }
    }

    /// What to say about it.
    pub(crate) fn seen(&self) -> String {
        match self {
            Self::NoUser { why, .. } => why.clone(),
            Self::State(state) => seen(state),
        }
    }
}

fn seen(state: &MemoryState) -> String {
    match state {
        MemoryState::Off => "none: [imds] remember is 0".to_owned(),
        MemoryState::Fault(fault) => seen_fault(*fault),
        MemoryState::UnknownBoot => "none: the kernel does not show its boot id".to_owned(),
        MemoryState::Empty => format!("nothing is remembered yet in {FOLDER}"),
        MemoryState::Torn => "the file holds no whole record; the next run replaces it".to_owned(),
        MemoryState::Foreign => {
            "the record is of another version, start of the machine, instance or address; the next run replaces it".to_owned()
        }
        MemoryState::Record { token, evidence } => {
            let evidence = evidence.as_ref().map(|(kept, _)| *kept);
            let parts = [part("the signer's evidence", evidence), part("the token", *token)];
            let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let is_used = [evidence, *token].into_iter().flatten().any(|kept| kept.is_used);
            if is_used { format!("in use: {parts}") } else { format!("too old, so the next run requests everything: {parts}") }
        }
    }
}

fn part(what: &str, kept: Option<Kept>) -> Option<String> {
    let Kept { age, is_used } = kept?;
    let age = age.map_or_else(
        || "from before the clock was set back".to_owned(),
        |age| format!("{} s old", age.as_secs()),
    );
    let unused = if is_used { "" } else { " (not used)" };
    Some(format!("{what}, {age}{unused}"))
}

fn seen_fault(fault: MemoryFault) -> String {
    let file = format!("{FOLDER}/{NAME}");
    let why = match fault {
        MemoryFault::NoFolder => format!("there is no folder {FOLDER}"),
        MemoryFault::NotAFolder => format!("{FOLDER} is not a folder"),
        MemoryFault::FolderOwner(uid) => {
            format!("{FOLDER} belongs to the user with the number {uid}, not to {IDENT}")
        }
        MemoryFault::FolderMode(mode) => format!("{FOLDER} has the mode {mode:04o}, not 0700"),
        MemoryFault::FileIsFolder => format!("{file} is a folder, which a run does not remove"),
        MemoryFault::Unfit(why) => return format!("none for the next run, which removes {file}: {why}"),
        MemoryFault::Closed(error) => format!("{file} cannot be opened: {}", error.desc()),
    };
    format!("none: {why}, so each run requests everything")
}
