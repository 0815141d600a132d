//! Chains another command behind ours. Also ensures that no command of a `Match` runs as another user than before.

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::ownership;
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::command::{chained, split};
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::sources::Sources;

use super::install::{CommandAndUser, EnableError, own_pair};
use super::{CommandsInForce, Fix, SshdState, shown};

/// Maximum number of bytes of `/etc/group` that are read.
const MAX_GROUP_BYTES: usize = 1024 * 1024;

/// Puts our command in front of the command in force. sshd runs the agent as root. The agent runs the other command as
/// its previous user, and gives up root's rights for its own part. If that user depends on the login name (`%u`), sshd
/// runs both commands as that user.
pub(super) fn chain_of(
    machine: &SshdState,
    command: &str,
    user: &str,
) -> Result<CommandAndUser, EnableError> {
    let filed = EffectiveCommand {
        command: Some(command.to_owned()),
        user: Some(user.to_owned()).filter(|user| !user.is_empty()),
        takes_keys: true,
    };
    understand(machine, &filed)?;
    let refuse =
        |why: String| EnableError::LeftAlone(format!("{} cannot be chained: {why}", shown(Some(command))));
    let (runs_us, runs_it) = match user {
        "root" => ("root", None),
        user if user.contains('%') => (user, None),
        user => ("root", Some(user)),
    };
    if let Some(user) = runs_it {
        if Account::find(user).is_none() {
            return Err(refuse(format!("it runs as {user}, which is not in /etc/passwd")));
        }
        if let Some(group) = supplementary_group(user) {
            return Err(refuse(format!(
                "it runs as {user}, which is also in the group {group}; it would run without that group"
            )));
        }
    }
    if runs_us == "root" {
        own_pair(machine)?;
    }
    let line = chained(&machine.own, command, runs_it).map_err(|why| refuse(why.to_string()))?;
    let program = split(command).into_iter().next().unwrap_or_default();
    if let Some(account) = runs_it.and_then(Account::find) {
        let reach = Reach::of(&Subject::without_groups(&account), Path::new(&program), Use::Execute);
        if let Reach::No(obstacle) = reach {
            return Err(refuse(format!("{}; {}", obstacle.seen(), Fix::of(&obstacle, "the program"))));
        }
    }
    // The agent is stricter than sshd about programs: it also checks the directory of a symbolic link.
    ownership::check(Path::new(&program)).map_err(|insecure| refuse(insecure.to_string()))?;
    Ok(CommandAndUser { command: line, user: runs_us.to_owned() })
}

/// Checks that the agent and sshd read the same command and user from the files. If the agent missed a line that sshd
/// reads, a chained command could run as root.
fn understand(machine: &SshdState, filed: &EffectiveCommand) -> Result<(), EnableError> {
    let sources = Sources::read(&machine.config);
    if let Some(unclear) = sources.unclear.first() {
        return Err(EnableError::LeftAlone(format!(
            "{unclear}; releases of sshd read this in different ways, so --chain refuses it: write it in plain form, then run this again"
        )));
    }
    let is_set = |value: &&str| !value.eq_ignore_ascii_case("none");
    let (command, user) = sources.general();
    let is_read =
        command.filter(is_set) == filed.command.as_deref() && user.filter(is_set) == filed.user.as_deref();
    // The command is inside a Match that applies to every login, and stays there. `try_beside` reports it if it wins
    // over ours.
    let is_conditional = sources.conditional().any(|setting| Some(&setting.value) == filed.command.as_ref());
    if is_read || is_conditional {
        return Ok(());
    }
    Err(EnableError::LeftAlone(format!(
        "sshd reports AuthorizedKeysCommand {} as user {}, but its files set {} as user {}; find the line that sets it",
        shown(filed.command.as_deref()),
        shown(filed.user.as_deref()),
        shown(command),
        shown(user)
    )))
}

/// Repeats the checks of [`chain_of`] and [`keep_users_of_matches`] after our lines were written.
pub(super) fn judge_written(
    machine: &SshdState,
    in_force: &CommandsInForce,
    pair: &CommandAndUser,
) -> Result<(), EnableError> {
    if pair.command.contains(" -- ") {
        let now = EffectiveCommand {
            command: Some(pair.command.clone()),
            user: Some(pair.user.clone()),
            takes_keys: true,
        };
        understand(machine, &now)?;
    }
    keep_users_of_matches(machine, &in_force.filed, pair)
}

/// A supplementary group of this user, if there is one. The agent runs commands without supplementary groups.
fn supplementary_group(user: &str) -> Option<String> {
    let groups = eic_host::files::read_regular(Path::new("/etc/group"), MAX_GROUP_BYTES).ok()?;
    let groups = String::from_utf8_lossy(&groups).into_owned();
    groups.lines().find_map(|line| {
        let (name, members) = (line.split(':').next()?, line.split(':').nth(3)?);
        members.split(',').any(|member| member.trim() == user).then(|| name.to_owned())
    })
}

/// If a `Match` sets a command and no user, sshd runs the command as the user that is set outside of the `Match`.
/// Refuses to change that user: the command could then run as root.
pub(super) fn keep_users_of_matches(
    machine: &SshdState,
    filed: &EffectiveCommand,
    pair: &CommandAndUser,
) -> Result<(), EnableError> {
    if filed.user.as_deref() == Some(&pair.user) {
        return Ok(());
    }
    let sources = Sources::read(&machine.config);
    if let Some(hidden) = sources.hidden().next() {
        return Err(EnableError::LeftAlone(format!(
            "an AuthorizedKeysCommand may be set at {hidden}, and would run as {}; releases of sshd read this in different ways: write it in plain form, then run this again",
            pair.user
        )));
    }
    let becomes_other = pair.command.contains(" --provider-user ");
    if let Some(user) = sources.without_command().find(|_| becomes_other) {
        return Err(EnableError::LeftAlone(format!(
            "for logins of \"Match {}\", sshd would run eic-agent as {} ({user}), and that user cannot run a command as another user; write an AuthorizedKeysCommand below that line, then run this again",
            user.within.as_deref().unwrap_or_default(),
            printable(&user.value, MAX_SHOWN)
        )));
    }
    let Some(lacking) = sources.without_user().next() else { return Ok(()) };
    Err(EnableError::LeftAlone(format!(
        "the AuthorizedKeysCommand of {lacking}, inside \"Match {}\", would run as {} instead of {}; write its own AuthorizedKeysCommandUser below it, then run this again",
        lacking.within.as_deref().unwrap_or_default(),
        pair.user,
        filed.user.as_deref().unwrap_or("no user")
    )))
}
