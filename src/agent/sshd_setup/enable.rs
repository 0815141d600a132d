//! `enable`: makes sshd run this program. If that fails, it restores the files, and reports the reason. If it cannot
//! restore a file, it reports that too.

use std::io::Write;
use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_core::text::one_line;
use eic_host::sshd::block;
use eic_host::sshd::command::{CommandOwner, is_agents, moved, split};
use eic_host::sshd::place::{Place, read_config};
use eic_host::sshd::replace::lock;
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::sources::Sources;
use eic_host::sshd::units;
use eic_login::config::CommandLine;
use eic_login::privileges::give_up_root;

use super::chain::{chain_of, judge_written, keep_users_of_matches};
use super::install::{CommandAndUser, EnableError, own_pair, put_in, undo};
use super::memory_folder;
use super::pin::{Plan, other_settings};
use super::{
    CommandsInForce, Inspection, OtherServer, ProgramState, SetupFault, SshdState, shown, user_fault,
    where_from,
};
use crate::advice::Reader;
use crate::cli::EnableArgs;
use crate::config::unsupported;
use crate::environment;
use crate::outcome::Outcome;
use crate::settings;

pub(crate) fn run(arguments: &EnableArgs, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let reader = Reader::detect();
    let mut say = |line: String| {
        let _ = writeln!(out, "{}", one_line(&reader.adapt(&line)));
    };
    let (outcome, before, why) = match enable(arguments, &mut say) {
        Ok(()) => return Outcome::Done,
        Err(EnableError::Failed(why)) => (Outcome::Undecided, "nothing is changed: ", why),
        Err(EnableError::LeftAlone(why)) => (Outcome::LeftAlone, "nothing is changed: ", why),
        Err(EnableError::Stuck(why)) => (Outcome::Undecided, "", why),
    };
    let _ = writeln!(notes, "{IDENT}: {before}{}", one_line(&reader.adapt(&why)));
    outcome
}

fn enable(arguments: &EnableArgs, say: &mut impl FnMut(String)) -> Result<(), EnableError> {
    super::need_root()?;
    // Held to the end, so that no other run changes the files between our reads and writes.
    let _held = lock().map_err(|error| format!("cannot get the lock: {error}"))?;
    let machine = SshdState::find()?;
    // Remove the temporary files of an interrupted run.
    let place = Place::find(&machine.config).map_err(|error| format!("sshd's configuration: {error}"))?;
    place.sweep().map_err(|error| format!("{}: {error}", machine.config.display()))?;
    let wrong = |error| format!("{}: {error}", machine.config.display());
    machine.server.test(&machine.config).map_err(wrong)?;
    if let Some(unclear) = machine.unclear().filter(|_| machine.says_more_than_flags()) {
        return Err(EnableError::Failed(unclear));
    }
    let in_force = machine.in_force().map_err(wrong)?;
    check_overrides(&machine, &in_force)?;
    let plan = if arguments.pin { Some(plan_pin(&machine, &in_force)?) } else { None };
    if machine.command_owner(&in_force.filed) == CommandOwner::Ours {
        say(format!(
            "sshd already uses eic-agent: AuthorizedKeysCommand {}",
            shown(in_force.filed.command.as_deref())
        ));
        if let Some(fault) = user_fault(in_force.filed.user.as_deref())? {
            return Err(EnableError::Failed(fault.seen));
        }
        check_program(in_force.filed.command.as_deref(), in_force.filed.user.as_deref(), say)?;
        // Reload, because an earlier run may have been interrupted before its reload.
        reload_or_advise(&machine, &in_force, units::reload_sshd()?, say);
    } else {
        wire(&machine, &in_force, arguments.chain, say)?;
    }
    if let Some(plan) = plan {
        say(plan.carry_out().map_err(EnableError::Stuck)?);
    }
    for line in warnings(&machine) {
        say(line);
    }
    match memory_folder::make() {
        Ok(done) => done.into_iter().for_each(&mut *say),
        Err(why) => say(format!("warning: {why}")),
    }
    // The unit runs `status`, which renews the same record in another process.
    let settings = settings::resolve(&CommandLine::default());
    let before =
        settings.as_ref().map(|settings| environment::renew_record(settings, None)).unwrap_or_default();
    if let Err(why) = units::start_own() {
        say(format!("warning: {why}"));
    }
    // Last, because it gives up root's rights.
    match settings {
        Err(error) => say(format!("warning: no pushed key can log in: {}: {error}", error.reason())),
        Ok(settings) => {
            let kept = give_up_root().err();
            for fault in unsupported(&settings, &before, kept.as_ref()) {
                say(format!("warning: no pushed key can log in: {fault}"));
            }
            if let Some(why) = environment::undecided_sessions(&settings, &before) {
                say(format!("warning: {why}"));
            }
        }
    }
    Ok(())
}

/// Plans the change of `--pin`. If our line in sshd's configuration names another settings file, this fails: only the
/// operator changes that file.
fn plan_pin(machine: &SshdState, in_force: &CommandsInForce) -> Result<Plan, String> {
    let command = in_force.running.as_ref().unwrap_or(&in_force.filed).command.as_deref();
    let is_ours = matches!(machine.command_owner(&in_force.filed), CommandOwner::Ours);
    if let Some(file) = other_settings(command.filter(|_| is_ours)) {
        return Err(format!(
            "sshd runs this program with the settings file {}; write region and domain below its [trust]",
            file.display()
        ));
    }
    Plan::make()
}

fn wire(
    machine: &SshdState,
    in_force: &CommandsInForce,
    chain: bool,
    say: &mut impl FnMut(String),
) -> Result<(), EnableError> {
    let pair = pair(machine, &in_force.filed, chain)?;
    keep_users_of_matches(machine, &in_force.filed, &pair)?;
    check_program(Some(&pair.command), Some(&pair.user), say)?;
    let change = put_in(machine, &pair)?;
    // Check again: another program that runs as root may have changed the files after the first check.
    if let Err(refusal) = judge_written(machine, in_force, &pair) {
        undo(change).map_err(EnableError::Stuck)?;
        return Err(refusal);
    }
    let reloaded = match units::reload_sshd() {
        Ok(reloaded) => reloaded,
        Err(why) => {
            undo(change).map_err(EnableError::Stuck)?;
            // sshd may have read the new configuration before the reload failed. Make it read the old one again.
            return Err(match units::reload_sshd() {
                Ok(_) => EnableError::Failed(why),
                Err(_) => EnableError::Stuck(format!(
                    "the files are restored, but the running sshd may have read the new ones: {why}"
                )),
            });
        }
    };
    say(format!("wrote {}", change.path().display()));
    say(format!("AuthorizedKeysCommand {}", pair.command));
    say(format!("AuthorizedKeysCommandUser {}", pair.user));
    if chain && pair.command.contains(" -- ") {
        let timeout = settings::resolve(&CommandLine::default())
            .map_or(5.0, |settings| settings.timeout.value.as_secs_f64());
        say(format!("note: the chained command gets the same timeout (imds.timeout, {timeout} s)"));
    }
    reload_or_advise(machine, in_force, reloaded, say);
    Ok(())
}

/// Fails if sshd could not run the program of this command.
fn check_program(
    command: Option<&str>,
    user: Option<&str>,
    say: &mut impl FnMut(String),
) -> Result<(), EnableError> {
    let program = split(command.unwrap_or_default()).into_iter().next().unwrap_or_default();
    match ProgramState::of(Path::new(&program), user) {
        ProgramState::Faulty(fault) => return Err(EnableError::Failed(fault.to_string())),
        ProgramState::Unknown(why) => {
            say(format!("warning: it is not known whether sshd can run this program: {why}"));
        }
        ProgramState::Runs | ProgramState::Insecure(_) => {}
    }
    Ok(())
}

fn reload_or_advise(
    machine: &SshdState,
    in_force: &CommandsInForce,
    reloaded: Option<String>,
    say: &mut impl FnMut(String),
) {
    match (reloaded, &machine.listener) {
        (Some(done), _) => say(done),
        // A server that was started with its own command keeps that command after a reload.
        (None, Some(listener)) if in_force.running.is_none() => {
            say(format!("sshd (pid {0}) has no systemd unit; reload it: sudo kill -HUP {0}", listener.pid));
        }
        (None, _) => {}
    }
}

/// Fails if a command that is neither ours nor Amazon's overrides all files: on the command line of the running server,
/// or in its unit for the next start.
fn check_overrides(machine: &SshdState, in_force: &CommandsInForce) -> Result<(), EnableError> {
    let overrides = units::overrides();
    if let Some(running) =
        in_force.running.as_ref().filter(|running| machine.command_owner(running) == CommandOwner::Other)
    {
        let fix =
            if overrides.is_empty() { "find out what starts it".to_owned() } else { where_from(&overrides) };
        return Err(EnableError::LeftAlone(format!(
            "sshd was started with -o AuthorizedKeysCommand {}, which overrides every file; {fix}",
            shown(running.command.as_deref())
        )));
    }
    let foreign: Vec<_> = overrides.into_iter().filter(|file| !units::starts_amazons(file)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(EnableError::LeftAlone(format!(
        "sshd's unit starts it with another AuthorizedKeysCommand, which overrides every file; {}",
        where_from(&foreign)
    )))
}

/// The settings to write: our command, with the command in force chained behind it if `chain` is set.
fn pair(machine: &SshdState, filed: &EffectiveCommand, chain: bool) -> Result<CommandAndUser, EnableError> {
    let (CommandOwner::Other, Some(command)) = (machine.command_owner(filed), filed.command.as_deref())
    else {
        return own_pair(machine);
    };
    let sources = Sources::read(&machine.config);
    let place = sources.of_command(command);
    let is_in_our_block = || {
        let content = place.and_then(|place| read_config(&place.file).ok().flatten());
        content.is_some_and(|content| block::holds(&content, command))
    };
    // Our own line, from before this program was moved.
    if is_agents(command) && is_in_our_block() {
        let user = filed.user.clone().unwrap_or_else(|| IDENT.to_owned());
        return match moved(command, &machine.own) {
            Some(command) => Ok(CommandAndUser { command, user }),
            None => own_pair(machine),
        };
    }
    if chain {
        return chain_of(machine, command, filed.user.as_deref().unwrap_or_default());
    }
    Err(EnableError::LeftAlone(format!(
        "another AuthorizedKeysCommand is in force{}: {} as {}; to run both, run: sudo eic-agent enable --chain",
        place.map_or_else(String::new, |place| format!(" ({place})")),
        shown(Some(command)),
        filed.user.as_deref().unwrap_or("no user")
    )))
}

/// Notes and warnings for the operator after a successful run.
fn warnings(machine: &SshdState) -> Vec<String> {
    let mut lines = Vec::new();
    let sources = Sources::read(&machine.config);
    for except in sources.conditional() {
        lines.push(format!(
            "note: logins of \"Match {}\" keep the AuthorizedKeysCommand of {except}",
            except.within.as_deref().unwrap_or_default()
        ));
    }
    for hidden in sources.hidden() {
        lines.push(format!("warning: sshd may read another AuthorizedKeysCommand at {hidden}"));
    }
    for other in OtherServer::all(machine) {
        lines.push(format!("note: this does not change another {other}"));
    }
    lines.extend(machine.unclear().map(|unclear| format!("warning: {unclear}")));
    let overrides = units::overrides();
    if !overrides.is_empty() {
        lines.push(format!(
            "warning: sshd's unit sets an AuthorizedKeysCommand that overrides every file: {}",
            where_from(&overrides)
        ));
    } else if let Some(fault) = remaining(machine) {
        lines.push(format!("warning: {fault}"));
    }
    lines
}

/// Why the running server still does not use this program, by the judgement of `status`. This does not check whether
/// the server has read the files: `enable` has just reloaded it, or has told the operator to reload it.
fn remaining(machine: &SshdState) -> Option<SetupFault> {
    let after = Inspection::of_files(machine.clone(), None).ok()?;
    after.wired(|wired| wired.filed_faults().ok()?.into_iter().next())
}
