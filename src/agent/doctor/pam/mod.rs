//! `pam`: what PAM's account and session steps say of the login. sshd runs them after it has accepted the key.
//!
//! | module | has |
//! | --- | --- |
//! | [`rules`] | the rules of a step |
//! | [`modules`] | the answers of modules |
//! | [`library`] | the files of modules |
//! | [`limits`] | the answer of `pam_limits` |
//! | [`answer`] | the names of answers |
//! | [`stack`] | libpam's judgement of all answers |
//!
//! If the session step fails, sshd ends each session (OpenSSH session.c, `do_child`).

mod answer;
mod library;
mod limits;
mod modules;
mod rules;
mod stack;

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::sshd::keyword::Keyword;

pub(super) use answer::Answer;
use answer::Step;
use limits::Limits;
use modules::{Login, ask_unix};
use rules::{Module, Rule};
use stack::{Outcome, judge};

use super::check::Check;
use super::sshd::{Sshd, SshdUnavailable};

const ID: &str = "pam";
const PAM: &str =
    "sshd ends a login that PAM's account or session rules refuse, after it has accepted the key";

/// sshd's usual PAM service: the name of the program (OpenSSH auth-pam.h, `SSHD_PAM_SERVICE`).
const SERVICE: &str = "sshd";

/// Maximum number of modules that a message names.
const MAX_NAMED: usize = 4;

/// The account step for one account, and the session step.
pub(super) struct AccountStep {
    account: Stack,
    /// The error says why its rules are unknown.
    session: Result<Stack, String>,
    /// `pam_unix`'s answer in the account step. The error says why it is unknown.
    unix: Result<Answer, String>,
    /// False if the login is refused even when `pam_unix` answers `success`.
    is_unix_alone: bool,
    /// Why `pam_limits` refuses the session, with the rule.
    limits: Option<(usize, String)>,
}

/// The rules of a step, and their result.
struct Stack {
    rules: Vec<Rule>,
    outcome: Outcome,
}

/// Whether sshd uses PAM. `None` if sshd's configuration is unknown.
pub(super) fn is_used(sshd: &Result<Sshd, SshdUnavailable>) -> Option<bool> {
    sshd.as_ref().ok().map(|sshd| sshd.running.value(Keyword::UsePAM) == Some("yes"))
}

impl AccountStep {
    /// Asks all that can be asked without a login. Needs root. The error says why nothing is known.
    pub(super) fn ask(sshd: &Sshd, account: &Account) -> Result<Self, String> {
        let service = sshd.running.value(Keyword::PAMServiceName).unwrap_or(SERVICE);
        let rules = rules::read(Path::new("/"), service, Step::Account)?;
        let unix = ask_unix(&account.name);
        let is_local = Account::find(&account.name).is_some();
        let outcome_if = |rules: &[Rule], step, unix| {
            let login = Login { account, unix, is_local };
            let answers = |rule: &Rule| {
                rule.module.as_ref().map_or_else(Vec::new, |module| login.answers(module, step))
            };
            judge(rules, &rules.iter().map(answers).collect::<Vec<_>>())
        };
        let outcome = outcome_if(&rules, Step::Account, unix.as_ref().ok().copied());
        let outcome_without_unix = outcome_if(&rules, Step::Account, Some(Answer::Success));
        let is_unix_alone = !matches!(outcome_without_unix, Outcome::Refused(..));
        let session = rules::read(Path::new("/"), service, Step::Session).map(|rules| {
            let outcome = outcome_if(&rules, Step::Session, None);
            Stack { rules, outcome }
        });
        let limits = session.as_ref().ok().and_then(|session| session.refused_by_limits(account));
        Ok(Self { account: Stack { rules, outcome }, session, unix, is_unix_alone, limits })
    }

    /// `pam_unix`'s answer, if it certainly ends the login.
    pub(super) fn refused_by_unix(&self) -> Option<Answer> {
        let is_refused = matches!(self.account.outcome, Outcome::Refused(..)) && self.is_unix_alone;
        self.unix.as_ref().ok().copied().filter(|answer| is_refused && *answer != Answer::Success)
    }

    /// Whether `pam_unix` has no objection.
    pub(super) fn is_unix_content(&self) -> bool {
        self.unix == Ok(Answer::Success)
    }

    /// Whether the account step lets the account in.
    pub(super) fn is_good(&self) -> bool {
        self.account.outcome == Outcome::Good
    }

    /// Whether `pam_nologin` refuses the account because of its usual files.
    pub(super) fn is_refused_by_nologin(&self) -> bool {
        matches!(self.account.outcome, Outcome::Refused(_, Some(rule)) if self.account.is_plain_nologin(rule))
    }

    fn check(&self, name: &str) -> Check {
        if self.refused_by_unix().is_some() {
            return Check::skipped(ID, PAM, "PAM refuses the account; the check \"account\" says why");
        }
        match (&self.account.outcome, &self.session) {
            (Outcome::Refused(_, Some(rule)), _) if self.account.is_plain_nologin(*rule) => Check::skipped(
                ID,
                PAM,
                "pam_nologin refuses every user but root; the check \"shell\" says why",
            ),
            (Outcome::Refused(answer, rule), _) => self.account.refused(Step::Account, name, *answer, *rule),
            // A refusal is certain, whatever the other step says.
            (_, Ok(session @ Stack { outcome: Outcome::Refused(answer, rule), .. })) => {
                self.refused_session(session, name, *answer, *rule)
            }
            (Outcome::Unknown(rules), _) => {
                let why = match &self.unix {
                    Err(why) if rules.iter().any(|rule| self.account.is_unix(*rule)) => format!(" ({why})"),
                    _ => String::new(),
                };
                self.account.unknown(rules, &why)
            }
            (Outcome::Good, Ok(session)) => match &session.outcome {
                Outcome::Unknown(rules) => session.unknown(rules, ""),
                _ => Check::ok(ID, PAM, format!("PAM's account and session rules let {name} in")),
            },
            (Outcome::Good, Err(why)) => Check::skipped(ID, PAM, format!("PAM's answer is not known: {why}")),
        }
    }

    fn refused_session(&self, session: &Stack, name: &str, answer: Answer, rule: Option<usize>) -> Check {
        match &self.limits {
            Some((of, line)) if Some(*of) == rule => {
                let place = session.place(*of);
                let seen = format!("PAM's session step refuses {name}: {place}: {line}");
                Check::fail(ID, PAM, seen, "correct or remove that line; keep a root session open meanwhile")
            }
            _ => session.refused(Step::Session, name, answer, rule),
        }
    }
}

impl Stack {
    fn place(&self, rule: usize) -> String {
        self.rules.get(rule).map_or_else(String::new, |rule| {
            let name = rule.module.as_ref().map_or("substack", Module::name);
            format!("{} ({})", printable(name, MAX_SHOWN), rule.place)
        })
    }

    fn refused(&self, step: Step, name: &str, answer: Answer, rule: Option<usize>) -> Check {
        let kind = step.name();
        let Some(rule) = rule else {
            return Check::fail(
                ID,
                PAM,
                format!("no module of PAM's {kind} step lets {name} in"),
                format!("correct the {kind} rules of sshd in /etc/pam.d; keep a root session open meanwhile"),
            );
        };
        let place = self.place(rule);
        let seen = format!("PAM's {kind} step refuses {name}: {place}: {}", answer.name());
        let fix = match answer {
            Answer::ModuleUnknown if self.module(rule).is_some_and(|m| library::exists(&m.file)) => {
                format!("remove that rule: the module has no {kind} step; keep a root session open meanwhile")
            }
            Answer::ModuleUnknown => {
                "install that module's package, or correct that rule; keep a root session open meanwhile"
                    .into()
            }
            _ => "correct what that module checks, or that rule; keep a root session open meanwhile".into(),
        };
        Check::fail(ID, PAM, seen, fix)
    }

    fn unknown(&self, rules: &[usize], why: &str) -> Check {
        let named: Vec<_> = rules.iter().take(MAX_NAMED).map(|rule| self.place(*rule)).collect();
        let seen = format!(
            "PAM's answer is not known: only a login shows what {} decides{why}",
            named.join(" and ")
        );
        Check::skipped(ID, PAM, seen)
    }

    /// Why `pam_limits` refuses the session, if it is the rule that does.
    fn refused_by_limits(&self, account: &Account) -> Option<(usize, String)> {
        let Outcome::Refused(_, Some(rule)) = self.outcome else { return None };
        let module = self.module(rule).filter(|module| module.name() == "pam_limits")?;
        match Limits::of(account, module) {
            Limits::Refused(why) => Some((rule, why)),
            Limits::Fine | Limits::Unknown => None,
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
