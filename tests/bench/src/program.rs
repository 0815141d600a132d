//! The measured programs: the agent without and with a memory, the floor, and an optional program with the floor's
//! arguments.

use std::path::{Path, PathBuf};

use crate::world::World;

/// The kinds of runs: for a user with a pushed key, for a user without, and for a user with another key than the offered
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Key,
    NoKey,
    OtherKey,
}

/// The fingerprint of a key that is not pushed.
const OTHER: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Run {
    pub(crate) const ALL: [Self; 3] = [Self::Key, Self::NoKey, Self::OtherKey];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::NoKey => "no-key",
            Self::OtherKey => "other",
        }
    }

    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Key | Self::OtherKey => "ec2-user",
            Self::NoKey => "admin",
        }
    }
}

/// A measured program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    file: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The agent, which forgets everything before each run.
    Cold,
    /// The agent, which remembers what the last run stored.
    Warm,
    /// A program with the floor's arguments.
    Floor,
}

/// How a program is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) words: Vec<String>,
    /// Whether the memory is removed before the start. This is not measured.
    pub(crate) forgets: bool,
}

/// All measured programs.
pub(crate) struct Programs {
    pub(crate) all: Vec<Program>,
    /// The agent's file before its installation.
    pub(crate) agent: PathBuf,
}

impl Programs {
    pub(crate) fn install(world: &World, agent: &Path, floor: &Path, also: Option<&Path>) -> Self {
        let installed = world.install(agent, "eic-agent");
        let program = |name: &str, file: PathBuf, kind| Program { name: name.to_owned(), file, kind };
        let mut all = vec![
            program("cold", installed.clone(), Kind::Cold),
            program("warm", installed, Kind::Warm),
            program("floor", world.install(floor, "eic-floor"), Kind::Floor),
        ];
        all.extend(also.map(|file| program("also", world.install(file, "also"), Kind::Floor)));
        Self { all, agent: agent.to_owned() }
    }

    /// The agent without and with a memory.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &Program> {
        self.all.iter().filter(|program| program.kind != Kind::Floor)
    }
}

impl Program {
    /// The command line as sshd runs it.
    pub(crate) fn command(&self, run: Run, fingerprint: &str) -> Start {
        self.command_within(run, fingerprint, &[], &[])
    }

    /// The command line with a longer timeout, for many runs at once and for runs under valgrind.
    pub(crate) fn patient_command(&self, run: Run, fingerprint: &str) -> Start {
        self.command_within(run, fingerprint, &["--timeout", "60"], &[])
    }

    /// The command line with a provider that does nothing.
    pub(crate) fn command_with_a_provider(&self, run: Run, fingerprint: &str) -> Start {
        self.command_within(run, fingerprint, &["--provider-user", "provider"], &["--", "/usr/bin/true"])
    }

    fn command_within(&self, run: Run, fingerprint: &str, options: &[&str], provider: &[&str]) -> Start {
        let file = self.file.display().to_string();
        if self.kind == Kind::Floor {
            // The floor makes no difference between keys, so a user without one takes the place of another key.
            let user = if run == Run::OtherKey { Run::NoKey.user() } else { run.user() };
            return Start { words: vec![file, "169.254.169.254:80".into(), user.into()], forgets: false };
        }
        let offered = if run == Run::OtherKey { OTHER } else { fingerprint };
        let before = ["authorized-keys"].iter().chain(options);
        let words = before.copied().chain([run.user(), offered]).chain(provider.iter().copied());
        let words = std::iter::once(file).chain(words.map(str::to_owned)).collect();
        Start { words, forgets: self.kind == Kind::Cold }
    }
}
