//! `make bench`: measures everything, and shows it as tables, as JSON and as a picture.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::logins::{self, Crowded, Logins};
use crate::measure::{self, Crowd, Figures, Pushed, Weight, connection};
use crate::parts::{self, Part};
use crate::picture;
use crate::program::Programs;
use crate::service::count_packets;
use crate::trace;
use crate::world::{World, size};

/// Measures and shows. True if no measured run failed.
pub(crate) fn show(world: &World, programs: &Programs, out: &Path) -> bool {
    count_packets();
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    let pushed = Pushed::new(world);
    let figures = measure::all_services(world, programs, &pushed);
    let as_root = measure::as_root(world, programs, &pushed);
    let weights = measure::weights(world, programs, &pushed);
    let crowds = measure::crowds(world, programs, &pushed);
    eprintln!("bench: ssh logins");
    let logins = logins::pairs(world, &pushed);
    let crowded = logins::crowds(world, &pushed);
    eprintln!("bench: the parts of a verification");
    let parts = parts::all();
    eprintln!("bench: one login under strace");
    let traced = trace::one_login(world, &pushed);

    let bytes = size(&programs.agent);
    println!("\nagent: {} ({bytes} bytes); {cores} cores\n", programs.agent.display());
    println!("Runs as sshd starts them, the programs in turn; x is relative to the floor's");
    tell_runs(&figures);
    println!("\nRuns by root, with a provider that does nothing");
    tell_runs(&as_root);
    tell_weights(&weights);
    tell_crowds(&crowds, &logins, &crowded);
    tell_parts(&parts);

    let document = json!({
        "cores": cores,
        "agent_bytes": bytes,
        "runs": list(&figures, Figures::json),
        "as_root": list(&as_root, Figures::json),
        "weights": list(&weights, Weight::json),
        "runs_at_once": list(&crowds, Crowd::json),
        "ssh": logins.json(),
        "ssh_at_once": list(&crowded, Crowded::json),
        "parts": list(&parts, Part::json),
    });
    fs::create_dir_all(out).expect("the folder of the results");
    let (data, svg) = (out.join("bench.json"), out.join("login.svg"));
    fs::write(&data, format!("{document:#}\n")).expect("bench.json");
    fs::write(&svg, picture::draw(&traced, Logins::median(&logins.pushed), cores)).expect("login.svg");
    println!("\n{}\n{}", data.display(), svg.display());

    let failed: usize = figures.iter().map(|figures| figures.failed).sum();
    if failed > 0 {
        println!("\n{failed} of the sequential runs failed");
    }
    failed == 0
}

/// Measures and shows only the runs with a service that answers at once.
pub(crate) fn quick(world: &World, programs: &Programs, _out: &Path) -> bool {
    count_packets();
    let figures = measure::fast_service(world, programs, &Pushed::new(world));
    tell_runs(&figures);
    figures.iter().all(|figures| figures.failed == 0)
}

fn list<T>(all: &[T], json: fn(&T) -> Value) -> Value {
    all.iter().map(json).collect()
}

fn tell_runs(figures: &[Figures]) {
    println!("{}", run_row(RUN_COLUMNS));
    for one in figures {
        let floor = figures.iter().find(|other| {
            other.program == "floor"
                && (other.run, other.latency, other.keep_alive) == (one.run, one.latency, one.keep_alive)
        });
        let row = run_row([
            one.run.name(),
            connection(one.keep_alive).split(' ').next().unwrap_or_default(),
            &one.latency.to_string(),
            &one.program,
            &format!("{:.2}", one.median / 1e3),
            &format!("{:.2}", floor.map_or(f64::NAN, |floor| one.median / floor.median)),
            &format!("{:.2}", one.p99 / 1e3),
            &format!("{:.2}", one.cpu / 1e3),
            &format!("{:.2}", floor.map_or(f64::NAN, |floor| one.cpu / floor.cpu)),
            &format!("{:.0}", one.faults),
            &format!("{:.0}", one.switches),
            &one.traffic.requests.to_string(),
            &one.traffic.packets.to_string(),
        ]);
        println!("{row}{}", if one.failed > 0 { format!("  {} FAILED", one.failed) } else { String::new() });
    }
}

const RUN_COLUMNS: [&str; 13] = [
    "path",
    "answer",
    "ms",
    "program",
    "median ms",
    "x",
    "p99 ms",
    "cpu ms",
    "x",
    "faults",
    "switches",
    "req.",
    "packets",
];

/// One line of the table of runs.
fn run_row(cells: [&str; 13]) -> String {
    let [path, answer, ms, program, median, x, p99, cpu, cpu_x, faults, switches, requests, packets] = cells;
    format!(
        "{path:7} {answer:6} {ms:>3} {program:7} {median:>9} {x:>5} {p99:>7} {cpu:>7} {cpu_x:>5} {faults:>6} \
         {switches:>8} {requests:>4} {packets:>7}"
    )
}

fn tell_weights(weights: &[Weight]) {
    println!("\n{:7} {:8} {:>14} {:>16}", "path", "program", "instructions", "peak memory KiB");
    for one in weights {
        println!("{:7} {:8} {:>14} {:>16}", one.run.name(), one.program, one.instructions, one.memory);
    }
}

fn tell_crowds(crowds: &[Crowd], logins: &Logins, crowded: &[Crowded]) {
    println!("\n{:26} {:>9} {:>12} {:>12}", "key path, at once", "succeeded", "median ms", "longest ms");
    for one in crowds {
        let name = format!("{} runs of the {}", one.at_once, one.program);
        println!("{name:26} {:>9} {:>12.1} {:>12.1}", one.good, one.median / 1e3, one.longest / 1e3);
    }
    for one in crowded {
        let name = format!("ssh logins, {} at once", one.at_once);
        println!("{name:26} {:>9} {:>12.1} {:>12.1}", one.good, one.median, one.longest);
    }
    println!("\nssh login, {} of each in turn, median ms", logins.pushed.len());
    for (name, times) in [
        ("pushed key, from the agent", &logins.pushed),
        ("plain authorized_keys", &logins.plain),
        ("no key: refused", &logins.refused),
    ] {
        println!("{name:26} {:>9.1}", Logins::median(times));
    }
    println!("{:26} {:>9.1}", "median of the differences", logins.difference());
}

fn tell_parts(parts: &[Part]) {
    println!("\n{:60} {:>10} {:>10}", "parts of a verification", "median us", "least us");
    for part in parts {
        println!("{:60} {:>10.1} {:>10.1}", part.name, part.median, part.least);
    }
}

#[cfg(test)]
mod tests {
    use super::{RUN_COLUMNS, run_row};

    #[test]
    fn table_in_performance_md_has_the_form_of_the_report() {
        let document = include_str!("../../../docs/performance.md");
        let start = document.find("path    answer").expect("docs/performance.md has the table of runs");
        let mut lines = document[start..].lines().take_while(|line| !line.starts_with("```"));
        assert_eq!(lines.next(), Some(run_row(RUN_COLUMNS).as_str()));
        let mut rows = 0;
        for line in lines {
            let cells: Vec<_> = line.split_whitespace().collect();
            assert_eq!(run_row(cells.try_into().expect(line)), line);
            rows += 1;
        }
        assert_eq!(rows, 9);
    }
}
