//! `host-keys`: this host's public keys, so that clients know them before their first login.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_core::text::{MAX_SHOWN, one_line, printable_bytes};
use eic_host::sshd::host_keys::{HostKey, HostKeys};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::last_read::Unread;
use eic_host::sshd::server::EffectiveConfig;
use eic_host::sshd::sources::Sources;
use eic_host::stdout::write_once;
use nix::unistd::Uid;
use serde::Serialize;

use crate::cli::{HostKeysArgs, KnownHost};
use crate::layout::json;
use crate::outcome::Outcome;
use crate::sshd_setup::SshdState;

/// The report. Its JSON form is an interface with a `schema_version`; fields may be added to it.
#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    keys: Vec<Row>,
    /// Host keys that sshd does not offer, and why the list may be wrong.
    warnings: Vec<String>,
    /// Whether the list is what clients see now.
    #[serde(skip)]
    is_certain: bool,
}

/// One host key.
#[derive(Debug, Serialize)]
struct Row {
    algorithm: String,
    /// `ALGORITHM BASE64`.
    key: String,
    fingerprint: String,
    file: PathBuf,
}

pub(super) fn run(arguments: &HostKeysArgs, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let report = match Report::make() {
        Ok(report) => report,
        Err(why) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&why));
            return Outcome::Undecided;
        }
    };
    if !arguments.json {
        for warning in &report.warnings {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(warning));
        }
    }
    let text = match arguments.known_hosts.as_slice() {
        _ if arguments.json => json(&report),
        [] => report.to_string(),
        names => report.known_hosts(names),
    };
    let written = write_once(text.as_bytes(), out);
    let is_done = report.is_certain && !report.keys.is_empty() && written.is_ok();
    if is_done { Outcome::Done } else { Outcome::Undecided }
}

impl Report {
    fn make() -> Result<Self, String> {
        if !Uid::effective().is_root() {
            return Err("only root can read the host keys; run it with sudo".to_owned());
        }
        let machine = SshdState::detect().map_err(String::from)?;
        let mut options = machine.options().to_vec();
        let listener = machine.listener.as_ref();
        for file in listener.iter().flat_map(|listener| &listener.host_keys) {
            options.push(format!("HostKey={}", file.display()));
        }
        let config = machine.server.printed(&machine.config, &options, None);
        let config = config.map_err(|error| format!("{}: {error}", machine.config.display()))?;
        let keys = HostKeys::read(&config);
        let shown = |file: &Path| printable_bytes(file.as_os_str().as_encoded_bytes(), MAX_SHOWN);
        let doubts: Vec<_> = machine
            .unclear()
            .into_iter()
            .chain(unread(&machine, &config, &keys))
            .chain(in_agent(&keys))
            .collect();
        let is_certain = doubts.is_empty();
        let mut warnings = doubts;
        let others = keys.others.iter();
        warnings.extend(others.map(|(file, why)| format!("sshd does not offer {}: {why}", shown(file))));
        if keys.offered.is_empty() {
            warnings.push(
                "expected a host key that sshd can offer, found none; run: sudo ssh-keygen -A".to_owned(),
            );
        }
        Ok(Self { schema_version: 1, keys: keys.offered.iter().map(Row::of).collect(), warnings, is_certain })
    }

    /// Lines for a client's `known_hosts` file.
    fn known_hosts(&self, names: &[KnownHost]) -> String {
        let names = names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(",");
        self.keys.iter().fold(String::new(), |mut lines, row| {
            let _ = writeln!(lines, "{names} {}", row.key);
            lines
        })
    }
}

/// The warning, if the running sshd may have other keys than the files.
fn unread(machine: &SshdState, config: &EffectiveConfig, keys: &HostKeys) -> Option<String> {
    let listener = machine.listener.as_ref()?;
    let files: Vec<_> = keys.offered.iter().map(|key| key.file.clone()).collect();
    let pid_file = config.value(Keyword::PidFile).map(Path::new);
    let of_files = Unread::among(listener.pid, pid_file, &files);
    let unread =
        of_files.or_else(|| Unread::find(listener.pid, pid_file, &Sources::read(&machine.config)))?;
    let path = printable_bytes(unread.path.as_os_str().as_encoded_bytes(), MAX_SHOWN);
    Some(format!(
        "{path} changed after sshd (pid {}) had started, so clients may still see the keys before; reload sshd",
        listener.pid
    ))
}

/// The warning about a key whose private half only an agent may have.
fn in_agent(keys: &HostKeys) -> Option<String> {
    let key = keys.offered.iter().find(|key| key.is_of_agent)?;
    let file = printable_bytes(key.file.as_os_str().as_encoded_bytes(), MAX_SHOWN);
    Some(format!(
        "sshd offers the key of {file} only if the agent of HostKeyAgent has it, which is not known"
    ))
}

impl Row {
    fn of(key: &HostKey) -> Self {
        let HostKey { file, key, .. } = key;
        Self {
            algorithm: key.algorithm().to_owned(),
            key: key.to_string(),
            fingerprint: key.fingerprint().to_string(),
            file: file.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.keys.iter().map(|row| row.algorithm.len()).max().unwrap_or(0);
        for Row { algorithm, fingerprint, file, .. } in &self.keys {
            let file = printable_bytes(file.as_os_str().as_encoded_bytes(), MAX_SHOWN);
            writeln!(f, "{algorithm:<width$}  {fingerprint}  {file}")?;
        }
        Ok(())
    }
}
