//! What the writer of the agent's log lines and their reader have in common.

/// The name of the program: of its user, and of the writer of its log lines.
pub const IDENT: &str = "eic-agent";

/// Separates an event's own text from the inputs that the command line chose.
pub const CHOSEN_INPUTS: &str = "; chosen inputs: ";
