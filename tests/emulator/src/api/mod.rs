//! The AWS API on one listener: EC2 Instance Connect and CloudTrail (AWS JSON 1.1), and the EC2 operations that their
//! clients use (query, XML).
//!
//! Requests must have a Signature Version 4 `Authorization` field. The emulator takes the caller from the access key.
//! It verifies the signature if it has principals. The signatures of tunnels are always verified.

mod connect;
mod ec2;
mod throttle;
mod trail;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::credentials::find;
use crate::directory::random_hex;
use crate::http::{Action, Answer, Handler, Request, Response, Wire};
use crate::location::region_of;
use crate::record::Service;
use crate::sigv4::{Scope, SignatureError, verify_request};
use crate::world::World;

pub use connect::ErrorKind;
pub(crate) use throttle::Buckets;
pub use throttle::{PushLimits, Rate};
pub(crate) use trail::{Call, Trail};

/// Handles the requests of the API listener.
pub(crate) struct Api(pub(crate) Arc<World>);

impl Handler for Api {
    fn connected(&self, _wire: &mut Wire) -> bool {
        true
    }

    fn handle(&self, request: &Request, connection: u64) -> Answer {
        let action = || Action::Respond(respond(&self.0, request));
        let (action, delay) = self.0.decide(Service::Api, request, connection, action);
        Answer { action, delay, keep_alive: true, now: self.0.now(), server: "Server" }
    }

    fn refuse(&self, status: u16, connection: u64) -> Answer {
        let action = self.0.refuse(Service::Api, status, connection);
        Answer { action, delay: Duration::ZERO, keep_alive: false, now: self.0.now(), server: "Server" }
    }
}

fn respond(world: &World, request: &Request) -> Response {
    if request.method != "POST" {
        return Response::status(405);
    }
    match request.header("x-amz-target") {
        Some(target) => {
            match target.strip_prefix("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.") {
                Some(operation) => trail::respond(world, request, operation),
                None => connect::respond(world, request, target),
            }
        }
        None => ec2::respond(world, request),
    }
}

/// The caller of a request to a service. Without principals, the access key alone names the caller.
fn authenticate<'w>(
    world: &'w World,
    request: &Request,
    service: &str,
) -> Result<Caller<'w>, SignatureError> {
    let config = &world.config;
    if config.principals.is_empty() {
        let key = access_key(request).ok_or(SignatureError::Missing)?;
        return Ok(Caller::of(config, key));
    }
    let scope = Scope { region: &region_of(&config.zone), service };
    let known = |key: &str, token: Option<&str>| find(&config.principals, key, token);
    let verified = verify_request(request, scope, world.now(), known)?;
    Ok(Caller::of(config, &verified.access_key))
}

/// The access key of a `AWS4-HMAC-SHA256 Credential=KEY/…` field.
fn access_key(request: &Request) -> Option<&str> {
    let fields = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = fields.split(',').find_map(|field| field.trim().strip_prefix("Credential="))?;
    // The longest access key of AWS has 128 characters.
    credential.split_once('/').map(|(key, _)| key).filter(|key| (1..=128).contains(&key.len()))
}

/// The answer of a JSON service to a bad signature. Public logs of clients show these names and messages.
fn signature_error(error: &SignatureError) -> Response {
    let (name, message) = match error {
        SignatureError::Missing => ("MissingAuthenticationTokenException", "Missing Authentication Token"),
        SignatureError::Incomplete(message) => ("IncompleteSignatureException", message.as_str()),
        SignatureError::UnknownKey => {
            ("UnrecognizedClientException", "The security token included in the request is invalid.")
        }
        SignatureError::ExpiredToken => {
            ("ExpiredTokenException", "The security token included in the request is expired")
        }
        SignatureError::Expired { .. } => ("InvalidSignatureException", "Signature expired"),
        SignatureError::Skewed(message) | SignatureError::Mismatch(message) => {
            ("InvalidSignatureException", message.as_str())
        }
    };
    json_answer(400, &json!({ "__type": name, "message": message })).header("x-amzn-RequestId", &request_id())
}

fn json_answer(status: u16, body: &Value) -> Response {
    Response { status, body: body.to_string().into(), ..Response::default() }
        .header("Content-Type", "application/x-amz-json-1.1")
}

/// A random UUID. AWS identifies requests by UUIDs.
pub(crate) fn request_id() -> String {
    let mut hex = random_hex(16);
    hex.replace_range(12..13, "4");
    hex.replace_range(16..17, "8");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_is_read_from_the_field() {
        let field = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEALICE/20250130/us-east-1/ec2/aws4_request, \
                     SignedHeaders=host, Signature=00";
        let headers = vec![("Authorization".to_owned(), field.to_owned())];
        let request = Request { headers, ..Request::default() };
        assert_eq!(access_key(&request), Some("AKIAEXAMPLEALICE"));
        assert_eq!(access_key(&Request::default()), None);
    }

    #[test]
    fn request_ids_are_uuids() {
        let id = request_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!((&id[14..15], &id[19..20]), ("4", "8"));
    }
}
