//! Temporary directories that are removed when dropped.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

/// A new directory. Dropping the value removes the directory with its contents.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes `PREFIX-RANDOM` in the system's temporary directory.
    pub fn new(prefix: &str) -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), prefix)
    }

    /// Makes `PREFIX-RANDOM` in `parent`.
    pub fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        let path = parent.join(format!("{prefix}-{}", random_hex(6)));
        std::fs::create_dir(&path)?;
        // The umask may have removed bits that other users need for reading.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // If the removal fails, the files stay in the system's temporary directory.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Writes a file that all users may read, and makes its missing parent directories. The umask has no effect.
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_public_directory(parent)?;
    }
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// Makes a directory that all users may enter, and its missing parents.
pub fn make_public_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_public_directory(parent)?;
    }
    std::fs::create_dir(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// `bytes` random bytes as lower-case hexadecimal.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).expect("the system has random bytes");
    HEXLOWER.encode(&random)
}
