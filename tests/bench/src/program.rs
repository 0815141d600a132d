//! The measured programs: the agent, the floor, and an optional third program with the floor's arguments.

use std::path::{Path, PathBuf};

use crate::world::World;

/// The two kinds of runs: for a user with a pushed key, and for a user without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Key,
    NoKey,
}

impl Run {
    pub(crate) const ALL: [Self; 2] = [Self::Key, Self::NoKey];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::NoKey => "no-key",
        }
    }

    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Key => "ec2-user",
            Self::NoKey => "admin",
        }
    }
}

/// A measured program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    file: PathBuf,
    is_agent: bool,
}

/// All measured programs, the agent first.
pub(crate) struct Programs {
    pub(crate) all: Vec<Program>,
    /// The agent's file before its installation.
    pub(crate) agent: PathBuf,
}

impl Programs {
    pub(crate) fn install(world: &World, agent: &Path, floor: &Path, also: Option<&Path>) -> Self {
        let program = |from: &Path, name: &str, installed: &str| Program {
            name: name.to_owned(),
            file: world.install(from, installed),
            is_agent: name == "agent",
        };
        let mut all = vec![program(agent, "agent", "eic-agent"), program(floor, "floor", "eic-floor")];
        all.extend(also.map(|file| program(file, "also", "also")));
        Self { all, agent: agent.to_owned() }
    }

    pub(crate) fn agent(&self) -> &Program {
        &self.all[0]
    }
}

impl Program {
    /// The command line as sshd runs it.
    pub(crate) fn command(&self, run: Run, fingerprint: &str) -> Vec<String> {
        self.command_within(run, fingerprint, &[])
    }

    /// The command line with a longer timeout, for many runs at once and for runs under valgrind.
    pub(crate) fn patient_command(&self, run: Run, fingerprint: &str) -> Vec<String> {
        self.command_within(run, fingerprint, &["--timeout", "60"])
    }

    fn command_within(&self, run: Run, fingerprint: &str, options: &[&str]) -> Vec<String> {
        let file = self.file.display().to_string();
        if !self.is_agent {
            return vec![file, "169.254.169.254:80".into(), run.user().into()];
        }
        let before = ["authorized-keys"].iter().chain(options);
        let words = before.copied().chain([run.user(), fingerprint]).map(str::to_owned);
        std::iter::once(file).chain(words).collect()
    }
}
