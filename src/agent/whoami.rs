//! `whoami`: who pushed the key of a session. From the environment of this session, or as root for any process, from the
//! log.

use std::io::Write;

use eic_core::audit_line::{IDENT, MAX_PRINCIPAL};
use eic_core::text::{one_line, printable};
use eic_core::time::Timestamp;
use eic_host::stdout::write_once;

use crate::cli::WhoamiArgs;
use crate::layout::{fit_for_terminal, json};
use crate::outcome::Outcome;
use crate::sessions::{Caller, caller_of};

/// Longest value of a variable that is shown, in characters: the longest ARN with every byte as `%XX`.
const MAX_VALUE: usize = 3 * MAX_PRINCIPAL;

pub(super) fn run(
    arguments: &WhoamiArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let found = match arguments.pid {
        None => of_environment(),
        Some(_) if !nix::unistd::Uid::effective().is_root() => {
            Err("only root can find out the caller of a process; run it with sudo".to_owned())
        }
        Some(pid) => caller_of(pid, now),
    };
    let caller = match found {
        Ok(caller) => caller,
        Err(why) => {
            let _ = writeln!(notes, "{IDENT}: not known: {}", one_line(&why));
            return Outcome::Undecided;
        }
    };
    let text = if arguments.json { json(&caller) } else { fit_for_terminal(&caller.to_string()) };
    match write_once(text.as_bytes(), out) {
        // The environment is no proof, and this command without a process does not ask for one.
        Ok(()) if caller.verified || arguments.pid.is_none() => Outcome::Done,
        _ => Outcome::Undecided,
    }
}

fn of_environment() -> Result<Caller, String> {
    let value = |name: &str| {
        let value = std::env::var_os(name)?;
        Some(printable(&value.to_string_lossy(), MAX_VALUE))
    };
    let (principal, request_id) = (value("EIC_PRINCIPAL"), value("EIC_REQUEST_ID"));
    if principal.is_none() && request_id.is_none() {
        return Err(format!(
            "the environment has neither EIC_PRINCIPAL nor EIC_REQUEST_ID; to find it in the log: sudo {IDENT} whoami --pid $$"
        ));
    }
    Ok(Caller {
        schema_version: 1,
        source: "environment",
        principal,
        request_ids: request_id.into_iter().collect(),
        account: value("EIC_ACCOUNT"),
        reason: Some("the user of the session can change its environment".to_owned()),
        ..Caller::default()
    })
}
