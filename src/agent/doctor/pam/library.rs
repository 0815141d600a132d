//! The files of PAM's modules.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use eic_host::files::read_regular;

use super::answer::Step;

/// Folders of modules. libpam was built with one of them.
const FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu/security",
    "/lib/aarch64-linux-gnu/security",
    "/usr/lib/x86_64-linux-gnu/security",
    "/usr/lib/aarch64-linux-gnu/security",
    "/lib64/security",
    "/lib/security",
    "/usr/lib64/security",
    "/usr/lib/security",
];

/// Maximum number of bytes of a module. `pam_systemd` has half a megabyte.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The file of a module. `None` if the folder of modules is unknown.
fn find(file: &str) -> Option<PathBuf> {
    if file.contains('$') {
        return None;
    }
    if file.starts_with('/') {
        return Some(PathBuf::from(file));
    }
    let folders = FOLDERS.iter().map(Path::new).filter(|folder| folder.join("pam_unix.so").exists());
    let mut files = folders.map(|folder| folder.join(file)).peekable();
    let first = files.peek().cloned();
    files.find(|file| file.exists()).or(first)
}

/// Whether libpam finds no module, or no function for this step in it. `false` if that is unknown.
pub(super) fn is_missing(file: &str, step: Step) -> bool {
    let Some(path) = find(file) else { return false };
    match read_regular(&path, MAX_BYTES) {
        // libpam looks for the function by its name, so the file contains the name.
        Ok(bytes) => !contains(&bytes, step.function()),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Whether libpam finds the file of a module.
pub(super) fn exists(file: &str) -> bool {
    find(file).is_some_and(|path| path.exists())
}

/// Whether a module's file contains these bytes. `None` if the file is unknown.
pub(super) fn mentions(file: &str, what: &[u8]) -> Option<bool> {
    let bytes = read_regular(&find(file)?, MAX_BYTES).ok()?;
    Some(contains(&bytes, what))
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|part| part == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_without_the_function_of_the_step_is_missing() {
        let file = std::env::temp_dir().join(format!("eic-agent-pam-module-{}.so", std::process::id()));
        let name = file.to_str().unwrap();
        assert!(is_missing(name, Step::Session));
        std::fs::write(&file, b"\x7fELF pam_sm_open_session\0pam_sm_close_session").unwrap();
        assert!(!is_missing(name, Step::Session) && is_missing(name, Step::Account));
        assert_eq!(mentions(name, b"close_session"), Some(true));
        std::fs::remove_file(&file).unwrap();
        assert!(!is_missing("/lib/$ISA/pam_x.so", Step::Account));
    }
}
