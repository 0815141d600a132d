//! The command line: raw arguments in, nothing decided yet.
//!
//! | file | holds |
//! | --- | --- |
//! | [`arguments`] | what each subcommand takes |
//! | `values` | what an argument may be, where no type of the core says it |

pub mod arguments;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};

use clap::{Parser, Subcommand};
use eic_host::sshd::command::AUTHORIZED_KEYS_NAMES;

pub use self::arguments::{
    AuthorizedKeysArgs, CaptureArgs, ConfigArgs, DisableArgs, DoctorArgs, EnableArgs, ExplainArgs, Overrides,
    SessionsArgs, StatusArgs, SuperviseArgs, Trust, VerifyArgs,
};
pub use self::values::When;

/// Hands sshd the SSH keys that EC2 Instance Connect pushed to this instance, after proving each one.
#[derive(Debug, Parser)]
#[command(name = "eic-agent", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 finished; 1 it could not be done, or the answer is no; 2 the command line is wrong;
3 (enable) another AuthorizedKeysCommand is in force and was left alone.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the proven keys that are pushed for USER (sshd's AuthorizedKeysCommand)
    AuthorizedKeys(AuthorizedKeysArgs),
    /// Judge evidence from files instead of metadata, and say why
    Verify(VerifyArgs),
    /// Look at every link from the metadata service to a login, and say what to mend
    Doctor(DoctorArgs),
    /// Show what sshd would be given for USER now, and why
    Explain(ExplainArgs),
    /// Save what the metadata service says, for verify --capture elsewhere
    Capture(CaptureArgs),
    /// List who came in with pushed keys, when, from where and for how long, by the log
    Sessions(SessionsArgs),
    /// Show the settings, and where each comes from
    Config(ConfigArgs),
    /// Make sshd ask this program for keys
    Enable(EnableArgs),
    /// Take out of sshd's configuration what enable put in
    Disable(DisableArgs),
    /// Say whether sshd really asks this program
    Status(StatusArgs),
    /// Run a provider and end it in time (what authorized-keys runs its providers with)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Confine this process as authorized-keys does, and say what of it holds (what doctor runs)
    #[command(hide = true)]
    Confinement,
    /// Tell the region and domain of metadata, if their signer is trusted (what enable --pin runs)
    #[command(hide = true)]
    Placement,
}

/// What sshd runs, without the descriptions of the other subcommands.
#[derive(Debug, Parser)]
struct AuthorizedKeysCli {
    #[command(flatten)]
    arguments: AuthorizedKeysArgs,
}

impl Cli {
    /// Reads the command line.
    ///
    /// What sshd runs is read with the description of that one subcommand, since to make all of them is a third of a
    /// run without a key. Words that it does not understand are for all of them to answer.
    pub fn of(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let words =
            arguments.get(1..).filter(|words| words.first().is_some_and(|word| word == "authorized-keys"));
        if let Some(Ok(alone)) = words.map(AuthorizedKeysCli::try_parse_from) {
            return Ok(Self { command: Command::AuthorizedKeys(alone.arguments) });
        }
        Self::try_parse_from(arguments)
    }
}

/// The arguments with the subcommand put in where the program is called by one of its other names.
pub fn resolve_name(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_else(|| "eic-agent".into());
    let called_as = std::path::Path::new(&name).file_name().and_then(OsStr::to_str);
    let implied = called_as.is_some_and(|called_as| AUTHORIZED_KEYS_NAMES.contains(&called_as));
    let subcommand = implied.then(|| "authorized-keys".into());
    let mut resolved: Vec<_> = std::iter::once(name).chain(subcommand).chain(arguments).collect();
    disarm_user(&mut resolved);
    resolved
}

/// A login name that looks like an option, which only a directory service would have, is none of ours: no
/// key can be pushed for it. It must not be read as an option either, since a chained provider may know it.
fn disarm_user(arguments: &mut [OsString]) {
    let own = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let Some([_, subcommand, .., user, offered]) = arguments.get_mut(..own) else { return };
    if subcommand != "authorized-keys" {
        return;
    }
    let is_fingerprint =
        ["SHA256:", "MD5:"].iter().any(|form| offered.as_encoded_bytes().starts_with(form.as_bytes()));
    if is_fingerprint && user.as_encoded_bytes().starts_with(b"-") {
        user.clear();
    }
}
