//! `pam`: what PAM's account step says of the login. sshd runs this step after it has accepted the key.
//!
//! | module | has |
//! | --- | --- |
//! | [`rules`] | the rules of the account step |
//! | [`modules`] | the answers of modules |
//! | [`answer`] | the names of answers |
//! | [`stack`] | libpam's judgement of all answers |
//!
//! The session step is not checked. Its modules may end a session that the account step allows.

mod answer;
mod modules;
mod rules;
mod stack;

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::sshd::keyword::Keyword;

pub(super) use answer::Answer;
use modules::{Login, ask_unix};
use rules::{Module, Rule};
use stack::{Outcome, judge};

use super::check::Check;
use super::sshd::{Sshd, SshdUnavailable};

const ID: &str = "pam";
const PAM: &str = "sshd ends a login that PAM's account step refuses, after it has accepted the key";

/// sshd's usual PAM service: the name of the program (OpenSSH auth-pam.h, `SSHD_PAM_SERVICE`).
const SERVICE: &str = "sshd";

/// Maximum number of modules that a message names.
const MAX_NAMED: usize = 4;

/// The account step for one account.
pub(super) struct AccountStep {
    rules: Vec<Rule>,
    outcome: Outcome,
    /// `pam_unix`'s answer. The error says why it is unknown.
    unix: Result<Answer, String>,
    /// False if the login is refused even when `pam_unix` answers `success`.
    is_unix_alone: bool,
}

/// Whether sshd uses PAM. `None` if sshd's configuration is unknown.
pub(super) fn is_used(sshd: &Result<Sshd, SshdUnavailable>) -> Option<bool> {
    sshd.as_ref().ok().map(|sshd| sshd.running.value(Keyword::UsePAM) == Some("yes"))
}

impl AccountStep {
    /// Asks all that can be asked without a login. Needs root. The error says why nothing is known.
    pub(super) fn ask(sshd: &Sshd, account: &Account) -> Result<Self, String> {
        let service = sshd.running.value(Keyword::PAMServiceName).unwrap_or(SERVICE);
        let rules = rules::read(Path::new("/"), service)?;
        let unix = ask_unix(&account.name);
        let is_local = Account::find(&account.name).is_some();
        let outcome_if = |unix| {
            let login = Login { account, unix, is_local };
            let answers: Vec<_> = rules
                .iter()
                .map(|rule| rule.module.as_ref().and_then(|module| login.answer(module)))
                .collect();
            judge(&rules, &answers)
        };
        let outcome = outcome_if(unix.as_ref().ok().copied());
        let is_unix_alone = !matches!(outcome_if(Some(Answer::Success)), Outcome::Refused(..));
        Ok(Self { rules, outcome, unix, is_unix_alone })
    }

    /// `pam_unix`'s answer, if it certainly ends the login.
    pub(super) fn refused_by_unix(&self) -> Option<Answer> {
        let is_refused = matches!(self.outcome, Outcome::Refused(..)) && self.is_unix_alone;
        self.unix.as_ref().ok().copied().filter(|answer| is_refused && *answer != Answer::Success)
    }

    /// Whether `pam_unix` has no objection.
    pub(super) fn is_unix_content(&self) -> bool {
        self.unix == Ok(Answer::Success)
    }

    pub(super) fn is_good(&self) -> bool {
        self.outcome == Outcome::Good
    }

    /// Whether `pam_nologin` refuses the account because of its usual files.
    pub(super) fn is_refused_by_nologin(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_, Some(rule)) if self.is_plain_nologin(rule))
    }

    fn place(&self, rule: usize) -> String {
        self.rules.get(rule).map_or_else(String::new, |rule| {
            let name = rule.module.as_ref().map_or("substack", Module::name);
            format!("{} ({})", printable(name, MAX_SHOWN), rule.place)
        })
    }

    fn check(&self, name: &str) -> Check {
        if self.refused_by_unix().is_some() {
            return Check::skipped(ID, PAM, "PAM refuses the account; the check \"account\" says why");
        }
        match &self.outcome {
            Outcome::Good => Check::ok(
                ID,
                PAM,
                format!("PAM's account step lets {name} in; its session step is not checked"),
            ),
            Outcome::Refused(_, None) => Check::fail(
                ID,
                PAM,
                format!("no module of PAM's account step lets {name} in"),
                "correct the account rules of sshd in /etc/pam.d; keep a root session open meanwhile",
            ),
            Outcome::Refused(_, Some(rule)) if self.is_plain_nologin(*rule) => Check::skipped(
                ID,
                PAM,
                "pam_nologin refuses every user but root; the check \"shell\" says why",
            ),
            Outcome::Refused(answer, Some(rule)) => {
                let place = self.place(*rule);
                let seen = format!("PAM's account step refuses {name}: {place}: {}", answer.name());
                let fix = if *answer == Answer::ModuleUnknown {
                    "install that module's package, or correct that rule; keep a root session open meanwhile"
                } else {
                    "correct what that module checks, or that rule; keep a root session open meanwhile"
                };
                Check::fail(ID, PAM, seen, fix)
            }
            Outcome::Unknown(rules) => {
                let named: Vec<_> = rules.iter().take(MAX_NAMED).map(|rule| self.place(*rule)).collect();
                let why = match &self.unix {
                    Err(why) if rules.iter().any(|rule| self.is_unix(*rule)) => format!(" ({why})"),
                    _ => String::new(),
                };
                let seen = format!(
                    "PAM's answer is not known: only a login shows what {} decides{why}",
                    named.join(" and ")
                );
                Check::skipped(ID, PAM, seen)
            }
        }
    }

    fn module(&self, rule: usize) -> Option<&Module> {
        self.rules.get(rule)?.module.as_ref()
    }

    fn is_unix(&self, rule: usize) -> bool {
        self.module(rule).is_some_and(|module| module.name() == "pam_unix")
    }

    /// Whether this is `pam_nologin` with its usual files. The check `shell` reports these files.
    fn is_plain_nologin(&self, rule: usize) -> bool {
        self.module(rule).is_some_and(|module| module.name() == "pam_nologin" && module.arguments.is_empty())
    }
}

/// `pam`. `step` is `None` if there is no account to ask about.
pub(super) fn check(
    sshd: &Result<Sshd, SshdUnavailable>,
    user: Option<&str>,
    step: Option<&Result<AccountStep, String>>,
) -> Check {
    let name = match (sshd, user) {
        (Err(blind), _) => return blind.skipped(ID, PAM),
        (Ok(_), None) => return Check::skipped(ID, PAM, "no login name; add --user USER"),
        (Ok(_), Some(user)) => printable(user, MAX_SHOWN),
    };
    if is_used(sshd) == Some(false) {
        return Check::ok(ID, PAM, "sshd does not ask PAM: UsePAM is no");
    }
    match step {
        Some(Ok(step)) => step.check(&name),
        Some(Err(why)) => Check::skipped(ID, PAM, format!("PAM's answer is not known: {why}")),
        None if nix::unistd::Uid::effective().is_root() => {
            Check::skipped(ID, PAM, format!("there is no account {name} to ask about"))
        }
        None => Check::skipped(ID, PAM, "run with sudo to ask PAM"),
    }
}
