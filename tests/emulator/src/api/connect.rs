//! `AWSEC2InstanceConnectService`: SendSSHPublicKey.
//!
//! Public logs of clients show these messages of AWS: a value outside its pattern, an invalid key, an IAM refusal, and
//! throttling. AWS publishes no other messages, nor the order of the checks; those are the emulator's own.

use std::sync::PoisonError;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Call, authenticate, request_id, signature_error, validate};
use crate::caller::{Caller, with_tags};
use crate::http::{Request, Response};
use crate::location::region_of;
use crate::policy::Context;
use crate::world::World;

const ACTION: &str = "ec2-instance-connect:SendSSHPublicKey";

/// The errors of the service, named as in its API model, and the refusal by IAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's policies do not allow the push.
    AccessDeniedException,
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
            Self::AccessDeniedException => "AccessDeniedException",
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
        self.answer(&request_id(), message)
    }

    fn answer(self, id: &str, message: &str) -> Response {
        let status = if self == Self::ServiceException { 500 } else { 400 };
        answer(status, id, &json!({ "__type": self.name(), "Message": message }))
    }

    /// The code in CloudTrail. For refusals by IAM, its records have one code for most services.
    fn trail_code(self) -> &'static str {
        if self == Self::AccessDeniedException { "AccessDenied" } else { self.name() }
    }
}

/// A refused push: the error and its message.
type Refusal = (ErrorKind, String);

pub(super) fn respond(world: &World, request: &Request, target: &str) -> Response {
    if target != "AWSEC2InstanceConnectService.SendSSHPublicKey" {
        return ErrorKind::UnknownOperationException.response("The emulator has no such operation");
    }
    let id = request_id();
    let caller = match authenticate(world, request, "ec2-instance-connect") {
        Ok(caller) => caller,
        Err(error) => return signature_error(&error),
    };
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let outcome = admit(world, &caller)
        .and_then(|()| Push::read(&body))
        .and_then(|push| push.check(world, &caller, request).map(|key| (push, key)));
    record(world, request, &caller, &id, &body, outcome.as_ref().err());
    match outcome {
        Ok((push, key)) => {
            world.push(push.user, key, &caller.arn, &id);
            answer(200, &id, &json!({ "RequestId": id, "Success": true }))
        }
        Err((kind, message)) => kind.answer(&id, &message),
    }
}

/// Counts a push of the caller's account.
fn admit(world: &World, caller: &Caller<'_>) -> Result<(), Refusal> {
    let limit = world.config.push_limits.account;
    within(world.account_pushes.admit(caller.account(), limit, Instant::now()))
}

fn within(is_admitted: bool) -> Result<(), Refusal> {
    let message = "Server is busy! Please retry after a moment.";
    if is_admitted { Ok(()) } else { Err((ErrorKind::ThrottlingException, message.to_owned())) }
}

/// A request with parameters of the right form.
struct Push<'b> {
    instance: &'b str,
    user: &'b str,
    public_key: &'b str,
    zone: Option<&'b str>,
}

impl<'b> Push<'b> {
    fn read(body: &'b Value) -> Result<Self, Refusal> {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (instance, user) = (text("InstanceId"), text("InstanceOSUser"));
        let (public_key, zone) = (text("SSHPublicKey"), text("AvailabilityZone"));
        let faults = [
            validate::instance_id(instance),
            validate::os_user(user),
            validate::key_length(public_key),
            zone.and_then(validate::zone),
        ];
        let faults: Vec<_> = faults.into_iter().flatten().collect();
        if let ([], Some(instance), Some(user), Some(public_key)) =
            (faults.as_slice(), instance, user, public_key)
        {
            return Ok(Self { instance, user, public_key, zone });
        }
        let errors = if faults.len() == 1 { "error" } else { "errors" };
        let message = format!("{} validation {errors} detected: {}", faults.len(), faults.join("; "));
        Err((ErrorKind::InvalidArgsException, message))
    }

    /// Checks whether the caller may push the key to the instance, and whether the instance can take it. Returns the
    /// key's line.
    fn check(&self, world: &World, caller: &Caller<'_>, request: &Request) -> Result<&'b str, Refusal> {
        let (config, instance) = (&world.config, self.instance);
        let is_own = instance == config.instance_id && !caller.is_foreign();
        let mut context = Context::default().with("ec2:osuser", self.user);
        if is_own {
            context = with_tags(context, &config.tags);
        }
        caller
            .authorize(request, ACTION, Some(&caller.instance_arn(instance)), context)
            .map_err(|message| (ErrorKind::AccessDeniedException, message))?;
        let public_key = validate::public_key(self.public_key)
            .map_err(|message| (ErrorKind::InvalidArgsException, message.to_owned()))?;
        if !is_own {
            let message = format!("The instance {instance} was not found.");
            return Err((ErrorKind::Ec2InstanceNotFoundException, message));
        }
        if let Some(zone) = self.zone.filter(|zone| *zone != config.zone) {
            let message = format!("The instance {instance} was not found in the Availability Zone {zone}.");
            return Err((ErrorKind::Ec2InstanceNotFoundException, message));
        }
        within(world.instance_pushes.admit(instance, config.push_limits.instance, Instant::now()))?;
        let state = world.instance_state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state_error = match state.as_str() {
            "running" => return Ok(public_key),
            "pending" => ErrorKind::Ec2InstanceUnavailableException,
            _ => ErrorKind::Ec2InstanceStateInvalidException,
        };
        Err((state_error, format!("Unable to connect to the instance {instance}, because it is {state}.")))
    }
}

/// Records the call, also if it was refused.
fn record(
    world: &World,
    request: &Request,
    caller: &Caller<'_>,
    id: &str,
    body: &Value,
    refusal: Option<&Refusal>,
) {
    // A value that is much longer than any good one is left out. A key has at most 4096 characters, the others have 32.
    let shown = |name: &str, longest: usize| {
        body.get(name).and_then(Value::as_str).filter(|text| text.len() <= longest)
    };
    let parameters = json!({
        "instanceId": shown("InstanceId", 256), "osUser": shown("InstanceOSUser", 256),
        "SSHKey": { "publicKey": shown("SSHPublicKey", 4096).map(str::trim) },
    });
    let config = &world.config;
    let call = Call {
        name: "SendSSHPublicKey",
        request_id: id,
        caller,
        source: config.source_ip,
        user_agent: request.header("user-agent").unwrap_or_default(),
        parameters,
        error: refusal.map(|(kind, message)| (kind.trail_code(), message.as_str())),
    };
    world.trail.push(&call, &region_of(&config.zone), world.now());
}

fn answer(status: u16, id: &str, body: &Value) -> Response {
    super::json_answer(status, body).header("x-amzn-RequestId", id)
}
