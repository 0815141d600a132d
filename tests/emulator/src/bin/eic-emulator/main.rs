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
    /// Serve instance metadata and the AWS API until a signal stops it.
    ///
    /// When ready, prints one JSON line with the keys `imds`, `api`, `ca_file`, `sysfs` and `instance_id`.
    /// Prints a line for each request on standard error.
    Serve(Box<serve::Serve>),
    /// Show a login with a pushed key through a real sshd on loopback, and three refused logins.
    ///
    /// Needs root. Stops every program and removes every file that it made. Succeeds only if the pushed key logs in and
    /// no other key does.
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
