//! The files and folders of sshd's configuration, and whether they have changed.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::files::open_regular;
use crate::sshd::trace::ConfigTrace;

/// Maximum number of sources of one configuration.
pub const MAX_SOURCES: usize = 1000;

/// Characters that make a name a glob(3) pattern.
const WILDCARDS: [char; 4] = ['*', '?', '[', '\\'];

/// A file or folder, and its state when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigSource {
    path: PathBuf,
    /// `None` if the file did not exist.
    seen: Option<Seen>,
}

/// The state of a file. The device number is not included, because it may change at a boot. The time of the last
/// change is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    inode: u64,
    /// Size in bytes.
    size: u64,
    /// Time of the last change of the content: seconds since 1970, and nanoseconds.
    modified: (i64, i64),
    /// Time of the last change of content, owner, mode or name. Only the kernel sets it, from the system clock.
    changed: (i64, i64),
}

/// Why the files that sshd reads are unknown, or why it is unknown whether they have changed.
#[derive(Debug)]
pub enum ConfigSourceError {
    /// sshd did not report that it read the configuration file.
    NotNamed(PathBuf),
    /// An `Include` whose files cannot be monitored.
    Pattern(String),
    /// More than [`MAX_SOURCES`] sources.
    TooMany(usize),
    /// This user may not search the folder.
    Hidden(PathBuf),
    /// It cannot be checked.
    Unreadable(PathBuf, io::Error),
    /// It has changed.
    Changed(PathBuf),
}

impl fmt::Display for ConfigSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed(path) => write!(f, "sshd did not report that it read {}", path.display()),
            Self::Pattern(pattern) => write!(
                f,
                "expected an Include with an absolute path and wildcards in the last name only, got {pattern}"
            ),
            Self::TooMany(count) => write!(f, "expected at most {MAX_SOURCES} files, sshd reads {count}"),
            Self::Hidden(folder) => write!(f, "this user may not look into {}", folder.display()),
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Changed(path) => write!(f, "{} has changed since", path.display()),
        }
    }
}

impl ConfigSource {
    /// The sources of a configuration in their current state: every file that sshd read; for every `Include`, the
    /// folder where a file could appear, or the file that does not exist yet.
    pub fn all(trace: &ConfigTrace, config: &Path) -> Result<Vec<Self>, ConfigSourceError> {
        if !trace.files.iter().any(|file| file == config) {
            return Err(ConfigSourceError::NotNamed(config.to_owned()));
        }
        let mut paths = trace.files.clone();
        for pattern in &trace.includes {
            paths.push(watched(pattern)?);
        }
        let mut sources: Vec<Self> = Vec::new();
        for path in paths {
            if sources.len() >= MAX_SOURCES {
                return Err(ConfigSourceError::TooMany(
                    trace.files.len().saturating_add(trace.includes.len()),
                ));
            }
            if sources.iter().all(|source| source.path != path) {
                let seen = stat(&path)?;
                sources.push(Self { path, seen });
            }
        }
        Ok(sources)
    }

    /// The path of the file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks whether the source is unchanged, as far as this process has access.
    pub fn check(&self) -> Result<(), ConfigSourceError> {
        if stat(&self.path)? == self.seen {
            Ok(())
        } else {
            Err(ConfigSourceError::Changed(self.path.clone()))
        }
    }

    /// Checks whether this process may read the file or list the folder. sshd silently treats an included folder
    /// that it may not list as empty (glob(3)).
    pub fn check_readable(&self) -> Result<(), ConfigSourceError> {
        let listed = match fs::metadata(&self.path) {
            Ok(status) if status.is_dir() => fs::read_dir(&self.path).map(drop),
            Ok(_) => open_regular(&self.path).map(drop),
            Err(error) if is_absence(&error) => Ok(()),
            Err(error) => Err(error),
        };
        listed.map_err(|error| cannot_look(&self.path, error))
    }

    /// How long to wait, from `now`, until a further change would get a different time. The kernel's clock for
    /// files has ticks of at most 10 ms, and some file systems store whole seconds. Returns zero if no wait is
    /// needed. For a time in the future, returns the full wait, because the age is unknown.
    #[must_use]
    pub fn unsettled(&self, now: SystemTime) -> Duration {
        const TICKS: Duration = Duration::from_millis(50);
        const SECONDS: Duration = Duration::from_millis(2100);
        let Some(Seen { modified, changed, .. }) = self.seen else { return Duration::ZERO };
        let needed = if modified.1 == 0 && changed.1 == 0 { SECONDS } else { TICKS };
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(changed.0), u32::try_from(changed.1)) else {
            return Duration::ZERO;
        };
        let age = UNIX_EPOCH
            .checked_add(Duration::new(seconds, nanoseconds))
            .and_then(|changed| now.duration_since(changed).ok());
        needed.saturating_sub(age.unwrap_or_default())
    }
}

/// What to monitor for an `Include`: the folder of a pattern, or the file of a plain path.
fn watched(pattern: &str) -> Result<PathBuf, ConfigSourceError> {
    let bad = || ConfigSourceError::Pattern(pattern.to_owned());
    let path = Path::new(pattern);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(bad()) };
    let is_plain = !folder.as_os_str().to_string_lossy().contains(WILDCARDS)
        && !path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || !is_plain {
        return Err(bad());
    }
    let has_wildcard = name.to_string_lossy().contains(WILDCARDS);
    Ok(if has_wildcard { folder.to_owned() } else { path.to_owned() })
}

/// The current state of the file at this path, or `None` if there is no file.
fn stat(path: &Path) -> Result<Option<Seen>, ConfigSourceError> {
    match fs::metadata(path) {
        Ok(status) => Ok(Some(Seen {
            inode: status.ino(),
            size: status.size(),
            modified: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        })),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(cannot_look(path, error)),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Names the folder that this user may not search, if that is the cause.
fn cannot_look(path: &Path, error: io::Error) -> ConfigSourceError {
    if error.kind() != ErrorKind::PermissionDenied {
        return ConfigSourceError::Unreadable(path.to_owned(), error);
    }
    // From `/` down, find the first path that cannot be read. Its parent is the folder that may not be searched.
    let mut places: Vec<_> = path.ancestors().collect();
    places.reverse();
    let is_hidden =
        |place: &&Path| fs::metadata(place).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    match places.into_iter().find(is_hidden) {
        Some(hidden) => ConfigSourceError::Hidden(hidden.parent().unwrap_or(Path::new("/")).to_owned()),
        None => ConfigSourceError::Unreadable(path.to_owned(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_pattern_and_file_of_a_plain_path_are_watched() {
        for (pattern, expected) in [
            ("/etc/ssh/sshd_config.d/*.conf", Some("/etc/ssh/sshd_config.d")),
            ("/etc/ssh/d/[ab]?.conf", Some("/etc/ssh/d")),
            ("/etc/ssh/d/a\\*.conf", Some("/etc/ssh/d")),
            ("/etc/ssh/other.conf", Some("/etc/ssh/other.conf")),
            ("/etc/*/x.conf", None),
            ("/etc/ssh/../x.conf", None),
            ("~/x.conf", None),
            ("/", None),
        ] {
            assert_eq!(watched(pattern).ok().as_deref(), expected.map(Path::new), "{pattern}");
        }
    }

    #[test]
    fn fresh_file_is_unsettled_for_50_ms_or_for_2100_ms_with_whole_seconds() {
        let at = |nanoseconds: i64| ConfigSource {
            path: PathBuf::from("/x"),
            seen: Some(Seen {
                inode: 1,
                size: 1,
                modified: (1000, nanoseconds),
                changed: (1000, nanoseconds),
            }),
        };
        let now = |milliseconds: u64| UNIX_EPOCH + Duration::from_millis(1_000_000 + milliseconds);
        let (fine, coarse) = (at(1_000_000), at(0));
        assert_eq!(fine.unsettled(now(21)), Duration::from_millis(30));
        assert_eq!(fine.unsettled(now(52)), Duration::ZERO);
        assert_eq!(coarse.unsettled(now(1000)), Duration::from_millis(1100));
        assert_eq!(coarse.unsettled(now(2100)), Duration::ZERO);
        // A time in the future: the clock was set back.
        assert_eq!(fine.unsettled(UNIX_EPOCH), Duration::from_millis(50));
        assert_eq!(ConfigSource { seen: None, ..fine }.unsettled(now(0)), Duration::ZERO);
    }
}
