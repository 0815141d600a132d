//! Which OpenSSH this instance has, and whether it is new enough.

use std::process::Command;
use std::time::Duration;

use eic_core::key_options::{LinePrefix, Release};

use crate::process::output_with_timeout;

/// Programs that tell their release; all of them come from one source.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/ssh"];

/// How long a program may take to tell it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The release of the installed OpenSSH. `-V` makes it known on standard error: newer ones by intent, and
/// sshd before 9.2 in its complaint about the option.
#[must_use]
pub fn installed_release() -> Option<Release> {
    PROGRAMS.iter().find_map(|program| {
        let said = output_with_timeout(Command::new(program).arg("-V"), TIMEOUT).ok()?;
        Release::find(&String::from_utf8_lossy(&said.stderr))
            .or_else(|| Release::find(&String::from_utf8_lossy(&said.stdout)))
    })
}

/// Where the installed OpenSSH is too old for what stands before each key: the release that it takes, and the
/// one that is there, if that can be found out. Nothing is run where every supported release will do.
#[must_use]
pub fn too_old(prefix: &LinePrefix) -> Option<(Release, Option<Release>)> {
    let needed = prefix.needs();
    if needed <= Release::OLDEST {
        return None;
    }
    let installed = installed_release();
    installed.is_none_or(|installed| installed < needed).then_some((needed, installed))
}
