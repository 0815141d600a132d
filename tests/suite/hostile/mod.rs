//! Hostile evidence, one case per row: what is served, which keys come out, and why the rest is refused.
//!
//! The emulator's authority builds every row twice, and the real program judges it twice. `verify` judges files at a
//! pinned instant. `authorized-keys`, as sshd runs it, judges the answers of a metadata service on a private
//! instance, at the machine's own time. Both must come to the same result, byte for byte. ssh-keygen also reads what
//! sshd gets. Each run must end within 100 ms after its deadline, and may use at most
//! [`World::most_memory`](crate::world::World::most_memory).
//!
//! [`openssl`] tests similar evidence that openssl alone has made. `fixtures/` and `reference_cases` contain other
//! cases: every bit that may be flipped, each field of an entry, and each way to sign.

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

/// Declares the two tests of a module's table `rows`.
macro_rules! judge_rows {
    () => {
        #[test]
        fn every_row_from_files_has_its_outcome() {
            $crate::hostile::judges::in_files(&rows());
        }

        #[test]
        fn every_row_from_metadata_has_its_outcome() {
            $crate::hostile::judges::on_instances($crate::world::test_path!(), &rows());
        }
    };
}
pub(crate) use judge_rows;

/// The keys of `tests/fixtures/keys` in the usual bundle. Both are good unless a row says otherwise.
const FIRST: &str = "ed25519";
const LAST: &str = "rsa-2048";

/// The required outcome of a row.
#[derive(Clone, Debug)]
struct Outcome {
    /// The keys that come out, in order, by their names in `tests/fixtures/keys`.
    keys: Vec<&'static str>,
    /// The reason, if there is no decision at all. Then no key comes out.
    undecided: Option<&'static str>,
    /// The reasons of the refused entries, in order.
    refused: Vec<&'static str>,
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    /// The reason of a run from metadata, if it differs from that of `verify`.
    served: Option<&'static str>,
    /// Whether `verify` accepts such files at all.
    in_files: bool,
    make: fn(&mut Evidence),
}

impl Row {
    const fn new(name: &'static str, outcome: Outcome, make: fn(&mut Evidence)) -> Self {
        Self { name, outcome, served: None, in_files: true, make }
    }

    /// Only metadata can serve this, because `verify` refuses such files.
    fn only_served(mut self) -> Self {
        self.in_files = false;
        self
    }

    /// From metadata, the refusal has another reason.
    fn served(mut self, reason: &'static str) -> Self {
        self.served = Some(reason);
        self
    }
}

/// The signer is proven. Both good keys of the usual bundle come out, and the forged one between them does not.
fn good(name: &'static str, make: fn(&mut Evidence)) -> Row {
    let outcome = Outcome { keys: vec![FIRST, LAST], undecided: None, refused: vec!["bad-signature"] };
    Row::new(name, outcome, make)
}

/// The signer is not proven. No key comes out, even from a good entry.
fn bad(name: &'static str, reason: &'static str, make: fn(&mut Evidence)) -> Row {
    Row::new(name, Outcome { keys: Vec::new(), undecided: Some(reason), refused: Vec::new() }, make)
}

/// The signer is proven, and each entry is judged: these keys come out, and other entries are refused for these
/// reasons.
fn judged(
    name: &'static str,
    keys: &[&'static str],
    refused: &[&'static str],
    make: fn(&mut Evidence),
) -> Row {
    let outcome = Outcome { keys: keys.to_vec(), undecided: None, refused: refused.to_vec() };
    Row::new(name, outcome, make)
}
