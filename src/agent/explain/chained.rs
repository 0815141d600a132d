//! Finds the command that sshd runs, and runs the other providers that it names, as in a login.

use std::time::{Duration, Instant};

use eic_core::fingerprint::Fingerprint;
use eic_core::identity::LoginName;
use eic_core::text::printable_bytes;
use eic_host::accounts::Account;
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::command::split;
use eic_host::sshd::keyword::Keyword;
use eic_login::config::CommandLine;
use eic_login::providers;
use serde::Serialize;

use crate::advice::Reader;
use crate::capture::milliseconds;
use crate::sshd_setup::own_line::{self, another_name, read};
use crate::sshd_setup::{Inspection, InspectionError, ProgramState};

/// Timeout of a provider.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of lines of a provider's answer that are shown.
const MAX_PRINTED: usize = 16;

/// Maximum number of characters of such a line that are shown.
const MAX_LINE: usize = 120;

/// The command that sshd runs, and the answers of the providers.
#[derive(Debug, Default, Serialize)]
pub(super) struct Chain {
    /// `AuthorizedKeysCommand`. `None` if it is not set, or is unknown.
    pub(super) command: Option<String>,
    /// `AuthorizedKeysCommandUser`.
    pub(super) user: Option<String>,
    /// Whether sshd is configured to run this program for the user, and can run it.
    pub(super) asks: bool,
    /// Whether `asks` is certain. If not, `asks` is false, and `note` has the reason.
    pub(super) known: bool,
    /// Why sshd does not run it, or why it or the providers could not be checked.
    pub(super) note: Option<String>,
    pub(super) providers: Vec<Answered>,
    /// `ForceCommand`. `None` if it is not set, or is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forced_command: Option<String>,
    /// The options that override settings, from the command in sshd's configuration.
    #[serde(skip)]
    pub(super) settings: CommandLine,
}

#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) program: String,
    pub(super) lines: usize,
    /// The first lines, printable and shortened.
    pub(super) printed: Vec<String>,
    /// Why its answer is not used, or is used only in part.
    pub(super) reason: Option<&'static str>,
    pub(super) detail: Option<String>,
    pub(super) took_ms: f64,
}

impl Chain {
    /// Queries sshd, and then runs the providers as the same user as in a login.
    pub(super) fn run(user: &LoginName, offered: Option<&Fingerprint>) -> Self {
        let mut chain = Self::default();
        if let Err(why) = chain.inspect(user, offered) {
            chain.note = Some(Reader::detect().adapt(&why));
        }
        chain
    }

    fn inspect(&mut self, user: &LoginName, offered: Option<&Fingerprint>) -> Result<(), String> {
        let inspection = Inspection::of_login(Some(user.as_str())).map_err(|error| {
            self.known = matches!(error, InspectionError::Absent);
            String::from(error)
        })?;
        let (effective, faults, state, is_unread, winner, doubt) = inspection.wired(|wired| {
            let is_unread = wired.unread_fault().is_some();
            let winner = wired.winner().map(ToString::to_string);
            (wired.running.clone(), wired.faults(), wired.program_state(), is_unread, winner, wired.doubt())
        });
        self.forced_command = inspection.running.value(Keyword::ForceCommand).map(str::to_owned);
        self.command.clone_from(&effective.command);
        self.user.clone_from(&effective.user);
        let command = effective.command.as_deref().unwrap_or_default();
        if let Some(fault) = faults?.first() {
            self.known = !is_unread && doubt.is_none();
            return Err(fault.to_string());
        }
        if let ProgramState::Unknown(why) = state {
            return Err(format!("it is not known whether sshd can run this program: {why}"));
        }
        // The settings of the run are the same in either case.
        if let Some(why) = doubt {
            self.settings = own_line::options(Some(command));
            return Err(format!("it is not known whether sshd uses this command; {why}"));
        }
        self.known = true;
        let arguments = read(&split(command), user, offered)?;
        if arguments.user.as_encoded_bytes() != user.as_str().as_bytes() {
            let place = winner.unwrap_or_default();
            let (seen, fix) = another_name(&arguments, &format!("the login name {user}"), &place);
            return Err(format!("{seen}; {fix}"));
        }
        self.settings = arguments.overrides.settings();
        self.asks = true;
        if arguments.providers.is_empty() {
            return Ok(());
        }
        if !nix::unistd::Uid::effective().is_root() {
            return Err("run with sudo to run the other providers too".to_owned());
        }
        // As in a login: the user of `--provider-user`, else the `AuthorizedKeysCommandUser`.
        let runs_as = arguments.provider_user.as_deref().or(effective.user.as_deref());
        let runs = runs_as.and_then(|name| Account::look_up(name).ok().flatten());
        for provider in providers::split(&arguments.providers) {
            let subject = runs.as_ref().map(Subject::without_groups);
            let reach = subject.map(|subject| Reach::of(&subject, provider.program(), Use::Execute));
            // Do not start a provider whose path does not answer: that would wait without end.
            match reach {
                Some(Reach::No(obstacle)) if obstacle.is_silent() => return Err(obstacle.seen()),
                _ => {}
            }
        }
        let started = Instant::now();
        let deadline = started.checked_add(TIMEOUT).unwrap_or(started);
        let asked = providers::start_all(providers::split(&arguments.providers), runs_as, TIMEOUT);
        let asked: Vec<_> = asked.into_iter().map(providers::StartedProvider::listen).collect();
        for asked in asked {
            let program = asked.program().display().to_string();
            let (printed, error) = asked.collect(deadline, TIMEOUT);
            let lines = printed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
            self.providers.push(Answered {
                program,
                lines: lines.len(),
                printed: lines.iter().take(MAX_PRINTED).map(|line| printable_bytes(line, MAX_LINE)).collect(),
                reason: error.as_ref().map(|error| error.reason().as_str()),
                detail: error.as_ref().map(ToString::to_string),
                took_ms: milliseconds(started.elapsed()),
            });
        }
        Ok(())
    }
}
