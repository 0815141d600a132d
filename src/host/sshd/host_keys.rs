//! This host's public keys, as its sshd loads them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::evidence::public_key::PublicKey;
use eic_core::text::{MAX_SHOWN, printable};

use super::keyword::Keyword;
use super::server::EffectiveConfig;
use crate::files::read_regular;
use crate::process::output_with_timeout;

/// Time limit for one key.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of bytes of a file with one public key.
const MAX_BYTES: usize = 16 * 1024;

/// Maximum number of host keys that are read. sshd accepts at most 256 (OpenSSH servconf.h, `MAX_HOSTKEYS`).
const MAX_KEYS: usize = 256;

/// The signature algorithms of an RSA key (RFC 8332).
const RSA: [&str; 3] = ["ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"];

/// A host key that sshd offers to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// The file that the configuration names.
    pub file: PathBuf,
    /// The public key.
    pub key: PublicKey,
    /// Whether only the agent of `HostKeyAgent` can have the private key.
    pub is_of_agent: bool,
}

/// The host keys of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeys {
    /// The keys that sshd offers, in sshd's order.
    pub offered: Vec<HostKey>,
    /// The files whose key sshd does not offer, each with the reason.
    pub others: Vec<(PathBuf, String)>,
}

impl HostKeys {
    /// Reads the host keys of this configuration. A file that does not exist is left out, because sshd's default
    /// configuration names a file for each type of key.
    #[must_use]
    pub fn read(config: &EffectiveConfig) -> Self {
        let mut found = Self::default();
        let agent = config.value(Keyword::HostKeyAgent);
        for file in config.values(Keyword::HostKey).take(MAX_KEYS).map(PathBuf::from) {
            let (key, is_of_agent) = match (private(&file), agent) {
                (Err(error), Some(_)) => (public(&file).ok_or(error), true),
                (read, _) => (read, false),
            };
            match key.and_then(|key| offered(key, config)) {
                Ok(key) if found.offered.iter().any(|known| known.key == key) => {}
                Ok(key) => found.offered.push(HostKey { file, key, is_of_agent }),
                Err(_) if !exists(&file) => {}
                Err(why) => found.others.push((file, why)),
            }
        }
        found
    }
}

fn exists(file: &Path) -> bool {
    file.symlink_metadata().is_ok() || with_suffix(file).symlink_metadata().is_ok()
}

/// The public half of a private key. ssh-keygen loads the file as sshd does: with the same check of its owner and mode,
/// and without a passphrase. The file `.pub` beside it may be another key, and sshd does not use it then.
fn private(file: &Path) -> Result<PublicKey, String> {
    let mut program = Command::new("ssh-keygen");
    let said = output_with_timeout(program.args(["-y", "-P", "", "-f"]).arg(file), TIMEOUT)
        .map_err(|error: io::Error| format!("ssh-keygen: {error}"))?;
    if said.status.success() {
        return line(&said.stdout);
    }
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(printable(last.unwrap_or("ssh-keygen cannot read it"), MAX_SHOWN))
}

/// The public key of a private key that an agent has (`HostKeyAgent`).
fn public(file: &Path) -> Option<PublicKey> {
    let files = [file.to_owned(), with_suffix(file)];
    files.iter().find_map(|file| line(&read_regular(file, MAX_BYTES).ok()?).ok())
}

fn with_suffix(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn line(bytes: &[u8]) -> Result<PublicKey, String> {
    PublicKey::parse(bytes.trim_ascii()).map_err(|error| error.to_string())
}

/// The key, if sshd offers it. Otherwise the reason.
fn offered(key: PublicKey, config: &EffectiveConfig) -> Result<PublicKey, String> {
    if let Some(allowed) = config.value(Keyword::HostKeyAlgorithms) {
        let names = if key.algorithm() == "ssh-rsa" { RSA.as_slice() } else { &[key.algorithm()] };
        if !allowed.split(',').any(|algorithm| names.contains(&algorithm)) {
            return Err(format!("HostKeyAlgorithms does not allow {}", key.algorithm()));
        }
    }
    let least = config.value(Keyword::RequiredRSASize).and_then(|bits| bits.parse::<usize>().ok());
    match (key.rsa_bits(), least) {
        (Some(bits), Some(least)) if bits < least => {
            Err(format!("the key has {bits} bits, RequiredRSASize is {least}"))
        }
        _ => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_keys_that_sshd_offers_are_listed() {
        let folder = std::env::temp_dir().join(format!("eic-agent-host-keys-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let make = |name: &str, kind: &[&str], phrase: &str| {
            let file = folder.join(name);
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-C", "a comment", "-N", phrase, "-f"]).arg(&file).arg("-t").args(kind);
            assert!(made.status().unwrap().success());
            file
        };
        let good = make("good", &["ed25519"], "");
        let small = make("small", &["rsa", "-b", "2048"], "");
        let curve = make("curve", &["ecdsa"], "");
        let locked = make("locked", &["ed25519"], "secret");
        let swapped = make("swapped", &["ed25519"], "");
        fs::copy(folder.join("locked.pub"), folder.join("swapped.pub")).unwrap();
        let absent = folder.join("absent");
        let files = [&good, &small, &curve, &locked, &swapped, &absent, &good];
        let lines: Vec<_> = files.iter().map(|file| format!("hostkey {}\n", file.display())).collect();
        let lines = lines.concat();
        let limits = "requiredrsasize 3072\nhostkeyalgorithms ssh-ed25519,rsa-sha2-256\n";
        let read = |more: &str| HostKeys::read(&EffectiveConfig::parse(&format!("{lines}{more}")));
        let names = |keys: &HostKeys| {
            let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
            keys.offered.iter().map(|key| name(&key.file)).collect::<Vec<_>>()
        };
        let limited = read(limits);
        assert_eq!(names(&limited), ["good", "swapped"]);
        let own = fs::read_to_string(folder.join("good.pub")).unwrap();
        assert!(own.starts_with(&limited.offered[0].key.to_string()), "{own}");
        let said: Vec<_> = limited.others.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(said[0], "the key has 2048 bits, RequiredRSASize is 3072");
        assert_eq!(said[1], "HostKeyAlgorithms does not allow ecdsa-sha2-nistp256");
        assert!(said[2].contains("passphrase"), "{said:?}");
        assert_eq!(names(&read("")), ["good", "small", "curve", "swapped"]);
        assert_eq!(names(&read("hostkeyagent /x\n")), ["good", "small", "curve", "locked", "swapped"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
