//! Finds the input that takes the most processor time. libFuzzer measures only whole seconds of real time, which
//! include the time of other processes.

use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::time::{ClockId, clock_gettime};

/// The variable with the output folder. `time` gets the microseconds, `input` the input. Without the variable, inputs
/// are not timed.
const FOLDER: &str = "EIC_FUZZ_SLOWEST";

/// How often an input that seems to be the slowest runs. The shortest time counts, because on a busy machine the
/// processor's caches are cold in the first run.
const TRIES: usize = 3;

static SLOWEST: LazyLock<Option<Slowest>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    Some(Slowest { folder, microseconds: Mutex::new(0) })
});

struct Slowest {
    folder: PathBuf,
    microseconds: Mutex<i64>,
}

/// Runs a target with an input. Keeps the input and its time if it is the slowest so far.
pub fn timed(input: &[u8], target: impl Fn(&[u8])) {
    let Some(slowest) = SLOWEST.as_ref() else { return target(input) };
    let mut longest = slowest.microseconds.lock().unwrap_or_else(PoisonError::into_inner);
    let mut least = i64::MAX;
    for _ in 0..TRIES {
        let started = processor_time();
        target(input);
        least = least.min(processor_time() - started);
        if least <= *longest {
            return;
        }
    }
    *longest = least;
    fs::write(slowest.folder.join("time"), least.to_string()).expect("the time can be written");
    fs::write(slowest.folder.join("input"), input).expect("the input can be written");
}

/// The processor time of this thread, in microseconds.
fn processor_time() -> i64 {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    spent.tv_sec() * 1_000_000 + spent.tv_nsec() / 1000
}
