//! How a command ended.

use eic_login::run;

/// How a run ended; `main` makes the exit status of it.
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
    /// What a supervised provider ended with.
    Provider(u8),
}

impl Outcome {
    /// The status to exit with.
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
