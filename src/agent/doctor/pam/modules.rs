//! What a module of PAM answers in a login with a key, if that can be known without a login.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eic_host::accounts::Account;
use eic_host::files::head_of_regular;
use eic_host::ownership;
use eic_host::process::output_with_timeout;

use super::answer::{Answer, Step};
use super::library;
use super::limits::Limits;
use super::rules::Module;

/// Places of `unix_chkpwd(8)`, with which `pam_unix` itself judges accounts.
const CHECKERS: [&str; 4] =
    ["/usr/sbin/unix_chkpwd", "/sbin/unix_chkpwd", "/usr/bin/unix_chkpwd", "/usr/libexec/unix_chkpwd"];

/// Timeout of `unix_chkpwd`. It may query a directory.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Files that `pam_nologin(8)` looks for.
const NOLOGIN: [&str; 2] = ["/var/run/nologin", "/etc/nologin"];

/// Maximum number of bytes of a module's configuration that are read.
const MAX_BYTES: usize = 256 * 1024;

/// The account that logs in, and what `pam_unix` says of it.
pub(super) struct Login<'a> {
    pub(super) account: &'a Account,
    /// `None` if it is unknown.
    pub(super) unix: Option<Answer>,
    /// Whether `/etc/passwd` has the account.
    pub(super) is_local: bool,
}

/// Asks `unix_chkpwd` whether the account or its password has expired. The error says why there is no answer.
pub(super) fn ask_unix(name: &str) -> Result<Answer, String> {
    if name.is_empty() || name.starts_with('-') || name.contains('\0') {
        return Err("unix_chkpwd cannot be asked about that name".to_owned());
    }
    let Some(program) = CHECKERS.iter().map(Path::new).find(|program| program.is_file()) else {
        return Err("there is no unix_chkpwd on this machine".to_owned());
    };
    ownership::check(program).map_err(|insecure| format!("unix_chkpwd is not run: {insecure}"))?;
    let said = output_with_timeout(Command::new(program).args([name, "chkexpiry"]), TIMEOUT)
        .map_err(|error| format!("unix_chkpwd: {error}"))?;
    // The exit status is an answer of PAM, by its number in security/_pam_types.h.
    match said.status.code() {
        Some(0) => Ok(Answer::Success),
        Some(6) => Ok(Answer::PermDenied),
        Some(9) => Ok(Answer::AuthinfoUnavail),
        Some(10) => Ok(Answer::UserUnknown),
        Some(12) => Ok(Answer::NewAuthtokReqd),
        Some(13) => Ok(Answer::AcctExpired),
        Some(27) => Ok(Answer::AuthtokExpired),
        _ => Err(format!("unix_chkpwd: {}", said.status)),
    }
}

/// Modules of the account step that do not check passwords. They never ask for a new one.
const WITHOUT_PASSWORDS: [&str; 8] = [
    "pam_access",
    "pam_listfile",
    "pam_localuser",
    "pam_sepermit",
    "pam_shells",
    "pam_succeed_if",
    "pam_time",
    "pam_usertype",
];

impl Login<'_> {
    /// The answers that the module may give in this step. One answer if it is known.
    pub(super) fn answers(&self, module: &Module, step: Step) -> Vec<Answer> {
        if library::is_missing(&module.file, step) {
            return vec![Answer::ModuleUnknown];
        }
        let known = self.of_both(module).or_else(|| match step {
            Step::Account => self.account(module).map(|answer| vec![answer]),
            Step::Session => self.session(module),
        });
        known.unwrap_or_else(|| {
            if step == Step::Session || WITHOUT_PASSWORDS.contains(&module.name()) {
                Answer::ALL_BUT_PASSWORD.to_vec()
            } else {
                Answer::ALL.to_vec()
            }
        })
    }

    /// Modules that do the same in both steps.
    fn of_both(&self, module: &Module) -> Option<Vec<Answer>> {
        let is_plain = module.arguments.is_empty();
        let answer = match module.name() {
            "pam_permit" => Some(Answer::Success),
            "pam_warn" => Some(Answer::Ignore),
            "pam_localuser" if is_plain => {
                Some(if self.is_local { Answer::Success } else { Answer::PermDenied })
            }
            "pam_succeed_if" => self.succeed_if(&module.arguments),
            // Without rules, this module lets everyone in.
            "pam_access" if is_plain && is_empty_folder("/etc/security/access.d") => {
                has_no_rule("/etc/security/access.conf").then_some(Answer::Success)
            }
            _ => None,
        };
        answer.map(|answer| vec![answer])
    }

    fn account(&self, module: &Module) -> Option<Answer> {
        let has = |option: &str| module.arguments.iter().any(|argument| argument == option);
        match module.name() {
            "pam_unix" => self.unix.map(|answer| match answer {
                Answer::AuthinfoUnavail if has("broken_shadow") => Answer::Success,
                // This option applies if pam_unix did not check a password, as in a login with a key (pam_unix(8)).
                Answer::NewAuthtokReqd | Answer::AuthtokExpired if has("no_pass_expiry") => Answer::Success,
                answer => answer,
            }),
            // pam_faillock only clears its count in this step.
            "pam_faillock" => Some(Answer::Success),
            "pam_deny" => Some(Answer::AuthErr),
            "pam_nologin" => Some(self.nologin(module)),
            // Without rules, these modules let everyone in.
            "pam_time" if module.arguments.is_empty() => {
                has_no_rule("/etc/security/time.conf").then_some(Answer::Success)
            }
            "pam_sepermit" if module.arguments.is_empty() => {
                has_no_rule("/etc/security/sepermit.conf").then_some(Answer::Ignore)
            }
            _ => None,
        }
    }

    /// The step in which PAM opens the session. Most modules of the distributions only prepare it, and have no reason to
    /// refuse it.
    fn session(&self, module: &Module) -> Option<Vec<Answer>> {
        const PREPARED: [Answer; 2] = [Answer::Success, Answer::Ignore];
        let exists = |path: &str| Path::new(path).exists();
        let has = |option: &str| module.arguments.iter().any(|argument| argument == option);
        let is_prepared = match module.name() {
            "pam_deny" => return Some(vec![Answer::SessionErr]),
            "pam_limits" => return Limits::of(self.account, module).answer().map(|answer| vec![answer]),
            "pam_unix" | "pam_selinux" | "pam_umask" => return Some(vec![Answer::Success]),
            "pam_env" | "pam_keyinit" | "pam_mail" | "pam_motd" | "pam_xauth" => true,
            "pam_loginuid" => !has("require_auditd"),
            // Only a kernel with auditing has this file.
            "pam_tty_audit" => exists("/proc/self/loginuid"),
            "pam_lastlog" => exists("/var/log/lastlog") || (exists("/var/log") && !has("noupdate")),
            // These modules make the home directory if it is missing.
            "pam_mkhomedir" | "pam_oddjob_mkhomedir" => exists(&self.account.home),
            "pam_namespace" => {
                is_empty_folder("/etc/security/namespace.d") && has_no_rule("/etc/security/namespace.conf")
            }
            _ => false,
        };
        is_prepared.then(|| PREPARED.to_vec())
    }

    fn nologin(&self, module: &Module) -> Answer {
        let named: Vec<_> = module.arguments.iter().filter_map(|word| word.strip_prefix("file=")).collect();
        let files = if named.is_empty() { NOLOGIN.to_vec() } else { named };
        if self.account.uid != 0 && files.iter().any(|file| Path::new(file).exists()) {
            Answer::AuthErr
        } else if module.arguments.iter().any(|word| word == "successok") {
            Answer::Success
        } else {
            Answer::Ignore
        }
    }

    /// Conditions about the user id (`pam_succeed_if(8)`). `None` for every other condition.
    fn succeed_if(&self, arguments: &[String]) -> Option<Answer> {
        const FLAGS: [&str; 5] = ["debug", "quiet", "quiet_fail", "quiet_success", "audit"];
        let mut words = arguments.iter().map(String::as_str).filter(|word| !FLAGS.contains(word));
        let mut holds = true;
        let mut count = 0_u32;
        while let Some(field) = words.next() {
            let (test, value) = (words.next()?, words.next()?);
            let limit = value.parse::<u32>().ok().filter(|_| field == "uid")?;
            let uid = self.account.uid;
            holds &= match test {
                "<" => uid < limit,
                "<=" => uid <= limit,
                ">" => uid > limit,
                ">=" => uid >= limit,
                "eq" => uid == limit,
                "ne" => uid != limit,
                _ => return None,
            };
            count = count.saturating_add(1);
        }
        (count > 0).then_some(if holds { Answer::Success } else { Answer::AuthErr })
    }
}

/// Whether a file of rules exists and has only comments.
fn has_no_rule(file: &str) -> bool {
    head_of_regular(Path::new(file), MAX_BYTES).is_ok_and(|text| {
        text.len() < MAX_BYTES
            && String::from_utf8_lossy(&text)
                .lines()
                .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    })
}

/// Whether a folder is missing or empty.
fn is_empty_folder(folder: &str) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_the_user_id_are_judged_and_others_are_unknown() {
        let account =
            Account { uid: 1000, gid: 1000, name: "u".into(), home: "/".into(), shell: String::new() };
        let login = Login { account: &account, unix: None, is_local: true };
        for (words, answer) in [
            ("uid < 1000 quiet", Some(Answer::AuthErr)),
            ("quiet uid >= 1000 uid ne 0", Some(Answer::Success)),
            ("uid eq 0", Some(Answer::AuthErr)),
            ("user ingroup wheel", None),
            ("uid < many", None),
            ("uid <", None),
            ("use_uid uid < 1", None),
            ("quiet", None),
        ] {
            let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(login.succeed_if(&words), answer, "{words:?}");
        }
    }

    #[test]
    fn name_that_looks_like_an_option_is_not_asked_about() {
        for name in ["", "-h", "a\0b"] {
            assert!(ask_unix(name).is_err(), "{name:?}");
        }
    }
}
