//! The command line: raw arguments in, nothing decided yet.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::CommandLine;
use crate::fingerprint::Fingerprint;
use crate::identity::{InstanceId, LoginName, SignerName};
use crate::imds::Endpoint;
use crate::text::{MAX_SHOWN, printable};
use crate::time::{NotATimestamp, Timestamp};

/// Names of the older shell implementation's commands: called by one of these, the program is
/// `authorized-keys`, so that an `sshd_config` that names them goes on working.
pub const AUTHORIZED_KEYS_NAMES: [&str; 2] = ["eic_run_authorized_keys", "eic_curl_authorized_keys"];

/// Hands sshd the SSH keys that EC2 Instance Connect pushed to this instance, after proving each one.
#[derive(Debug, Parser)]
#[command(name = "eic-agent", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 finished; 1 it could not be done, or the answer is no; 2 the command line is wrong;
3 (enable) another AuthorizedKeysCommand is in force and was left alone.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the proven keys that are pushed for USER (sshd's AuthorizedKeysCommand)
    AuthorizedKeys(AuthorizedKeys),
    /// Judge evidence from files instead of metadata, and say why
    Verify(Verify),
    /// Look at every link from the metadata service to a login, and say what to mend
    Doctor(Doctor),
    /// Show what sshd would be given for USER now, and why
    Explain(Explain),
    /// Save what the metadata service says, for verify --capture elsewhere
    Capture(Capture),
    /// List who came in with pushed keys, when, from where and for how long, by the log
    Sessions(Sessions),
    /// Show the settings, and where each comes from
    Config(Config),
    /// Make sshd ask this program for keys
    Enable(Enable),
    /// Take out of sshd's configuration what enable put in
    Disable(Disable),
    /// Say whether sshd really asks this program
    Status(Status),
    /// Run a provider and end it in time (what authorized-keys runs its providers with)
    #[command(hide = true)]
    Supervise(Supervise),
    /// Confine this process as authorized-keys does, and say what of it holds (what doctor runs)
    #[command(hide = true)]
    Confinement,
}

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
pub struct AuthorizedKeys {
    /// What the settings file may say, too.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the machine says which instance it is
    #[arg(long, value_name = "DIR", default_value = "/sys")]
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

    /// Whether anything was chosen that the run's findings depend on.
    #[must_use]
    pub const fn are_chosen(&self) -> bool {
        self.config.is_some()
            || self.imds_endpoint.is_some()
            || self.trust.ca_file.is_some()
            || self.trust.ca_dir.is_some()
    }
}

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 the settings are sound; 1 they are not, and every fault was shown; 2 the command line is
wrong.")]
pub struct Config {
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
pub struct Doctor {
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
pub struct Explain {
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
pub struct Capture {
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
the journal that is read, or where there is none, auth.log and secure in /var/log with what was rotated. A
principal is believed only where the journal has from the kernel that the agent's user wrote the line; from a
text log, where anybody can write one, it is shown as unverified. Examples:
  sudo eic-agent sessions --since 30d
  sudo eic-agent sessions --open --user ec2-user
  sudo eic-agent sessions --principal '*:assumed-role/Admin/*' --json | jq '.sessions[].pushes[]'
  sudo eic-agent sessions --csv /var/log/auth.log* > sessions.csv

Exit status: 0 all that the log has was listed; 1 no log can be read, or not all of it could be; 2 the command
line is wrong or FILE cannot be read.")]
pub struct Sessions {
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

/// An instant, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Then.
    At(Timestamp),
    /// So many seconds before now.
    Ago(u64),
}

impl When {
    /// The instant.
    #[must_use]
    pub const fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(instant) => instant,
            Self::Ago(seconds) => Timestamp::from_unix(now.as_unix().saturating_sub(seconds)),
        }
    }
}

/// Arguments of `enable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads what is in force (sshd -T), writes /etc/ssh/sshd_config.d/10-eic-agent.conf, or a marked block at the
top of /etc/ssh/sshd_config where no Include reads that folder, checks, and reloads sshd if it runs. Where a
check fails, everything is put back. Amazon's own command is replaced; any other is left alone:

  eic-agent enable            wire sshd, or say which other command stands in the way
  eic-agent enable --chain    ask that other command as well, after ours and as the user it has now

Exit status: 0 sshd uses eic-agent, now or already; 1 it could not be done, nothing is changed; 2 the
command line is wrong; 3 another AuthorizedKeysCommand is in force and was left alone.")]
pub struct Enable {
    /// Go on asking the AuthorizedKeysCommand that is in force, as its own user
    #[arg(long)]
    pub chain: bool,
}

/// Arguments of `disable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 done, or there was nothing to take out; 1 it could not be done; 2 the command line is wrong.")]
pub struct Disable {}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 sshd uses eic-agent (--is-ec2: this is an EC2 instance); 1 it does not, and what is wrong was
shown; 2 the command line is wrong. Metadata that does not answer is a warning.")]
pub struct Status {
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
    /// Only say whether this machine is an EC2 instance
    #[arg(long, conflicts_with = "json")]
    pub is_ec2: bool,
}

/// Arguments of the supervisor of one provider.
#[derive(Debug, Args)]
pub struct Supervise {
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
pub struct Verify {
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

/// Seconds, whole or broken, from 0.1 to 60.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let refuse = || format!("expected 0.1 to 60 seconds, got {}", printable(text, MAX_SHOWN));
    let seconds: f64 = text.parse().map_err(|_| refuse())?;
    if !(0.1..=60.0).contains(&seconds) {
        return Err(refuse());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refuse())
}

/// What sshd runs, without the descriptions of the other subcommands.
#[derive(Debug, Parser)]
struct Alone {
    #[command(flatten)]
    arguments: AuthorizedKeys,
}

impl Cli {
    /// Reads the command line.
    ///
    /// What sshd runs is read with the description of that one subcommand, since to make all of them is a third of a
    /// run without a key. Words that it does not understand are for all of them to answer.
    pub fn of(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let words =
            arguments.get(1..).filter(|words| words.first().is_some_and(|word| word == "authorized-keys"));
        if let Some(Ok(alone)) = words.map(Alone::try_parse_from) {
            return Ok(Self { command: Command::AuthorizedKeys(alone.arguments) });
        }
        Self::try_parse_from(arguments)
    }
}

/// An instant, a day (its beginning in UTC), or an age.
fn parse_when(text: &str) -> Result<When, String> {
    let refuse = || {
        let came = printable(text, MAX_SHOWN);
        format!(
            "expected RFC 3339 (2025-01-30T12:00:00Z), a day (2025-01-30), Unix seconds, or an age such as 90m, 12h or 30d; got {came}"
        )
    };
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let age = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        count.checked_mul(*seconds).map(When::Ago)
    });
    let instant = || text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map(When::At);
    age.map_or_else(instant, Ok).map_err(|_: NotATimestamp| refuse())
}

/// The arguments with the subcommand put in where the program is called by one of its other names.
pub fn resolve_name(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_else(|| "eic-agent".into());
    let called_as = std::path::Path::new(&name).file_name().and_then(OsStr::to_str);
    let implied = called_as.is_some_and(|called_as| AUTHORIZED_KEYS_NAMES.contains(&called_as));
    let subcommand = implied.then(|| "authorized-keys".into());
    let mut resolved: Vec<_> = std::iter::once(name).chain(subcommand).chain(arguments).collect();
    disarm_user(&mut resolved);
    resolved
}

/// A login name that looks like an option, which only a directory service would have, is none of ours: no
/// key can be pushed for it. It must not be read as an option either, since a chained provider may know it.
fn disarm_user(arguments: &mut [OsString]) {
    let own = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let Some([_, subcommand, .., user, offered]) = arguments.get_mut(..own) else { return };
    if subcommand != "authorized-keys" {
        return;
    }
    let is_fingerprint =
        ["SHA256:", "MD5:"].iter().any(|form| offered.as_encoded_bytes().starts_with(form.as_bytes()));
    if is_fingerprint && user.as_encoded_bytes().starts_with(b"-") {
        user.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read the short way where there is one, and the long way: both must say the same.
    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments = resolve_name(arguments.iter().map(OsString::from));
        let (short, long) = (Cli::of(&arguments), Cli::try_parse_from(&arguments));
        let words = |read: &Result<Cli, clap::Error>| match read {
            Ok(cli) => format!("{cli:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(words(&short), words(&long), "{arguments:?}");
        short
    }

    fn keys(arguments: &[&str]) -> AuthorizedKeys {
        match parse(arguments).unwrap().command {
            Command::AuthorizedKeys(keys) => keys,
            other => panic!("{arguments:?} is {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_old_names_imply_the_subcommand() {
        for name in ["eic_run_authorized_keys", "/opt/aws/bin/eic_curl_authorized_keys"] {
            let called = keys(&[name, "ec2-user", "SHA256:x"]);
            assert_eq!((called.user, called.fingerprint), ("ec2-user".into(), Some("SHA256:x".into())));
        }
        assert!(parse(&["eic-agent", "ec2-user"]).is_err());
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let called = keys(&["eic-agent", "authorized-keys", "u"]);
        assert_eq!((called.overrides.timeout, called.sysfs), (None, "/sys".into()));
        assert!(!called.overrides.are_chosen() && called.providers.is_empty());
    }

    #[test]
    fn a_name_that_looks_like_an_option_is_no_option() {
        for name in ["--help", "-h", "--timeout", "--config=/x", "--provider-user", "-"] {
            let called = keys(&[
                "eic-agent",
                "authorized-keys",
                "--timeout",
                "3",
                name,
                "MD5:y",
                "--",
                "/bin/true",
                name,
            ]);
            assert_eq!(
                (called.user.as_os_str(), called.overrides.timeout),
                ("".as_ref(), Some(Duration::from_secs(3))),
                "{name}"
            );
            assert_eq!(called.providers, ["/bin/true", name], "{name}");
        }
        assert!(parse(&["eic-agent", "authorized-keys", "--help"]).is_err(), "by hand it is help");
        let mut verify = ["eic-agent", "verify", "--fingerprint", "SHA256:x"].map(OsString::from);
        disarm_user(&mut verify);
        assert_eq!(verify[2], "--fingerprint", "there it is an option");
    }

    #[test]
    fn sshd_may_pass_any_name() {
        for name in ["", "a b", "caf\u{e9}"] {
            let called = keys(&["eic-agent", "authorized-keys", name, "SHA256:y", "--", "/bin/true", name]);
            assert_eq!((called.user, called.fingerprint), (name.into(), Some("SHA256:y".into())), "{name:?}");
            assert_eq!(called.providers, ["/bin/true", name], "{name:?}");
        }
    }

    #[test]
    fn providers_keep_their_own_options_and_each_others_separators() {
        let called =
            keys(&["eic-agent", "authorized-keys", "u", "--", "/a", "--timeout", "9", "--", "/b", "-h"]);
        assert_eq!(called.providers, ["/a", "--timeout", "9", "--", "/b", "-h"]);
        assert_eq!(called.overrides.timeout, None);
    }

    #[test]
    fn what_sshd_runs_is_read_as_among_all_subcommands() {
        for line in [
            "",
            "--timeout 3",
            "--timeout=3 u SHA256:x",
            "--timeout 99 u",
            "--version",
            "-V u",
            "--help",
            "help",
            "help u",
            "u SHA256:x more",
            "--sysfs /s --config /c --ca-file /f u",
            "--ca-file /f --ca-dir /d u",
            "--imds-endpoint x u",
            "--unknown u",
            "u -- /a b -- c",
            "--",
            "-- /a",
            "u --timeout 9 MD5:x",
            "verify",
            "--tim 3 u",
        ] {
            let words: Vec<_> =
                ["eic-agent", "authorized-keys"].into_iter().chain(line.split_whitespace()).collect();
            let _ = parse(&words);
        }
    }

    #[test]
    fn instants_and_ages_are_read() {
        let now = Timestamp::from_unix(1_738_238_400);
        for (text, instant) in [
            ("2025-01-30T12:00:00Z", 1_738_238_400),
            ("2025-01-30", 1_738_195_200),
            ("1738238399", 1_738_238_399),
            ("90s", 1_738_238_310),
            ("2h", 1_738_231_200),
            ("1d", 1_738_152_000),
            ("99999999999999d", 0),
        ] {
            assert_eq!(parse_when(text).unwrap().instant(now).as_unix(), instant, "{text}");
        }
        for bad in ["", "d", "-1d", "yesterday", "1w", "2025-13-01", "999999999999999999999d"] {
            assert!(parse_when(bad).unwrap_err().ends_with(&format!("got {bad}")), "{bad}");
        }
    }

    #[test]
    fn timeouts_are_bounded() {
        for good in ["0.1", "5", "60"] {
            assert!(parse_seconds(good).is_ok(), "{good}");
        }
        for bad in ["0", "0.05", "61", "-1", "nan", "inf", "", "5s"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
