//! Constants that the writer and the reader of the agent's log lines share.

/// The name of the program, of its user, and of the writer of its log lines.
pub const IDENT: &str = "eic-agent";

/// The beginning of the line about a session with the wrapper. The user's name follows.
pub const SESSION: &str = "Session with a key from EC2 Instance Connect for user ";

/// Separates the line about a key from the reason why its sessions have no wrapper.
pub const NOT_WRAPPED: &str = "; session without the wrapper: ";

/// Separates the text of an event from the inputs that were chosen on the command line.
pub const CHOSEN_INPUTS: &str = "; chosen inputs: ";

/// Begins the part with the request ids of further pushes of the key by the same principal. A space separates them.
pub const FURTHER_REQUESTS: &str = "; further request-ids: ";

/// Maximum number of further request ids in a line. Another line has the rest.
pub const MAX_FURTHER: usize = 24;

/// Longest line with further request ids, in bytes. So no number of pushes makes a line so long that a receiver cuts off
/// the rule and the options at its end. Every syslog receiver should accept 2,048 bytes (RFC 5424 section 6.1), and the
/// daemon adds its header.
pub const MAX_LINE: usize = 2048 - 128;

/// Longest list of further request ids in a line, in bytes.
pub const MAX_FURTHER_BYTES: usize = 1024;

/// Begins the part with the signer's certificates that have no staple.
pub const UNSTAPLED: &str = "; without an OCSP staple for ";

/// Begins the part with the name of the rule that allows the key.
pub const ALLOWED_BY: &str = "; allowed by rule: ";

/// Begins the part with the options on the key's line.
pub const WITH_OPTIONS: &str = "; with options: ";

/// Longest principal in a line, in characters. IAM's longest ARN has this length.
pub const MAX_PRINCIPAL: usize = 2048;

/// Longest options in a line, in characters. journalctl leaves out a field of more than 4,096 bytes.
pub const MAX_OPTIONS: usize = 1024;
