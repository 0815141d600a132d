//! At every path, the agent repeats a request after a fault that passes. A fault that stays ends the run.

use std::time::Duration;

use eic_emulator::Fault;
use eic_emulator::http::Response;

use super::Expected::{Key, Undecided};
use super::{Row, faulty, hold, sends};
use crate::metadata::{KEYS, SIGNER, STAPLES};
use crate::world::test_path;

const TOKEN: &str = "/latest/api/token";
const PATHS: [&str; 5] = [TOKEN, KEYS, "placement/region", "services/domain", SIGNER];

#[test]
fn every_fault_has_its_outcome() {
    hold(test_path!(), rows);
}

fn staples() -> Fault {
    Fault::below(&format!("/latest/meta-data/{STAPLES}"))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in PATHS {
        for status in [429, 503] {
            let name = format!("{status} at {path}, then good");
            rows.push(faulty(name, Key, [Fault::at(path).status(status).times(1)]));
        }
    }
    rows.extend([
        faulty("429 at the staples, then good", Key, [staples().status(429).times(2)]),
        faulty("503 at the staples, then good", Key, [staples().status(503).times(2)]),
        faulty("503 at every path, then good", Key, PATHS.map(|path| Fault::at(path).status(503).times(1))),
        faulty(
            "429, 503 and 500, then good",
            Key,
            [429, 503, 500].map(|status| Fault::at(KEYS).status(status).times(1)),
        ),
        faulty(
            "429 that asks for an hour, then good",
            Key,
            [Fault::token().respond(Response::status(429).header("Retry-After", "3600")).times(1)],
        ),
        faulty(
            "503 with a page without end, then good",
            Key,
            [Fault::at(KEYS)
                .raw(|wire, _| {
                    wire.send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")?;
                    wire.flood(&[b' '; 4096])
                })
                .times(1)],
        ),
        faulty("two resets, then good", Key, [Fault::at(SIGNER).raw(|wire, _| wire.reset()).times(2)]),
        faulty("nonsense twice, then good", Key, [sends(KEYS, "nonsense\r\n\r\n").times(2)]),
        faulty(
            "a cut answer, then good",
            Key,
            [sends("services/domain", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\namazon").times(1)],
        ),
        faulty(
            "a silent connection, then good",
            Key,
            [Fault::at("services/domain").delay(Duration::from_secs(3600)).times(1)],
        ),
        faulty(
            "a reset, 503 and 401, then good",
            Key,
            [
                Fault::at(SIGNER).raw(|wire, _| wire.reset()).times(1),
                Fault::at(SIGNER).status(503).times(1),
                Fault::at(SIGNER).status(401).times(1),
            ],
        ),
        faulty(
            "500 everywhere for ever",
            Undecided("metadata-throttled", "/latest/api/token answered 500 until the deadline"),
            [Fault::everywhere().status(500)],
        )
        .within(0.7)
        .with_login(),
        faulty(
            "500 for ever after the keys",
            Undecided("metadata-throttled", "answered 500 until the deadline"),
            [Fault::everywhere().status(500).after(2)],
        )
        .within(0.7),
        faulty(
            "503, each after a while, for ever",
            Undecided("metadata-throttled", "answered 503 until the deadline"),
            [Fault::everywhere().status(503).delay(Duration::from_millis(250))],
        )
        .within(0.7),
        faulty(
            "503 and resets in turn, for ever",
            Undecided("metadata-throttled", KEYS),
            [
                Fault::at(KEYS).status(503).times(1),
                Fault::at(KEYS).raw(|wire, _| wire.reset()).times(1),
                Fault::at(KEYS).status(503),
            ],
        )
        .within(0.7),
    ]);
    rows
}
