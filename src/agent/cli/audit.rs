//! The arguments of the subcommands that read the audit log: `sessions` and `whoami`.

use std::path::PathBuf;

use clap::Args;

use super::values::{When, parse_when};

/// Arguments of `sessions`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate option")]
#[command(after_help = "\
A TIME is RFC 3339, a day (2025-01-30, UTC), Unix seconds, or an age such as
90m, 12h or 30d. Without FILE, sessions reads the journal. If there is no
journal, it reads auth.log and secure in /var/log, and the rotated files of
both.

A principal is verified only if the kernel's fields in the journal show that the
agent's user wrote the line. A login or its end is verified only if these fields
name sshd or systemd-logind as the program (_EXE, _SYSTEMD_UNIT). If journald
was too late to see the program, the line is unattributed. Its session is listed
as unverified. If a process id is reused within five seconds, journald can name
the wrong program: keep kernel.pid_max at 4194304, which systemd sets. Any user
can write to a text log, so principals from there are shown as unverified.
Examples:
  sudo eic-agent sessions --since 30d
  sudo eic-agent sessions --open --user ec2-user
  sudo eic-agent sessions --principal '*:assumed-role/Admin/*' --json |
    jq '.sessions[].pushes[]'
  sudo eic-agent sessions --csv /var/log/auth.log* > sessions.csv
  sudo eic-agent sessions --all --jsonl --state /var/lib/eic-agent/sessions \\
    >> events.jsonl

The folder of --state must belong to the user eic-agent, with mode 0700. The
state changes only after all lines were written. If an export is killed before
that, the next one repeats its lines with the same ids.

Exit status: 0 the list is complete; 1 no log can be read, or something is
missing or unattributed (a warning names it); 2 the command line is wrong or
FILE cannot be read.")]
pub struct SessionsArgs {
    /// Omit sessions that ended before TIME, and older keys and refusals
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub since: Option<When>,
    /// Omit everything that began after TIME
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub until: Option<When>,
    /// Only logins as this user
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only keys whose principal's ARN matches; * matches any characters, ? matches one
    #[arg(long, value_name = "GLOB")]
    pub principal: Option<String>,
    /// Only sessions that are open now
    #[arg(long, conflicts_with = "files")]
    pub open: bool,
    /// Also list logins by other means, which are otherwise only counted
    #[arg(long)]
    pub all: bool,
    /// Print one JSON document on standard output instead
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV on standard output instead; warnings go to standard error
    #[arg(long)]
    pub csv: bool,
    /// Print one JSON object per event instead: sessions, unused keys, refusals, and what the log covers
    #[arg(long, conflicts_with_all = ["json", "csv", "open"])]
    pub jsonl: bool,
    /// Print only what the last export with this file did not have
    #[arg(long, value_name = "FILE", requires = "jsonl",
        conflicts_with_all = ["since", "until", "user", "principal"])]
    pub state: Option<PathBuf>,
    /// User that sshd runs the agent as; only its lines are believed
    #[arg(long, value_name = "NAME", default_value = "eic-agent")]
    pub agent_user: String,
    /// Text logs to read instead of the journal; may be compressed by gzip, xz or zstd
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `whoami`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --pid, whoami prints what the environment of this session says. The user
can change that. With --pid and as root, it finds the login of the process by
the kernel: by the ancestors of the process, or else by its session id, which is
no proof. The log then shows who pushed the key, as in sessions. Examples:
  eic-agent whoami
  sudo eic-agent whoami --pid 4711

Exit status: 0 the environment names a caller (--pid: the log proves who it is);
1 it is not known, or not proven, and the reason was printed; 2 the command line
is wrong.")]
pub struct WhoamiArgs {
    /// Find the caller of the login that this process belongs to
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Print one JSON document on standard output instead
    #[arg(long)]
    pub json: bool,
}
