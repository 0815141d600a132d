//! Invalid tokens, and tokens that end during a run.

use std::time::Duration;

use eic_emulator::Fault;

use super::Expected::{self, Key, Undecided};
use super::{Row, faulty, hold, says, sends};
use crate::metadata::{KEYS, SIGNER};
use crate::world::test_path;

const PATH: &str = "/latest/api/token";
const MALFORMED: &str = "metadata-malformed";
const VISIBLE: &str = "expected a token of visible ASCII characters";

#[test]
fn every_fault_has_its_outcome() {
    hold(test_path!(), rows);
}

pub(super) fn rows() -> Vec<Row> {
    [content_rows(), expiry_rows()].into_iter().flatten().collect()
}

fn content_rows() -> Vec<Row> {
    let token = |name: &str, text: &[u8]| {
        faulty(format!("a token {name}"), Undecided(MALFORMED, VISIBLE), [says(PATH, text)])
    };
    let long = |length: usize| vec![b'a'; length];
    vec![
        token("that is empty", b""),
        token("of white space", b"  \n"),
        token("with a space", b"a b"),
        token("with a tab", b"a\tb"),
        token("with NUL", b"a\0b"),
        token("with a control character", b"a\x1b[31mb"),
        token("with DEL", b"a\x7fb"),
        token("with CRLF at its end", b"AQAEA==\r\n"),
        token("with CRLF and a header", b"AQAEA==\r\nX-Forwarded-For: 1.2.3.4"),
        token("with a bare LF", b"AQAEA==\nX: y"),
        token("of UTF-8", "Schlüssel".as_bytes()),
        token("of other bytes", b"\xff\xfe"),
        token("that is a page", b"<!DOCTYPE html><html><body>Log in</body></html>\n"),
        faulty(
            "a token of 1025 bytes",
            Undecided(
                MALFORMED,
                "/latest/api/token is not what the metadata service sends: expected at most 1024 bytes",
            ),
            [says(PATH, long(1025))],
        ),
        faulty(
            "a token of 2 MB",
            Undecided(MALFORMED, "expected at most 1024 bytes, got more"),
            [says(PATH, long(2_000_000))],
        ),
        faulty(
            "a token without end",
            Undecided(MALFORMED, "expected at most 1024 bytes, got more"),
            [Fault::token().raw(|wire, _| {
                wire.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
                wire.flood(&[b'a'; 4096])
            })],
        )
        .with_login(),
        faulty(
            "a token of 1024 bytes that the service did not issue",
            Undecided("metadata-token-refused", "answered 401 to a fresh token"),
            [says(PATH, long(1024))],
        ),
        faulty(
            "a token cut short by its Content-Length",
            Undecided("metadata-token-refused", KEYS),
            [sends(PATH, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nAQAEAB==")],
        ),
    ]
}

/// Answers 401 to GET requests after the first `after`, as the service does if a token has expired.
fn expired(after: u32) -> Fault {
    Fault::everywhere().method("GET").status(401).after(after)
}

fn expiry_rows() -> Vec<Row> {
    let refused = |words: &'static str| Undecided("metadata-token-refused", words);
    let once = |path: &'static str| {
        faulty(format!("the token expires before {path}"), Key, [Fault::at(path).status(401).times(1)])
    };
    // The first token is good. The request for the next one fails.
    let no_second = |name: &str, expected: Expected, answer: Fault| {
        let faults = [Fault::at(SIGNER).status(401), answer.after(1)];
        faulty(format!("the token expires, and the request for the next one gets {name}"), expected, faults)
    };
    vec![
        once(KEYS),
        once("placement/region"),
        once("services/domain"),
        once(SIGNER),
        // One fault for each path. A single fault for three requests could hit one that already has the fresh token.
        faulty(
            "the token expires before the three",
            Key,
            ["placement/region", "services/domain", SIGNER].map(|path| Fault::at(path).status(401).times(1)),
        ),
        // Because of the delay, both requests arrive before the first is answered.
        faulty(
            "the token expires before the staples",
            Key,
            [expired(4).times(2).delay(Duration::from_millis(400))],
        ),
        faulty("no token is accepted from the start", refused(KEYS), [expired(0)]),
        faulty("no token is accepted after the keys", refused("/latest/meta-data/"), [expired(1)]),
        faulty("no token is accepted at the staples", refused("signer-ocsp/"), [expired(4)]),
        faulty(
            "the token expires twice",
            refused(SIGNER),
            [Fault::at(KEYS).status(401).times(1), Fault::at(SIGNER).status(401)],
        ),
        // The service answers 400 to a request that it cannot read, for example because its token is malformed.
        faulty(
            "400 in the middle",
            Undecided(MALFORMED, "got 400"),
            [Fault::everywhere().status(400).after(2)],
        ),
        no_second("403", Undecided("metadata-forbidden", PATH), Fault::token().status(403)),
        no_second("404", Undecided(MALFORMED, PATH), Fault::token().status(404)),
        no_second("503", Undecided("metadata-throttled", PATH), Fault::token().status(503)).within(0.5),
        no_second("an empty one", Undecided(MALFORMED, VISIBLE), says(PATH, "")),
        no_second("a reset", Undecided(MALFORMED, PATH), Fault::token().raw(|wire, _| wire.reset())),
    ]
}
