//! Claims of a push.

use alloc::boxed::Box;
use alloc::string::String;

/// The claims of a push, printable. They are not proof: see [`TrustedPush`](super::writer::TrustedPush).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushClaim {
    /// ARN of the IAM principal.
    pub principal: Option<String>,
    /// The id of the push request in CloudTrail.
    pub request_id: Option<String>,
    /// What allowed the key. `None` if the line does not say it.
    pub grant: Option<Box<Grant>>,
}

/// What allowed a key. Older releases of the agent did not log it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The name of the rule. `None` if no rule matched.
    pub rule: Option<String>,
    /// The options on the key's line, cut if they are long. `None` if there are none.
    pub options: Option<String>,
}
