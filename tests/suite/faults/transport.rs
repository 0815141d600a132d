//! Faults of the network and of connections. The kernel rejects, drops or loses packets.

use std::process::Command;
use std::time::Duration;

use eic_emulator::Fault;

use super::Expected::{Key, Undecided};
use super::{Bench, Row, faulty, hold_with, outgoing, row, sends};
use crate::metadata::{KEYS, SIGNER, STAPLES};
use crate::world::test_path;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
const UNREACHABLE: &str = "metadata-unreachable";
const TIMEOUT: &str = "metadata-timeout";
const MALFORMED: &str = "metadata-malformed";
/// Long enough for the agent to process what was sent so far.
const SETTLED: Duration = Duration::from_millis(20);
const NOTHING_CAME: &str = "(nothing received)";

#[test]
fn every_fault_has_its_outcome() {
    hold_with(test_path!(), rows, |_| addresses("replace"));
}

/// Adds the service's addresses (`replace`), or removes them (`del`).
fn addresses(what: &str) {
    for address in ["169.254.169.254/32", "fd00:ec2::254/128"] {
        assert!(Command::new("ip").args(["address", what, address, "dev", "lo"]).status().unwrap().success());
    }
}

pub(super) fn rows() -> Vec<Row> {
    [kernel_rows(), connection_rows(), slow_rows(), broken_rows()].into_iter().flatten().collect()
}

/// The kernel applies this rule to outgoing packets.
fn filtered(name: &str, expected: super::Expected, rule: &'static str) -> Row {
    row(name, expected, move |_: &Bench| outgoing(rule))
}

fn kernel_rows() -> Vec<Row> {
    // On loopback, the ICMP error arrives while connect(2) still holds the socket. The kernel then treats it as an
    // error that may pass.
    let unanswered = Undecided(UNREACHABLE, "(no answer to the attempt to connect)");
    let refused = Undecided(UNREACHABLE, "(Connection refused");
    vec![
        filtered(
            "refused by a reset",
            Undecided(UNREACHABLE, "http://169.254.169.254 or http://[fd00:ec2::254] (Connection refused"),
            "tcp dport 80 reject with tcp reset",
        )
        .with_login(),
        filtered("port unreachable", unanswered, "tcp dport 80 reject with icmpx port-unreachable")
            .within(1.0),
        filtered("host unreachable", unanswered, "tcp dport 80 reject with icmpx host-unreachable")
            .within(1.0),
        filtered(
            "prohibited by a firewall",
            Undecided(UNREACHABLE, "check that the metadata service is on and that no firewall"),
            "tcp dport 80 reject with icmpx admin-prohibited",
        )
        .within(1.0),
        filtered(
            "refused to sshd's user alone",
            refused,
            "tcp dport 80 meta skuid eic-agent reject with tcp reset",
        ),
        row("no address and no route", Undecided(UNREACHABLE, "unreachable (os error 101)"), |_| {
            addresses("del");
        }),
        filtered("dropped", unanswered, "tcp dport 80 drop"),
        filtered("dropped, with little time", unanswered, "tcp dport 80 drop").within(0.5).with_login(),
        filtered("answers to connects dropped", unanswered, "tcp sport 80 drop").within(0.5),
        filtered(
            "requests dropped",
            Undecided(TIMEOUT, "no answer for /latest/api/token within 0.5 s in all (nothing received)"),
            "tcp dport 80 ip length > 100 drop",
        )
        .within(0.5),
        filtered("answers dropped", Undecided(TIMEOUT, NOTHING_CAME), "tcp sport 80 ip length > 100 drop")
            .within(0.5),
        filtered("the first packet lost", Key, "tcp dport 80 numgen inc mod 1000000 < 1 drop"),
        filtered("every eleventh packet lost", Key, "tcp dport 80 numgen inc mod 11 == 10 drop").within(10.0),
    ]
}

fn connection_rows() -> Vec<Row> {
    let connecting =
        |name: &str, expected, behaviour: fn(&mut eic_emulator::http::Wire) -> std::io::Result<bool>| {
            row(name, expected, move |bench: &Bench| bench.world.emulator.on_connect(behaviour))
        };
    vec![
        connecting("accepted and closed", Undecided(MALFORMED, "/latest/api/token"), |wire| {
            // Without the pause, the agent could take it for a connection that was never made.
            wire.pause(SETTLED)?;
            Ok(false)
        }),
        connecting("accepted and reset", Undecided(MALFORMED, "Connection reset by peer"), |wire| {
            wire.pause(SETTLED)?;
            wire.reset().map(|()| false)
        }),
        connecting("accepted, and nothing more", Undecided(TIMEOUT, NOTHING_CAME), |wire| {
            wire.hold().map(|()| false)
        })
        .within(0.5),
        connecting("another protocol's greeting", Undecided(MALFORMED, "/latest/api/token"), |wire| {
            wire.send(b"SSH-2.0-OpenSSH_9.2\r\n").map(|()| false)
        }),
    ]
}

fn slow_rows() -> Vec<Row> {
    let drip = |path: &str| {
        Fault::at(path).raw(|wire, _| {
            wire.drip(HEAD.as_bytes(), Duration::ZERO)?;
            wire.drip(&[b'a'; 4000], Duration::from_secs(1))
        })
    };
    let silent = |path: &str| Fault::at(path).delay(Duration::from_secs(3600));
    let late = |name: &str, fault: Fault| faulty(name, Undecided(TIMEOUT, NOTHING_CAME), [fault]).within(0.5);
    vec![
        late(
            "one byte of the head a second",
            Fault::token().raw(|wire, _| wire.drip(HEAD.as_bytes(), Duration::from_secs(1))),
        ),
        late("one byte of the token a second", drip("/latest/api/token")),
        late("one byte of the keys a second", drip(KEYS)),
        late("one byte of the signer a second", drip(SIGNER)),
        late("one byte of the domain a second", drip("services/domain")),
        faulty(
            "one byte of each staple a second",
            Undecided(TIMEOUT, STAPLES),
            [Fault::below("/latest/meta-data/managed-ssh-keys/signer-ocsp/")
                .raw(|wire, _| wire.drip(HEAD.as_bytes(), Duration::from_secs(1)))],
        )
        .within(0.7),
        late("silence at the token", silent("/latest/api/token")),
        late("silence at the keys", silent(KEYS)).with_login(),
        late("silence at the region", silent("placement/region")),
        faulty("slow, and in time", Key, [Fault::everywhere().delay(Duration::from_millis(300))]),
        faulty(
            "one byte a millisecond, and in time",
            Key,
            [Fault::at("placement/region").raw(|wire, _| {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nus-east-1";
                wire.drip(answer, Duration::from_millis(1))
            })],
        ),
    ]
}

fn broken_rows() -> Vec<Row> {
    let reset = |path: &str, after: &str| {
        let after = after.to_owned();
        Fault::at(path).raw(move |wire, _| {
            wire.send(after.as_bytes())?;
            wire.pause(SETTLED)?;
            wire.reset()
        })
    };
    let broken = |name: &str, fault: Fault| faulty(name, Undecided(MALFORMED, "for /latest/"), [fault]);
    vec![
        broken("reset in the head", reset("/latest/api/token", "HTTP/1.1 200 O")),
        broken("reset in the token", reset("/latest/api/token", &format!("{HEAD}AQAEA"))),
        broken("reset in the keys", reset(KEYS, &format!("{HEAD}#Timestamp="))),
        broken("reset in the signer", reset(SIGNER, &format!("{HEAD}-----BEGIN"))),
        broken("closed in the head", sends(KEYS, "HTTP/1.1 200 OK\r\nContent-")),
        broken("closed in the token", sends("/latest/api/token", format!("{HEAD}AQAEA"))),
        broken("closed in the keys", sends(KEYS, format!("{HEAD}#Timestamp="))),
        broken("closed in the signer", sends(SIGNER, format!("{HEAD}-----BEGIN"))),
        broken("closed in the domain", sends("services/domain", format!("{HEAD}amazonaws.com"))),
        broken("closed without a byte", sends(KEYS, "")),
    ]
}
