//! Checks that cannot be made without sshd, and fixes that concern sshd.

use super::check::Check;
use crate::sshd_setup::{Fix, SetupFault, shown_reload};
pub(super) use crate::sshd_setup::{Inspection as Sshd, InspectionError as SshdUnavailable};

impl SshdUnavailable {
    /// A check that is skipped for this reason.
    pub(super) fn skipped(&self, id: &'static str, why: &'static str) -> Check {
        let seen = match self {
            Self::Absent => "there is no sshd".to_owned(),
            Self::Refused(_) => "sshd was not run; the check \"command\" has the reason".to_owned(),
            Self::Broken(..) => "sshd refuses its configuration".to_owned(),
            Self::NeedsRoot(_) => "only root can query sshd; run with sudo".to_owned(),
        };
        Check::skipped(id, why, seen)
    }
}

pub(super) fn shown_fix(fix: Fix) -> String {
    match fix {
        Fix::Run(command) => format!("sudo {command}"),
        Fix::Do(words) => words,
    }
}

pub(super) fn failed(id: &'static str, why: &'static str, fault: SetupFault) -> Check {
    Check::fail(id, why, fault.seen, shown_fix(fault.fix))
}

pub(super) fn not_asked(id: &'static str, why: &'static str) -> Check {
    Check::skipped(id, why, "sshd does not run eic-agent")
}

/// `, then: …` with the command that makes sshd reload its configuration.
pub(super) fn then_reload(sshd: &Sshd) -> String {
    format!(", then: {}", shown_reload(&sshd.machine))
}
