//! The shells and the readers of man pages, where this machine has them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tool that may not be here: then that is said, and it is a failure under CI=true.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    if there.is_ok_and(|output| output.status.success() || name == "mandoc") {
        let mut command = Command::new(name);
        command.stdin(Stdio::null());
        return Some(command);
    }
    eprintln!("NOT RUN: what takes {name}: it is not here (tests/setup ci installs it)");
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "every test must run under CI=true: no {name}");
    None
}

/// What the tool writes to standard output; anything else that it says is a failure.
pub(crate) fn said(command: &mut Command) -> String {
    let run = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&run.stderr);
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && errors.is_empty(), "{command:?}: {}: {errors}{output}", run.status);
    output
}

/// A file for a tool, in a folder of the test's own.
pub(crate) fn file(place: &str, name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(place);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
