//! The arguments of the subcommands that people run, apart from those that read the audit log.

use std::path::PathBuf;

use clap::Args;
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::{InstanceId, LoginName, SignerName};
use eic_core::time::Timestamp;

use super::authorized_keys::{Overrides, Trust};
use super::values::{KnownHost, parse_known_host};

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 the settings are valid; 1 they are not, and every fault was
printed; 2 the command line is wrong.")]
pub struct ConfigArgs {
    /// Options that override the settings file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rules`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rules test prints the rule of the settings that decides about a push, and the
line that sshd would get. It needs no key and no network. The log gets no line.
Examples:
  eic-agent rules test --user ec2-user \\
    --principal arn:aws:sts::123456789012:assumed-role/Deploy/run-17
  eic-agent rules test --config new.toml --user root --at 2025-02-01T03:00:00Z \\
    --principal arn:aws:iam::123456789012:user/bob

Exit status: 0 the key is allowed; 1 it is denied, or the settings have a fault,
and the reason was printed; 2 the command line is wrong.")]
pub struct RulesArgs {
    /// What to do: test
    #[arg(value_name = "test", value_parser = ["test"])]
    pub action: String,
    /// ARN of the principal that pushes the key; an empty text for a push that names none
    #[arg(long, value_name = "ARN")]
    pub principal: String,
    /// Login name
    #[arg(long, value_name = "USER")]
    pub user: LoginName,
    /// Instant of the login, RFC 3339 or Unix seconds [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Seconds between the push and the login
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub age: u64,
    /// Algorithm of the key
    #[arg(long, value_name = "TYPE", default_value = "ssh-ed25519")]
    pub key_type: String,
    /// Id of the push request
    #[arg(long, value_name = "ID", default_value = "00000000-0000-0000-0000-000000000000")]
    pub request_id: String,
    /// Settings file [default: /etc/eic-agent.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Run doctor as root. For other users it skips some checks, and reports which.
With --user, doctor also runs the AuthorizedKeysCommand that is in force, as
sshd would, but without chained providers. The log records this run like a
login. Doctor checks PAM's account and session rules, but not
/etc/hosts.deny. Examples:
  sudo eic-agent doctor --user ec2-user
  sudo eic-agent doctor --json | jq -r .cause

Exit status: 0 nothing is broken; 1 something is broken; 2 the command line is
wrong.")]
pub struct DoctorArgs {
    /// Also check this login name: access, account, shell, PAM, the types of its pushed keys, and a test run
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
    /// Show only what is not ok; print nothing if everything is ok
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// No colour, even on a terminal
    #[arg(long)]
    pub no_color: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, within a minute after a key was pushed:
  sudo eic-agent explain ec2-user

Exit status: 0 sshd would get a key; 1 sshd would get no key, or [keys] options
make it refuse every key, and the reason was printed; 2 the command line is
wrong.")]
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
The file contains public keys, certificates, and the principals that pushed
keys. It never contains a token. Only its owner can read it. An existing file is
never overwritten. Examples:
  sudo eic-agent capture --user ec2-user case.json
  eic-agent verify --capture case.json

Exit status: 0 the file was written; 1 it was not written, or the metadata
service does not answer; 2 the command line is wrong.")]
pub struct CaptureArgs {
    /// File to create
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Login name whose keys to save; may be repeated [default: all that the service lists]
    #[arg(long, value_name = "USER")]
    pub user: Vec<LoginName>,
    /// Replace accounts, principals, names and ids; signatures become invalid: only for reading
    #[arg(long)]
    pub redact: bool,
}

/// Arguments of `enable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Enable reads the effective configuration (sshd -T) and writes
/etc/ssh/sshd_config.d/10-eic-agent.conf. If no Include reads that directory, it
writes a marked block at the top of /etc/ssh/sshd_config instead. It checks the
result, and reloads sshd if sshd runs. If a check fails, it restores every file.
Enable replaces Amazon's own command, and leaves any other command alone:

  eic-agent enable          set up sshd, or name the other command in force
  eic-agent enable --chain  also run that other command, as its current user

Every file of sshd's configuration, and every directory above it, must belong to
root and be writable by root only. With --chain, enable refuses a line that
releases of sshd read in different ways (quotation marks, sets such as [ab] in
an Include), and names it.

Exit status: 0 sshd uses eic-agent, also if it did before; 1 it could not be
done, and the message says whether anything is changed; 2 the command line is
wrong; 3 another AuthorizedKeysCommand is in force and was left alone.")]
pub struct EnableArgs {
    /// Also run the AuthorizedKeysCommand that is in force now, as its own user
    #[arg(long)]
    pub chain: bool,
    /// Also write the region and domain that metadata reports now into /etc/eic-agent.toml; then the agent accepts
    /// only their signer. Not for an image that is used in other regions
    #[arg(long)]
    pub pin: bool,
}

/// Arguments of `disable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 done, or there was nothing to remove; 1 it could not be done; 2
the command line is wrong. If sshd could not be reloaded, that is only a
warning.")]
pub struct DisableArgs {}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 sshd uses eic-agent (--is-ec2: this is an EC2 instance); 1 it
does not, or that is not known, and the problems were printed; 2 the command
line is wrong. If metadata does not answer, that is only a warning.")]
pub struct StatusArgs {
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
    /// Only report whether this machine is an EC2 instance
    #[arg(long, conflicts_with = "json")]
    pub is_ec2: bool,
}

/// Arguments of `host-keys`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without an option, host-keys prints the algorithm, the SHA256 fingerprint and
the file of each host key that sshd offers. Examples:
  sudo eic-agent host-keys
  sudo eic-agent host-keys --known-hosts i-0123456789abcdef0 203.0.113.5

Exit status: 0 the keys were printed; 1 there is no key, or clients may see
another key, and a warning names the reason; 2 the command line is wrong.")]
pub struct HostKeysArgs {
    /// Print one JSON document on standard output instead
    #[arg(long, conflicts_with = "known_hosts")]
    pub json: bool,
    /// The names of lines for `known_hosts`.
    #[arg(
        long,
        value_name = "NAME",
        num_args = 1..,
        value_parser = parse_known_host,
        help = "Print lines of a client's known_hosts file instead, for these names and addresses"
    )]
    pub known_hosts: Vec<KnownHost>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, on files saved from the metadata service:
  eic-agent verify --keys keys --signer-cert signer.pem --ocsp-dir ocsp/ \\
    --signer-name managed-ssh-signer.us-east-1.amazonaws.com \\
    --instance-id i-0123456789abcdef0 --at 2025-01-30T12:00:00Z

The same on a capture. The capture itself names its instant and its instance,
and its author can choose both. If that matters, give --at and --instance-id:
  eic-agent verify --capture case.json

Exit status: 0 at least one key was accepted; 1 no key was accepted; 2 the
command line is wrong or a file cannot be read.")]
pub struct VerifyArgs {
    /// File from eic-agent capture; replaces the next five options, but --instance-id and --signer-name override it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "signer_cert", "ocsp_dir"])]
    pub capture: Option<PathBuf>,
    /// Key bundle, as active-keys/USER/ serves it; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "capture")]
    pub keys: Option<PathBuf>,
    /// Signer's certificates in PEM, as signer-cert/ serves them; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "capture")]
    pub signer_cert: Option<PathBuf>,
    /// Directory of OCSP staples, base64 or DER, with any file names
    #[arg(long, value_name = "DIR", required_unless_present = "capture")]
    pub ocsp_dir: Option<PathBuf>,
    /// Instance that the keys must have been pushed to
    #[arg(long, value_name = "ID", required_unless_present = "capture")]
    pub instance_id: Option<InstanceId>,
    /// Common name that the signer's certificate must have
    #[arg(long, value_name = "CN", required_unless_present = "capture")]
    pub signer_name: Option<SignerName>,
    /// Login name, if the capture has keys of several users
    #[arg(long, value_name = "USER", requires = "capture")]
    pub user: Option<LoginName>,
    /// Options that choose the trusted roots.
    #[command(flatten)]
    pub trust: Trust,
    /// Accept only the key with this fingerprint (SHA256:...)
    #[arg(long, value_name = "FP")]
    pub fingerprint: Option<Fingerprint>,
    /// Instant to verify at, RFC 3339 or Unix seconds [default: now, or that of the capture]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}
