//! The installed OpenSSH release, and whether it is new enough.

use std::process::Command;
use std::time::Duration;

use eic_core::key_options::{LinePrefix, Release};

use crate::process::output_with_timeout;

/// Programs that print their release. Both belong to OpenSSH.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/ssh"];

/// Time limit for one program.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The release of the installed OpenSSH, from `-V`. Newer releases print it on standard error. sshd before 9.2 does
/// not know the option and prints it in the error message. The error says what each program did.
pub fn installed_release() -> Result<Release, String> {
    let mut faults = Vec::new();
    for program in PROGRAMS {
        match output_with_timeout(Command::new(program).arg("-V"), TIMEOUT) {
            Ok(said) => {
                let found = [&said.stderr, &said.stdout]
                    .into_iter()
                    .find_map(|text| Release::find(&String::from_utf8_lossy(text)));
                if let Some(release) = found {
                    return Ok(release);
                }
                faults.push(format!("{program} -V prints no release"));
            }
            Err(error) => faults.push(format!("{program} -V: {error}")),
        }
    }
    Err(faults.join("; "))
}

/// Checks whether the installed OpenSSH is too old for the options before each key. If so, returns the needed
/// release, and the installed release if it is known. Runs no program if every supported release is new enough.
#[must_use]
pub fn too_old(prefix: &LinePrefix) -> Option<(Release, Option<Release>)> {
    let needed = prefix.needs();
    if needed <= Release::OLDEST {
        return None;
    }
    let installed = installed_release().ok();
    installed.is_none_or(|installed| installed < needed).then_some((needed, installed))
}
