//! The AWS API on one listener: EC2 Instance Connect and CloudTrail (AWS JSON 1.1), and the EC2 operations that their
//! clients use (query, XML).
//!
//! Requests must have a Signature Version 4 `Authorization` field. The emulator takes the caller from the access key
//! and does not verify the signature. Only the signatures of tunnels are verified.

mod connect;
mod ec2;
mod trail;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::DEFAULT_CALLER;
use crate::directory::random_hex;
use crate::http::{Action, Answer, Handler, Request, Response, Wire};
use crate::record::Service;
use crate::world::World;

pub use connect::ErrorKind;
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

/// The access key of a `AWS4-HMAC-SHA256 Credential=KEY/…` field.
fn access_key(request: &Request) -> Option<&str> {
    let fields = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = fields.split(',').find_map(|field| field.trim().strip_prefix("Credential="))?;
    credential.split_once('/').map(|(key, _)| key).filter(|key| !key.is_empty())
}

/// The ARN of the caller: the configured one, the user of `AKIAEXAMPLE<NAME>`, or the default caller.
pub(crate) fn caller(callers: &BTreeMap<String, String>, access_key: &str) -> String {
    if let Some(arn) = callers.get(access_key) {
        return arn.clone();
    }
    match access_key.strip_prefix("AKIAEXAMPLE") {
        Some(name) if !name.is_empty() => {
            format!("arn:aws:iam::123456789012:user/{}", name.to_ascii_lowercase())
        }
        _ => DEFAULT_CALLER.to_owned(),
    }
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
    fn access_key_determines_the_caller() {
        let field = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEALICE/20250130/us-east-1/ec2/aws4_request, \
                     SignedHeaders=host, Signature=00";
        let headers = vec![("Authorization".to_owned(), field.to_owned())];
        let request = Request { headers, ..Request::default() };
        let key = access_key(&request).unwrap();
        assert_eq!(caller(&BTreeMap::new(), key), "arn:aws:iam::123456789012:user/alice");
        assert_eq!(caller(&BTreeMap::from([(key.to_owned(), "arn:x".to_owned())]), key), "arn:x");
        assert_eq!(caller(&BTreeMap::new(), "ASIAOTHER"), DEFAULT_CALLER);
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
