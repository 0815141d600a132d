//! Claims of a push.

use alloc::string::String;

/// The claims of a push, printable. They are not proof: see [`TrustedPush`](super::writer::TrustedPush).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushClaim {
    /// ARN of the IAM principal.
    pub principal: Option<String>,
    /// The id of the push request in CloudTrail.
    pub request_id: Option<String>,
}
