//! CloudTrail: the events of the API, and `LookupEvents`, with which an auditor finds them.
//!
//! An event has the fields that AWS shows for SendSSHPublicKey and `OpenTunnel` (EC2 User Guide, "Log EC2 Instance
//! Connect API calls using AWS CloudTrail" and "Log connections established over EC2 Instance Connect Endpoint").

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{authenticate, json_answer, request_id, signature_error};
use crate::calendar::rfc3339;
use crate::caller::{Caller, Kind};
use crate::http::{Request, Response};
use crate::policy::Context;
use crate::world::World;

/// The most events that are kept, the newest ones. The limit bounds the memory of a long `serve`.
const REMEMBERED: usize = 10_000;

/// The longest text that a client or an error puts into an event, in characters, as in CloudTrail.
const LONGEST: usize = 1024;

/// The most events in one response (CloudTrail API Reference, `LookupEvents`, `MaxResults`).
const PAGE: usize = 50;

/// The events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Trail(Mutex<VecDeque<Event>>);

#[derive(Debug)]
struct Event {
    id: String,
    time: i64,
    name: &'static str,
    /// Each account sees only its own events.
    account: String,
    access_key: String,
    user_name: String,
    document: Value,
}

/// A call of an operation, for its event.
pub(crate) struct Call<'c> {
    pub(crate) name: &'static str,
    pub(crate) request_id: &'c str,
    pub(crate) caller: &'c Caller<'c>,
    pub(crate) source: IpAddr,
    pub(crate) user_agent: &'c str,
    pub(crate) parameters: Value,
    /// The code and the message of the error that the caller got.
    pub(crate) error: Option<(&'c str, &'c str)>,
}

impl Trail {
    pub(crate) fn push(&self, call: &Call<'_>, region: &str, now: i64) {
        let (account, access_key) = (call.caller.account(), call.caller.access_key.as_str());
        let kind = match call.caller.kind() {
            Kind::Account => "Root",
            Kind::AssumedRole => "AssumedRole",
            Kind::User => "IAMUser",
        };
        let user_name = call.caller.name();
        let id = request_id();
        let mut document = json!({
            "eventVersion": "1.08",
            "userIdentity": {
                "type": kind, "arn": call.caller.arn, "accountId": account, "accessKeyId": access_key,
                "userName": user_name,
            },
            "eventTime": rfc3339(now).replace(".000Z", "Z"),
            "eventSource": "ec2-instance-connect.amazonaws.com",
            "eventName": call.name,
            "awsRegion": region,
            "sourceIPAddress": call.source.to_string(),
            "userAgent": short(call.user_agent),
            "requestParameters": call.parameters,
            "responseElements": null,
            "requestID": call.request_id,
            "eventID": id,
            "eventType": "AwsApiCall",
            "recipientAccountId": account,
        });
        if let Some((code, message)) = call.error {
            document["errorCode"] = code.into();
            document["errorMessage"] = short(message).into();
        }
        let (account, access_key) = (account.to_owned(), access_key.to_owned());
        let user_name = user_name.to_owned();
        let event = Event { id, time: now, name: call.name, account, access_key, user_name, document };
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == REMEMBERED {
            events.pop_front();
        }
        events.push_back(event);
    }
}

/// `com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents`
pub(super) fn respond(world: &World, request: &Request, operation: &str) -> Response {
    let refused =
        |name: &str, message: &str| json_answer(400, &json!({ "__type": name, "Message": message }));
    let caller = match authenticate(world, request, "cloudtrail") {
        Ok(caller) => caller,
        Err(error) => return signature_error(&error),
    };
    if operation != "LookupEvents" {
        return refused("UnsupportedOperationException", "The emulator has no such operation");
    }
    if let Err(message) = caller.authorize(request, "cloudtrail:LookupEvents", None, Context::default()) {
        return refused("AccessDeniedException", &message);
    }
    match serde_json::from_slice(&request.body)
        .ok()
        .and_then(|body| lookup(&world.trail, caller.account(), &body))
    {
        Some(found) => json_answer(200, &found),
        None => refused("InvalidLookupAttributesException", "The emulator knows only EventName"),
    }
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// One page of events, newest first. `None` if the request uses a parameter that the emulator does not know.
fn lookup(trail: &Trail, account: &str, body: &Value) -> Option<Value> {
    let mut wanted = None;
    for attribute in body.get("LookupAttributes").and_then(Value::as_array).into_iter().flatten() {
        let value = attribute.get("AttributeValue")?.as_str()?;
        match attribute.get("AttributeKey")?.as_str()? {
            "EventName" => wanted = Some(value),
            _ => return None,
        }
    }
    let seconds = |name: &str| body.get(name).and_then(Value::as_f64);
    let (from, to) = (seconds("StartTime"), seconds("EndTime"));
    #[expect(clippy::cast_precision_loss, reason = "an instant of this century")]
    let is_in_time = |time: i64| {
        !from.is_some_and(|from| (time as f64) < from) && !to.is_some_and(|to| (time as f64) > to)
    };
    let events = trail.0.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |event: &&Event| {
        event.account == account && wanted.is_none_or(|name| event.name == name) && is_in_time(event.time)
    };
    let found: Vec<_> = events.iter().rev().filter(fits).collect();
    let skipped = match body.get("NextToken") {
        Some(token) => token.as_str()?.parse().ok()?,
        None => 0,
    };
    let shown: Vec<_> = found.iter().skip(skipped).take(PAGE).map(|event| event.shown()).collect();
    let next = skipped + shown.len();
    let mut answer = json!({ "Events": shown });
    if next < found.len() {
        answer["NextToken"] = next.to_string().into();
    }
    Some(answer)
}

impl Event {
    fn shown(&self) -> Value {
        json!({
            "EventId": self.id, "EventName": self.name, "ReadOnly": "false", "AccessKeyId": self.access_key,
            "EventTime": self.time, "EventSource": "ec2-instance-connect.amazonaws.com",
            "Username": self.user_name, "Resources": [], "CloudTrailEvent": self.document.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const OWN: &str = "123456789012";

    fn push(trail: &Trail, arn: &str, request_id: &str, now: i64) {
        let access_key = "AKIAEXAMPLEALICE".to_owned();
        let callers = [(access_key.clone(), arn.to_owned())].into();
        let config = Config { callers, ..Config::default() };
        let call = Call {
            name: "SendSSHPublicKey",
            request_id,
            caller: &Caller::of(&config, &access_key),
            source: config.source_ip,
            user_agent: "aws-cli",
            parameters: json!({ "instanceId": "i-0123456789abcdef0" }),
            error: None,
        };
        trail.push(&call, "us-east-1", now);
    }

    #[test]
    fn identity_has_the_kind_of_the_caller() {
        let trail = Trail::default();
        for (arn, kind, name) in [
            ("arn:aws:iam::123456789012:user/team/alice", "IAMUser", "alice"),
            ("arn:aws:sts::123456789012:assumed-role/Admin/bob", "AssumedRole", "bob"),
            ("arn:aws:iam::123456789012:root", "Root", "root"),
        ] {
            push(&trail, arn, "r", 0);
            let event = lookup(&trail, OWN, &json!({})).unwrap()["Events"][0].clone();
            let document: Value = serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap();
            assert_eq!((&document["userIdentity"]["type"], &event["Username"]), (&json!(kind), &json!(name)));
        }
    }

    #[test]
    fn events_are_found_by_name_and_time_a_page_at_a_time() {
        let trail = Trail::default();
        for number in 0..60 {
            let arn = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
            push(&trail, arn, &format!("r-{number}"), 1_738_238_400 + number);
        }
        let name = |name: &str| json!([{ "AttributeKey": "EventName", "AttributeValue": name }]);
        let first = lookup(&trail, OWN, &json!({ "LookupAttributes": name("SendSSHPublicKey") })).unwrap();
        assert_eq!((first["Events"].as_array().unwrap().len(), &first["NextToken"]), (50, &json!("50")));
        let document: Value =
            serde_json::from_str(first["Events"][0]["CloudTrailEvent"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&document["requestID"], &document["eventTime"]),
            (&json!("r-59"), &json!("2025-01-30T12:00:59Z"))
        );
        assert_eq!(document["userIdentity"]["type"], "AssumedRole");
        let rest = lookup(&trail, OWN, &json!({ "NextToken": "50" })).unwrap();
        assert_eq!((rest["Events"].as_array().unwrap().len(), rest.get("NextToken")), (10, None));
        let late =
            lookup(&trail, OWN, &json!({ "StartTime": 1_738_238_455, "EndTime": 1_738_238_457.5 })).unwrap();
        assert_eq!(late["Events"].as_array().unwrap().len(), 3);
        let other = lookup(&trail, OWN, &json!({ "LookupAttributes": name("RunInstances") })).unwrap();
        assert_eq!(other["Events"], json!([]));
        let foreign = lookup(&trail, "210987654321", &json!({})).unwrap();
        assert_eq!(foreign["Events"], json!([]));
        assert!(
            lookup(
                &trail,
                OWN,
                &json!({ "LookupAttributes": [{ "AttributeKey": "RequestId", "AttributeValue": "r-1" }] })
            )
            .is_none()
        );
    }
}
