//! Parses our own command line in sshd's configuration, as a run parses it.

use std::ffi::OsString;

use clap::Parser as _;
use eic_host::sshd::command::split;

use crate::cli::{AuthorizedKeysArgs, Cli, Command, resolve_name};

/// Parses our command line. Tokens such as `%u` are not expanded.
pub(super) fn words_of(command: Option<&str>) -> Result<AuthorizedKeysArgs, String> {
    understood(split(command.unwrap_or_default()))
}

/// Parses the words of our command line, after tokens were expanded.
pub(super) fn understood(words: Vec<String>) -> Result<AuthorizedKeysArgs, String> {
    match Cli::try_parse_from(resolve_name(words.into_iter().map(OsString::from))) {
        Ok(Cli { command: Command::AuthorizedKeys(words) }) => Ok(words),
        Ok(_) => Err("expected the subcommand authorized-keys, got another".to_owned()),
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            Err(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned())
        }
    }
}
