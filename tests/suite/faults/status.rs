//! Every status, at every path that a run requests.

use eic_emulator::Fault;

use super::Expected::{self, Key, Nothing, Undecided};
use super::{Row, faulty, hold};
use crate::metadata::{KEYS, SIGNER, STAPLES};
use crate::world::test_path;

const TOKEN: &str = "/latest/api/token";
const REGION: &str = "placement/region";
const DOMAIN: &str = "services/domain";

#[test]
fn every_fault_has_its_outcome() {
    hold(test_path!(), rows);
}

pub(super) fn rows() -> Vec<Row> {
    let statuses = [400, 401, 403, 404, 405, 429, 500, 503];
    let paths = [TOKEN, KEYS, REGION, DOMAIN, SIGNER, STAPLES];
    let each = paths.into_iter().flat_map(|path| statuses.map(|status| row(path, status)));
    each.chain(more_rows()).collect()
}

fn row(path: &'static str, status: u16) -> Row {
    // For the staples, the fault covers their list and everything below it.
    let fault =
        if path == STAPLES { Fault::below(&format!("/latest/meta-data/{STAPLES}")) } else { Fault::at(path) };
    let row = faulty(format!("{status} at {path}"), expected(path, status), [fault.status(status)]);
    let row = if status == 429 || status >= 500 { row.within(0.4) } else { row };
    if (path, status) == (SIGNER, 500) { row.with_login() } else { row }
}

/// What the status means at this path. The words check that the message names the path.
fn expected(path: &'static str, status: u16) -> Expected {
    match (status, path) {
        (429 | 500..=599, _) => Undecided("metadata-throttled", path),
        (403, _) => Undecided("metadata-forbidden", path),
        // There is no token yet that the service could refuse, and no item that could be missing.
        (400 | 401 | 404 | 405, TOKEN) => Undecided("metadata-malformed", TOKEN),
        (401, _) => Undecided("metadata-token-refused", path),
        // No key is pushed.
        (404, KEYS) => Nothing,
        // The zone contains the region too.
        (404, REGION) => Key,
        (404, STAPLES) => Undecided("staple-missing", "CN=managed-ssh-signer.us-east-1.amazonaws.com"),
        (404, _) => Undecided("metadata-missing", path),
        _ => Undecided("metadata-malformed", path),
    }
}

fn more_rows() -> Vec<Row> {
    let odd = |status: u16, words: &'static str| {
        faulty(
            format!("{status}, which the service never gives"),
            Undecided("metadata-malformed", words),
            [Fault::at(KEYS).status(status)],
        )
    };
    let zone = |status: u16, expected: Expected| {
        faulty(
            format!("{status} at the zone, which must give the region"),
            expected,
            [Fault::at(REGION).status(404), Fault::at("placement/availability-zone").status(status)],
        )
    };
    vec![
        odd(
            201,
            "expected 200 or 404 from /latest/meta-data/managed-ssh-keys/active-keys/ec2-user/, got 201",
        ),
        odd(204, "got 204"),
        odd(206, "got 206"),
        odd(304, "got 304"),
        odd(407, "got 407; does another program answer instead of the metadata service?"),
        odd(451, "got 451"),
        odd(600, "got 600"),
        odd(999, "got 999"),
        zone(404, Undecided("metadata-missing", "placement/availability-zone")),
        zone(403, Undecided("metadata-forbidden", "placement/availability-zone")),
        zone(503, Undecided("metadata-throttled", "placement/availability-zone")).within(0.4),
        faulty("503 at the list of staples, which is not needed", Key, [Fault::at(STAPLES).status(503)]),
    ]
}
