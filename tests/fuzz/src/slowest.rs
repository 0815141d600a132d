//! The input that takes the most processor time. libFuzzer knows whole seconds alone, and another process's time counts
//! for it, too.

use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::time::{ClockId, clock_gettime};

/// Where to write: `time` has the microseconds, `input` the input. No input is timed where it is not set.
const FOLDER: &str = "EIC_FUZZ_SLOWEST";

/// How often an input that seems to be the slowest is tried. The least of its times counts: on a busy machine the
/// processor's caches are another process's at first.
const TRIES: usize = 3;

static SLOWEST: LazyLock<Option<Slowest>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    Some(Slowest { folder, microseconds: Mutex::new(0) })
});

struct Slowest {
    folder: PathBuf,
    microseconds: Mutex<i64>,
}

/// Runs a target with an input, and keeps the time and the input if none took longer so far.
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

/// Microseconds of processor time that this thread has taken.
fn processor_time() -> i64 {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    spent.tv_sec() * 1_000_000 + spent.tv_nsec() / 1000
}
