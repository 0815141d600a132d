//! `enable`, `disable` and `status` on a private `/etc/ssh`: what they wire, what they leave alone, and that
//! `disable` restores everything.

mod changes;
mod layouts;
mod others;
mod running;
mod servers;
mod status;
mod unsure;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::world::{Key, World};

pub(crate) const CONFIG: &str = "/etc/ssh/sshd_config";
pub(crate) const DROP_INS: &str = "/etc/ssh/sshd_config.d";
pub(crate) const OURS: &str = "/etc/ssh/sshd_config.d/10-eic-agent.conf";
pub(crate) const INCLUDE: &str = "Include /etc/ssh/sshd_config.d/*.conf\n";
const SSS: &str = "AuthorizedKeysCommand /usr/bin/id\nAuthorizedKeysCommandUser nobody\n";

/// One run of a command of the agent, as an operator starts it.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn agent(world: &World, arguments: &[&str]) -> Ran {
    let output = Command::new(world.agent()).args(arguments).env("SUDO_USER", "ubuntu").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Replaces `/etc/ssh` with this `sshd_config` and these drop-ins.
pub(crate) fn lay_out(config: &str, drop_ins: &[(&str, &str)]) {
    for entry in fs::read_dir("/etc/ssh").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::write(CONFIG, config).unwrap();
    fs::set_permissions(CONFIG, fs::Permissions::from_mode(0o600)).unwrap();
    if config.to_ascii_lowercase().contains("include") {
        fs::create_dir(DROP_INS).unwrap();
    }
    for (name, text) in drop_ins {
        fs::write(Path::new(DROP_INS).join(name), text).unwrap();
    }
}

/// Every file below `/etc/ssh`: content and mode.
pub(crate) fn snapshot() -> BTreeMap<String, (Vec<u8>, u32)> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, (Vec<u8>, u32)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.symlink_metadata().unwrap().permissions().mode();
            let content = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if path.is_dir() {
                walk(&path, found);
            }
            found.insert(path.to_str().unwrap().to_owned(), (content, mode));
        }
    }
    let mut found = BTreeMap::new();
    walk(Path::new("/etc/ssh"), &mut found);
    found
}

/// sshd's effective command, and its user, for a login as `user`. The host key is a temporary one.
fn pair(world: &World, user: &str) -> (String, String) {
    let key = world.path("etc/probe");
    if !key.exists() {
        Key::ed25519(world, "probe");
    }
    let connection = format!("user={user},host=x,addr=127.0.0.1,laddr=127.0.0.1,lport=22");
    let said =
        Command::new("/usr/sbin/sshd").args(["-T", "-C", &connection, "-h"]).arg(key).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let value = |keyword: &str| {
        said.lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(keyword).then_some(value))
            .unwrap_or("none")
            .to_owned()
    };
    (value("AuthorizedKeysCommand"), value("AuthorizedKeysCommandUser"))
}

/// Exit status and JSON report of `status`. The text report must agree.
fn status(world: &World) -> (Option<i32>, Value) {
    let plain = agent(world, &["status"]);
    let json = agent(world, &["status", "--json"]);
    assert_eq!(plain.status, json.status, "{}", plain.err);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    let is_certain = report["in_use"] == true && report["known"] == true;
    assert_eq!(plain.out.contains("in use    yes\n"), is_certain, "{}", plain.out);
    for problem in report["problems"].as_array().unwrap() {
        assert!(plain.err.contains(problem.as_str().unwrap()), "{}", plain.err);
    }
    (json.status, report)
}
