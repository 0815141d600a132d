//! Measures runs of the agent and logins. `make bench` shows the figures next to a lower bound, the floor program.
//! `make bench-guard` checks the figures that do not depend on the machine's speed against a budget.

mod callgrind;
mod guard;
mod logins;
mod measure;
mod parts;
mod picture;
mod program;
mod report;
mod runner;
mod service;
mod trace;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use program::Programs;

const USAGE: &str = "\
usage: eic-bench show|quick|guard --agent FILE --floor FILE --out FOLDER [--also FILE]

show   measures everything, and writes bench.json and login.svg into FOLDER
quick  measures only single runs, with a service that answers at once
guard  checks instructions, requests, connections, packets and the size of the file against tests/bench/budget.toml
--also measures one more program, which takes the arguments of the floor program";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    if command == runner::NAME {
        runner::main();
        return ExitCode::SUCCESS;
    }
    let (mut agent, mut floor, mut also, mut out) = (None, None, None, None);
    while let Some(option) = arguments.next() {
        let place = match option.as_str() {
            "--agent" => &mut agent,
            "--floor" => &mut floor,
            "--also" => &mut also,
            "--out" => &mut out,
            _ => return usage(),
        };
        let Some(value) = arguments.next() else { return usage() };
        *place = Some(PathBuf::from(value));
    }
    let (Some(agent), Some(floor), Some(out)) = (agent, floor, out) else { return usage() };
    let work = match command.as_str() {
        "show" => report::show,
        "quick" => report::quick,
        "guard" => guard::hold,
        _ => return usage(),
    };
    world::inside(|world| work(world, &Programs::install(world, &agent, &floor, also.as_deref()), &out))
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
