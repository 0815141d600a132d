//! Whether sshd can run the program of a command. All commands share this judgement.

use std::path::Path;

use eic_host::accounts::Account;
use eic_host::ownership::{self, GroupRule, Insecure, SshdRule};
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::server::Server;

use super::{Fix, SetupFault};

/// Whether sshd can run a program.
pub(crate) enum ProgramState {
    /// sshd runs it.
    Runs,
    /// sshd runs it, but other users than root may be able to change it.
    Insecure(Insecure),
    /// sshd does not run it.
    Faulty(SetupFault),
    /// Unknown. Holds the reason.
    Unknown(String),
}

impl ProgramState {
    /// Judges the program of the effective command, in sshd's order: first whether its user can reach it, then sshd's
    /// rule for programs. `user` is the `AuthorizedKeysCommandUser`, if it is known.
    pub(crate) fn of(program: &Path, user: Option<&str>) -> Self {
        match reach(program, user) {
            Some(Reach::No(obstacle)) => {
                let seen = format!("sshd does not run {}: {}", program.display(), obstacle.seen());
                return Self::Faulty(SetupFault { seen, fix: Fix::of(&obstacle, "the program") });
            }
            Some(Reach::Unknown(why)) => return Self::Unknown(why),
            // `user_fault` reports a user that does not exist.
            Some(Reach::Yes) | None => {}
        }
        // The agent's own rule is stricter than sshd's rule. A program that satisfies it needs no further check.
        let Err(insecure) = ownership::check(program) else { return Self::Runs };
        match SshdRule::of(program, group_rule()) {
            SshdRule::Runs(_) => Self::Insecure(insecure),
            SshdRule::Unknown(why) => Self::Unknown(why),
            SshdRule::Refuses(insecure, detail) => {
                let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
                let seen = format!("sshd does not run {}: {}{detail}", program.display(), insecure.seen());
                let fix = insecure.remedy().map_or_else(|| Fix::Do(insecure.advice("the program")), Fix::Run);
                Self::Faulty(SetupFault { seen, fix })
            }
        }
    }
}

fn group_rule() -> GroupRule {
    Server::find().ok().flatten().map_or(GroupRule::Refused, |server| server.group_rule())
}

/// `None` if the user is unknown.
fn reach(program: &Path, user: Option<&str>) -> Option<Reach> {
    let account = Account::look_up(user.filter(|user| !user.contains('%'))?).ok().flatten()?;
    Some(match Subject::of_command(&account) {
        Ok(subject) => Reach::of(&subject, program, Use::Execute),
        Err(why) => Reach::Unknown(format!("the groups of {} are unknown: {why}", account.name)),
    })
}
