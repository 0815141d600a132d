//! Constants that the writer and the reader of the agent's log lines share.

/// The name of the program, of its user, and of the writer of its log lines.
pub const IDENT: &str = "eic-agent";

/// Separates the text of an event from the inputs that were chosen on the command line.
pub const CHOSEN_INPUTS: &str = "; chosen inputs: ";
