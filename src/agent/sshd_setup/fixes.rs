//! What to do if sshd does not run this program.

use eic_core::audit_line::IDENT;
use eic_host::sshd::command::{CommandOwner, chained, command_owner};

use super::chain::chain_of;
use super::diagnose::{SetupState, shown_reload};
use crate::advice::Fix;

impl SetupState<'_> {
    /// How to make sshd run this program.
    pub(super) fn fix(&self) -> Fix {
        if !self.machine.is_main {
            return self.fix_by_hand();
        }
        // `enable` cannot override a Match.
        let Some(winner) = self.winner().filter(|winner| winner.within.is_some()) else {
            return self.fix_by_enable();
        };
        let reload = shown_reload(self.machine);
        Fix::Do(match self.both() {
            Some(pair) => {
                format!("remove {winner}, or run both: write {pair} there; then: {reload}")
            }
            None => format!("remove {winner}, then: {reload}"),
        })
    }

    /// The fix by `enable`, which keeps another command only if it can chain it.
    fn fix_by_enable(&self) -> Fix {
        let command = self.running.command.as_deref().unwrap_or_default();
        if command_owner(Some(command), &self.machine.own) != CommandOwner::Other {
            return Fix::Run(format!("{IDENT} enable"));
        }
        let user = self.running.user.as_deref().unwrap_or_default();
        let (Err(refused), Some(winner)) = (chain_of(self.machine, command, user), self.winner()) else {
            return Fix::Run(format!("{IDENT} enable --chain"));
        };
        Fix::Do(format!(
            "correct this, then run: sudo {IDENT} enable --chain. {refused}. If nothing needs that command, remove {winner} and run: sudo {IDENT} enable"
        ))
    }

    /// What to do in the configuration of a server that `enable` does not change.
    fn fix_by_hand(&self) -> Fix {
        let (own, config) = (self.machine.own.display(), self.machine.config.display());
        let takes = match self.winner() {
            Some(winner) if self.running.command.is_some() => format!("remove {winner}, and "),
            _ => String::new(),
        };
        Fix::Do(format!(
            "to use {IDENT} there, {takes}write \"AuthorizedKeysCommand {own} authorized-keys %u %f\" and \"AuthorizedKeysCommandUser {IDENT}\" at the start of {config}, then: {}",
            shown_reload(self.machine)
        ))
    }

    /// Settings for sshd that chain the command in force: sshd runs this program, and this program runs that command. The
    /// command keeps its present user.
    fn both(&self) -> Option<String> {
        let (command, user) = (self.running.command.as_deref()?, self.running.user.as_deref()?);
        let own = &self.machine.own;
        let stays = user == "root" || user.contains('%');
        let line = chained(own, command, (!stays).then_some(user)).ok()?;
        let (command, runs) = self.machine.server.accepts_pair(&line, if stays { user } else { "root" })?;
        Some(if stays { command.to_string() } else { format!("{command} and {runs}") })
    }
}
