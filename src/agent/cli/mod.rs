//! The command line: parses the raw arguments, and decides nothing yet.
//!
//! | file | holds |
//! | --- | --- |
//! | [`authorized_keys`] | the arguments of `authorized-keys`, and the options that it shares with other subcommands |
//! | [`arguments`] | the arguments of most subcommands that people run |
//! | [`audit`] | the arguments of the subcommands that read the audit log |
//! | [`hidden`] | the arguments of the hidden subcommands |
//! | `values` | argument types that `eic-core` does not have |

pub mod arguments;
pub mod audit;
pub mod authorized_keys;
pub mod hidden;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use eic_host::sshd::command::AUTHORIZED_KEYS_NAMES;

pub use self::arguments::{
    CaptureArgs, ConfigArgs, DisableArgs, DoctorArgs, EnableArgs, ExplainArgs, HostKeysArgs, RulesArgs,
    StatusArgs, VerifyArgs,
};
pub use self::audit::{SessionsArgs, WhoamiArgs};
pub(crate) use self::authorized_keys::SYSFS;
pub use self::authorized_keys::{AuthorizedKeysArgs, Overrides, Trust};
use self::hidden::is_option_of_session;
pub use self::hidden::{
    AnswersArgs, ConnectsArgs, ReachArgs, RunAsArgs, SessionArgs, SuperviseArgs, UserIds,
};
pub use self::values::{KnownHost, When};

/// Hands sshd the SSH keys that EC2 Instance Connect pushed to this instance, after proving each one.
#[derive(Debug, Parser)]
#[command(name = "eic-agent", version, after_help = EXIT_STATUS)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 finished; 1 it could not be done, or the answer is no; 2 the
command line is wrong; 3 (enable) another AuthorizedKeysCommand is in force and
was left alone.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the proven keys that are pushed for USER (sshd's AuthorizedKeysCommand)
    AuthorizedKeys(AuthorizedKeysArgs),
    /// Verify keys from files, and show why each is accepted or refused
    Verify(VerifyArgs),
    /// Check every link from the metadata service to a login, and report what to fix
    Doctor(DoctorArgs),
    /// Show which keys sshd would get for USER now, and why
    Explain(ExplainArgs),
    /// Save the answers of the metadata service, for verify --capture elsewhere
    Capture(CaptureArgs),
    /// List logins with pushed keys from the log: who, when, from where, for how long
    Sessions(SessionsArgs),
    /// Show who pushed the key of this session, or of any process
    Whoami(WhoamiArgs),
    /// Print this host's public keys, so that clients know them before their first login
    HostKeys(HostKeysArgs),
    /// Show the settings and the source of each
    Config(ConfigArgs),
    /// Show which rule decides about a push, and the line that sshd would get
    Rules(RulesArgs),
    /// Make sshd run this program
    Enable(EnableArgs),
    /// Remove from sshd's configuration what enable wrote
    Disable(DisableArgs),
    /// Report whether sshd really runs this program
    Status(StatusArgs),
    /// Name the caller to this session, and become the shell or the command (the session wrapper). Only
    /// [`Cli::of`] parses it, so that no message suggests it instead of `sessions`.
    #[command(skip)]
    Session(SessionArgs),
    /// Run a provider and end it in time (authorized-keys runs its providers with it)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Try to use a path as another user (doctor, enable and status run it as root)
    #[command(hide = true)]
    Reach(ReachArgs),
    /// Run a program as another user, with all groups of that user (doctor runs it as root)
    #[command(hide = true)]
    RunAs(RunAsArgs),
    /// Report whether one of some addresses accepts a connection (explain runs it as sshd's user)
    #[command(hide = true)]
    Connects(ConnectsArgs),
    /// Read files and folders, which blocks if their file server is silent (doctor, status, explain, config and others
    /// run it)
    #[command(hide = true)]
    Answers(AnswersArgs),
    /// Confine this process as authorized-keys does, and report which layers are in force (doctor runs it)
    #[command(hide = true)]
    Confinement,
    /// Print the region and domain from metadata, if their signer is trusted (enable --pin runs it)
    #[command(hide = true)]
    Placement,
}

/// The `authorized-keys` subcommand alone, without the definitions of the other subcommands.
#[derive(Debug, Parser)]
struct AuthorizedKeysCli {
    #[command(flatten)]
    arguments: AuthorizedKeysArgs,
}

/// The `session` subcommand alone.
#[derive(Debug, Parser)]
struct SessionCli {
    #[command(flatten)]
    arguments: SessionArgs,
}

impl Cli {
    /// Parses the command line.
    ///
    /// `authorized-keys` and `session` are parsed with the definition of that one subcommand. The definitions of all
    /// subcommands would take a third of the time of a run that finds no key. If the short parser fails, the full
    /// parser parses again and reports the error.
    pub fn of(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let words_of =
            |name| arguments.get(1..).filter(|words| words.first().is_some_and(|word| word == name));
        if let Some(Ok(alone)) = words_of(AUTHORIZED_KEYS).map(AuthorizedKeysCli::try_parse_from) {
            return Ok(Self { command: Command::AuthorizedKeys(alone.arguments) });
        }
        let known = |words: &[OsString]| {
            words.iter().filter(|word| is_option_of_session(word)).cloned().collect::<Vec<_>>()
        };
        let session = words_of(SESSION).map(known).map(SessionCli::try_parse_from);
        if let Some(Ok(alone)) = session {
            return Ok(Self { command: Command::Session(alone.arguments) });
        }
        Self::try_parse_from(arguments)
    }

    /// The error about an unknown option of `authorized-keys`, with a similar option. `None` if there is no such option.
    ///
    /// The parser accepts any word as the login name, so that a run for sshd goes on. A person may have misspelt an
    /// option.
    pub fn unknown_option(arguments: &[OsString], is_for_person: impl Fn() -> bool) -> Option<clap::Error> {
        let own = arguments.split(|word| word == "--").next()?;
        let has_option = || own.iter().any(|word| word.as_encoded_bytes().starts_with(b"-"));
        if own.get(1).is_none_or(|word| word != AUTHORIZED_KEYS) || !has_option() || !is_for_person() {
            return None;
        }
        let strict = Self::command().mut_subcommand(AUTHORIZED_KEYS, |command| {
            command.mut_args(|argument| argument.allow_hyphen_values(false))
        });
        let mut error = strict.try_get_matches_from(arguments).err()?;
        // clap suggests to write `--` before the word. But a word after `--` is a provider.
        error.remove(ContextKind::Suggested);
        (error.kind() == ErrorKind::UnknownArgument).then_some(error)
    }
}

/// The name of the subcommand that sshd runs.
const AUTHORIZED_KEYS: &str = "authorized-keys";

/// The name of the subcommand that sshd runs in sessions.
const SESSION: &str = "session";

/// The arguments, with the subcommand `authorized-keys` inserted if the program was called by a name of Amazon's
/// agent. A login name that looks like an option is emptied, unless the run is for a person: see `disarm_user`.
pub fn resolve_name(
    arguments: impl IntoIterator<Item = OsString>,
    is_for_person: impl Fn() -> bool,
) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_else(|| "eic-agent".into());
    let called_as = std::path::Path::new(&name).file_name().and_then(OsStr::to_str);
    let implied = called_as.is_some_and(|called_as| AUTHORIZED_KEYS_NAMES.contains(&called_as));
    let subcommand = implied.then(|| AUTHORIZED_KEYS.into());
    let mut resolved: Vec<_> = std::iter::once(name).chain(subcommand).chain(arguments).collect();
    disarm_user(&mut resolved, is_for_person);
    resolved
}

/// Empties a login name that looks like an option. Only a directory service can have such a name, and no key can be
/// pushed for it. If the parser took the name for an option, it would fail. But the run must go on, because a chained
/// provider may have keys for that name. A person has rather misspelt an option, or forgotten the login name.
fn disarm_user(arguments: &mut [OsString], is_for_person: impl Fn() -> bool) {
    let own = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let Some([_, subcommand, .., user, offered]) = arguments.get_mut(..own) else { return };
    if subcommand != AUTHORIZED_KEYS {
        return;
    }
    let is_fingerprint =
        ["SHA256:", "MD5:"].iter().any(|form| offered.as_encoded_bytes().starts_with(form.as_bytes()));
    if is_fingerprint && user.as_encoded_bytes().starts_with(b"-") && !is_for_person() {
        user.clear();
    }
}
