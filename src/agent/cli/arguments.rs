//! What each subcommand takes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::{InstanceId, LoginName, SignerName};
use eic_core::time::Timestamp;
use eic_login::config::CommandLine;
use eic_login::config::parse_seconds;
use eic_login::imds::Endpoint;
use eic_login::run::Arguments;

use super::values::{When, parse_when};

/// Where the kernel tells of the machine.
const SYSFS: &str = "/sys";

/// Arguments of `authorized-keys`.
#[derive(Debug, Args)]
#[command(after_help = "\
In sshd_config:
  AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys %u %f
  AuthorizedKeysCommandUser eic-agent

Another provider asked as well, its keys printed after ours:
  AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys %u %f -- /usr/bin/sss_ssh_authorizedkeys %u

By hand, all keys of a user, with the reasons of refused ones in the system's log:
  eic-agent authorized-keys ec2-user

Exit status: 0 finished, with or without a key, or a provider was asked; 1 no decision could be made,
nothing was printed and the log says why; 2 the command line is wrong.")]
pub struct AuthorizedKeysArgs {
    /// What the settings file may say, too.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the machine says which instance it is
    #[arg(long, value_name = "DIR", default_value = SYSFS)]
    pub sysfs: PathBuf,
    /// Login name (sshd's %u)
    #[arg(value_name = "USER", allow_hyphen_values = true)]
    pub user: OsString,
    /// Fingerprint of the offered key (sshd's %f); SHA256:... narrows the answer to that key
    #[arg(value_name = "FINGERPRINT")]
    pub fingerprint: Option<OsString>,
    /// User to run the providers as, when started as root [default: the user that sshd chose]
    #[arg(long, value_name = "NAME")]
    pub provider_user: Option<String>,
    /// Other AuthorizedKeysCommand to ask as well, with its arguments; -- before each
    #[arg(last = true, value_name = "PROVIDER [ARG]")]
    pub providers: Vec<OsString>,
}

/// Options that win over the settings file.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Settings file [default: /etc/eic-agent.toml, where it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The metadata service's endpoint.
    #[arg(
        long,
        value_name = "URL",
        help = "Metadata service [default: http://169.254.169.254, then http://[fd00:ec2::254]]"
    )]
    pub imds_endpoint: Option<Endpoint>,
    /// Time for the whole run, 0.1 to 60 [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,
    /// Where the roots are
    #[command(flatten)]
    pub trust: Trust,
}

impl Overrides {
    /// What the command line says of the settings.
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
    /// The run that they ask for.
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

    /// The options that choose what the run's findings depend on, each with its value: where an instance's own are
    /// left, there is none.
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

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 the settings are sound; 1 they are not, and every fault was shown; 2 the command line is
wrong.")]
pub struct ConfigArgs {
    /// What wins over the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
As root it sees more than as anybody else, and says so. With --user it also runs, as sshd would, what sshd is
configured to run, without chained providers; the log has that run like a login's. PAM's modules and
/etc/hosts.deny are not looked at. Examples:
  sudo eic-agent doctor --user ec2-user
  sudo eic-agent doctor --json | jq -r .cause

Exit status: 0 nothing is broken; 1 something is; 2 the command line is wrong.")]
pub struct DoctorArgs {
    /// Also look at what is about this login name: access, account, shell, key types
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
    /// No colour, also on a terminal
    #[arg(long)]
    pub no_color: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with a key pushed a moment ago:
  sudo eic-agent explain ec2-user

Exit status: 0 sshd would be given a key; 1 it would not, and why was shown; 2 the command line is wrong.")]
pub struct ExplainArgs {
    /// Login name
    #[arg(value_name = "USER")]
    pub user: LoginName,
    /// Only the key with this fingerprint (SHA256:...)
    #[arg(value_name = "FINGERPRINT")]
    pub fingerprint: Option<Fingerprint>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `capture`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file holds public keys, certificates, and who pushed; never a token. It is made for its owner alone, and
never over another file. Examples:
  sudo eic-agent capture --user ec2-user case.json
  eic-agent verify --capture case.json

Exit status: 0 the file is written; 1 it is not, or the metadata service does not answer; 2 the command line
is wrong.")]
pub struct CaptureArgs {
    /// File to make
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Login name whose keys to save, as often as wanted [default: all that the service lists]
    #[arg(long, value_name = "USER")]
    pub user: Vec<LoginName>,
    /// Replace account, principal and ids; the signatures no longer hold, so it is for reading only
    #[arg(long)]
    pub redact: bool,
}

/// Arguments of `sessions`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(after_help = "\
A TIME is RFC 3339, a day (2025-01-30, UTC), Unix seconds, or an age such as 90m, 12h or 30d. Without FILE it is
the journal that is read, or where there is none, auth.log and secure in /var/log with what was rotated.

A principal is believed only if the journal has from the kernel that the agent's user wrote the line, and a login or
its end only if the kernel's fields name sshd or systemd-logind as the program (_EXE, _SYSTEMD_UNIT). If journald was
too late to see the program, the line is unattributed: its session is listed as unverified. A number of a process that
comes again within five seconds can deceive journald: keep kernel.pid_max at systemd's 4194304. From a
text log, where anybody can write one, it is shown as unverified. Examples:
  sudo eic-agent sessions --since 30d
  sudo eic-agent sessions --open --user ec2-user
  sudo eic-agent sessions --principal '*:assumed-role/Admin/*' --json | jq '.sessions[].pushes[]'
  sudo eic-agent sessions --csv /var/log/auth.log* > sessions.csv

Exit status: 0 all that was asked for is listed; 1 no log can be read, or something is missing or unattributed (a
warning names it); 2 the command line is wrong or FILE cannot be read.")]
pub struct SessionsArgs {
    /// Leave out what was over before TIME
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub since: Option<When>,
    /// Leave out what began after TIME
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub until: Option<When>,
    /// Only logins as this user
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only keys of principals whose ARN fits: * stands for any characters, ? for one
    #[arg(long, value_name = "GLOB")]
    pub principal: Option<String>,
    /// Only sessions that are open now
    #[arg(long, conflicts_with = "files")]
    pub open: bool,
    /// List logins by other means as well, which are otherwise counted
    #[arg(long)]
    pub all: bool,
    /// Print one JSON document on standard output instead
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV on standard output instead; warnings go to standard error
    #[arg(long)]
    pub csv: bool,
    /// User that sshd runs the agent as: whose word is believed
    #[arg(long, value_name = "NAME", default_value = "eic-agent")]
    pub agent_user: String,
    /// Text logs to read in place of the journal, also compressed by gzip, xz or zstd
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `enable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads what is in force (sshd -T), writes /etc/ssh/sshd_config.d/10-eic-agent.conf, or a marked block at the
top of /etc/ssh/sshd_config where no Include reads that folder, checks, and reloads sshd if it runs. Where a
check fails, everything is put back. Amazon's own command is replaced; any other is left alone:

  eic-agent enable            wire sshd, or say which other command stands in the way
  eic-agent enable --chain    ask that other command as well, after ours and as the user it has now

Every file of sshd's configuration must be root's and writable by root only, up to /. With --chain, a line
that releases of sshd read in different ways (quotation marks, sets in an Include) is refused and named.

Exit status: 0 sshd uses eic-agent, now or already; 1 it could not be done, nothing is changed; 2 the
command line is wrong; 3 another AuthorizedKeysCommand is in force and was left alone.")]
pub struct EnableArgs {
    /// Go on asking the AuthorizedKeysCommand that is in force, as its own user
    #[arg(long)]
    pub chain: bool,
    /// Also write into /etc/eic-agent.toml that only the signer of this region and partition, as metadata tells them
    /// now, is believed; not for an image that other regions use
    #[arg(long)]
    pub pin: bool,
}

/// Arguments of `disable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 done, or there was nothing to take out; 1 it could not be done; 2 the command line is wrong.")]
pub struct DisableArgs {}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 sshd uses eic-agent (--is-ec2: this is an EC2 instance); 1 it does not, and what is wrong was
shown; 2 the command line is wrong. Metadata that does not answer is a warning.")]
pub struct StatusArgs {
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
    /// Only say whether this machine is an EC2 instance
    #[arg(long, conflicts_with = "json")]
    pub is_ec2: bool,
}

/// Arguments of the supervisor of one provider.
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// When to end the provider
    #[arg(value_parser = parse_seconds)]
    pub timeout: Duration,
    /// The provider's real path
    pub program: PathBuf,
    /// The provider as it was named, and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
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

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, on files saved from the metadata service:
  eic-agent verify --keys keys --signer-cert signer.pem --ocsp-dir ocsp/ \\
    --instance-id i-0123456789abcdef0 --signer-name managed-ssh-signer.us-east-1.amazonaws.com \\
    --at 2025-01-30T12:00:00Z

The same on a capture, as of the instant and for the machine that it says of itself; whoever can write
the file can write those, so give --at and --instance-id where it matters:
  eic-agent verify --capture case.json

Exit status: 0 at least one key was accepted; 1 none was; 2 the command line is wrong or a file cannot
be read.")]
pub struct VerifyArgs {
    /// What eic-agent capture saved, in the place of the next five; of them, id and name may be given, too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "signer_cert", "ocsp_dir"])]
    pub capture: Option<PathBuf>,
    /// Key bundle, as active-keys/USER/ serves it; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "capture")]
    pub keys: Option<PathBuf>,
    /// Signer's certificates in PEM, as signer-cert/ serves them; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "capture")]
    pub signer_cert: Option<PathBuf>,
    /// Directory of OCSP staples, base64 or DER, under any names
    #[arg(long, value_name = "DIR", required_unless_present = "capture")]
    pub ocsp_dir: Option<PathBuf>,
    /// Instance that the keys must have been pushed to
    #[arg(long, value_name = "ID", required_unless_present = "capture")]
    pub instance_id: Option<InstanceId>,
    /// Common name that the signer's certificate must have
    #[arg(long, value_name = "CN", required_unless_present = "capture")]
    pub signer_name: Option<SignerName>,
    /// Whose keys, where the capture holds several users'
    #[arg(long, value_name = "USER", requires = "capture")]
    pub user: Option<LoginName>,
    /// Where the roots are
    #[command(flatten)]
    pub trust: Trust,
    /// Accept only the key with this fingerprint (SHA256:...)
    #[arg(long, value_name = "FP")]
    pub fingerprint: Option<Fingerprint>,
    /// Instant to judge at, RFC 3339 or Unix seconds [default: now, or the capture's own]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}
