//! `eic-emulator`: the AWS side of EC2 Instance Connect on one machine.

mod demo;
mod open_tunnel;
mod ready;
mod run;
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
    /// Serve instance metadata, the AWS API and an EC2 Instance Connect Endpoint until a signal stops it.
    ///
    /// When ready, prints one JSON line: the addresses `imds`, `api` and `proxy`, the files `ca_file` and `sysfs`, the
    /// names `instance_id`, `region`, `endpoint_id` and `endpoint`, and the credential `access_key`, `secret_key` and,
    /// for access keys that begin with ASIA, `session_token`. With a credentials file, it is the path
    /// `credentials_file` instead. Prints a line for each request on standard error.
    Serve(Box<serve::Serve>),
    /// Run one command with the environment in which AWS's clients find the emulator.
    ///
    /// The command gets `AWS_ENDPOINT_URL_*`, credentials, a region, `HTTPS_PROXY` and `SSL_CERT_FILE`, and none of the
    /// caller's variables of AWS and of proxies. Its other connections over TLS fail, so run single commands. The exit
    /// status is that of the command.
    Run(Box<run::Run>),
    /// Open a tunnel to the instance, on standard input and output: a `ProxyCommand` for ssh.
    ///
    /// This is for machines without AWS CLI 2. The tunnel has the same protocol.
    OpenTunnel(open_tunnel::OpenTunnel),
    /// Show a login with a pushed key through a real sshd on loopback, another through the endpoint, and three refused
    /// logins.
    ///
    /// Needs root. Stops every program and removes every file that it made. Succeeds only if the pushed key logs in and
    /// no other key does.
    Demo(demo::Demo),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let outcome = match command {
        Command::Serve(serve) => serve.run(),
        Command::Run(run) => run.run(),
        Command::OpenTunnel(tunnel) => tunnel.run(),
        Command::Demo(demo) => demo.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("eic-emulator: {error}");
        ExitCode::FAILURE
    })
}
