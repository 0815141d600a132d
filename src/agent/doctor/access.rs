//! `access`: sshd's lists of users and groups (OpenSSH auth.c, `allowed_user` and `auth_root_allowed`).

use std::path::Path;

use eic_core::policy::Glob;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::{Account, entries};
use eic_host::files::head_of_regular;
use eic_host::process::output_with_timeout;
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::offer::Offer;
use eic_login::config::{CommandLine, Settings};

use super::check::{Check, CheckStatus, PUBLIC_KEYS};
use super::sshd::{Sshd, then_reload};
use crate::settings;

const ID: &str = "access";

pub(super) const ACCESS: &str =
    "sshd refuses users that its lists of users and groups exclude, even with a valid key";

/// Timeout of id(1).
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The checks of settings that a `Match` can set.
const SET_BY_MATCH: [&str; 9] = [
    "command",
    "command-user",
    "command-path",
    PUBLIC_KEYS,
    "auth-tries",
    "key-types",
    "revoked-keys",
    ID,
    "shell",
];

/// Marks the results that another client might not get: a `Match` for some addresses may set something else.
pub(super) fn mark_dependence_on_client(checks: &mut [Check], sshd: &Sshd, user: &str) {
    let unclear =
        sshd.sources.unclear.first().map(|unclear| format!("; sshd may read a line differently: {unclear}"));
    let condition = sshd.sources.of_connections(user).next().map(|condition| {
        let criteria = printable(condition.value.trim(), MAX_SHOWN);
        format!("; other rules may apply to some connections: Match {criteria} ({condition})")
    });
    let wrapped = || {
        has_rules(Path::new(HOSTS_DENY))
            .then(|| format!("; {HOSTS_DENY} has rules, which some builds of sshd obey"))
    };
    let Some(note) = condition.or(unclear).or_else(wrapped) else { return };
    for check in checks.iter_mut().filter(|check| SET_BY_MATCH.contains(&check.id)) {
        // Only the check `access` shows the note. Because of it the login is uncertain, and so is every failed check
        // of this group.
        check.is_open |= check.id == ID || check.verdict == CheckStatus::Fail;
        if check.id == ID {
            check.seen.push_str(&note);
        }
    }
}

/// Rules of the TCP wrappers (`hosts_access(5)`). sshd of Debian obeys them.
const HOSTS_DENY: &str = "/etc/hosts.deny";

/// Maximum number of bytes of that file that are read.
const MAX_RULES: usize = 64 * 1024;

/// Whether a file has a line that is no comment.
fn has_rules(file: &Path) -> bool {
    let text = head_of_regular(file, MAX_RULES).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `access`: whether sshd's lists allow this user.
pub(super) fn access(sshd: &Sshd, account: &Account) -> Check {
    let name = printable(&account.name, MAX_SHOWN);
    let list = |keyword: Keyword| -> Vec<&str> { sshd.running.values(keyword).collect() };
    if sshd.running.value(Keyword::RefuseConnection) == Some("yes") {
        let seen = format!("RefuseConnection is yes{}", sshd.place(Keyword::RefuseConnection, "yes"));
        return Check::fail(ID, ACCESS, seen, format!("remove that line{}", then_reload(sshd)));
    }
    if let Some(refused) = root(sshd, account) {
        return refused;
    }
    let then = then_reload(sshd);
    let mut only_from = None;
    if let Some((pattern, from)) = listed(&list(Keyword::DenyUsers), &account.name) {
        let place = sshd.place(Keyword::DenyUsers, pattern);
        let shown = printable(pattern, MAX_SHOWN);
        let fix = format!("remove {shown} from DenyUsers{then}");
        match from {
            None => return Check::fail(ID, ACCESS, format!("DenyUsers contains {shown}{place}"), fix),
            Some(from) => {
                let seen = format!("DenyUsers contains {shown}{place}: no login as {name} from {from}");
                return Check::warn(ID, ACCESS, seen, fix).left_open();
            }
        }
    }
    let allowed = list(Keyword::AllowUsers);
    match listed(&allowed, &account.name) {
        None if !allowed.is_empty() => {
            let place = sshd.place(Keyword::AllowUsers, allowed.first().copied().unwrap_or_default());
            let seen = format!("AllowUsers does not contain {name}{place}");
            let fix = plain(sshd, account).map_or_else(
                || format!("add a pattern that matches {name} to AllowUsers{then}"),
                |offer| format!("add {} to AllowUsers{then}", offer.value()),
            );
            return Check::fail(ID, ACCESS, seen, fix);
        }
        Some((pattern, Some(_))) => {
            let shown = printable(pattern, MAX_SHOWN);
            let place = sshd.place(Keyword::AllowUsers, pattern);
            only_from = Some(format!("AllowUsers contains only {shown}{place}"));
        }
        _ => {}
    }
    if let Some(check) = groups(sshd, account, &list(Keyword::DenyGroups), &list(Keyword::AllowGroups)) {
        return check;
    }
    if let Some(seen) = only_from {
        let seen = format!("{seen}: sshd refuses other addresses");
        let fix = plain(sshd, account).map_or_else(
            || "log in from that address".to_owned(),
            |offer| format!("log in from that address, or add {} to AllowUsers{then}", offer.value()),
        );
        return Check::warn(ID, ACCESS, seen, fix).left_open();
    }
    let lists = [Keyword::AllowUsers, Keyword::DenyUsers, Keyword::AllowGroups, Keyword::DenyGroups];
    let set = lists.into_iter().filter(|keyword| !list(*keyword).is_empty());
    let set: Vec<_> = set.map(|keyword| keyword.to_string()).collect();
    let seen = if set.is_empty() {
        format!("sshd has no list of users or groups; {name} may log in")
    } else {
        format!("{} allow {name}", set.join(" and "))
    };
    Check::ok(ID, ACCESS, seen)
}

/// The name for `AllowUsers`. `None` if the name has characters with a meaning in patterns.
fn plain(sshd: &Sshd, account: &Account) -> Option<Offer> {
    let is_plain = account.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-$".contains(&b));
    is_plain.then(|| sshd.offer(Keyword::AllowUsers, &account.name)).flatten()
}

/// The check of `PermitRootLogin`. `None` if the user is not root, or root may log in.
fn root(sshd: &Sshd, account: &Account) -> Option<Check> {
    const KEYWORD: Keyword = Keyword::PermitRootLogin;
    let value = sshd.running.value(KEYWORD).filter(|_| account.uid == 0)?;
    let fix = || {
        sshd.offer(KEYWORD, "prohibit-password").map_or_else(
            || "log in as another user".to_owned(),
            |offer| format!("log in as another user, or set {offer}{}", then_reload(sshd)),
        )
    };
    let seen = format!("PermitRootLogin is {}{}", printable(value, MAX_SHOWN), sshd.place(KEYWORD, value));
    match value {
        "no" => Some(Check::fail(ID, ACCESS, seen, fix())),
        "forced-commands-only" => {
            let seen = format!("{seen}: root logs in only with a key that has a command= option");
            // A pushed key can get a command= option only from the settings.
            match settings::resolve(&CommandLine::default()).ok().map(|settings| forced_commands(&settings)) {
                Some(Forced::Every) => None,
                Some(Forced::Some) => {
                    let seen = format!("{seen}. Only some rules of the settings set this option");
                    Some(Check::warn(ID, ACCESS, seen, fix()).left_open())
                }
                Some(Forced::None) | None => Some(Check::fail(ID, ACCESS, seen, fix())),
            }
        }
        _ => None,
    }
}

/// Which pushed keys have a command= option.
enum Forced {
    Every,
    Some,
    None,
}

fn forced_commands(settings: &Settings) -> Forced {
    let prefix = settings.line_prefix();
    if prefix.forces_command(None) {
        return Forced::Every;
    }
    let mut options = settings.rules.iter().map(|rule| rule.value.limits.options.as_ref());
    if options.any(|options| prefix.forces_command(options)) { Forced::Some } else { Forced::None }
}

/// The check of the group lists. `None` if they allow the user.
fn groups(sshd: &Sshd, account: &Account, denied: &[&str], allowed: &[&str]) -> Option<Check> {
    if denied.is_empty() && allowed.is_empty() {
        return None;
    }
    let name = printable(&account.name, MAX_SHOWN);
    let groups = match groups_of(account) {
        Ok(groups) => groups,
        Err(why) => {
            return Some(Check::skipped(ID, ACCESS, format!("the groups of {name} are unknown: {why}")));
        }
    };
    let fits = |pattern: &&&str| groups.iter().any(|group| Glob::new(pattern).matches(group));
    let then = then_reload(sshd);
    if let Some(pattern) = denied.iter().find(fits) {
        let place = sshd.place(Keyword::DenyGroups, pattern);
        let shown = printable(pattern, MAX_SHOWN);
        let seen = format!("DenyGroups contains {shown}{place}, and {name} is in it");
        return Some(Check::fail(ID, ACCESS, seen, format!("remove {shown} from DenyGroups{then}")));
    }
    if allowed.is_empty() || allowed.iter().any(|pattern| fits(&pattern)) {
        return None;
    }
    let first = allowed.first().copied().unwrap_or_default();
    let shown = printable(&allowed.join(" "), MAX_SHOWN);
    let seen =
        format!("{name} is in no group of AllowGroups {shown}{}", sshd.place(Keyword::AllowGroups, first));
    let fix = if first.contains(['*', '?']) {
        format!("add a group of {name} to AllowGroups{then}")
    } else {
        format!("sudo usermod -aG {} {name}", printable(first, MAX_SHOWN))
    };
    Some(Check::fail(ID, ACCESS, seen, fix))
}

/// The pattern that matches, and the addresses that it applies to (`None` for all addresses). A pattern for all
/// addresses has precedence. The user part has no negation. The part after an `@` is a list of addresses or host names
/// (OpenSSH match.c, `match_user`).
fn listed<'p>(patterns: &[&'p str], name: &str) -> Option<(&'p str, Option<String>)> {
    let fits = |pattern: &str| Glob::new(pattern).matches(name);
    let mut from_somewhere = None;
    for pattern in patterns {
        match pattern.rsplit_once('@') {
            None if fits(pattern) => return Some((pattern, None)),
            Some((user, "*")) if fits(user) => return Some((pattern, None)),
            Some((user, from)) if fits(user) && from_somewhere.is_none() => {
                from_somewhere = Some((*pattern, Some(printable(from, MAX_SHOWN))));
            }
            _ => {}
        }
    }
    from_somewhere
}

/// The names of a user's groups. They are looked up by number, because a name may contain spaces.
pub(super) fn groups_of(account: &Account) -> Result<Vec<String>, String> {
    let mut program = std::process::Command::new("id");
    let said = output_with_timeout(program.args(["-G", "--", &account.name]), TIMEOUT)
        .map_err(|error| format!("id: {error}"))?;
    if !said.status.success() {
        return Err(format!("id: {}", said.status));
    }
    let numbers = String::from_utf8_lossy(&said.stdout).into_owned();
    let numbers: Vec<_> = numbers.split_whitespace().collect();
    let text = entries("group", &numbers)?;
    Ok(text.lines().filter_map(|line| line.split(':').next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_sshd_reads_them() {
        for (patterns, expected) in [
            (vec!["root", "ec2-*"], Some(("ec2-*", None))),
            (vec!["ec2-user@10.0.0.0/8", "ec2-user"], Some(("ec2-user", None))),
            (vec!["ec2-user@10.0.0.0/8"], Some(("ec2-user@10.0.0.0/8", Some("10.0.0.0/8")))),
            (vec!["ec2-????@*"], Some(("ec2-????@*", None))),
            (vec!["!ec2-user", "EC2-USER", "user"], None),
            (vec![], None),
        ] {
            let found = listed(&patterns, "ec2-user");
            let found = found.as_ref().map(|(pattern, from)| (*pattern, from.as_deref()));
            assert_eq!(found, expected, "{patterns:?}");
        }
    }
}
