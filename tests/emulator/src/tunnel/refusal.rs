//! Refusals in the form of the endpoint: a status and `{"ErrorCode": …, "Message": …}`.
//!
//! Public logs of clients show the code `InvalidParameter` of the endpoint. The other codes are AWS's common errors
//! (IAM User Guide, "Common errors"), or the emulator's own where AWS names none.

use serde_json::json;

use crate::calendar::rfc3339;
use crate::http::Response;
use crate::sigv4::SignatureError;

/// Why a tunnel is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned() }
    }

    /// A parameter that is missing, occurs twice, or has a wrong value.
    pub(super) fn parameter(name: &str, instead: &str) -> Self {
        let message = format!(
            "The specified {name} is not valid. Specify {instead} as the {name} and retry your request."
        );
        Self::new(400, "InvalidParameter", &message)
    }

    /// The endpoint is another one, or of another account.
    pub(super) fn endpoint() -> Self {
        Self::parameter("InstanceConnectEndpointId", "the ID of this endpoint")
    }

    /// The caller's policies do not allow the tunnel.
    pub(super) fn by_policy(message: &str) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    pub(super) fn too_many_tunnels() -> Self {
        Self::new(429, "LimitExceeded", "The endpoint has as many tunnels as it allows. End one and retry.")
    }

    pub(super) fn response(&self, id: &str) -> Response {
        let body = json!({ "ErrorCode": self.code, "Message": self.message });
        let response = Response { status: self.status, body: body.to_string().into(), ..Response::default() }
            .header("Content-Type", "application/json")
            .header("x-amzn-RequestId", id);
        // RFC 6455, 4.4: the answer to another version names the known one.
        if self.status == 426 { response.header("Sec-WebSocket-Version", "13") } else { response }
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Missing => {
                Self::new(403, "MissingAuthenticationToken", "The request has no signature in its query")
            }
            SignatureError::Incomplete(message) => Self::new(400, "IncompleteSignature", &message),
            SignatureError::UnknownKey => {
                let message = "The security token included in the request is invalid";
                Self::new(403, "InvalidClientTokenId", message)
            }
            SignatureError::ExpiredToken => {
                Self::new(403, "ExpiredToken", "The security token included in the request is expired")
            }
            SignatureError::Expired { at } => {
                let message = format!("Signature expired at {}", rfc3339(at));
                Self::new(400, "RequestExpired", &message)
            }
            SignatureError::Skewed(message) => Self::new(400, "RequestExpired", &message),
            SignatureError::Mismatch(message) => Self::new(403, "SignatureDoesNotMatch", &message),
        }
    }
}
