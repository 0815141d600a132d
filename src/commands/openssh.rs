//! Which OpenSSH this instance has, and what it permits.

use std::process::Command;
use std::time::Duration;

use crate::key_options::{LinePrefix, Release};
use crate::process::ask;
use crate::sshd::keyword::Keyword;
use crate::sshd::server::Printed;

/// Programs that tell their release; all of them come from one source.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/ssh"];

/// How long a program may take to tell it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The release of the installed OpenSSH. `-V` makes it known on standard error: newer ones by intent, and
/// sshd before 9.2 in its complaint about the option.
pub(super) fn installed_release() -> Option<Release> {
    PROGRAMS.iter().find_map(|program| {
        let said = ask(Command::new(program).arg("-V"), PATIENCE).ok()?;
        Release::find(&String::from_utf8_lossy(&said.stderr))
            .or_else(|| Release::find(&String::from_utf8_lossy(&said.stdout)))
    })
}

/// Where the installed OpenSSH is too old for what stands before each key: the release that it takes, and the
/// one that is there, if that can be found out. Nothing is run where every supported release will do.
pub(super) fn too_old(prefix: &LinePrefix) -> Option<(Release, Option<Release>)> {
    let needed = prefix.needs();
    if needed <= Release::OLDEST {
        return None;
    }
    let installed = installed_release();
    installed.is_none_or(|installed| installed < needed).then_some((needed, installed))
}

/// sshd's effective `PermitUserEnvironment`. None where it does not tell: `-G` (OpenSSH 9.3) tells everybody
/// who can read its configuration, `-T` only root.
pub(super) fn permitted_environment() -> Option<String> {
    ["-G", "-T"].iter().find_map(|option| {
        let said = ask(Command::new("/usr/sbin/sshd").arg(option), PATIENCE).ok()?;
        let printed = Printed::read(&String::from_utf8_lossy(&said.stdout));
        printed.values(Keyword::PermitUserEnvironment).next().map(str::to_owned)
    })
}

/// `yes`, or a list of patterns with ours among them.
pub(super) fn permits_ours(value: &str) -> bool {
    value == "yes" || value.split(',').any(|pattern| matches!(pattern, "EIC_*" | "*"))
}

/// Why that is not enough.
pub(super) fn not_permitted(value: &str) -> String {
    format!(
        "expected PermitUserEnvironment EIC_* in sshd_config, got {value}; sshd would leave the variables out"
    )
}

#[cfg(test)]
mod tests {
    use super::permits_ours;

    #[test]
    fn only_patterns_with_both_names_permit() {
        for good in ["yes", "EIC_*", "LANG,EIC_*", "*"] {
            assert!(permits_ours(good), "{good}");
        }
        for bad in ["no", "", "EIC_PRINCIPAL", "LANG,LC_*"] {
            assert!(!permits_ours(bad), "{bad}");
        }
    }
}
