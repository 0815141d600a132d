//! Counts instructions with valgrind. The count does not depend on the load of the machine.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::program::Start;
use crate::runner::forget;
use crate::world::{AGENTS_USER, World, uid};

/// The instructions that this command executes in user mode, as the agent's user. Its output must contain `expected`.
/// Without `expected`, the output must be empty.
pub(crate) fn instructions(world: &World, command: &Start, expected: Option<&str>) -> u64 {
    if command.forgets {
        forget();
    }
    // valgrind opens this file before the program runs, because the agent later forbids itself to open files.
    let log = world.shared_folder().join("callgrind");
    let _ = fs::remove_file(&log);
    let user = uid(AGENTS_USER);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--vgdb=no", "--callgrind-out-file=/dev/null"])
        .arg(format!("--log-file={}", log.display()))
        .args(&command.words)
        .uid(user)
        .gid(user)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is missing: run tests/setup bench");
    let said = String::from_utf8_lossy(&output.stdout);
    let as_expected = expected.map_or(said.is_empty(), |expected| said.contains(expected));
    let log = fs::read_to_string(&log).unwrap_or_default();
    assert!(
        output.status.success() && as_expected,
        "under valgrind {:?} ended with {}, and printed {said}{}{log}",
        command.words,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let counted = log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.unwrap_or_else(|| panic!("callgrind's log has no count of instructions: {log}"))
}
