//! `confinement`: confines itself as a run does, and prints which layers of the confinement are in force. `doctor` runs
//! it as a separate process, because a confined process cannot check anything else.

use std::io::Write;

use eic_host::stdout::write_once;
use eic_login::confinement::{confine, no_more_threads};
use eic_login::privileges::give_up_root;

use crate::outcome::Outcome;

pub(super) fn run(out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    if let Err(error) = give_up_root() {
        let _ = writeln!(notes, "eic-agent: {error}");
        return Outcome::Undecided;
    }
    let confinement = confine(&[], 0, None);
    no_more_threads();
    match write_once(format!("{confinement}\n").as_bytes(), out) {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::Undecided,
    }
}
