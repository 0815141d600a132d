//! Which OpenSSH this instance has.

use std::process::{Command, Stdio};

use crate::key_options::Release;

/// Programs that tell their release; all of them come from one source.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/ssh"];

/// The release of the installed OpenSSH. `-V` makes it known on standard error: newer ones by intent, and
/// sshd before 9.2 in its complaint about the option.
pub(super) fn installed_release() -> Option<Release> {
    PROGRAMS.iter().find_map(|program| {
        let said = Command::new(program).arg("-V").stdin(Stdio::null()).output().ok()?;
        Release::find(&String::from_utf8_lossy(&said.stderr))
            .or_else(|| Release::find(&String::from_utf8_lossy(&said.stdout)))
    })
}
