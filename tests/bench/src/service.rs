//! The metadata service of the private instance, and the traffic of a run.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::{Config, Emulator, Fault, Service};

use crate::program::Run;
use crate::world::{World, run};

/// How long after a run its last packets may arrive.
const SETTLED: Duration = Duration::from_millis(30);

/// The lifetime of the pushed key in seconds, longer than the whole benchmark.
const KEY_STAYS: i64 = 3600;

pub(crate) struct Metadata {
    pub(crate) emulator: Emulator,
}

/// The traffic of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) packets: u64,
}

impl Metadata {
    /// Starts the service on the real metadata address, with this key pushed for one user.
    pub(crate) fn start(world: &World, keep_alive: bool, key_line: &str) -> Self {
        let emulator = Emulator::start(Config {
            imds: ([169, 254, 169, 254], 80).into(),
            key_ttl: KEY_STAYS,
            keep_alive,
            hierarchy: Some(world.hierarchy.clone()),
            ..Config::default()
        })
        .expect("the metadata address is available");
        emulator.push(Run::Key.user(), key_line, "arn:aws:iam::123456789012:user/bob");
        Self { emulator }
    }

    /// Delays each later response by this many milliseconds.
    pub(crate) fn answer_after(&self, milliseconds: u64) {
        self.emulator.clear_faults();
        if milliseconds > 0 {
            self.emulator.inject(Fault::everywhere().delay(Duration::from_millis(milliseconds)));
        }
    }

    /// The traffic that `work` causes.
    pub(crate) fn traffic_of(&self, work: impl FnOnce()) -> Traffic {
        self.emulator.take_requests();
        let before = packets();
        work();
        sleep(SETTLED);
        let records = self.emulator.take_requests();
        let records: Vec<_> = records.iter().filter(|record| record.service == Service::Imds).collect();
        let connections: BTreeSet<_> = records.iter().map(|record| record.connection).collect();
        Traffic {
            requests: records.len() as u64,
            connections: connections.len() as u64,
            packets: packets() - before,
        }
    }
}

/// Starts to count the packets to and from metadata. On loopback the output hook sees every packet of both directions
/// once.
pub(crate) fn count_packets() {
    for line in [
        "add table ip bench",
        "add counter ip bench both",
        "add chain ip bench out { type filter hook output priority 0; }",
        "add rule ip bench out ip daddr 169.254.169.254 tcp dport 80 counter name both",
        "add rule ip bench out ip saddr 169.254.169.254 tcp sport 80 counter name both",
    ] {
        run("nft", &line.split(' ').collect::<Vec<_>>());
    }
}

fn packets() -> u64 {
    let listed = run("nft", &["list", "counter", "ip", "bench", "both"]);
    let count = listed.split_whitespace().skip_while(|word| *word != "packets").nth(1);
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("a count in {listed}"))
}
