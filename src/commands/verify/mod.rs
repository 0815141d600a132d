//! `verify`: the same judgement as `authorized-keys`, offline, on files.

mod input;
mod report;

use std::io::Write;

use super::Outcome;
use crate::cli::Verify;
use crate::decision::{Decision, Evidence, Expectations, decide};
use crate::evidence::chain::Certificate;
use crate::key_options::LinePrefix;
use crate::output::{authorized_keys, write_once};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::verification::{RevocationPolicy, certificates_to_staple};
use input::InputError;
use report::Report;

/// Runs the command. Accepted keys go to `out` and what was found to `notes`; with `--json` all of it goes
/// to `out` as one document.
pub(super) fn run(
    arguments: &Verify,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let now = arguments.at.unwrap_or(now);
    let judged = match input::read(arguments) {
        Ok(evidence) => judge(arguments, &evidence, now),
        Err(InputError::Unreadable(why)) => {
            let _ = writeln!(notes, "eic-agent: {}", one_line(&why));
            return Outcome::Usage;
        }
        Err(InputError::Unusable(reason, why)) => Err(Unproven { reason, why, path: Vec::new() }),
    };
    let report = Report::new(&arguments.signer_name, &judged, now);
    let written = if arguments.json {
        report.write_json(out)
    } else {
        let _ = report.write_text(notes);
        let accepted = judged.as_ref().map(Decision::accepted);
        let lines = accepted.map(|keys| authorized_keys(keys, &LinePrefix::default())).unwrap_or_default();
        write_once(lines.as_bytes(), out)
    };
    match (written, judged) {
        (Err(error), _) => {
            let _ = writeln!(notes, "eic-agent: cannot write the result: {error}");
            Outcome::Undecided
        }
        (Ok(()), Ok(decision)) if decision.accepted().next().is_some() => Outcome::Done,
        (Ok(()), _) => Outcome::Undecided,
    }
}

/// A signer that is not believed, and the path that was found all the same, if any.
struct Unproven {
    reason: Reason,
    why: String,
    path: Vec<Certificate>,
}

fn judge(arguments: &Verify, evidence: &Evidence, now: Timestamp) -> Result<Decision, Unproven> {
    let expected = Expectations {
        signer: arguments.signer_name.clone(),
        instance: arguments.instance_id.clone(),
        offered: arguments.fingerprint.clone(),
        policy: Policy::default(),
        revocation: RevocationPolicy::Require,
    };
    decide(evidence, &expected, now).map_err(|error| {
        let path = certificates_to_staple(&evidence.chain, &evidence.anchors, &expected.signer, now);
        Unproven { reason: error.reason(), why: error.to_string(), path: path.unwrap_or_default() }
    })
}
