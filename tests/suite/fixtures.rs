//! Evidence made by openssl and ssh-keygen alone (`tests/fixtures/generate`), judged by the real binary.

mod entries;
mod flips;
mod inputs;
mod signers;
mod staples;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use serde_json::Value;

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";

/// A file below `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file below `tests/fixtures`, read.
pub(crate) fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// The line that sshd is given for a key of `keys/`: algorithm and base64, no comment.
pub(crate) fn key_line(name: &str) -> String {
    String::from_utf8(read(&format!("keys/{name}.pub"))).unwrap().trim_end().to_owned()
}

/// The fingerprint that ssh-keygen gives a key of `keys/`.
pub(crate) fn fingerprint(name: &str) -> String {
    let all = String::from_utf8(read("keys/fingerprints")).unwrap();
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no fingerprint of {name}")).to_owned()
}

/// A moment that `generate` wrote down, in Unix seconds.
pub(crate) fn instant(name: &str) -> u64 {
    let all = String::from_utf8(read("instants")).unwrap();
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no instant {name}"))
}

/// A directory of this test's own, gone when the test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("scratch-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `verify` is asked to judge. Begins as evidence that is good, with one ed25519 key.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) keys: Vec<u8>,
    pub(crate) signer_cert: Vec<u8>,
    /// The staples by the names under which they lie in the directory.
    pub(crate) staples: BTreeMap<String, Vec<u8>>,
    trust: Trust,
    at: u64,
    instance: String,
    signer_name: String,
    fingerprint: Option<String>,
}

/// Where the roots are.
#[derive(Clone)]
enum Trust {
    /// In a bundle that holds just these.
    Certificates(Vec<u8>),
    /// Where this option says.
    Store(&'static str, PathBuf),
}

/// What came of it.
pub(crate) struct Verdict {
    pub(crate) code: Option<i32>,
    /// Lines on standard output of the run without `--json`.
    pub(crate) lines: Vec<String>,
    /// The document of the run with `--json`.
    pub(crate) report: Value,
}

impl Case {
    pub(crate) fn good() -> Self {
        let case = Self {
            keys: Vec::new(),
            signer_cert: Vec::new(),
            staples: BTreeMap::new(),
            trust: Trust::Certificates(Vec::new()),
            at: instant("at"),
            instance: INSTANCE.to_owned(),
            signer_name: SIGNER.to_owned(),
            fingerprint: None,
        };
        case.bundle("good-ed25519").certs("leaf intermediate").anchors("root")
    }

    pub(crate) fn bundle(mut self, name: &str) -> Self {
        self.keys = read(&format!("bundles/{name}"));
        self
    }

    /// The signer's bundle, from files of `certs/`, and the everyday staple of each that has one.
    pub(crate) fn certs(mut self, names: &str) -> Self {
        self.signer_cert = concatenated(names);
        let stapled: Vec<_> =
            names.split_whitespace().filter(|name| path("staples").join(name).is_file()).collect();
        self.staples(&stapled.join(" "))
    }

    /// Other staples than the everyday ones.
    pub(crate) fn staples(mut self, names: &str) -> Self {
        self.staples = names
            .split_whitespace()
            .map(|name| (name.to_owned(), read(&format!("staples/{name}"))))
            .collect();
        self
    }

    /// The certificates of `certs/` that are trusted, in one `--ca-file`.
    pub(crate) fn anchors(mut self, names: &str) -> Self {
        self.trust = Trust::Certificates(concatenated(names));
        self
    }

    /// Another trust store.
    pub(crate) fn trust(mut self, option: &'static str, path: &Path) -> Self {
        self.trust = Trust::Store(option, path.to_owned());
        self
    }

    pub(crate) fn at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    pub(crate) fn identity(mut self, instance: &str, signer_name: &str) -> Self {
        instance.clone_into(&mut self.instance);
        signer_name.clone_into(&mut self.signer_name);
        self
    }

    pub(crate) fn fingerprint(mut self, fingerprint: &str) -> Self {
        self.fingerprint = Some(fingerprint.to_owned());
        self
    }

    /// Writes the evidence to files and gives the command that judges them.
    pub(crate) fn command(&self, scratch: &Scratch) -> Command {
        fs::write(scratch.join("keys"), &self.keys).unwrap();
        fs::write(scratch.join("signer-cert"), &self.signer_cert).unwrap();
        fs::create_dir_all(scratch.join("ocsp")).unwrap();
        for (name, staple) in &self.staples {
            fs::write(scratch.join("ocsp").join(name), staple).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_eic-agent"));
        command.arg("verify");
        command.arg("--keys").arg(scratch.join("keys"));
        command.arg("--signer-cert").arg(scratch.join("signer-cert"));
        command.arg("--ocsp-dir").arg(scratch.join("ocsp"));
        command.args(["--instance-id", &self.instance, "--signer-name", &self.signer_name]);
        match &self.trust {
            Trust::Certificates(pem) => {
                fs::write(scratch.join("ca.pem"), pem).unwrap();
                command.arg("--ca-file").arg(scratch.join("ca.pem"));
            }
            Trust::Store(option, path) => {
                command.arg(option).arg(path);
            }
        }
        command.arg("--at").arg(self.at.to_string());
        if let Some(fingerprint) = &self.fingerprint {
            command.args(["--fingerprint", fingerprint]);
        }
        command
    }

    /// Judges the evidence both ways, which must agree.
    pub(crate) fn run(&self) -> Verdict {
        let scratch = Scratch::new();
        let plain = self.command(&scratch).output().unwrap();
        let json = self.command(&scratch).arg("--json").output().unwrap();
        let report: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|error| {
            panic!("--json: {error}\n{}", String::from_utf8_lossy(&json.stderr));
        });
        let text = String::from_utf8(plain.stdout).unwrap();
        let verdict = Verdict {
            code: plain.status.code(),
            lines: text
                .split_inclusive('\n')
                .map(|line| line.strip_suffix('\n').unwrap().to_owned())
                .collect(),
            report,
        };
        assert_eq!(json.status.code(), verdict.code, "the exit status must not depend on --json");
        assert_eq!(verdict.authorized(), verdict.lines, "both outputs must name the same keys");
        assert_eq!(verdict.code, Some(i32::from(verdict.lines.is_empty())), "0 with keys, 1 without");
        verdict
    }
}

impl Verdict {
    /// Why the signer is not trusted, if it is not.
    pub(crate) fn signer_reason(&self) -> Option<&str> {
        let signer = &self.report["signer"];
        assert_eq!(signer["trusted"].as_bool(), Some(signer["reason"].is_null()), "{signer}");
        signer["reason"].as_str()
    }

    /// The reason of each entry that was refused, in order.
    pub(crate) fn refusals(&self) -> Vec<&str> {
        self.judged("refused").map(|key| key["reason"].as_str().unwrap()).collect()
    }

    /// The keys that were judged with this verdict, in order.
    pub(crate) fn judged(&self, verdict: &str) -> impl Iterator<Item = &Value> {
        self.report["keys"].as_array().unwrap().iter().filter(move |key| key["verdict"] == verdict)
    }

    fn authorized(&self) -> Vec<&str> {
        self.judged("accepted").map(|key| key["authorized_key"].as_str().unwrap()).collect()
    }
}

/// Every row of a table is judged before the test fails, so that one run shows the whole picture.
pub(crate) fn each<T>(rows: &[T], name: impl Fn(&T) -> &str, judge: impl Fn(&T) -> Result<(), String>) {
    let mut failures = String::new();
    for row in rows {
        if let Err(what) = judge(row) {
            let _ = writeln!(failures, "  {}: {what}", name(row));
        }
    }
    assert!(failures.is_empty(), "{} rows judged, these wrongly:\n{failures}", rows.len());
}

/// An error that shows both values where they differ.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, came: &T) -> Result<(), String> {
    if expected == came { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {came:?}")) }
}

/// The base64 digit whose value differs in one of its six bits, another one for each position; none for a
/// byte that is no digit.
pub(crate) fn flipped_digit(digit: u8, position: usize) -> Option<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = DIGITS.iter().position(|&known| known == digit)?;
    Some(DIGITS[value ^ (1 << (position % 6))])
}

fn concatenated(names: &str) -> Vec<u8> {
    names.split_whitespace().flat_map(|name| read(&format!("certs/{name}.pem"))).collect()
}
