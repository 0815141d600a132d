//! The arguments of `authorized-keys`, and the options that it shares with other subcommands.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eic_login::config::{CommandLine, parse_seconds};
use eic_login::imds::Endpoint;
use eic_login::run::Arguments;

/// The kernel's sysfs, which identifies the machine.
pub(crate) const SYSFS: &str = "/sys";

/// Arguments of `authorized-keys`.
#[derive(Debug, Args)]
#[command(after_help = "\
In sshd_config:
  AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys %u %f
  AuthorizedKeysCommandUser eic-agent

To run another provider as well, and print its keys after the agent's keys:
  AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys %u %f -- PROVIDER %u

To print all keys of a user by hand, with the reasons for refused keys in the
log:
  eic-agent authorized-keys ec2-user

Exit status: 0 finished, with or without a key, or a provider was run; 1 no
decision could be made, nothing was printed and the log has the reason; 2 the
command line is wrong.")]
pub struct AuthorizedKeysArgs {
    /// Options that override the settings file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// sysfs directory with the instance id
    #[arg(long, value_name = "DIR", default_value = SYSFS)]
    pub sysfs: PathBuf,
    /// Login name (sshd's %u)
    #[arg(value_name = "USER", allow_hyphen_values = true)]
    pub user: OsString,
    /// Fingerprint of the offered key (sshd's %f); with SHA256:..., print only that key
    #[arg(value_name = "FINGERPRINT")]
    pub fingerprint: Option<OsString>,
    /// User to run the providers as, if started as root [default: the user that sshd runs this program as]
    #[arg(long, value_name = "NAME")]
    pub provider_user: Option<String>,
    /// Other AuthorizedKeysCommand to run as well, with its arguments; -- before each
    #[arg(last = true, value_name = "PROVIDER [ARG]")]
    pub providers: Vec<OsString>,
}

/// Options that override the settings file.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Settings file [default: /etc/eic-agent.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Endpoint of the metadata service.
    #[arg(
        long,
        value_name = "URL",
        help = "Metadata service [default: http://169.254.169.254, then http://[fd00:ec2::254]]"
    )]
    pub imds_endpoint: Option<Endpoint>,
    /// Time for the whole run, 0.1 to 60 [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,
    /// Options that choose the trusted roots.
    #[command(flatten)]
    pub trust: Trust,
}

impl Overrides {
    /// Converts the options for [`eic_login::config::Settings::resolve`].
    #[must_use]
    pub fn settings(&self) -> CommandLine {
        CommandLine {
            config: self.config.clone(),
            endpoint: self.imds_endpoint.clone(),
            timeout: self.timeout,
            ca_file: self.trust.ca_file.clone(),
            ca_dir: self.trust.ca_dir.clone(),
        }
    }
}

impl AuthorizedKeysArgs {
    /// Converts the arguments for [`eic_login::run::run`].
    #[must_use]
    pub fn run(&self) -> Arguments {
        Arguments {
            settings: self.overrides.settings(),
            sysfs: self.sysfs.clone(),
            user: self.user.clone(),
            fingerprint: self.fingerprint.clone(),
            provider_user: self.provider_user.clone(),
            providers: self.providers.clone(),
            chosen_inputs: self.chosen_inputs(),
        }
    }

    /// The given options that change which files and services the run reads, each with its value. Empty if the run
    /// reads only the instance's own files and services.
    #[must_use]
    pub fn chosen_inputs(&self) -> Vec<(&'static str, String)> {
        let Overrides { config, imds_endpoint, timeout: _, trust } = &self.overrides;
        let path = |path: &PathBuf| path.display().to_string();
        let sysfs = Some(&self.sysfs).filter(|sysfs| sysfs.as_os_str() != SYSFS);
        [
            ("--config", config.as_ref().map(path)),
            ("--imds-endpoint", imds_endpoint.as_ref().map(ToString::to_string)),
            ("--ca-file", trust.ca_file.as_ref().map(path)),
            ("--ca-dir", trust.ca_dir.as_ref().map(path)),
            ("--sysfs", sysfs.map(path)),
        ]
        .into_iter()
        .filter_map(|(option, value)| value.map(|value| (option, value)))
        .collect()
    }
}

/// The options that name trust anchors.
#[derive(Debug, Args)]
pub struct Trust {
    /// Trusted roots in one PEM file [default: the distribution's bundle]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Trusted roots in a directory hashed by openssl rehash
    #[arg(long, value_name = "DIR")]
    pub ca_dir: Option<PathBuf>,
}
