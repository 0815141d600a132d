//! `command-path`: whether sshd can run the program of the command, by sshd's own rules.

use std::path::PathBuf;

use eic_host::ownership::Insecure;
use eic_host::sshd::command::split;

use super::check::Check;
use super::sshd::{failed, not_asked};
use crate::sshd_setup::{ProgramState, SetupState, is_ours};

pub(super) const PATH: &str =
    "sshd runs the command only if no other user than root can change its path, and its own user can run it";

pub(super) fn command_path(wired: &SetupState<'_>) -> Check {
    const ID: &str = "command-path";
    let command = wired.running.command.as_deref();
    if !is_ours(command, &wired.machine.own) {
        return not_asked(ID, PATH);
    }
    let program = program_of(command);
    match ProgramState::of(&program, wired.running.user.as_deref()) {
        ProgramState::Runs => Check::ok(
            ID,
            PATH,
            format!("{}: only root can write it and the folders above it", program.display()),
        ),
        ProgramState::Faulty(fault) => failed(ID, PATH, fault),
        ProgramState::Unknown(why) => {
            let seen = format!("it is not known whether sshd can run {}: {why}", program.display());
            Check::skipped(ID, PATH, seen)
        }
        ProgramState::Insecure(insecure) => {
            let fix =
                insecure.remedy().map_or_else(|| insecure.advice("the program"), |fix| format!("sudo {fix}"));
            let seen = match &insecure {
                Insecure::Writable(place, mode) if mode & 0o002 == 0 => format!(
                    "the group of {} may write it; sshd still runs it, as long as only its owner is in that group",
                    place.display()
                ),
                insecure => format!("sshd runs it, but other users can change it: {}", insecure.seen()),
            };
            Check::warn(ID, PATH, seen, fix)
        }
    }
}

pub(super) fn program_of(command: Option<&str>) -> PathBuf {
    command.and_then(|command| split(command).into_iter().next()).unwrap_or_default().into()
}
