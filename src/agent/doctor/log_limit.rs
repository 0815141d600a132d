//! `log-limit`: how many lines journald accepts from sshd's unit before it drops the rest. The agent logs in that unit.
//!
//! journald counts by unit and priority (systemd.exec(5), `LogRateLimitIntervalSec=`; journald.conf(5),
//! `RateLimitIntervalSec=`). Unauthenticated clients make sshd log in the same unit, so they can use up the limit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use eic_host::files::{head_of_regular, read_regular};
use eic_host::sshd::units::{sshd_unit, systemd_runs};
use eic_login::audit::Audit;

use super::check::Check;

const ID: &str = "log-limit";
const WHY: &str = "journald drops lines, also audit lines, if sshd's unit logs more than its rate limit";

/// Maximum number of bytes of a configuration file that are read.
const MAX_BYTES: usize = 64 * 1024;

/// journald's default limit since systemd 240 (journald.conf(5)).
const DEFAULT: Limit = Limit { microseconds: 30_000_000, burst: 10_000 };

/// A limit of a million lines per second counts as no limit: no machine logs that much.
const UNLIMITED_PER_SECOND: u64 = 1_000_000;

/// Checks the unit of sshd's listener. A limit is a warning only if the settings require a log.
pub(super) fn check(listener: Option<u32>, audit_required: bool) -> Check {
    let takes = Audit::to_system().destination().map(Path::to_owned);
    if takes.is_none_or(|socket| !socket.starts_with("/run/systemd/journal")) {
        return Check::skipped(ID, WHY, "journald does not receive the log lines");
    }
    let of_listener = listener.and_then(|pid| unit_of(&format!("/proc/{pid}/cgroup")));
    let Some(unit) = of_listener.or_else(|| systemd_runs().then(|| format!("{}.service", sshd_unit())))
    else {
        return Check::skipped(
            ID,
            WHY,
            "sshd runs in no systemd unit; it is unknown whether a limit applies",
        );
    };
    let limit = match Limit::of(Path::new("/"), &unit) {
        Ok(limit) => limit,
        Err(why) => return Check::skipped(ID, WHY, format!("the rate limit is unknown: {why}")),
    };
    if !limit.holds() {
        return Check::ok(ID, WHY, format!("journald has no rate limit for {unit}"));
    }
    let seen = format!(
        "journald drops lines of {unit} beyond {} lines in {}{}; with much free disk space, the limit is higher",
        limit.burst,
        limit.interval(),
        if limit == DEFAULT { " (its default since release 240)" } else { "" }
    );
    if !audit_required {
        return Check::ok(ID, WHY, seen);
    }
    Check::warn(
        ID,
        WHY,
        seen,
        format!(
            "write LogRateLimitIntervalSec=1us below [Service] into /etc/systemd/system/{unit}.d/log.conf, then: sudo systemctl daemon-reload && sudo systemctl restart {unit} (open sessions continue)"
        ),
    )
}

/// The unit that journald counts a process in: the first part of its control group path that is not a slice.
fn unit_of(file: &str) -> Option<String> {
    let text = head_of_regular(Path::new(file), 4096).ok()?;
    unit_in(&String::from_utf8_lossy(&text))
}

/// Parses `/proc/PID/cgroup` (cgroups(7)): `0::/system.slice/ssh.service`, or for cgroups v1 the line of systemd's
/// hierarchy.
fn unit_in(cgroups: &str) -> Option<String> {
    let path = cgroups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    })?;
    let kind = |part: &str| part.rsplit_once('.').map(|(_, kind)| kind.to_owned());
    let unit = path.split('/').find(|part| !part.is_empty() && kind(part).as_deref() != Some("slice"))?;
    let is_plain = unit.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@._:-".contains(&byte));
    let is_unit = matches!(kind(unit).as_deref(), Some("service" | "scope"));
    (is_unit && is_plain && unit.len() <= 255).then(|| unit.to_owned())
}

/// At most `burst` lines per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    microseconds: u64,
    burst: u64,
}

impl Limit {
    /// The limit of this unit. systemd passes a unit's own limit to journald in symbolic links. If there are none,
    /// journald's configuration applies.
    fn of(root: &Path, unit: &str) -> Result<Self, String> {
        let said = configured(root)?;
        let linked = |what: &str| -> Result<Option<u64>, String> {
            let link = root.join(format!("run/systemd/units/log-rate-limit-{what}:{unit}"));
            let Ok(target) = fs::read_link(&link) else { return Ok(None) };
            let number = target.to_str().and_then(|target| target.parse().ok());
            number.map(Some).ok_or_else(|| format!("{} holds no number", link.display()))
        };
        Ok(Self {
            microseconds: linked("interval")?.unwrap_or(said.microseconds),
            burst: linked("burst")?.unwrap_or(said.burst),
        })
    }

    const fn holds(self) -> bool {
        let Some(enough) = self.microseconds.checked_mul(UNLIMITED_PER_SECOND / 1_000_000) else {
            return true;
        };
        self.microseconds != 0 && self.burst != 0 && self.burst < enough
    }

    fn interval(self) -> String {
        match (self.microseconds / 1_000_000, self.microseconds % 1_000_000) {
            (seconds, 0) => format!("{seconds} s"),
            _ => format!("{} µs", self.microseconds),
        }
    }
}

/// The limit of journald.conf(5) and its drop-ins. Drop-ins are read in the order of their names. If two have the same
/// name, the one in the first directory is read.
fn configured(root: &Path) -> Result<Limit, String> {
    const FOLDERS: [&str; 5] = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];
    let folders = FOLDERS.map(|folder| root.join(folder).join("systemd"));
    let main = folders.iter().map(|folder| folder.join("journald.conf")).find(|file| file.exists());
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in &folders {
        for entry in fs::read_dir(folder.join("journald.conf.d")).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "conf") {
                drop_ins.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    let mut limit = DEFAULT;
    for file in main.into_iter().chain(drop_ins.into_values()) {
        // A link to /dev/null disables a drop-in.
        if file.canonicalize().is_ok_and(|real| real == Path::new("/dev/null")) {
            continue;
        }
        let text = read_regular(&file, MAX_BYTES).map_err(|error| format!("{}: {error}", file.display()))?;
        limit.apply(&String::from_utf8_lossy(&text)).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(limit)
}

impl Limit {
    fn apply(&mut self, text: &str) -> Result<(), String> {
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let Some((name, value)) = line.split_once('=').filter(|_| section == "[Journal]") else {
                continue;
            };
            let (name, value) = (name.trim_end(), value.trim_start());
            let unclear = || format!("{name}={value} cannot be parsed");
            match name {
                // RateLimitInterval is the old name.
                "RateLimitIntervalSec" | "RateLimitInterval" => {
                    self.microseconds = if value.is_empty() {
                        DEFAULT.microseconds
                    } else {
                        span(value).ok_or_else(unclear)?
                    };
                }
                "RateLimitBurst" => {
                    self.burst = if value.is_empty() {
                        DEFAULT.burst
                    } else {
                        value.parse().map_err(|_| unclear())?
                    };
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Parses a time span of whole numbers (systemd.time(7)) to microseconds. A number without a unit is in seconds.
fn span(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits)?;
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at_checked(letters)?;
        let scale = match unit {
            "us" | "usec" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = after.trim_start();
    }
    (!text.trim().is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_of_a_control_group_is_its_service_or_scope() {
        for (cgroups, unit) in [
            ("0::/system.slice/ssh.service\n", Some("ssh.service")),
            ("0::/system.slice/system-sshd.slice/sshd@3-a:22-b:1.service\n", Some("sshd@3-a:22-b:1.service")),
            ("4:memory:/x\n1:name=systemd:/system.slice/sshd.service\n0::/\n", Some("sshd.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope")),
            ("0::/\n", None),
            ("0::/init\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in(cgroups).as_deref(), unit, "{cgroups}");
        }
    }

    #[test]
    fn spans_are_read_as_systemd_reads_them() {
        for (text, span_of) in [
            ("30", Some(30_000_000)),
            ("30s", Some(30_000_000)),
            ("1min 30s", Some(90_000_000)),
            ("1us", Some(1)),
            ("0", Some(0)),
            ("5 ms", Some(5_000)),
            ("infinity", None),
            ("", None),
            ("1.5s", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(span(text), span_of, "{text:?}");
        }
    }

    #[test]
    fn limit_of_the_unit_overrides_the_last_limit_of_journald() {
        let root = std::env::temp_dir().join(format!("eic-agent-log-limit-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let of = |unit: &str| Limit::of(&root, unit);
        fs::create_dir_all(&root).unwrap();
        assert_eq!(of("ssh.service"), Ok(DEFAULT));
        write(
            "etc/systemd/journald.conf",
            "RateLimitBurst=1\n[Journal]\n#RateLimitBurst=2\nRateLimitBurst = 3\n",
        );
        write("usr/lib/systemd/journald.conf", "[Journal]\nRateLimitBurst=4\n");
        assert_eq!(of("ssh.service"), Ok(Limit { burst: 3, ..DEFAULT }));
        write(
            "usr/lib/systemd/journald.conf.d/50-x.conf",
            "[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst=\n",
        );
        assert_eq!(of("ssh.service"), Ok(Limit { microseconds: 60_000_000, ..DEFAULT }));
        write("etc/systemd/journald.conf.d/50-x.conf", "[Journal]\nRateLimitBurst=5\n");
        let limited = of("ssh.service").unwrap();
        assert!(limited == Limit { burst: 5, ..DEFAULT } && limited.holds() && limited.interval() == "30 s");
        let units = root.join("run/systemd/units");
        fs::create_dir_all(&units).unwrap();
        std::os::unix::fs::symlink("1", units.join("log-rate-limit-interval:ssh.service")).unwrap();
        assert_eq!(of("ssh.service"), Ok(Limit { microseconds: 1, burst: 5 }));
        assert!(!of("ssh.service").unwrap().holds() && of("other.service").unwrap().holds());
        std::os::unix::fs::symlink("x", units.join("log-rate-limit-burst:ssh.service")).unwrap();
        assert!(of("ssh.service").is_err());
        write("etc/systemd/journald.conf.d/99.conf", "[Journal]\nRateLimitIntervalSec=soon\n");
        assert!(of("other.service").unwrap_err().ends_with("RateLimitIntervalSec=soon cannot be parsed"));
        write("etc/systemd/journald.conf.d/99.conf", "[Journal]\nRateLimitIntervalSec=0\n");
        assert!(!of("other.service").unwrap().holds());
        fs::remove_dir_all(root).unwrap();
    }
}
