//! `pam_limits`: whether its files refuse a session (`limits.conf(5)`, `modules/pam_limits/pam_limits.c`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::files::read_regular;
use eic_host::process::output_with_timeout;

use super::super::access::groups_of;
use super::answer::Answer;
use super::library;
use super::rules::Module;

const FILE: &str = "/etc/security/limits.conf";
const FOLDER: &str = "/etc/security/limits.d";
const MAX_OPEN_FILES: &str = "/proc/sys/fs/nr_open";

/// Maximum number of bytes of a file, and of files.
const MAX_BYTES: usize = 256 * 1024;
const MAX_FILES: usize = 64;

/// Timeout of the program that counts logins.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Items that can make every session impossible, each with the smallest value that is certainly enough for a session:
/// numbers of files and of processes, and KB.
const NEEDED: [(&str, u64); 5] =
    [("nofile", 64), ("nproc", 16), ("as", 262_144), ("data", 65_536), ("stack", 1_024)];

/// What `pam_limits` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    Fine,
    /// The line that refuses the session, and its place.
    Refused(String),
    Unknown,
}

/// To whom a line applies. The first has precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    User,
    Group,
    /// All members of a group together.
    AllOfGroup,
    All,
    Default,
}

/// A value in force.
#[derive(Clone, Debug)]
struct Value {
    source: Source,
    text: String,
    /// The line and its place.
    line: String,
}

/// The values in force.
#[derive(Default)]
struct Values {
    logins: Option<Value>,
    counts_all: bool,
    /// Hard limits of [`NEEDED`], and soft ones.
    hard: [Option<Value>; NEEDED.len()],
    soft: [Option<Value>; NEEDED.len()],
}

impl Value {
    /// Whether a session certainly works with this limit of an item of [`NEEDED`]. `most` is the kernel's bound. Above
    /// this bound, `pam_limits` refuses the session. Debian's `pam_limits` does not.
    fn is_enough(&self, needed: u64, most: Option<u64>, module: &str) -> bool {
        if is_infinite(&self.text) {
            // Since Linux-PAM 1.4, `unlimited` means the kernel's bound.
            return most.is_none() || library::mentions(module, MAX_OPEN_FILES.as_bytes()) == Some(true);
        }
        // pam_limits ignores other characters after the number.
        let number = self.text.parse::<u64>();
        number.is_ok_and(|number| number >= needed && most.is_none_or(|most| number <= most))
    }
}

impl Values {
    fn set(slot: &mut Option<Value>, value: Value) {
        if slot.as_ref().is_none_or(|set| set.source >= value.source) {
            *slot = Some(value);
        }
    }
}

/// A reader of the files for one account.
struct Reader<'a> {
    account: &'a Account,
    groups: Option<Vec<String>>,
    values: Values,
}

/// The files say that no limit applies, or they are not understood.
enum Stop {
    Free,
    Unclear,
    Refused(String),
}

impl Limits {
    pub(super) const fn answer(&self) -> Option<Answer> {
        match self {
            Self::Fine => Some(Answer::Success),
            Self::Refused(_) => Some(Answer::PermDenied),
            Self::Unknown => None,
        }
    }

    pub(super) fn of(account: &Account, module: &Module) -> Self {
        let mut set = module.arguments.iter().filter_map(|word| word.strip_prefix("conf="));
        let file = set.next().map(PathBuf::from);
        let mut reader = Reader { account, groups: None, values: Values::default() };
        let read = match &file {
            Some(file) => reader.read(file, true),
            None => reader.read(Path::new(FILE), false).and_then(|()| reader.read_folder()),
        };
        match read {
            Ok(()) => reader.values.judge(account, &module.file),
            Err(Stop::Free) => Self::Fine,
            Err(Stop::Refused(why)) => Self::Refused(why),
            Err(Stop::Unclear) => Self::Unknown,
        }
    }
}

impl Reader<'_> {
    fn read_folder(&mut self) -> Result<(), Stop> {
        let entries = match std::fs::read_dir(FOLDER) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(_) => return Err(Stop::Unclear),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let is_read = |path: &PathBuf| {
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            path.extension().is_some_and(|extension| extension == "conf") && !is_hidden
        };
        let mut files: Vec<_> = paths.filter(is_read).take(MAX_FILES.saturating_add(1)).collect();
        if files.len() > MAX_FILES {
            return Err(Stop::Unclear);
        }
        files.sort();
        files.iter().try_for_each(|file| self.read(file, false))
    }

    fn read(&mut self, file: &Path, is_argument: bool) -> Result<(), Stop> {
        let text = match read_regular(file, MAX_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && is_argument => {
                return Err(Stop::Refused(format!("{}: {error}", file.display())));
            }
            // Without its usual file, pam_limits refuses every session. Since Linux-PAM 1.6, it goes on.
            Err(_) => return Err(Stop::Unclear),
        };
        for (number, line) in (1_usize..).zip(String::from_utf8_lossy(&text).lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            let place =
                || format!("{} ({}:{number})", printable(&words.join(" "), MAX_SHOWN), file.display());
            match words.as_slice() {
                // The user is exempt from all limits.
                [domain, kind] if kind.starts_with('-') && self.is_named(domain)? => return Err(Stop::Free),
                [domain, kind, item, value] => self.set(domain, kind, item, value, &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn set(
        &mut self,
        domain: &str,
        kind: &str,
        item: &str,
        value: &str,
        place: &dyn Fn() -> String,
    ) -> Result<(), Stop> {
        let item = item.to_ascii_lowercase();
        let is_for_logins = matches!(item.as_str(), "maxlogins" | "maxsyslogins");
        let index = NEEDED.iter().position(|(name, _)| *name == item);
        if !is_for_logins && index.is_none() {
            return Ok(());
        }
        let Some(source) = self.source(domain)? else { return Ok(()) };
        // Such a line is for `maxlogins` only.
        if matches!(source, Source::AllOfGroup | Source::All) && item != "maxlogins" {
            return Ok(());
        }
        let value = Value { source, text: value.to_ascii_lowercase(), line: place() };
        let values = &mut self.values;
        if is_for_logins {
            // A value that is no number is ignored.
            if is_infinite(&value.text)
                || value.text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
            {
                values.counts_all = item == "maxsyslogins";
                Values::set(&mut values.logins, value);
            }
            return Ok(());
        }
        let kind = kind.to_ascii_lowercase();
        let Some(index) = index.filter(|_| matches!(kind.as_str(), "hard" | "soft" | "-")) else {
            return Ok(());
        };
        if kind != "soft" {
            values.hard.get_mut(index).into_iter().for_each(|slot| Values::set(slot, value.clone()));
        }
        if kind != "hard" {
            values.soft.get_mut(index).into_iter().for_each(|slot| Values::set(slot, value.clone()));
        }
        Ok(())
    }

    /// Whether a line is for this account or a group of it.
    fn is_named(&mut self, domain: &str) -> Result<bool, Stop> {
        Ok(self.source(domain)?.is_some_and(|source| source <= Source::Group))
    }

    /// `None` if the line does not apply to this account.
    fn source(&mut self, domain: &str) -> Result<Option<Source>, Stop> {
        let applies = |applies: bool, source| Ok(applies.then_some(source));
        if domain == self.account.name {
            return Ok(Some(Source::User));
        }
        if domain == "*" {
            return Ok(Some(Source::Default));
        }
        if domain == "%" {
            return Ok(Some(Source::All));
        }
        let (source, id, name) = match (domain.strip_prefix('@'), domain.strip_prefix('%')) {
            (Some(name), _) => (Source::Group, self.account.gid, name),
            (None, Some(name)) => (Source::AllOfGroup, self.account.gid, name),
            (None, None) => (Source::User, self.account.uid, domain),
        };
        if let Some((least, most)) = name.split_once(':') {
            let number = |text: &str| text.parse::<u32>().map_err(|_| Stop::Unclear);
            return match (least, most) {
                // A single group, which need not be the primary one.
                ("", _) if source != Source::User => Err(Stop::Unclear),
                ("", one) => applies(number(one)? == id, source),
                (least, "") => applies(id >= number(least)?, source),
                (least, most) => applies((number(least)?..=number(most)?).contains(&id), source),
            };
        }
        if source == Source::User {
            return Ok(None);
        }
        if self.groups.is_none() {
            self.groups = Some(groups_of(self.account).map_err(|_| Stop::Unclear)?);
        }
        applies(self.groups.iter().flatten().any(|group| group == name), source)
    }
}

fn is_infinite(text: &str) -> bool {
    matches!(text, "-1" | "-" | "unlimited" | "infinity")
}

/// The kernel's bound of `nofile`. It also applies to root.
fn most_open_files() -> Option<u64> {
    String::from_utf8(read_regular(Path::new(MAX_OPEN_FILES), 64).ok()?).ok()?.trim().parse().ok()
}

impl Values {
    fn judge(&self, account: &Account, module: &str) -> Limits {
        let mut is_clear = true;
        for ((item, needed), (hard, soft)) in NEEDED.iter().zip(self.hard.iter().zip(&self.soft)) {
            // A soft limit above the hard one is reduced to it.
            let most = most_open_files().filter(|_| *item == "nofile");
            is_clear &= hard.as_ref().is_none_or(|value| value.is_enough(*needed, most, module));
            is_clear &= soft.as_ref().is_none_or(|value| value.is_enough(*needed, None, module));
        }
        // The number of logins does not apply to root.
        if let Some(value) =
            self.logins.as_ref().filter(|value| account.uid != 0 && !is_infinite(&value.text))
        {
            match value.text.parse::<i64>() {
                Ok(0) => return Limits::Refused(value.line.clone()),
                Ok(limit) if limit < 0 => {}
                Ok(limit) if self.logins_now(account, module).is_some_and(|count| count < limit) => {}
                _ => is_clear = false,
            }
        }
        if is_clear { Limits::Fine } else { Limits::Unknown }
    }

    /// How many logins there are now. The module counts them in utmp, or asks systemd-logind.
    fn logins_now(&self, account: &Account, module: &str) -> Option<i64> {
        let mut program = if library::mentions(module, b"sd_get_sessions")? {
            let mut program = Command::new("loginctl");
            program.args(["list-sessions", "--no-legend"]);
            program
        } else {
            Command::new("who")
        };
        let said = output_with_timeout(&mut program, TIMEOUT).ok().filter(|said| said.status.success())?;
        let text = String::from_utf8_lossy(&said.stdout);
        let is_counted =
            |line: &&str| self.counts_all || line.split_whitespace().any(|word| word == account.name);
        let is_group = self
            .logins
            .as_ref()
            .is_some_and(|value| matches!(value.source, Source::AllOfGroup | Source::All));
        i64::try_from(text.lines().filter(|line| is_group || is_counted(line)).count()).ok()
    }
}
