//! Runs the shells and the readers of man pages, if this machine has them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tool. If it is not installed, prints a note and returns `None`. With CI=true, this is a failure.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    if there.is_ok_and(|output| output.status.success() || name == "mandoc") {
        let mut command = Command::new(name);
        command.stdin(Stdio::null());
        return Some(command);
    }
    eprintln!("NOT RUN: {name} is not installed (tests/setup ci installs it)");
    assert_ne!(
        env::var("CI").as_deref(),
        Ok("true"),
        "with CI=true every test must run, but {name} is not installed"
    );
    None
}

/// Returns the tool's standard output. Output to standard error is a failure.
pub(crate) fn said(command: &mut Command) -> String {
    let run = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&run.stderr);
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && errors.is_empty(), "{command:?}: {}: {errors}{output}", run.status);
    output
}

/// Writes a file for a tool, in the test's own folder.
pub(crate) fn file(place: &str, name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(place);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
