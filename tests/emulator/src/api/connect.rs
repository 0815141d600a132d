//! `AWSEC2InstanceConnectService`: SendSSHPublicKey.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::{Call, access_key, caller, request_id, validate};
use crate::http::{Request, Response};
use crate::location::region_of;
use crate::world::World;

/// The errors of the service, named as in its API model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller is unknown, or may not push a key.
    AuthException,
    /// No such instance here.
    Ec2InstanceNotFoundException,
    /// The instance is not running.
    Ec2InstanceStateInvalidException,
    /// The instance cannot be reached now.
    Ec2InstanceUnavailableException,
    /// A parameter is wrong.
    InvalidArgsException,
    /// An error inside the service. Its status is 500, which clients retry.
    ServiceException,
    /// Too many requests.
    ThrottlingException,
    /// No such operation.
    UnknownOperationException,
}

impl ErrorKind {
    /// The name in `__type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthException => "AuthException",
            Self::Ec2InstanceNotFoundException => "EC2InstanceNotFoundException",
            Self::Ec2InstanceStateInvalidException => "EC2InstanceStateInvalidException",
            Self::Ec2InstanceUnavailableException => "EC2InstanceUnavailableException",
            Self::InvalidArgsException => "InvalidArgsException",
            Self::ServiceException => "ServiceException",
            Self::ThrottlingException => "ThrottlingException",
            Self::UnknownOperationException => "UnknownOperationException",
        }
    }

    /// The HTTP response for this error.
    pub fn response(self, message: &str) -> Response {
        let status = if self == Self::ServiceException { 500 } else { 400 };
        answer(status, &request_id(), &json!({ "__type": self.name(), "Message": message }))
    }
}

pub(super) fn respond(world: &World, request: &Request, target: &str) -> Response {
    match target.strip_prefix("AWSEC2InstanceConnectService.") {
        Some("SendSSHPublicKey") => {
            let id = request_id();
            match send_ssh_public_key(world, request, &id) {
                Ok(()) => answer(200, &id, &json!({ "RequestId": id, "Success": true })),
                Err((kind, message)) => kind.response(&message),
            }
        }
        _ => ErrorKind::UnknownOperationException.response("The emulator has no such operation"),
    }
}

fn send_ssh_public_key(world: &World, request: &Request, id: &str) -> Result<(), (ErrorKind, String)> {
    let invalid = |message: &str| (ErrorKind::InvalidArgsException, message.to_owned());
    let Some(key) = access_key(request) else {
        return Err((ErrorKind::AuthException, "Missing or unreadable Authorization header".to_owned()));
    };
    let body: Value =
        serde_json::from_slice(&request.body).map_err(|_| invalid("The request's body is not JSON"))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let required = |name: &str| text(name).ok_or_else(|| invalid(&format!("{name} is missing")));

    let instance = required("InstanceId")?;
    let user = required("InstanceOSUser")?;
    let public_key = required("SSHPublicKey")?;
    if !validate::is_instance_id(instance) {
        return Err(invalid("InstanceId must match ^i-[a-f0-9]+$ and have between 10 and 32 characters"));
    }
    if !validate::is_os_user(user) {
        return Err(invalid("InstanceOSUser is not a valid name for a user"));
    }
    let public_key = validate::public_key(public_key).map_err(invalid)?;
    let zone = text("AvailabilityZone");
    if zone.is_some_and(|zone| !validate::is_zone(zone)) {
        return Err(invalid("AvailabilityZone is not a zone's name"));
    }

    let config = &world.config;
    if instance != config.instance_id || zone.is_some_and(|zone| zone != config.zone) {
        let message = format!("Instance {instance} was not found in the zone");
        return Err((ErrorKind::Ec2InstanceNotFoundException, message));
    }
    let state = world.instance_state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if state != "running" {
        let message = format!("Instance {instance} is {state}, not running");
        return Err((ErrorKind::Ec2InstanceStateInvalidException, message));
    }
    let caller = caller(&config.callers, key);
    world.push(user, public_key, &caller, id);
    let user_agent = request.header("user-agent").unwrap_or_default();
    let parameters = json!({ "instanceId": instance, "osUser": user, "SSHKey": { "publicKey": public_key } });
    let call = Call {
        name: "SendSSHPublicKey",
        request_id: id,
        access_key: key,
        caller: &caller,
        user_agent,
        parameters,
        error: None,
    };
    world.trail.push(&call, &region_of(&config.zone), world.now());
    Ok(())
}

fn answer(status: u16, id: &str, body: &Value) -> Response {
    Response { status, body: body.to_string().into(), ..Response::default() }
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("x-amzn-RequestId", id)
}
