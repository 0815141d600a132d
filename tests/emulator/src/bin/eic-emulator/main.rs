//! `eic-emulator`: the AWS side of EC2 Instance Connect on one machine.

mod demo;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The AWS side of EC2 Instance Connect on one machine.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve instance metadata and the AWS API until told to stop.
    ///
    /// Prints one JSON line when ready, with the keys `imds`, `api`, `ca_file`, `sysfs` and
    /// `instance_id`, and a line for each request on standard error.
    Serve(Box<serve::Serve>),
    /// Show a login with a pushed key through a real sshd on loopback, and what is refused.
    ///
    /// Runs as root, stops and removes everything that it starts and makes, and succeeds only if the pushed
    /// key logs in and nothing else does.
    Demo(demo::Demo),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let outcome = match command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("eic-emulator: {error}");
        ExitCode::FAILURE
    })
}
