//! Measures runs of the programs in turn, with every kind of metadata service.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::callgrind::instructions;
use crate::program::{Program, Programs, Run, Start};
use crate::runner::{Sample, at_once, forget, in_turn, in_turn_as};
use crate::service::{Metadata, Traffic};
use crate::world::{Key, World};

/// The delay of each metadata response in milliseconds, and the number of rounds with this delay.
const LATENCIES: [(u64, usize); 3] = [(0, 200), (1, 100), (5, 50)];

/// How many runs start at once.
const CROWDS: [usize; 2] = [50, 200];

/// The number of measurements of a figure that differs little between runs.
const LOOKS: usize = 5;

/// The pushed key, with the fingerprint that the run asks for and the expected output.
pub(crate) struct Pushed {
    pub(crate) key: Key,
    fingerprint: String,
    line: String,
}

impl Pushed {
    pub(crate) fn new(world: &World) -> Self {
        let key = Key::ed25519(world, "pushed");
        let (fingerprint, line) = (key.fingerprint(), key.bare_line());
        Self { key, fingerprint, line }
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn expected(&self, run: Run) -> Option<&str> {
        (run == Run::Key).then_some(&self.line)
    }
}

/// The figures of one program with one service.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) program: String,
    pub(crate) run: Run,
    pub(crate) latency: u64,
    pub(crate) keep_alive: bool,
    /// Microseconds.
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) cpu: f64,
    pub(crate) faults: f64,
    pub(crate) switches: f64,
    pub(crate) failed: usize,
    pub(crate) traffic: Traffic,
}

/// The figures of a run that do not depend on the service's delay.
#[derive(Debug)]
pub(crate) struct Weight {
    pub(crate) program: String,
    pub(crate) run: Run,
    pub(crate) instructions: u64,
    /// KiB.
    pub(crate) memory: u64,
}

/// Many runs at once.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) program: String,
    pub(crate) at_once: usize,
    pub(crate) good: usize,
    /// Microseconds.
    pub(crate) median: f64,
    pub(crate) longest: f64,
}

pub(crate) fn all_services(world: &World, programs: &Programs, pushed: &Pushed) -> Vec<Figures> {
    let mut figures = Vec::new();
    for keep_alive in [false, true] {
        let metadata = Metadata::start(world, keep_alive, pushed.line());
        for (latency, rounds) in LATENCIES {
            metadata.answer_after(latency);
            for run in Run::ALL {
                eprintln!("bench: {} path, {}, {latency} ms", run.name(), connection(keep_alive));
                figures.extend(
                    one_service(world, programs, pushed, &metadata, run, rounds).map(|measured| Figures {
                        latency,
                        keep_alive,
                        ..measured
                    }),
                );
            }
        }
    }
    figures
}

/// The runs with a service that answers at once and closes each connection.
pub(crate) fn fast_service(world: &World, programs: &Programs, pushed: &Pushed) -> Vec<Figures> {
    let metadata = Metadata::start(world, false, pushed.line());
    let rounds = LATENCIES[0].1;
    Run::ALL
        .into_iter()
        .flat_map(|run| one_service(world, programs, pushed, &metadata, run, rounds))
        .collect()
}

pub(crate) const fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "kept alive" } else { "closed" }
}

fn one_service(
    world: &World,
    programs: &Programs,
    pushed: &Pushed,
    metadata: &Metadata,
    run: Run,
    rounds: usize,
) -> impl Iterator<Item = Figures> {
    let commands: Vec<_> =
        programs.all.iter().map(|program| program.command(run, pushed.fingerprint())).collect();
    let expected = pushed.expected(run);
    // Warm up: files are then in memory, and the emulator has made its staples.
    in_turn(world, &commands, 3, expected);
    let samples = in_turn(world, &commands, rounds, expected);
    let figures: Vec<_> = programs
        .all
        .iter()
        .zip(&commands)
        .zip(samples)
        .map(|((program, command), samples)| {
            let traffic = least_traffic(world, metadata, command, expected);
            Figures::of(program.name.clone(), run, &samples, traffic)
        })
        .collect();
    figures.into_iter()
}

/// The smallest traffic of a few runs. On a busy machine the kernel sends more acknowledgements, and a run may repeat a
/// request.
pub(crate) fn least_traffic(
    world: &World,
    metadata: &Metadata,
    command: &Start,
    expected: Option<&str>,
) -> Traffic {
    let once = |_| {
        metadata.traffic_of(|| {
            let samples = in_turn(world, std::slice::from_ref(command), 1, expected);
            assert!(samples[0][0].good, "{command:?} failed, or printed unexpected output");
        })
    };
    let all: Vec<_> = (0..LOOKS).map(once).collect();
    let least = |what: fn(&Traffic) -> u64| all.iter().map(what).min().unwrap_or_default();
    Traffic {
        requests: least(|traffic| traffic.requests),
        connections: least(|traffic| traffic.connections),
        packets: least(|traffic| traffic.packets),
    }
}

pub(crate) fn weights(world: &World, programs: &Programs, pushed: &Pushed) -> Vec<Weight> {
    let _metadata = Metadata::start(world, false, pushed.line());
    let mut weights = Vec::new();
    for run in Run::ALL {
        for program in &programs.all {
            eprintln!("bench: {} path, instructions and memory of the {}", run.name(), program.name);
            let expected = pushed.expected(run);
            let command = program.patient_command(run, pushed.fingerprint());
            weights.push(Weight {
                program: program.name.clone(),
                run,
                instructions: instructions(world, &command, expected),
                memory: most_memory(&command),
            });
        }
    }
    weights
}

/// The peak memory of a run in KiB: the median of a few runs. GNU time itself is small, so the peak is the program's.
fn most_memory(command: &Start) -> u64 {
    let mut seen: Vec<u64> = (0..LOOKS)
        .map(|_| {
            if command.forgets {
                forget();
            }
            let output = Command::new("/usr/bin/time")
                .args(["--quiet", "-f", "peak %M"])
                .args(&command.words)
                .stdin(Stdio::null())
                .output()
                .expect("GNU time is missing: run tests/setup bench");
            let said = String::from_utf8_lossy(&output.stderr);
            let peak = said.rsplit_once("peak ").and_then(|(_, peak)| peak.trim().parse().ok());
            peak.unwrap_or_else(|| panic!("the output of GNU time has no peak memory: {said}"))
        })
        .collect();
    seen.sort_unstable();
    seen[seen.len() / 2]
}

pub(crate) fn crowds(world: &World, programs: &Programs, pushed: &Pushed) -> Vec<Crowd> {
    let _metadata = Metadata::start(world, false, pushed.line());
    let one = |program: &Program, times| {
        eprintln!("bench: {times} at once of the {}", program.name);
        // Use the default timeout: the measurement counts the runs that succeed within it.
        let command = program.command(Run::Key, pushed.fingerprint());
        let samples = at_once(world, &command, times, pushed.expected(Run::Key));
        Crowd {
            program: program.name.clone(),
            at_once: times,
            good: samples.iter().filter(|sample| sample.good).count(),
            median: share(&samples, 50, |sample| sample.wall),
            longest: share(&samples, 100, |sample| sample.wall),
        }
    };
    CROWDS.iter().flat_map(|times| programs.all.iter().map(move |program| one(program, *times))).collect()
}

/// Runs by root with a provider, as a chained command needs them. The runs as root read the memory of the agent's user.
pub(crate) fn as_root(world: &World, programs: &Programs, pushed: &Pushed) -> Vec<Figures> {
    let metadata = Metadata::start(world, false, pushed.line());
    let run = Run::Key;
    eprintln!("bench: {} path, as root with a provider", run.name());
    let start = |program: &Program| program.command_with_a_provider(run, pushed.fingerprint());
    let commands: Vec<_> = programs.all.iter().map(start).collect();
    let expected = pushed.expected(run);
    in_turn_as("root", world, &commands, 3, expected);
    let samples = in_turn_as("root", world, &commands, LATENCIES[0].1, expected);
    drop(metadata);
    let named = programs.all.iter().map(|program| program.name.clone());
    named.zip(samples).map(|(name, samples)| Figures::of(name, run, &samples, Traffic::default())).collect()
}

/// The percentile `hundredths` of the samples.
pub(crate) fn share(samples: &[Sample], hundredths: usize, what: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<_> = samples.iter().map(what).collect();
    at(&mut values, hundredths)
}

/// The percentile `hundredths` of plain values.
pub(crate) fn at(values: &mut [f64], hundredths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last * hundredths).div_ceil(100)).copied().unwrap_or(f64::NAN)
}

impl Figures {
    fn of(program: String, run: Run, samples: &[Sample], traffic: Traffic) -> Self {
        Self {
            program,
            run,
            latency: 0,
            keep_alive: false,
            median: share(samples, 50, |sample| sample.wall),
            p99: share(samples, 99, |sample| sample.wall),
            cpu: share(samples, 50, |sample| sample.cpu),
            faults: share(samples, 50, |sample| sample.faults),
            switches: share(samples, 50, |sample| sample.switches),
            failed: samples.iter().filter(|sample| !sample.good).count(),
            traffic,
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "program": self.program, "path": self.run.name(), "latency_ms": self.latency,
            "connection": connection(self.keep_alive), "wall_median_us": self.median, "wall_p99_us": self.p99,
            "cpu_median_us": self.cpu, "page_faults": self.faults,
            "context_switches": self.switches, "failed": self.failed,
            "requests": self.traffic.requests, "connections": self.traffic.connections,
            "packets": self.traffic.packets,
        })
    }
}

impl Weight {
    pub(crate) fn json(&self) -> Value {
        json!({
            "program": self.program, "path": self.run.name(), "instructions": self.instructions,
            "peak_memory_kib": self.memory,
        })
    }
}

impl Crowd {
    pub(crate) fn json(&self) -> Value {
        json!({
            "program": self.program, "at_once": self.at_once, "succeeded": self.good,
            "wall_median_us": self.median, "wall_longest_us": self.longest,
        })
    }
}
