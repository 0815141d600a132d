//! Checks of the system that sshd and the agent run on: `selinux`, `log`, `unit` and `confinement`.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_core::text::printable_bytes;
use eic_host::files::head_of_regular;
use eic_host::process::output_with_timeout;
use eic_host::sshd::units::{OWN_UNIT, own_state, systemd_runs};
use eic_login::audit::Audit;

use super::check::Check;
use super::log_limit;

const SELINUX: &str =
    "if SELinux enforces, programs of sshd reach the metadata service only with eic-agent's module";
const LOG: &str = "the log records which keys sshd got, and why a key was refused";
const CONFINEMENT: &str = "limits what a compromised run can do; logins do not need it";
const UNIT: &str = "the unit shows in systemctl whether sshd uses eic-agent; logins do not need it";

/// File in which the kernel reports whether `SELinux` is enforcing.
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// Path of our `SELinux` module in packages.
const MODULE: &str = "/usr/share/selinux/packages/eic-agent.cil";

/// Timeout of semodule(8), which reads the whole store, and of our own `confinement`.
const TIMEOUT: Duration = Duration::from_secs(15);

/// All checks of this file, and `log-limit`. `listener` is the process id of sshd's listener. `audit_required` is true
/// if the settings require a log.
pub(super) fn checks(listener: Option<u32>, audit_required: bool) -> Vec<Check> {
    vec![selinux(), log(audit_required), log_limit::check(listener, audit_required), unit(), confinement()]
}

fn selinux() -> Check {
    const ID: &str = "selinux";
    let mode = head_of_regular(Path::new(ENFORCE), 16).ok();
    match mode.as_deref().map(<[u8]>::trim_ascii) {
        None => return Check::ok(ID, SELINUX, "not used"),
        Some(b"1") => {}
        Some(_) => {
            return Check::ok(ID, SELINUX, "permissive: SELinux logs violations and blocks nothing");
        }
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Check::skipped(
            ID,
            SELINUX,
            "enforcing; run with sudo to see whether eic-agent's module is installed",
        );
    }
    let modules = match output_with_timeout(Command::new("semodule").arg("-l"), TIMEOUT) {
        Ok(said) if said.status.success() => String::from_utf8_lossy(&said.stdout).into_owned(),
        Ok(said) => return Check::skipped(ID, SELINUX, format!("enforcing; semodule -l: {}", said.status)),
        Err(error) => return Check::skipped(ID, SELINUX, format!("enforcing; semodule -l: {error}")),
    };
    // Older releases of semodule print a version after the name.
    if modules.lines().any(|line| line.split_whitespace().next() == Some(IDENT)) {
        return Check::ok(ID, SELINUX, "enforcing, and eic-agent's module is installed");
    }
    let fix = if Path::new(MODULE).is_file() {
        format!("sudo semodule -X 200 -i {MODULE}")
    } else {
        format!(
            "install the package of {IDENT}, or its packaging/selinux/eic-agent.cil: sudo semodule -X 200 -i eic-agent.cil"
        )
    };
    Check::fail(ID, SELINUX, format!("enforcing, and the module {IDENT} is not installed"), fix)
}

fn log(audit_required: bool) -> Check {
    const ID: &str = "log";
    if let Some(socket) = Audit::to_system().destination() {
        return Check::ok(ID, LOG, format!("{} accepts log lines", socket.display()));
    }
    let seen = "neither the journal nor /dev/log accepts lines, so nothing is logged";
    let fix = if systemd_runs() {
        "sudo systemctl start systemd-journald.socket systemd-journald.service"
    } else {
        "start a syslog daemon, for example rsyslog"
    };
    if audit_required {
        let seen = format!("{seen}, and [audit] required refuses pushed keys without a log line");
        return Check::fail(ID, LOG, seen, fix);
    }
    Check::warn(ID, LOG, seen, fix)
}

/// `confinement`: a missing layer is not a fault, because the kernel may not support it. It is a fault if the confined
/// process crashes.
fn confinement() -> Check {
    const ID: &str = "confinement";
    let mut program = Command::new("/proc/self/exe");
    program.arg0(IDENT).arg(ID);
    let said = match output_with_timeout(&mut program, TIMEOUT) {
        Ok(said) => said,
        Err(error) => return Check::skipped(ID, CONFINEMENT, format!("this program cannot be run: {error}")),
    };
    let words = |bytes: &[u8]| printable_bytes(bytes.trim_ascii(), 512);
    match said.status.code() {
        Some(0) => Check::ok(ID, CONFINEMENT, words(&said.stdout)),
        Some(_) => Check::skipped(ID, CONFINEMENT, words(&said.stderr)),
        None => Check::warn(
            ID,
            CONFINEMENT,
            format!("eic-agent ends with {} when it confines itself", said.status),
            format!("report it, with the kernel's release (uname -r), to the supplier of {IDENT}"),
        ),
    }
}

fn unit() -> Check {
    const ID: &str = "unit";
    if !systemd_runs() {
        return Check::skipped(ID, UNIT, "systemd does not run here");
    }
    let state = match own_state() {
        Ok(state) => state,
        Err(why) => return Check::skipped(ID, UNIT, why),
    };
    let says = |name: &str| state.get(name).map_or("", String::as_str);
    let enabled = matches!(says("UnitFileState"), "enabled" | "enabled-runtime" | "static" | "alias");
    match (says("LoadState"), says("ActiveState")) {
        ("not-found", _) => {
            Check::skipped(ID, UNIT, format!("there is no {OWN_UNIT}; run sudo eic-agent status instead"))
        }
        ("masked", _) => Check::warn(
            ID,
            UNIT,
            format!("{OWN_UNIT} is masked"),
            format!("sudo systemctl unmask {OWN_UNIT}"),
        ),
        (_, "failed") => Check::warn(
            ID,
            UNIT,
            format!("{OWN_UNIT} failed"),
            format!("correct what eic-agent status reports, then: sudo systemctl restart {OWN_UNIT}"),
        ),
        _ if !enabled => Check::warn(
            ID,
            UNIT,
            format!("{OWN_UNIT} is not enabled"),
            format!("sudo systemctl enable --now {OWN_UNIT}"),
        ),
        (_, "active" | "activating" | "reloading") => {
            Check::ok(ID, UNIT, format!("{OWN_UNIT} is enabled and active"))
        }
        _ if says("Result") == "exec-condition" => {
            Check::ok(ID, UNIT, format!("{OWN_UNIT} is enabled; it does not start outside EC2"))
        }
        _ => Check::warn(
            ID,
            UNIT,
            format!("{OWN_UNIT} is not active"),
            format!("sudo systemctl start {OWN_UNIT}"),
        ),
    }
}
