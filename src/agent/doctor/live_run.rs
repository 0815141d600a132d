//! `answer`: runs the command in sshd's configuration once, as sshd would, but without chained providers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::LoginName;
use eic_core::policy::Action;
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::instance::Machine;
use eic_host::process::output_with_timeout;
use eic_host::reach::Subject;
use eic_host::sshd::tokens::expand;
use eic_login::config::DEFAULT_PATH;

use super::check::{Check, CheckStatus, LIVE_RUN};
use super::sshd::{Sshd, SshdUnavailable, not_asked};
use crate::cli::AuthorizedKeysArgs;
use crate::reach::silent;
use crate::settings;
use crate::sshd_setup::own_line::{another_name, read, without_providers};
use crate::sshd_setup::{is_ours, shown_reload};

const ID: &str = LIVE_RUN;
const ANSWER: &str = "this runs the command as sshd does, as the same user; the log records it like a login";

/// Timeout of the run. The longest timeout that can be set is a minute, and a run ends itself a second later.
const TIMEOUT: Duration = Duration::from_secs(65);

/// Runs the command. Call this while we are root. `before` has the checks of whether sshd can run it at all.
pub(super) fn check(sshd: &Result<Sshd, SshdUnavailable>, user: Option<&str>, before: &[Check]) -> Check {
    let Some(user) = user else {
        return match sshd {
            Ok(_) => Check::skipped(ID, ANSWER, "no login name; add --user USER"),
            Err(blind) => blind.skipped(ID, ANSWER),
        };
    };
    let Ok(user) = LoginName::try_from(user) else {
        let seen = format!("no key can be pushed for the name {}", printable(user, MAX_SHOWN));
        return Check::fail(ID, ANSWER, seen, "log in as a user whose name EC2 Instance Connect allows");
    };
    let sshd = match sshd {
        Ok(sshd) => sshd,
        Err(blind) => return blind.skipped(ID, ANSWER),
    };
    let (command, runs_as) = sshd.wired(|wired| (wired.running.command.clone(), wired.running.user.clone()));
    let command = command.unwrap_or_default();
    if !is_ours(Some(&command), &sshd.machine.own) {
        return not_asked(ID, ANSWER);
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Check::skipped(ID, ANSWER, "run with sudo to run the command as sshd does");
    }
    // This runs the command that the files set, even if the running server has not read the files yet.
    let is_unread = |check: &Check| check.id == "command" && sshd.unread.is_some();
    let stops = |check: &Check| {
        check.verdict == CheckStatus::Fail && check.id.starts_with("command") && !is_unread(check)
    };
    if before.iter().any(stops) {
        return Check::skipped(ID, ANSWER, "sshd cannot run the command; a check above shows the cause");
    }
    let account = match Account::look_up(runs_as.as_deref().unwrap_or_default()) {
        Ok(Some(account)) => account,
        Ok(None) => {
            return Check::skipped(ID, ANSWER, "the user that sshd runs the command as does not exist");
        }
        Err(why) => return Check::skipped(ID, ANSWER, why),
    };
    match ConfiguredRun::parse(&command, &user) {
        Err(why) => Check::skipped(ID, ANSWER, why),
        Ok(asked) if asked.read.user.as_encoded_bytes() != user.as_str().as_bytes() => {
            let place = sshd.wired(|wired| wired.winner().map(ToString::to_string)).unwrap_or_default();
            let (seen, fix) = another_name(&asked.read, &format!("the login name {user}"), &place);
            Check::fail(ID, ANSWER, seen, format!("{fix}, then: {}", shown_reload(&sshd.machine)))
        }
        Ok(asked) if Machine::detect(&asked.read.sysfs) == Machine::NotEc2 => {
            Check::skipped(ID, ANSWER, "this is not an EC2 instance, so a run gives no key")
        }
        Ok(asked) => asked.run(&user, &account),
    }
}

/// Turns a failure into a skipped check if an earlier check already explains it. Names the user of the run if only that
/// user does not reach the metadata service. `asked_as` is the user that queried it for the checks in `service`.
pub(super) fn explained(answer: Check, service: &[Check], asked_as: &str) -> Check {
    let is_explained = service.iter().any(|check| check.verdict == CheckStatus::Fail);
    let is_bad = matches!(answer.verdict, CheckStatus::Fail | CheckStatus::Warn);
    if is_explained && is_bad {
        return Check::skipped(ID, ANSWER, format!("a check above shows the cause ({})", answer.seen));
    }
    let unreached = [Reason::MetadataTimeout, Reason::MetadataUnreachable].map(Reason::as_str);
    let words = answer.seen.strip_prefix("as ").and_then(|rest| rest.split_once(NO_DECISION));
    let Some((runs_as, _)) = words.filter(|(runs_as, note)| {
        *runs_as != asked_as && unreached.iter().any(|reason| note.starts_with(reason))
    }) else {
        return answer;
    };
    let seen =
        format!("{}; {asked_as} gets an answer, so a firewall may refuse the user {runs_as}", answer.seen);
    let fix = format!(
        "let the user {runs_as} through to the metadata service: look for \"meta skuid\" in the output of: sudo nft list ruleset, and for \"--uid-owner\" in the output of: sudo iptables -S OUTPUT; {}",
        answer.fix.as_deref().unwrap_or_default()
    );
    Check { seen, fix: Some(fix), ..answer }
}

/// Options of `authorized_keys` that can refuse a login or replace its command (`sshd(8)`).
const CONDITIONS: [&str; 5] = ["expiry-time", "from=", "command=", "verify-required", "touch-required"];

/// The words between the user and the reason.
const NO_DECISION: &str = ", the command made no decision: ";

/// Our own part of the command, without chained providers.
struct ConfiguredRun {
    words: Vec<String>,
    /// The parsed arguments of a run for which a key is offered.
    read: AuthorizedKeysArgs,
}

impl ConfiguredRun {
    fn parse(command: &str, user: &LoginName) -> Result<Self, String> {
        let words = without_providers(command);
        let some_key = Fingerprint::of(b"");
        let read = read(&words, user, Some(&some_key))?;
        // Without an offered key, the run prints all pushed keys.
        let words = words.iter().filter(|word| *word != "%f").map(|word| expand(word, user, None));
        let words = words.collect::<Result<_, _>>()?;
        Ok(Self { words, read })
    }

    fn run(&self, user: &LoginName, account: &Account) -> Check {
        let Some((program, arguments)) = self.words.split_first() else {
            return not_asked(ID, ANSWER);
        };
        // With all groups of that user, as sshd does.
        let mut command = if account.uid == 0 {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        } else {
            match Subject::of(account) {
                Ok(subject) => subject.command(program, arguments),
                Err(why) => return Check::skipped(ID, ANSWER, why),
            }
        };
        let runs_as = printable(&account.name, MAX_SHOWN);
        let again = format!("sudo -u {runs_as} {}", printable(&self.words.join(" "), MAX_SHOWN));
        let said = match output_with_timeout(&mut command, TIMEOUT) {
            Ok(said) => said,
            Err(error) => {
                let seen = format!("as {runs_as}, the command cannot be run: {error}");
                return Check::fail(ID, ANSWER, seen, format!("correct that, then check with: {again}"));
            }
        };
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        let ours = format!("{IDENT}: ");
        let notes: Vec<_> = told.lines().map(|line| line.strip_prefix(&ours).unwrap_or(line)).collect();
        if !said.status.success() {
            let note = notes.first().map_or_else(|| said.status.to_string(), |note| printable(note, 1024));
            let seen = format!("as {runs_as}{NO_DECISION}{note}");
            return Check::fail(ID, ANSWER, seen, self.fix(&note, &again));
        }
        let keys = said.stdout.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let refused = notes.iter().find_map(|note| note.strip_prefix("refused: "));
        match (keys.count(), refused) {
            (0, Some(refused)) => {
                let reason = printable(refused.split(':').next().unwrap_or_default(), MAX_SHOWN);
                let seen = format!("no key for {user}; refused: {}", printable(refused, 1024));
                let fix = format!(
                    "see sudo {IDENT} explain {user}, and {reason} in eic-agent's docs/troubleshooting.md"
                );
                // A failure, because no key that is pushed now can log in. Another key may be accepted.
                Check::fail(ID, ANSWER, seen, fix).left_open()
            }
            (keys, _) => {
                let seen = match keys {
                    0 => format!("works as {runs_as}; no key is pushed for {user} now"),
                    1 => format!("1 key for {user}"),
                    keys => format!("{keys} keys for {user}"),
                };
                match self.decides_later(keys == 0) {
                    Some(what) => Check::ok(ID, ANSWER, format!("{seen}; {what}")).left_open(),
                    None => Check::ok(ID, ANSWER, seen),
                }
            }
        }
    }

    /// Which settings can still decide about a key. Rules count if no pushed key was there for them to judge. Options of
    /// `[keys]` count if sshd can refuse a login, or replaces its command, because of them.
    fn decides_later(&self, is_unjudged: bool) -> Option<&'static str> {
        let settings = settings::resolve(&self.read.overrides.settings()).ok()?;
        let has_rules = !settings.rules.is_empty() || settings.default_action.value == Action::Deny;
        if is_unjudged && has_rules {
            return Some("the rules of the settings decide about each key");
        }
        let is_limited = |options: &str| {
            let options = options.to_ascii_lowercase();
            CONDITIONS.iter().any(|option| options.contains(option))
        };
        if settings.options.value.as_ref().is_some_and(|options| is_limited(options.as_str())) {
            return Some("the options of [keys] limit each key");
        }
        let mut of_rules = settings.rules.iter().filter_map(|rule| rule.value.limits.options.as_ref());
        of_rules
            .any(|rule| is_limited(rule.options().as_str()))
            .then_some("the options of its rule limit each key")
    }

    fn fix(&self, note: &str, again: &str) -> String {
        let reason = note.split(':').next().unwrap_or_default();
        let file = self.read.overrides.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        if reason == Reason::SettingsUnreadable.as_str() {
            if let Some(silent) = silent(&[file.to_owned()]) {
                return silent.advice("the settings file");
            }
        }
        // The settings file has no secrets, so every user may read it.
        if reason == Reason::SettingsUnreadable.as_str() && file.is_file() {
            return format!("sudo chmod a+r {}", file.display());
        }
        format!("see {reason} in eic-agent's docs/troubleshooting.md, then run again: {again}")
    }
}
