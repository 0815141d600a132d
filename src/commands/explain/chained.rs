//! The command that sshd runs, and the other providers that it names, asked as in a login.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use clap::Parser as _;
use serde::Serialize;

use super::super::capture::milliseconds;
use super::super::wiring;
use crate::accounts::Account;
use crate::cli::{Cli, Command, resolve_name};
use crate::fingerprint::Fingerprint;
use crate::identity::LoginName;
use crate::providers;
use crate::sshd::command::{Holder, split};

/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What sshd runs, and what came of the providers.
#[derive(Debug, Default, Serialize)]
pub(super) struct Chain {
    /// `AuthorizedKeysCommand`; none where none is set, or it cannot be found out.
    pub(super) command: Option<String>,
    /// `AuthorizedKeysCommandUser`.
    pub(super) user: Option<String>,
    /// Why the command or the providers could not be looked at, or the command is not ours.
    pub(super) note: Option<String>,
    pub(super) providers: Vec<Answered>,
}

/// What a provider printed.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) program: String,
    pub(super) lines: usize,
    /// Why its answer does not count, or only in part.
    pub(super) reason: Option<&'static str>,
    pub(super) detail: Option<String>,
    pub(super) took_ms: f64,
}

impl Chain {
    /// Asks sshd, and then the providers under the user that a login would run them as.
    pub(super) fn ask(user: &LoginName, offered: Option<&Fingerprint>) -> Self {
        let mut chain = Self::default();
        if let Err(why) = chain.look(user, offered) {
            chain.note = Some(why);
        }
        chain
    }

    fn look(&mut self, user: &LoginName, offered: Option<&Fingerprint>) -> Result<(), String> {
        let (effective, holder) = wiring::in_force_for(Some(user.as_str()))?;
        self.command.clone_from(&effective.command);
        self.user.clone_from(&effective.user);
        let command = effective.command.as_deref().unwrap_or_default();
        match holder {
            Holder::Ours => {}
            Holder::Amazons => return Ok(()),
            Holder::Nobody => {
                return Err(
                    "sshd asks nobody: no AuthorizedKeysCommand is set; run: eic-agent enable".to_owned()
                );
            }
            Holder::Other => return Err("sshd asks another program; run: eic-agent status".to_owned()),
        }
        let words =
            split(command).iter().map(|word| expand(word, user, offered)).collect::<Result<Vec<_>, _>>()?;
        let parsed = Cli::try_parse_from(resolve_name(words.into_iter().map(OsString::from)));
        let Ok(Cli { command: Command::AuthorizedKeys(arguments) }) = parsed else {
            return Err("this program does not understand the arguments that sshd gives it".to_owned());
        };
        if arguments.providers.is_empty() {
            return Ok(());
        }
        if !nix::unistd::Uid::effective().is_root() {
            return Err("run with sudo to ask the other providers, too".to_owned());
        }
        // As in a login: the user that is named for them, else the one that sshd runs everything as.
        let runs_as = arguments.provider_user.as_deref().or(effective.user.as_deref());
        let started = Instant::now();
        let deadline = started.checked_add(PATIENCE).unwrap_or(started);
        for asked in providers::ask(providers::split(&arguments.providers), runs_as, PATIENCE) {
            let program = asked.program().display().to_string();
            let (printed, error) = asked.collect(deadline, PATIENCE);
            self.providers.push(Answered {
                program,
                lines: printed
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.trim_ascii().is_empty())
                    .count(),
                reason: error.as_ref().map(|error| error.reason().as_str()),
                detail: error.as_ref().map(ToString::to_string),
                took_ms: milliseconds(started.elapsed()),
            });
        }
        Ok(())
    }
}

/// A word as sshd expands it (`sshd_config(5)`, TOKENS).
fn expand(word: &str, user: &LoginName, offered: Option<&Fingerprint>) -> Result<String, String> {
    let account =
        || Account::find(user.as_str()).ok_or_else(|| format!("{user} does not stand in /etc/passwd"));
    let mut expanded = String::new();
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match characters.next() {
            Some('%') => expanded.push('%'),
            Some('u') => expanded.push_str(user.as_str()),
            Some('f') => expanded.push_str(&offered.map(ToString::to_string).unwrap_or_default()),
            Some('h') => expanded.push_str(&account()?.home),
            Some('U') => expanded.push_str(&account()?.uid.to_string()),
            other => {
                let token: String = other.into_iter().collect();
                return Err(format!(
                    "a provider is told %{token}, which only a real login knows; it was not asked"
                ));
            }
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_expanded() {
        let user = LoginName::try_from("root").unwrap();
        for (word, expected) in [("%u", "root"), ("a%%%U-%f", "a%0-"), ("plain", "plain")] {
            assert_eq!(expand(word, &user, None).as_deref(), Ok(expected), "{word}");
        }
        assert_eq!(expand("%h/x", &user, None), Ok(format!("{}/x", Account::find("root").unwrap().home)));
        assert!(expand("%k", &user, None).unwrap_err().contains("%k"));
        assert!(expand("x%", &user, None).is_err());
    }
}
