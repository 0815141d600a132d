//! The result of a command.

use eic_login::run;

/// The result of a command. `main` turns it into the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Finished, with or without a key. Status 0.
    Done,
    /// No decision could be made (`verify`: no key was accepted; `config`: a fault). Status 1.
    Undecided,
    /// The command line is wrong, or an input that it names cannot be read. Status 2.
    Usage,
    /// Another command is in force and was left alone (`enable`). Status 3.
    LeftAlone,
    /// The exit status of a supervised provider.
    Provider(u8),
}

impl Outcome {
    /// The exit status of the process.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Undecided => 1,
            Self::Usage => 2,
            Self::LeftAlone => 3,
            Self::Provider(status) => status,
        }
    }
}

impl From<run::RunOutcome> for Outcome {
    fn from(outcome: run::RunOutcome) -> Self {
        match outcome {
            run::RunOutcome::Done => Self::Done,
            run::RunOutcome::Undecided => Self::Undecided,
        }
    }
}
