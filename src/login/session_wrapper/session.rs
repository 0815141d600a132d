//! `eic-agent session`: names the caller to a session, and becomes the user's shell or command.
//!
//! sshd starts it through the user's login shell, as the user. So nothing here proves anything: the user can also start it by
//! hand. It never waits for long. When it has become the shell or the command, the session has no process of the agent.
//!
//! On a connection that stays open during an upgrade or a downgrade, a release gets the arguments of another one. So a release
//! ignores options that it does not know, and removes none.

use std::env::var_os;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{IsTerminal as _, stdin};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use eic_core::key_options::{internal_sftp, session_argument, session_variables};
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::sshd::session::sftp_server;

use crate::audit::{Audit, SessionClaim};

/// The command that the client sent. sshd sets it if the key's line has a command (sshd(8)).
const CLIENTS_COMMAND: &str = "SSH_ORIGINAL_COMMAND";

/// The arguments, as they are on the key's line.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// The login name.
    pub user: String,
    /// The login shell in `/etc/passwd`.
    pub shell: String,
    /// The ARN of the principal that pushed the key.
    pub principal: Option<String>,
    /// The id of the push request.
    pub request_id: Option<String>,
    /// The command that the options of the key force.
    pub command: Option<String>,
    /// Whether the session ends if no log accepts its line.
    pub audit_required: bool,
}

/// Starts the session. Returns only if it could not be started: a message for the user.
#[must_use]
pub fn run(arguments: &Arguments) -> String {
    match Session::of(arguments) {
        Ok(session) => session.start(arguments.audit_required),
        Err(word) => format!("expected an argument of a key's line, got {}", printable(&word, MAX_SHOWN)),
    }
}

struct Session {
    user: String,
    shell: PathBuf,
    principal: Option<String>,
    request_id: Option<String>,
    forced: Option<OsString>,
}

impl Session {
    /// Decodes the arguments. The error is an argument that no agent encoded.
    fn of(arguments: &Arguments) -> Result<Self, String> {
        let bytes = |word: &String| session_argument(word).ok_or_else(|| word.clone());
        let text = |word: &String| bytes(word).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Self {
            user: text(&arguments.user)?,
            shell: OsString::from_vec(bytes(&arguments.shell)?).into(),
            principal: arguments.principal.as_ref().map(text).transpose()?,
            request_id: arguments.request_id.as_ref().map(text).transpose()?,
            forced: arguments.command.as_ref().map(bytes).transpose()?.map(OsString::from_vec),
        })
    }

    fn start(&self, audit_required: bool) -> String {
        let (principal, request_id) = (self.principal.as_deref(), self.request_id.as_deref());
        let tty = tty();
        let claim = SessionClaim { user: &self.user, principal, request_id, tty: tty.as_deref() };
        if !Audit::to_system().session(&claim) && audit_required {
            return "no log accepted the line about this session, but [audit] required = true".to_owned();
        }
        let mut program = self.program();
        for (name, value) in session_variables(principal, request_id) {
            // The client may have sent a variable of this name (`AcceptEnv`).
            match value {
                Some(value) => program.env(name, value),
                None => program.env_remove(name),
            };
        }
        let error = program.exec();
        format!("{}: {error}", printable(&program.get_program().to_string_lossy(), MAX_SHOWN))
    }

    /// What sshd would start without the wrapper (OpenSSH session.c, `do_child`). The shell is that of `/etc/passwd`: startup
    /// files can change `SHELL`.
    fn program(&self) -> Command {
        let shell = self.shell.as_os_str();
        let name = self.shell.file_name().unwrap_or(shell);
        let clients = var_os(CLIENTS_COMMAND);
        let sftp = clients.as_deref().filter(|_| self.forced.is_none()).and_then(sftp_command);
        if let Some(mut sftp) = sftp {
            sftp.env_remove(CLIENTS_COMMAND);
            return sftp;
        }
        let mut program = Command::new(shell);
        match (&self.forced, clients) {
            // The forced command can read the client's.
            (Some(forced), _) => {
                program.arg0(name).arg("-c").arg(forced);
            }
            (None, Some(command)) => {
                program.arg0(name).arg("-c").arg(command).env_remove(CLIENTS_COMMAND);
            }
            (None, None) => {
                let mut login_shell = OsString::from("-");
                login_shell.push(name);
                program.arg0(login_shell);
            }
        }
        program
    }
}

/// sftp-server for the subsystem `internal-sftp`, a name that only sshd knows. sshd starts it without a shell, and its arguments
/// are the words between spaces (OpenSSH session.c, `do_child`). So a shell must not read them.
fn sftp_command(command: &OsStr) -> Option<Command> {
    let arguments = internal_sftp(command.as_bytes())?;
    let mut program = Command::new(sftp_server()?);
    // After a tab, sshd's first word does not end, and there are no arguments.
    let arguments = if arguments.starts_with(b"\t") { &[] } else { arguments };
    let words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    program.args(words.map(OsStr::from_bytes));
    Some(program)
}

/// The path of the terminal. `None` without a terminal.
fn tty() -> Option<String> {
    let path = stdin().is_terminal().then(|| fs::read_link("/proc/self/fd/0").ok())??;
    Some(path.to_string_lossy().into_owned())
}
