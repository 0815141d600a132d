//! Starts programs and measures them, in a separate process. The process runs as the agent's user. It is small, so
//! starting a program from it is cheap.

use std::env;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};

use crate::program::Start;
use crate::world::{AGENTS_USER, MEMORY, World, uid};

/// The internal subcommand that starts the runner.
pub(crate) const NAME: &str = "runner";

/// The measurement of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Microseconds from before the start until the end of the program and of its output.
    pub(crate) wall: f64,
    /// Microseconds of processor time in user and kernel mode.
    pub(crate) cpu: f64,
    pub(crate) faults: f64,
    /// Context switches, voluntary and involuntary.
    pub(crate) switches: f64,
    /// Whether the program succeeded with the expected output.
    pub(crate) good: bool,
}

/// Runs the commands in turn for `rounds` rounds, and returns the samples of each. Every second round runs in reverse
/// order. Otherwise a command would always run after the same other command, which fills the processor's caches. The
/// output of a good run contains `expected`. Without `expected`, the output must be empty.
pub(crate) fn in_turn(
    world: &World,
    commands: &[Start],
    rounds: usize,
    expected: Option<&str>,
) -> Vec<Vec<Sample>> {
    in_turn_as(AGENTS_USER, world, commands, rounds, expected)
}

/// The same, started by this user.
pub(crate) fn in_turn_as(
    user: &str,
    world: &World,
    commands: &[Start],
    rounds: usize,
    expected: Option<&str>,
) -> Vec<Vec<Sample>> {
    let list: Vec<_> = commands.iter().map(json_of).collect();
    let task = json!({ "commands": list, "rounds": rounds, "at_once": 1, "expected": expected });
    let samples = ask(user, world, &task);
    let each = samples.chunks(commands.len()).collect::<Vec<_>>();
    (0..commands.len()).map(|command| each.iter().map(|round| round[command]).collect()).collect()
}

/// Runs one command `times` times at once.
pub(crate) fn at_once(world: &World, command: &Start, times: usize, expected: Option<&str>) -> Vec<Sample> {
    let task = json!({ "commands": [json_of(command)], "rounds": 1, "at_once": times, "expected": expected });
    ask(AGENTS_USER, world, &task)
}

fn json_of(start: &Start) -> Value {
    json!({ "words": start.words, "forgets": start.forgets })
}

fn ask(user: &str, world: &World, what: &Value) -> Vec<Sample> {
    let runner = world.path("bin/eic-bench");
    if !runner.exists() {
        world.install(&env::current_exe().expect("the path of this program"), "eic-bench");
    }
    let user = uid(user);
    let mut child = Command::new(runner)
        .arg(NAME)
        .env_clear()
        .uid(user)
        .gid(user)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the runner starts");
    serde_json::to_writer(child.stdin.take().expect("standard input is piped"), what)
        .expect("the runner reads its task");
    let output = child.wait_with_output().expect("the runner ends");
    let samples: Value = serde_json::from_slice(&output.stdout).expect("the runner prints JSON");
    let sample = |value: &Value| Sample {
        wall: value[0].as_f64().unwrap_or_default(),
        cpu: value[1].as_f64().unwrap_or_default(),
        faults: value[2].as_f64().unwrap_or_default(),
        switches: value[3].as_f64().unwrap_or_default(),
        good: value[4] == true,
    };
    samples.as_array().expect("a list").iter().map(sample).collect()
}

/// The runner: reads the task from standard input and writes the samples to standard output.
pub(crate) fn main() {
    let mut task = String::new();
    io::stdin().read_to_string(&mut task).expect("a task");
    let task: Value = serde_json::from_str(&task).expect("a task in JSON");
    let start = |command: &Value| {
        let words = command["words"].as_array().expect("words").iter();
        let words = words.map(|word| word.as_str().expect("a word").to_owned()).collect();
        Start { words, forgets: command["forgets"] == true }
    };
    let commands: Vec<_> = task["commands"].as_array().expect("commands").iter().map(start).collect();
    let number =
        |name: &str| task[name].as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number");
    let (rounds, at_once, expected) = (number("rounds"), number("at_once"), task["expected"].as_str());
    let samples: Vec<Sample> = if at_once > 1 {
        if commands[0].forgets {
            forget();
        }
        let barrier = Barrier::new(at_once);
        thread::scope(|scope| {
            let start = || {
                barrier.wait();
                let (wall, good) = measure(&commands[0], expected);
                Sample { wall, cpu: 0.0, faults: 0.0, switches: 0.0, good }
            };
            let all: Vec<_> = (0..at_once).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().expect("a sample")).collect()
        })
    } else {
        (0..rounds).flat_map(|round| one_round(&commands, expected, round % 2 == 1)).collect()
    };
    let samples: Vec<_> =
        samples.iter().map(|one| json!([one.wall, one.cpu, one.faults, one.switches, one.good])).collect();
    println!("{}", Value::from(samples));
}

/// Returns one sample per command, in the order of `commands`.
fn one_round(commands: &[Start], expected: Option<&str>, backwards: bool) -> Vec<Sample> {
    if !backwards {
        return commands.iter().map(|command| alone(command, expected)).collect();
    }
    let mut samples: Vec<_> = commands.iter().rev().map(|command| alone(command, expected)).collect();
    samples.reverse();
    samples
}

fn alone(command: &Start, expected: Option<&str>) -> Sample {
    if command.forgets {
        forget();
    }
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage succeeds");
        let cpu = (usage.user_time() + usage.system_time()).num_microseconds();
        let faults = usage.minor_page_faults() + usage.major_page_faults();
        let switches = usage.voluntary_context_switches() + usage.involuntary_context_switches();
        (cpu as f64, faults as f64, switches as f64)
    };
    let before = used();
    let (wall, good) = measure(command, expected);
    let after = used();
    let (cpu, faults, switches) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    Sample { wall, cpu, faults, switches, good }
}

/// Removes what the runs remember.
pub(crate) fn forget() {
    let _ = fs::remove_file(MEMORY);
}

fn measure(command: &Start, expected: Option<&str>) -> (f64, bool) {
    let mut prepared = Command::new(&command.words[0]);
    prepared.args(&command.words[1..]).stdin(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let output = prepared.output().expect("the program starts");
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let as_expected = expected.map_or(said.is_empty(), |expected| said.contains(expected));
    (microseconds(took), output.status.success() && as_expected)
}

pub(crate) fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
