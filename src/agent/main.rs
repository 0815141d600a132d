//! The binary: parses the command line, runs the command, and returns the exit status.

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;

use eic_agent::cli::{Cli, resolve_name};
use eic_agent::commands;
use eic_agent::layout::{Notes, fit, width};
use eic_host::stdout::write_once;

/// For each object size, musl's allocator requests a group of pages from the kernel, and returns the group as soon as
/// it is free. That costs 130 system calls and 60 page faults per run. dlmalloc requests 64 KiB at a time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    // sshd connects no terminal.
    let is_for_person = || stderr().is_terminal();
    let arguments = resolve_name(std::env::args_os(), is_for_person);
    let unknown = Cli::unknown_option(&arguments, is_for_person);
    let cli = match unknown.map_or_else(|| Cli::of(&arguments), Err) {
        Ok(cli) => cli,
        Err(refused) => {
            // The parser takes a misspelt option for the login name, and blames a later word.
            let refused = Cli::unknown_option(&arguments, || refused.use_stderr()).unwrap_or(refused);
            // clap also returns `--help` and `--version` as an `Err`, but not for standard error.
            if refused.use_stderr() {
                let _ = refused.print();
                return ExitCode::from(2);
            }
            let help = fit(&refused.to_string(), width());
            let _ = write_once(help.as_bytes(), &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    ExitCode::from(commands::run(&cli, &mut std::io::stdout().lock(), &mut Notes::new()).status())
}
