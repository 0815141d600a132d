//! sshd's own rule for what it runs and reads as trusted: root's, and writable by nobody else, up to `/`.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Why a file is not to be trusted.
#[derive(Debug)]
pub enum Insecure {
    /// The path does not begin at `/`.
    NotAbsolute(PathBuf),
    /// It, or a folder above it, cannot be looked at.
    Unreadable(PathBuf, io::Error),
    /// It is no regular file.
    NotAFile(PathBuf),
    /// It, or a folder above it, belongs to this uid.
    Owner(PathBuf, u32),
    /// Group or others may write it, or a folder above it; holds the mode.
    Writable(PathBuf, u32),
}

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seen())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; run: {remedy}"))
    }
}

impl Insecure {
    /// What was expected, and what is there.
    #[must_use]
    pub fn seen(&self) -> String {
        match self {
            Self::NotAbsolute(path) => format!("expected an absolute path, got {}", path.display()),
            Self::Unreadable(path, error) => format!("{}: {error}", path.display()),
            Self::NotAFile(path) => format!("{} is not a regular file", path.display()),
            Self::Owner(path, uid) => {
                format!("expected {} to be root's, it is uid {uid}'s", path.display())
            }
            Self::Writable(path, mode) => format!(
                "expected {} to be writable by its owner only, its mode is {mode:04o}",
                path.display()
            ),
        }
    }

    /// The command that mends it, where there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Owner(path, _) => Some(format!("chown root {}", path.display())),
            Self::Writable(path, _) => Some(format!("chmod go-w {}", path.display())),
            Self::NotAbsolute(_) | Self::Unreadable(..) | Self::NotAFile(_) => None,
        }
    }
}

/// Bits that let group or others write.
const WRITABLE: u32 = 0o022;

/// Checks that the file, links followed, and every folder up to `/` is root's and not writable by group or
/// others (OpenSSH misc.c, `safe_path`; `sshd_config(5)`, AuthorizedKeysCommand). Gives the real path, which
/// is the one to open or to run: the one that was given may lead elsewhere by then.
pub fn check(path: &Path) -> Result<PathBuf, Insecure> {
    if !path.is_absolute() {
        return Err(Insecure::NotAbsolute(path.to_owned()));
    }
    let unreadable = |error| Insecure::Unreadable(path.to_owned(), error);
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.metadata().map_err(unreadable)?.is_file() {
        return Err(Insecure::NotAFile(real));
    }
    // The folder that a link stands in decides where it leads, so it is looked at as well.
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    check_all(&real)?;
    Ok(real)
}

/// The same for a folder: nobody but root can put a file there, or another folder in its place.
pub fn check_folder(path: &Path) -> Result<(), Insecure> {
    check_all(&path.canonicalize().map_err(|error| Insecure::Unreadable(path.to_owned(), error))?)
}

fn check_all(real: &Path) -> Result<(), Insecure> {
    for place in real.ancestors() {
        let status = place.metadata().map_err(|error| Insecure::Unreadable(place.to_owned(), error))?;
        if status.uid() != 0 {
            return Err(Insecure::Owner(place.to_owned(), status.uid()));
        }
        if status.mode() & WRITABLE != 0 {
            return Err(Insecure::Writable(place.to_owned(), status.mode() & 0o7777));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_files_are_fine() {
        assert!(check(Path::new("/bin/sh")).is_ok());
    }

    #[test]
    fn others_files_are_not() {
        // Below a folder that everybody may write, whoever owns the file itself.
        let file = std::env::temp_dir().join(format!("eic-agent-ownership-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let refused = check(&file).unwrap_err();
        assert!(matches!(refused, Insecure::Owner(..) | Insecure::Writable(..)), "{refused}");
        // Nor a link in such a folder to a file that is fine.
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/bin/sh", &file).unwrap();
        assert!(matches!(check(&file), Err(Insecure::Owner(..) | Insecure::Writable(..))));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(check(&file), Err(Insecure::Unreadable(..))));
        assert!(matches!(check(Path::new("bin/sh")), Err(Insecure::NotAbsolute(_))));
        assert!(matches!(check(Path::new("/bin")), Err(Insecure::NotAFile(_))));
    }
}
