//! Which failed check comes first: a cause comes before its consequences.
//!
//! The order of the checks is the order in which a login needs them. A check may fail because of one that comes later
//! in that order, or may have a fix that cannot work before another fault is corrected. Such a dependency is declared:
//! here if it always holds, and with [`Check::after`] if it depends on what was found.

use super::check::{Check, CheckStatus, LIVE_RUN};
use super::report::DoctorReport;

/// Checks, each with the checks whose failure can cause its failure.
const CAUSES: [(&str, &[&str]); 4] = [
    // If the clock is wrong, valid certificates and staples look expired.
    ("signer", &["clock"]),
    ("staples", &["clock"]),
    // The unit runs `status`, which fails for these faults.
    ("unit", &["settings", "openssh", "command", "command-user", "command-path"]),
    // For these faults, a run that sshd starts hands out no key, even if the run that `doctor` started did.
    (LIVE_RUN, &["selinux", "log"]),
];

impl DoctorReport {
    /// Finds the cause: the first failed check that is no consequence of another. If no check failed, the first
    /// warning. Adds to the fix of each consequence which check comes first.
    pub(super) fn find_cause(&mut self) {
        let failed: Vec<_> = self.checks.iter().filter(|check| check.verdict == CheckStatus::Fail).collect();
        let cause_of = |check: &Check| {
            let always = CAUSES.iter().find(|(id, _)| *id == check.id).map_or(&[][..], |(_, causes)| causes);
            let causes = always.iter().chain(check.after);
            causes.copied().find(|cause| *cause != check.id && failed.iter().any(|check| check.id == *cause))
        };
        let first = failed.iter().find(|check| cause_of(check).is_none()).or_else(|| failed.first());
        let warned = || self.checks.iter().find(|check| check.verdict == CheckStatus::Warn);
        let cause = first.copied().or_else(warned).map(|check| check.id);
        let consequences: Vec<_> = self.checks.iter().map(cause_of).collect();
        self.cause = cause;
        for (check, comes_first) in self.checks.iter_mut().zip(consequences) {
            if let (Some(comes_first), Some(fix)) = (comes_first, &mut check.fix) {
                *fix = format!("first do what the check \"{comes_first}\" says; then: {fix}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::report;
    use super::*;

    #[test]
    fn consequence_is_not_the_cause_and_its_fix_comes_second() {
        let listener = || Check::fail("listener", "w", "no sshd runs", "start sshd");
        let command = || Check::fail("command", "w", "line 3: Bad", "mend that");
        assert_eq!(report(vec![listener(), command()]).cause, Some("listener"));
        let found = report(vec![listener().after(&["command"]), command()]);
        assert_eq!(found.cause, Some("command"));
        let fixes: Vec<_> = found.checks.iter().map(|check| check.fix.as_deref().unwrap()).collect();
        assert_eq!(fixes, ["first do what the check \"command\" says; then: start sshd", "mend that"]);
        // Without a failed cause, nothing comes first.
        let found = report(vec![listener().after(&["command"]), Check::ok("command", "w", "fine")]);
        assert_eq!((found.cause, found.checks[0].fix.as_deref()), (Some("listener"), Some("start sshd")));
        let unit = || Check::warn("unit", "w", "failed", "restart it");
        let found = report(vec![command(), unit()]);
        assert!(
            found.cause == Some("command") && found.checks[1].fix.as_ref().unwrap().starts_with("first do")
        );
        assert_eq!(report(vec![unit()]).cause, Some("unit"));
        // If two checks declare each other, there is still a cause.
        let circle = vec![listener().after(&["command"]), command().after(&["listener"])];
        assert_eq!(report(circle).cause, Some("listener"));
    }

    #[test]
    fn declared_causes_have_no_cycle() {
        for (id, causes) in CAUSES {
            for cause in causes {
                assert_ne!(id, *cause);
                assert!(!CAUSES.iter().any(|(other, causes)| other == cause && causes.contains(&id)), "{id}");
            }
        }
    }
}
