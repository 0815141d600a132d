//! The service's two addresses, when one or both of them fail.

use std::process::Command;
use std::time::Duration;

use eic_emulator::{Config, Emulator, Entry, Fault};

use super::Expected::{self, Key, Undecided};
use super::{Bench, Row, hold_with, outgoing, row};
use crate::metadata::{KEYS, USER};
use crate::world::{BOB, INSTANCE, test_path};

const BOTH: &str = "http://169.254.169.254 or http://[fd00:ec2::254]";

#[test]
fn every_fault_has_its_outcome() {
    hold_with(test_path!(), rows, |bench| {
        drop(bench.v6.take());
        let address =
            Command::new("ip").args(["address", "replace", "169.254.169.254/32", "dev", "lo"]).status();
        assert!(address.unwrap().success());
    });
}

/// Starts the service at its second address too.
fn on_v6(bench: &Bench) {
    let v4 = &bench.world.emulator;
    let hierarchy = Some((*v4.hierarchy()).clone());
    let config = Config { imds: "[fd00:ec2::254]:80".parse().unwrap(), hierarchy, ..Config::default() };
    let v6 = Emulator::start(config).expect("IPv6 works on this machine");
    v6.push(USER, &bench.key.line(), BOB);
    bench.v6.replace(Some(v6));
}

/// Both addresses work, and then the kernel applies this rule to outgoing packets.
fn filtered(name: &str, expected: Expected, rule: &'static str) -> Row {
    row(name, expected, move |bench: &Bench| {
        on_v6(bench);
        outgoing(rule);
    })
}

pub(super) fn rows() -> Vec<Row> {
    [one_dead(), both_dead(), not_dead()].into_iter().flatten().collect()
}

fn one_dead() -> Vec<Row> {
    let v4 = "ip daddr 169.254.169.254 tcp dport 80";
    let v6 = "ip6 daddr fd00:ec2::254 tcp dport 80";
    let dead = |address: &'static str, name: &'static str, how: &'static str| {
        row(
            format!("{} {name}, the other alive", if address == v4 { "v4" } else { "v6" }),
            Key,
            move |bench| {
                on_v6(bench);
                outgoing(&format!("{address} {how}"));
            },
        )
    };
    vec![
        dead(v4, "refused", "reject with tcp reset"),
        dead(v4, "without a port", "reject with icmpx port-unreachable"),
        dead(v4, "unreachable", "reject with icmpx host-unreachable"),
        dead(v4, "prohibited", "reject with icmpx admin-prohibited"),
        dead(v4, "dropped", "drop").with_login(),
        Row {
            name: "v4 dropped, the other alive, with little time".to_owned(),
            ..dead(v4, "", "drop").within(2.0)
        },
        dead(v6, "refused", "reject with tcp reset"),
        dead(v6, "unreachable", "reject with icmpx host-unreachable"),
        dead(v6, "dropped", "drop"),
        row("v4 has no address, v6 is alive", Key, |bench| {
            on_v6(bench);
            bench.world.lose_address("169.254.169.254/32");
        }),
    ]
}

fn both_dead() -> Vec<Row> {
    let unreachable = Undecided("metadata-unreachable", BOTH);
    let v6_refused = "ip6 daddr fd00:ec2::254 tcp dport 80 reject with tcp reset";
    vec![
        row("v4 refused, no service at v6", unreachable, |_| {
            outgoing("ip daddr 169.254.169.254 tcp dport 80 reject with tcp reset");
        }),
        row("v4 dropped, no service at v6", unreachable, |_| {
            outgoing("ip daddr 169.254.169.254 tcp dport 80 drop");
        }),
        filtered(
            "v4 refused, v6 dropped",
            unreachable,
            "ip6 daddr fd00:ec2::254 tcp dport 80 drop\ntcp dport 80 reject with tcp reset",
        ),
        row("v4 dropped, v6 refused", unreachable, move |bench| {
            on_v6(bench);
            outgoing(&format!("{v6_refused}\ntcp dport 80 drop"));
        })
        .within(1.0),
    ]
}

/// If the first address accepts a connection, the agent stays with it, even if it answers with errors or not at all.
fn not_dead() -> Vec<Row> {
    let first = |name: &str, expected, fault: Fault| {
        row(name, expected, move |bench: &Bench| {
            on_v6(bench);
            bench.inject([fault.clone()]);
        })
    };
    vec![
        first(
            "v4 forbids, v6 would not",
            Undecided("metadata-forbidden", "/latest/api/token"),
            Fault::token().status(403),
        ),
        first(
            "v4 is overloaded, v6 would not be",
            Undecided("metadata-throttled", "token"),
            Fault::token().status(503),
        )
        .within(0.5),
        first(
            "v4 accepts and is silent, v6 would not be",
            Undecided("metadata-timeout", "no answer for /latest/api/token"),
            Fault::token().delay(Duration::from_secs(3600)),
        )
        .within(0.5),
        row(
            "v4 is refused in the middle",
            Undecided("metadata-unreachable", "http://169.254.169.254 (Conn"),
            |bench| {
                gone_after_the_keys(bench, "reject with tcp reset");
            },
        ),
        row(
            "v4 is dropped in the middle",
            Undecided("metadata-unreachable", "http://169.254.169.254 (no answer"),
            |bench| {
                gone_after_the_keys(bench, "drop");
            },
        )
        .within(0.7),
    ]
}

/// After the keys are served, every new connection fails.
fn gone_after_the_keys(bench: &Bench, how: &'static str) {
    on_v6(bench);
    let emulator = &bench.world.emulator;
    let entry = Entry::new(bench.key.line()).timestamp(emulator.now() + 600).instance(INSTANCE);
    let keys = entry.sign(&emulator.hierarchy().leaf_key);
    bench.inject([Fault::at(KEYS).raw(move |wire, _| {
        outgoing(&format!("tcp dport 80 tcp flags & (syn | ack) == syn {how}"));
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", keys.len()).as_bytes())?;
        wire.send(&keys)
    })]);
}
