//! What a push says of itself.

use alloc::string::String;

/// What the push said of itself, printable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushClaim {
    /// ARN of the IAM principal.
    pub principal: Option<String>,
    /// The id of the push in CloudTrail.
    pub request_id: Option<String>,
}
