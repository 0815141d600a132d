//! The arguments of the hidden subcommands, which the program runs itself.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eic_login::config::parse_seconds;
use eic_login::session_wrapper::session;

/// Arguments of the hidden `supervise`, which runs one provider.
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// Time limit in seconds; the provider is killed two seconds later
    #[arg(value_parser = parse_seconds)]
    pub timeout: Duration,
    /// The provider's real path
    pub program: PathBuf,
    /// The provider's path as configured, and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// The numbers of a user, for the hidden subcommands that root runs as that user.
#[derive(Debug, Args)]
pub struct UserIds {
    /// User id
    pub uid: u32,
    /// Group id
    pub gid: u32,
    /// Ids of all groups, separated by commas
    #[arg(value_parser = parse_groups)]
    pub groups: Groups,
}

/// Group ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(pub Vec<u32>);

fn parse_groups(text: &str) -> Result<Groups, std::num::ParseIntError> {
    text.split(',').filter(|id| !id.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Groups)
}

/// Arguments of the hidden `reach`.
#[derive(Debug, Args)]
pub struct ReachArgs {
    /// The user.
    #[command(flatten)]
    pub user: UserIds,
    /// execute, read or list
    pub need: String,
    /// The path
    #[arg(last = true, required = true)]
    pub path: PathBuf,
}

/// Arguments of the hidden `answers`.
#[derive(Debug, Args)]
pub struct AnswersArgs {
    /// The files and folders
    #[arg(last = true, required = true)]
    pub paths: Vec<PathBuf>,
}

/// Arguments of the hidden `run-as`.
#[derive(Debug, Args)]
pub struct RunAsArgs {
    /// The user.
    #[command(flatten)]
    pub user: UserIds,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Arguments of the hidden `session`. All values are encoded, as on a key's line.
#[derive(Debug, Args)]
pub struct SessionArgs {
    /// Login name
    #[arg(long)]
    pub user: String,
    /// Login shell
    #[arg(long)]
    pub shell: String,
    /// ARN of the principal that pushed the key
    #[arg(long)]
    pub principal: Option<String>,
    /// Id of the push request
    #[arg(long)]
    pub request_id: Option<String>,
    /// Command that the options of the key force
    #[arg(long)]
    pub command: Option<String>,
    /// End the session if no log accepts its line
    #[arg(long)]
    pub audit_required: bool,
}

/// Whether the hidden `session` of this release knows the option. It ignores others: on a connection that stays open while an
/// older release is installed again, the arguments are those of the newer release.
pub(super) fn is_option_of_session(word: &OsStr) -> bool {
    let name = word.as_encoded_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    !name.starts_with(b"--") || SESSION_OPTIONS.iter().any(|known| known.as_bytes() == name)
}

/// The options of [`SessionArgs`].
const SESSION_OPTIONS: [&str; 7] =
    ["--user", "--shell", "--principal", "--request-id", "--command", "--audit-required", "--help"];

impl SessionArgs {
    /// Converts the arguments for [`eic_login::session_wrapper::session::run`].
    #[must_use]
    pub fn run(&self) -> session::Arguments {
        session::Arguments {
            user: self.user.clone(),
            shell: self.shell.clone(),
            principal: self.principal.clone(),
            request_id: self.request_id.clone(),
            command: self.command.clone(),
            audit_required: self.audit_required,
        }
    }
}

/// Arguments of the hidden `connects`.
#[derive(Debug, Args)]
pub struct ConnectsArgs {
    /// The addresses with their ports
    #[arg(required = true)]
    pub addresses: Vec<std::net::SocketAddr>,
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn options_of_session_are_known() {
        let command = SessionArgs::augment_args(Command::new("session"));
        let defined = command.get_arguments().filter_map(|argument| argument.get_long());
        for option in defined.map(|name| format!("--{name}")) {
            assert!(SESSION_OPTIONS.contains(&option.as_str()), "{option}");
        }
        for (word, is_known) in
            [("session", true), ("--shell=x", true), ("--shells=x", false), ("--new", false)]
        {
            assert_eq!(is_option_of_session(OsStr::new(word)), is_known, "{word}");
        }
    }
}
