//! `verify`: the same verification as `authorized-keys`, but offline and on files.

mod input;
mod report;

use std::io::Write;

use eic_core::decision::{Decision, Evidence, Expectations, authorized_keys, decide};
use eic_core::evidence::chain::Certificate;
use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_core::time::Timestamp;
use eic_core::verification::{Budget, SignerPath};
use eic_host::stdout::write_once;
use eic_login::fetch::lost_staples::LostStaples;
use report::Claimed;

use crate::cli::VerifyArgs;
use crate::outcome::Outcome;

pub(super) use report::{Key, VerifyReport};

/// Runs the command. Accepted keys go to `out`, and the report goes to `notes`. With `--json`, both go to `out` as one
/// document.
pub(super) fn run(
    arguments: &VerifyArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let case = match input::read_case(arguments, now) {
        Ok(case) => case,
        Err(why) => {
            let _ = writeln!(notes, "eic-agent: {}", one_line(&why));
            return Outcome::Usage;
        }
    };
    let Case { signer, evidence, lost, redacted, claimed, at } = case;
    let judged = match evidence {
        Ok((evidence, expected)) => verify_case(&evidence, &lost, &expected, at),
        Err(unproven) => Err(unproven),
    };
    let report = VerifyReport::new(&signer, &judged, at).of_capture(redacted, claimed);
    let written = if arguments.json {
        report.write_json(out)
    } else {
        let _ = report.write_text(notes);
        let lines =
            judged.as_ref().map(|decision| authorized_keys(&decision.key_lines())).unwrap_or_default();
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

/// The input of one verification.
struct Case {
    /// The name of the expected signer. Empty if it is not known.
    signer: String,
    evidence: Result<(Evidence, Expectations), Unproven>,
    /// The staples that a capture lacks, and why.
    lost: LostStaples<(Reason, String)>,
    redacted: bool,
    /// The instant and the instance that a capture claims.
    claimed: Option<Claimed>,
    at: Timestamp,
}

/// Why the evidence as a whole is refused, and the path of the signer, if there is one.
pub(super) struct Unproven {
    reason: Reason,
    why: String,
    path: Vec<Certificate>,
}

impl Unproven {
    pub(super) const fn new(reason: Reason, why: String) -> Self {
        Self { reason, why, path: Vec::new() }
    }
}

/// Verifies the evidence. If the signer is refused, this still searches for its path, for the report. If a staple is
/// missing, `lost` gives the reason.
pub(super) fn verify_case(
    evidence: &Evidence,
    lost: &LostStaples<(Reason, String)>,
    expected: &Expectations,
    now: Timestamp,
) -> Result<Decision, Unproven> {
    let budget = Budget::default();
    let judged = decide(evidence, expected, now, &budget);
    let (reason, why) =
        match (lost.cause(judged.as_ref().map(Decision::signer), &evidence.signer.chain), judged) {
            (Some(cause), _) => cause.clone(),
            (None, Ok(decision)) => return Ok(decision),
            (None, Err(error)) => (error.reason(), error.to_string()),
        };
    let path =
        SignerPath::find(&evidence.signer.chain, &evidence.signer.anchors, &expected.signer, now, &budget);
    let path = path.map(|path| path.certificates().cloned().collect()).unwrap_or_default();
    Err(Unproven { reason, why, path })
}
