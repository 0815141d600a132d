//! `disable`: removes from sshd's configuration exactly the lines that `enable` wrote.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_core::text::one_line;
use eic_host::sshd::block;
use eic_host::sshd::command::{CommandOwner, command_owner};
use eic_host::sshd::environment::record::PLACE;
use eic_host::sshd::listener::Listener;
use eic_host::sshd::place::{Place, read_config};
use eic_host::sshd::replace::{Change, lock};
use eic_host::sshd::server::{CONFIG, Server};
use eic_host::sshd::sources::Sources;
use eic_host::sshd::units;
use eic_host::sshd::{record, session};
use eic_login::memory::FOLDER;

use super::diagnose::reload_command;
use super::install::undo;
use super::memory_folder;
use super::{DROP_IN, shown};
use crate::advice::Reader;
use crate::outcome::Outcome;

pub(crate) fn run(out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let reader = Reader::detect();
    let mut say = |line: String| {
        let _ = writeln!(out, "{}", one_line(&reader.adapt(&line)));
    };
    match disable(&mut say) {
        Ok(()) => Outcome::Done,
        Err(why) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&reader.adapt(&why)));
            Outcome::Undecided
        }
    }
}

/// Works without sshd: our lines are removed even if sshd was uninstalled, or refuses its configuration.
fn disable(say: &mut impl FnMut(String)) -> Result<(), String> {
    super::need_root()?;
    let _held = lock().map_err(|error| format!("cannot get the lock: {error}"))?;
    // An sshd that other users can change is not run. It is not needed here.
    let server = Server::find().ok().flatten();
    let servers = server.as_ref().map(|server| Listener::all(server.program())).unwrap_or_default();
    let mut changes = Vec::new();
    let (places, mut faults) = super::places(&servers);
    let of_unit = units::sshd_pid();
    let (listener, others) = super::chosen(servers, of_unit);
    let running = listener.as_ref().map(|listener| listener.pid);
    let unknown = listener.as_ref().and_then(Listener::unknown_config).map(|(seen, _)| seen);
    let config = listener.and_then(|listener| listener.config).filter(|_| unknown.is_none());
    let config = config.as_deref().unwrap_or(Path::new(CONFIG));
    let test = || server.as_ref().and_then(|server| server.test(config).err());
    // Before the changes, a configuration that other users can change is not tested. It counts as unsound.
    let was_sound = server.is_some() && faults.is_empty() && test().is_none();
    for file in &places {
        match take_out(file) {
            Ok(None) => {}
            Ok(Some(change)) => changes.push(change),
            Err(why) => faults.push(why),
        }
    }
    // After the changes, test even such a configuration: a reload makes sshd read it, and sshd exits if it is invalid.
    let refused = if changes.is_empty() { None } else { test() };
    if let Some(error) = refused.as_ref().filter(|_| was_sound) {
        for change in changes.into_iter().rev() {
            undo(change)?;
        }
        return Err(format!("nothing is changed: {error}"));
    }
    for change in &changes {
        let what = if change.removed() { "removed" } else { "removed eic-agent's lines from" };
        say(format!("{what} {}", change.path().display()));
    }
    if changes.is_empty() && faults.is_empty() {
        say("sshd's configuration has no lines of eic-agent".to_owned());
    }
    if !changes.is_empty() {
        let in_the_way = unknown.or_else(|| refused.map(|error| error.to_string()));
        let reloaded = in_the_way.map_or_else(units::reload_sshd, Err);
        say_what_runs(reloaded, running.map(|pid| (pid, Some(pid) == of_unit)), &mut *say);
        for other in others {
            say(format!("note: another {}", keeps(other.pid)));
        }
    }
    if faults.is_empty() {
        left_over(Path::new(CONFIG)).into_iter().for_each(&mut *say);
    }
    unread(&places).into_iter().for_each(&mut *say);
    for place in [PLACE, session::PLACE] {
        if let Err(error) = record::remove(Path::new(place)) {
            say(format!("warning: {place}: {error}"));
        }
    }
    if faults.is_empty() {
        // systemd-tmpfiles(8) or `enable` makes it again.
        if let Err(error) = memory_folder::remove() {
            say(format!("warning: {FOLDER}: {error}"));
        }
    }
    if let Err(why) = units::stop_own() {
        say(format!("warning: {why}"));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!("eic-agent's lines may still be there: {}", faults.join("; ")))
    }
}

/// Says what was reloaded. If a server was not reloaded, it still runs a program that may soon be uninstalled, or a provider
/// that is chained to it. The exit status is about the files, so that the package can be removed from such a machine.
fn say_what_runs(
    reloaded: Result<Option<String>, String>,
    running: Option<(u32, bool)>,
    say: &mut impl FnMut(String),
) {
    match (reloaded, running) {
        (Ok(Some(done)), _) => say(done),
        (Ok(None), None) => {}
        (Ok(None), Some((pid, is_unit))) => {
            say(format!("note: {}; run: sudo {}", keeps(pid), reload_command(pid, is_unit)));
        }
        (Err(why), None) => say(format!("warning: sshd was not reloaded: {why}")),
        (Err(why), Some((pid, is_unit))) => say(format!(
            "warning: sshd was not reloaded: {why}; {}; correct that, then: sudo {}",
            keeps(pid),
            reload_command(pid, is_unit)
        )),
    }
}

fn keeps(pid: u32) -> String {
    format!("sshd (pid {pid}) keeps what it read before, and may still run eic-agent")
}

/// Files of `/etc/ssh` that have our lines, and that no running server reads: a backup, or the configuration of a
/// stopped server.
fn unread(places: &[PathBuf]) -> Vec<String> {
    let are_read: Vec<_> = places.iter().filter_map(|place| place.canonicalize().ok()).collect();
    let is_read = |file: &Path| file.canonicalize().is_ok_and(|real| are_read.contains(&real));
    let entries = std::fs::read_dir("/etc/ssh").into_iter().flatten().filter_map(Result::ok);
    let files = entries.map(|entry| entry.path()).filter(|path| path.is_file() && !is_read(path));
    let ours = files.filter(|file| {
        read_config(file).ok().flatten().is_some_and(|content| block::take_out(&content).is_some())
    });
    ours.map(|file| {
        format!("note: {} has eic-agent's lines, and no running sshd reads it; not changed", file.display())
    })
    .collect()
}

/// Removes our lines from a file. `None` if it has none, or is not a regular file.
fn take_out(file: &Path) -> Result<Option<Change>, String> {
    let fault = |error: std::io::Error| format!("{}: {error}", file.display());
    if !file.is_file() {
        // A killed run may have left its temporary file even if the file itself does not exist.
        let is_absent = file.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if let (true, Ok(place)) = (is_absent, Place::find(file)) {
            place.sweep().map_err(fault)?;
        }
        return Ok(None);
    }
    let place = Place::find(file).map_err(|error| error.to_string())?;
    place.sweep().map_err(fault)?;
    let Some(rest) = place.content().and_then(block::take_out) else { return Ok(None) };
    // Delete our drop-in, unless it has other lines too or is a symbolic link.
    let is_own = file == Path::new(DROP_IN) && file.symlink_metadata().is_ok_and(|file| file.is_file());
    let after = if is_own && rest.is_empty() { None } else { Some(rest) };
    let like = Place::find(file).map_err(|error| error.to_string())?;
    Change::make(place, after, &like).map(Some).map_err(fault)
}

/// Notes about lines that name this program and that `enable` did not write. Their author must remove them.
fn left_over(config: &Path) -> Vec<String> {
    let Ok(own) = super::own_program() else { return Vec::new() };
    let sources = Sources::read(config);
    let ours = sources
        .commands
        .iter()
        .filter(|command| command_owner(Some(&command.value), &own) == CommandOwner::Ours);
    ours.map(|command| {
        format!(
            "note: {command} still names this program; enable did not write it: {}",
            shown(Some(&command.value))
        )
    })
    .collect()
}
