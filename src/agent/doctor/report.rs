//! The report of `doctor`: all checks, the cause of a failure, and what a login will do.

use std::fmt::Write as _;

use eic_core::instance_facts::InstanceFacts;
use eic_core::text::one_line;
use serde::Serialize;

use super::check::{Check, CheckStatus, PUBLIC_KEYS};
use crate::layout::{fit, for_reader};

/// What a login of the user with a pushed key will do, according to all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Forecast {
    /// Every decisive check is good.
    Works,
    /// A check failed, and its fault certainly ends a login.
    Fails,
    /// There is no such fault, but a decisive check was skipped, or its result leaves the login open.
    NotKnown,
}

/// How the text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Columns of a line.
    pub(super) width: usize,
    pub(super) colours: bool,
    /// Show only checks that are not ok.
    pub(super) quiet: bool,
}

impl CheckStatus {
    const ALL: [Self; 4] = [Self::Ok, Self::Warn, Self::Fail, Self::Skipped];

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skipped => "skipped",
        }
    }

    /// The terminal's code for its colour.
    const fn code(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Warn => "33",
            Self::Fail => "31;1",
            Self::Skipped => "2",
        }
    }
}

/// Colours the verdict at the beginning of each line. Call this after the lines are fitted, because colour codes take
/// no columns.
fn coloured(text: &str) -> String {
    let line = |line: &str| {
        let verdict = CheckStatus::ALL.iter().find_map(|verdict| {
            let rest = line.strip_prefix(verdict.word())?;
            rest.starts_with(' ')
                .then(|| format!("\u{1b}[{}m{}\u{1b}[0m{rest}\n", verdict.code(), verdict.word()))
        });
        verdict.unwrap_or_else(|| format!("{line}\n"))
    };
    text.lines().map(line).collect()
}

/// All checks, in the order in which a login depends on them.
#[derive(Debug, Serialize)]
pub(super) struct DoctorReport {
    pub(super) schema_version: u32,
    pub(super) version: &'static str,
    pub(super) at: String,
    /// Only in JSON, which may leave this machine.
    pub(super) instance: Option<InstanceFacts>,
    pub(super) user: Option<String>,
    pub(super) checks: Vec<Check>,
    /// The id of the check that most likely explains a refused login.
    pub(super) cause: Option<&'static str>,
    /// What a login of `user` will do.
    pub(super) login: Option<Forecast>,
}

impl DoctorReport {
    /// Finds the cause, and what a login will do.
    pub(super) fn new(user: Option<String>, at: String, checks: Vec<Check>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut report =
            Self { schema_version: 2, version, at, instance: None, user, checks, cause: None, login: None };
        report.find_cause();
        report.login = report.forecast();
        report
    }

    pub(super) fn is_broken(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == CheckStatus::Fail)
    }

    /// The report as text: one entry per check, why and fix only for a fault, and the cause last.
    pub(super) fn text(&self, style: Style) -> String {
        let shown = || self.checks.iter().filter(|check| !style.quiet || check.verdict != CheckStatus::Ok);
        if shown().next().is_none() {
            return String::new();
        }
        let mut text = String::new();
        let width = self.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
        for check in shown() {
            let word = check.verdict.word();
            let _ = writeln!(text, "{word:<7}  {:<width$}  {}", check.id, one_line(&check.seen));
            if let Some(fix) = &check.fix {
                let _ = writeln!(text, "{:9}why:  {}", "", one_line(check.why));
                let _ = writeln!(text, "{:9}fix:  {}", "", one_line(fix));
            }
        }
        let _ = writeln!(text, "\n{}", self.conclusion());
        let text = fit(&for_reader(&text), style.width);
        if style.colours { coloured(&text) } else { text }
    }

    /// What a login of the user will do. `None` without `--user`, because every check of the account is skipped then.
    fn forecast(&self) -> Option<Forecast> {
        self.user.as_ref()?;
        let is_certain = |check: &Check| check.verdict == CheckStatus::Fail && !check.is_open;
        Some(if self.checks.iter().any(is_certain) {
            Forecast::Fails
        } else if self.checks.iter().any(Check::hides_the_outcome) {
            Forecast::NotKnown
        } else {
            Forecast::Works
        })
    }

    fn conclusion(&self) -> String {
        let hidden = self.checks.iter().filter(|check| check.wants_root()).count();
        let unseen = match hidden {
            0 => None,
            1 => Some("1 check was skipped: run with sudo".to_owned()),
            many => Some(format!("{many} checks were skipped: run with sudo")),
        };
        let open = self.checks.iter().find(|check| check.hides_the_outcome());
        let open = open.filter(|_| self.login == Some(Forecast::NotKnown));
        let Some(cause) = self.checks.iter().find(|check| Some(check.id) == self.cause) else {
            return match (unseen, open) {
                (Some(unseen), _) => format!("No fault was found, but {unseen}."),
                (None, Some(open)) => format!(
                    "No fault was found, but it is not known whether a login works: {}: {}",
                    open.id,
                    one_line(&open.seen)
                ),
                (None, None) => "No fault was found.".to_owned(),
            };
        };
        let likely = match (unseen, open) {
            _ if cause.verdict == CheckStatus::Fail => "Most likely cause of a refused login".to_owned(),
            (Some(unseen), _) => format!("No fault was found that prevents a login, but {unseen}. Warning"),
            (None, Some(_)) if cause.id == PUBLIC_KEYS => "A key alone does not log in".to_owned(),
            (None, Some(open)) => format!("It is not known whether a login works (see {}). Warning", open.id),
            (None, None) if self.user.is_none() => {
                "No fault was found that prevents every login. Warning".to_owned()
            }
            (None, None) => "Logins should work. Warning".to_owned(),
        };
        let fix = cause.fix.as_deref().unwrap_or_default();
        format!("{likely}: {}: {}\nDo this first: {}", cause.id, one_line(&cause.seen), one_line(fix))
    }
}

/// The report of these checks, with its cause.
#[cfg(test)]
pub(super) fn report(checks: Vec<Check>) -> DoctorReport {
    DoctorReport::new(Some("ec2-user".to_owned()), String::new(), checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { width: 80, colours: false, quiet: false };

    #[test]
    fn first_failed_check_is_the_cause() {
        let checks = vec![
            Check::ok("a", "w", "fine"),
            Check::warn("b", "w", "old", "renew"),
            Check::fail("cc", "because", "gone\n", "bring it back"),
            Check::fail("d", "w", "x", "y"),
        ];
        let broken = report(checks.clone());
        assert_eq!((broken.cause, broken.is_broken()), (Some("cc"), true));
        let text = broken.text(PLAIN);
        assert!(
            text.starts_with("ok       a   fine\nwarn     b   old\n         why:  w\n         fix:  renew\n"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "\nMost likely cause of a refused login: cc: gone\\x0a\nDo this first: bring it back\n"
            ),
            "{text}"
        );
        let coloured = broken.text(Style { colours: true, ..PLAIN });
        assert!(!text.contains('\u{1b}') && coloured.contains("\n\u{1b}[31;1mFAIL\u{1b}[0m     cc"));
        let quiet = broken.text(Style { quiet: true, ..PLAIN });
        assert!(quiet.starts_with("warn     b   old\n") && text.ends_with(&quiet), "{quiet}");
        let weak = report(checks.into_iter().take(2).collect());
        assert_eq!((weak.cause, weak.is_broken()), (Some("b"), false));
        let sound = report(vec![Check::ok("a", "w", "fine")]);
        assert_eq!((sound.cause, sound.text(Style { quiet: true, ..PLAIN }).as_str()), (None, ""));
    }

    #[test]
    fn skipped_check_is_not_reported_as_ok() {
        let hidden = |id| Check::skipped(id, "w", "run with sudo to see it");
        let concludes = |checks| report(checks).conclusion();
        assert_eq!(concludes(vec![Check::skipped("a", "w", "no login name")]), "No fault was found.");
        assert_eq!(
            concludes(vec![hidden("a"), Check::ok("b", "w", "fine"), hidden("c")]),
            "No fault was found, but 2 checks were skipped: run with sudo."
        );
        let unknown = || Check::skipped("pam", "w", "not known: only a login shows it");
        assert_eq!(
            concludes(vec![unknown(), Check::ok("b", "w", "fine")]),
            "No fault was found, but it is not known whether a login works: pam: not known: only a login shows it"
        );
        let weak = Check::warn("b", "w", "old", "renew");
        assert!(
            concludes(vec![weak.clone(), unknown()])
                .starts_with("It is not known whether a login works (see pam). Warning: b: old")
        );
        assert_eq!(
            concludes(vec![hidden("a"), weak.clone()]),
            "No fault was found that prevents a login, but 1 check was skipped: run with sudo. Warning: b: old\nDo this first: renew"
        );
        assert!(concludes(vec![weak]).starts_with("Logins should work. Warning: b: "));
        let broken = Check::fail("b", "w", "gone", "renew");
        assert!(concludes(vec![hidden("a"), broken]).starts_with("Most likely cause of a refused login: b"));
    }
}
