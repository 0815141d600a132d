//! `revoked-keys`: whether sshd can read its list of revoked keys, and whether the list has the pushed key. sshd reads
//! it for every key (OpenSSH auth.c, `auth_key_is_revoked`). If it cannot read the list, it refuses the key.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_encoding::BASE64;
use eic_core::fingerprint::Fingerprint;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::files::read_regular;
use eic_host::ownership;
use eic_host::process::output_with_timeout;
use eic_host::sshd::keyword::Keyword;
use nix::fcntl::OFlag;

use super::check::Check;
use super::pushed_key::PushedKey;
use super::sshd::{Sshd, then_reload};

pub(super) const REVOKED: &str = "if sshd cannot read its list of revoked keys, it refuses every key";

const ID: &str = "revoked-keys";
const KEYWORD: Keyword = Keyword::RevokedKeys;

/// The first bytes of a key revocation list (OpenSSH PROTOCOL.krl). Every other file has one key per line.
const MAGIC: &[u8] = b"SSHKRL\n\0";

/// ssh-keygen of the installed OpenSSH reads these files like its sshd.
const KEYGEN: &str = "/usr/bin/ssh-keygen";

const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of bytes of a list.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What sshd does with a list.
#[derive(Debug, PartialEq, Eq)]
enum List {
    /// sshd reads it, and finds these keys of the queried ones.
    Read(Vec<Fingerprint>),
    /// sshd cannot read it, and refuses every key: what is wrong, and what to do.
    Unreadable(String, String),
    Unknown(String),
}

pub(super) fn revoked_keys(sshd: &Sshd, pushed: &[PushedKey]) -> Check {
    let Some(value) = sshd.running.value(KEYWORD) else {
        return Check::ok(ID, REVOKED, "no RevokedKeys is set");
    };
    let place = sshd.place(KEYWORD, value);
    let shown = printable(value, MAX_SHOWN);
    let keys: Vec<_> = pushed.iter().map(|key| key.fingerprint.clone()).collect();
    // Since OpenSSH 10.3 there may be several files, separated by spaces. Before, a space is part of the name.
    let files =
        if value.contains(' ') && open(value).is_err() { value.split(' ').collect() } else { vec![value] };
    let mut found = Vec::new();
    for file in files {
        match read(file, &keys) {
            Ok(List::Read(revoked)) => found.extend(revoked),
            Ok(List::Unreadable(why, fix)) => {
                return Check::fail(ID, REVOKED, format!("RevokedKeys {shown}{place}: {why}"), fix);
            }
            Ok(List::Unknown(why)) => {
                let seen = format!("it is not known whether sshd can read RevokedKeys {shown}{place}: {why}");
                return Check::skipped(ID, REVOKED, seen);
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Check::skipped(
                    ID,
                    REVOKED,
                    format!("run with sudo to see whether {shown} can be read"),
                );
            }
            Err(error) => {
                let seen = format!("RevokedKeys {shown}{place}: {error}");
                let fix = if error.kind() == ErrorKind::NotFound {
                    format!("restore {shown}; if no key was ever revoked, an empty file is enough")
                } else {
                    format!("replace {shown} by a readable list")
                };
                return Check::fail(ID, REVOKED, seen, fix);
            }
        }
    }
    let Some(first) = found.first() else {
        return Check::ok(ID, REVOKED, format!("{shown} can be read"));
    };
    let seen = format!("RevokedKeys {shown}{place} has the pushed key {}", first.as_str());
    let fix = format!("push another key; or remove this one from the list{}", then_reload(sshd));
    if keys.iter().all(|key| found.contains(key)) {
        Check::fail(ID, REVOKED, seen, fix)
    } else {
        Check::warn(ID, REVOKED, seen, fix).left_open()
    }
}

/// Non-blocking, because the path may be a FIFO.
fn open(file: &str) -> std::io::Result<std::fs::File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file)
}

fn read(file: &str, keys: &[Fingerprint]) -> std::io::Result<List> {
    let mut opened = open(file)?;
    let _ = opened.read(&mut [0])?;
    // A device such as /dev/null has no keys.
    if !opened.metadata()?.is_file() {
        return Ok(List::Read(Vec::new()));
    }
    let path = Path::new(file);
    Ok(match read_regular(path, MAX_BYTES) {
        Ok(text) if text.starts_with(MAGIC) => revocation_list(path, keys),
        Ok(text) => lines(&text, file, keys, || listed(path)),
        Err(error) => List::Unknown(error.to_string()),
    })
}

/// Runs ssh-keygen. The error says why there is no answer.
fn keygen(options: &[&str], file: &Path) -> Result<std::process::Output, String> {
    let program = Path::new(KEYGEN);
    ownership::check(program).map_err(|insecure| format!("{KEYGEN} is not run: {insecure}"))?;
    output_with_timeout(Command::new(program).args(options).arg("-f").arg(file), TIMEOUT)
        .map_err(|error| format!("ssh-keygen: {error}"))
}

/// A key revocation list.
fn revocation_list(file: &Path, keys: &[Fingerprint]) -> List {
    let said = match keygen(&["-Q"], file) {
        Ok(said) => said,
        Err(why) => return List::Unknown(why),
    };
    match said.status.code() {
        Some(0) => {}
        // The status of ssh-keygen's `fatal`.
        Some(255) => {
            let fix = format!("restore {}, or make it again: ssh-keygen -k -f {0} KEYS", file.display());
            let words = String::from_utf8_lossy(&said.stderr);
            return List::Unreadable(printable(words.trim(), MAX_SHOWN), fix);
        }
        _ => return List::Unknown(format!("ssh-keygen: {}", said.status)),
    }
    // Old releases do not print the list. Then the pushed key counts as one that is not revoked.
    let text = match keygen(&["-Q", "-l"], file) {
        Ok(said) if !keys.is_empty() => String::from_utf8_lossy(&said.stdout).into_owned(),
        _ => String::new(),
    };
    let is_revoked = |key: &&Fingerprint| text.split_whitespace().any(|word| word == key.as_str());
    List::Read(keys.iter().filter(is_revoked).cloned().collect())
}

/// How many keys ssh-keygen finds in a file.
fn listed(file: &Path) -> Option<usize> {
    let said = keygen(&["-l"], file).ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).lines().count())
}

/// A file with one key per line (OpenSSH authfile.c, `sshkey_in_file`). `listed` says how many keys OpenSSH can read.
fn lines(text: &[u8], file: &str, keys: &[Fingerprint], listed: impl Fn() -> Option<usize>) -> List {
    let mut found = Vec::new();
    let mut count = 0_usize;
    for (number, line) in (1_usize..).zip(text.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '\0']) {
            continue;
        }
        let blob = line.split_whitespace().nth(1).and_then(|word| BASE64.decode(word.as_bytes()).ok());
        let Some(blob) = blob.filter(|blob| has_a_name(blob)) else {
            return List::Unreadable(
                format!("line {number} is not a public key; sshd then refuses every key"),
                format!(
                    "remove or correct line {number} of {}: a line is TYPE BASE64, without options",
                    printable(file, MAX_SHOWN)
                ),
            );
        };
        count = count.saturating_add(1);
        let fingerprint = Fingerprint::of(&blob);
        if keys.contains(&fingerprint) {
            found.push(fingerprint);
        }
    }
    // sshd may find a key before it comes to the line that it cannot read.
    if count > 0 && listed().is_some_and(|listed| listed != count) {
        return List::Unknown("this OpenSSH may not be able to read one of its keys".to_owned());
    }
    List::Read(found)
}

/// Whether a key begins with the name of its type (RFC 4253, section 6.6).
fn has_a_name(blob: &[u8]) -> bool {
    let Some((length, rest)) = blob.split_first_chunk::<4>() else { return false };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length).is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_that_is_no_key_makes_the_list_unreadable() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEsh6hYeXR1PunpFW8pBWbrzf5WJqEXL4D5c7yg2l3dQ";
        let of_key = Fingerprint::of(&BASE64.decode(key.split(' ').nth(1).unwrap().as_bytes()).unwrap());
        let judged =
            |text: &str, listed| lines(text.as_bytes(), "/f", std::slice::from_ref(&of_key), || listed);
        let read = |text: &str| judged(text, None);
        assert_eq!(read(""), List::Read(Vec::new()));
        assert_eq!(read("# none\n\n \t\n"), List::Read(Vec::new()));
        assert_eq!(read(&format!("\t{key} bob\r\n")), List::Read(vec![of_key.clone()]));
        for bad in ["rubbish", "ssh-ed25519", "ssh-ed25519 AAA", "ssh-ed25519 AAAA", &format!("no-pty {key}")]
        {
            let text = format!("# x\n{key}\n{bad}\n");
            assert!(matches!(read(&text), List::Unreadable(why, _) if why.starts_with("line 3 ")), "{bad}");
        }
        assert!(matches!(judged(key, Some(0)), List::Unknown(_)));
        assert!(matches!(judged(key, Some(1)), List::Read(_)));
    }
}
