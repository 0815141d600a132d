//! The binary: parse, run, make the exit status.

use std::process::ExitCode;

use eic_agent::cli::{Cli, resolve_name};
use eic_agent::commands;

/// musl's own takes a group of pages from the kernel for each size of object, and gives it back at once: 130 system
/// calls and 60 page faults in a run. This one takes 64 KiB at a time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let cli = match Cli::of(&resolve_name(std::env::args_os())) {
        Ok(cli) => cli,
        Err(refused) => {
            // `--help` and `--version` come this way as well, as no error.
            let _ = refused.print();
            return ExitCode::from(if refused.use_stderr() { 2 } else { 0 });
        }
    };
    ExitCode::from(commands::run(&cli, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()).status())
}
