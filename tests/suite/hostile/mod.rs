//! Hostile evidence, case by case: what is served, what comes out of it, and for which reason the rest is refused.
//!
//! Every row is built twice by the emulator's authority and judged by the real program twice: at a pinned instant,
//! from files, by `verify`; and at the machine's own, from a metadata service on a private instance, by
//! `authorized-keys` as sshd runs it. Both must come to the same, byte for byte; what sshd gets is read by
//! ssh-keygen, too. Each run is held to its deadline, a tenth of a second more, and [`World::most_memory`](crate::world::World::most_memory).
//!
//! [`openssl`] is the same world made by openssl alone. What is not here stands in `fixtures/` (every bit that may
//! be flipped, each field of an entry, each way to sign) and `reference_cases`.

mod bundles;
mod chains;
mod evidence;
mod floods;
mod judges;
mod names;
mod openssl;
mod revocation;
mod staples;
mod weak;

use evidence::Evidence;

/// The keys of `tests/fixtures/keys` around which the evidence is built: both are good unless a row says otherwise.
const FIRST: &str = "ed25519";
const LAST: &str = "rsa-2048";

/// What must come of a row.
#[derive(Clone, Debug)]
struct Outcome {
    /// The keys that come out, in order, by their names in `tests/fixtures/keys`.
    keys: Vec<&'static str>,
    /// Why there is no decision at all; then no key comes out.
    undecided: Option<&'static str>,
    /// The reason of each entry that is refused, in order.
    refused: Vec<&'static str>,
}

/// One case.
struct Row {
    name: &'static str,
    outcome: Outcome,
    /// Where metadata is not what files are: what a run from metadata comes to.
    served: Option<&'static str>,
    /// Whether `verify` takes such files at all.
    in_files: bool,
    make: fn(&mut Evidence),
}

impl Row {
    const fn new(name: &'static str, outcome: Outcome, make: fn(&mut Evidence)) -> Self {
        Self { name, outcome, served: None, in_files: true, make }
    }

    /// Only metadata can serve this; `verify` refuses to begin.
    fn only_served(mut self) -> Self {
        self.in_files = false;
        self
    }

    /// From metadata the refusal has another reason.
    fn served(mut self, reason: &'static str) -> Self {
        self.served = Some(reason);
        self
    }
}

/// The signer is proven: of the usual bundle both good keys come out, and the forged one between them does not.
fn good(name: &'static str, make: fn(&mut Evidence)) -> Row {
    let outcome = Outcome { keys: vec![FIRST, LAST], undecided: None, refused: vec!["bad-signature"] };
    Row::new(name, outcome, make)
}

/// The signer is not proven: no key comes out, however good its entry.
fn bad(name: &'static str, reason: &'static str, make: fn(&mut Evidence)) -> Row {
    Row::new(name, Outcome { keys: Vec::new(), undecided: Some(reason), refused: Vec::new() }, make)
}

/// Entries are judged one by one: these keys come out, and for these reasons others do not.
fn judged(
    name: &'static str,
    keys: &[&'static str],
    refused: &[&'static str],
    make: fn(&mut Evidence),
) -> Row {
    let outcome = Outcome { keys: keys.to_vec(), undecided: None, refused: refused.to_vec() };
    Row::new(name, outcome, make)
}
