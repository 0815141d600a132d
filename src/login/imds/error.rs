//! Errors of the communication with the metadata service, with messages for the operator.

use std::fmt;
use std::time::Duration;

use eic_core::identity::InstanceId;
use eic_core::reason::Reason;
use eic_host::instance::Machine;

/// Why the metadata service gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImdsError {
    /// No connection to any endpoint. Holds the endpoints and the last failure.
    Unreachable(String, String),
    /// The deadline passed before the answer was complete.
    Timeout {
        /// The path of the request.
        path: String,
        /// The time limit of the whole run.
        allowed: Duration,
        /// The result of the last attempt.
        last: String,
    },
    /// 429 or 5xx until the deadline. Holds the path and the last status.
    Throttled(String, u16),
    /// 403: the service is disabled for this instance, or it refuses a forwarded request. Holds the path, and the
    /// instance if it is known without the service.
    Forbidden(String, Option<InstanceId>),
    /// 401 with a new token. Holds the path.
    TokenRefused(String),
    /// A status that the service does not use. Holds the path and the status.
    Status(String, u16),
    /// 404 for an item that every instance has. Holds the path.
    Missing(String),
    /// The answer violates HTTP, a limit or the item's format. Holds the path and the fault.
    Malformed(String, String),
}

impl ImdsError {
    /// The stable reason of this failure.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(..) => Reason::MetadataUnreachable,
            Self::Timeout { .. } => Reason::MetadataTimeout,
            Self::Throttled(..) => Reason::MetadataThrottled,
            Self::Forbidden(..) => Reason::MetadataForbidden,
            Self::TokenRefused(_) => Reason::MetadataTokenRefused,
            Self::Missing(_) => Reason::MetadataMissing,
            Self::Status(..) | Self::Malformed(..) => Reason::MetadataMalformed,
        }
    }
}

impl ImdsError {
    /// The same error, with the id of the instance on which it occurred.
    #[must_use]
    pub fn on(self, machine: &Machine) -> Self {
        match self {
            Self::Forbidden(path, _) => Self::Forbidden(path, machine.id().cloned()),
            other => other,
        }
    }
}

/// The command that changes an option of an instance's metadata service. Under Xen, only that service knows the id.
#[must_use]
pub fn change_option(instance: Option<&InstanceId>, option: &str) -> String {
    match instance {
        Some(id) => format!("aws ec2 modify-instance-metadata-options --instance-id {id} {option}"),
        None => {
            format!(
                "aws ec2 modify-instance-metadata-options {option} --instance-id ID (ID: the id of this instance)"
            )
        }
    }
}

impl fmt::Display for ImdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(endpoints, last) => write!(
                f,
                "no connection to {endpoints} ({last}); check that the metadata service is on and that no firewall or route blocks it"
            ),
            Self::Timeout { path, allowed, last } => write!(
                f,
                "no answer for {path} within {} s in all ({last}); check the instance's link-local traffic",
                allowed.as_secs_f32()
            ),
            Self::Throttled(path, status) => write!(
                f,
                "{path} answered {status} until the deadline; the instance sends too many packets to link-local services, or the service has a fault"
            ),
            Self::Forbidden(path, instance) => write!(
                f,
                "{path} answered 403; enable the metadata service: {}",
                change_option(instance.as_ref(), "--http-endpoint enabled")
            ),
            Self::TokenRefused(path) => {
                write!(f, "{path} answered 401 to a fresh token; is a proxy in between?")
            }
            Self::Status(path, status) => {
                write!(
                    f,
                    "expected 200 or 404 from {path}, got {status}; does another program answer instead of the metadata service?"
                )
            }
            Self::Missing(path) => {
                write!(
                    f,
                    "expected {path} to be there, got 404; is EC2 Instance Connect available in this region?"
                )
            }
            Self::Malformed(path, why) => {
                write!(f, "the answer for {path} is not what the metadata service sends: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_instance_if_it_is_known() {
        let id = "i-0123456789abcdef0";
        for (machine, advice) in [
            (
                Machine::Known(id.parse().unwrap()),
                "options --instance-id i-0123456789abcdef0 --http-endpoint enabled",
            ),
            (Machine::Xen, "options --http-endpoint enabled --instance-id ID (ID: the id of this instance)"),
        ] {
            let said = ImdsError::Forbidden("/x".to_owned(), None).on(&machine).to_string();
            assert!(said.starts_with("/x answered 403; ") && said.ends_with(advice), "{said}");
        }
    }
}
