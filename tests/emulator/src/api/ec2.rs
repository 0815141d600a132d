//! The part of the EC2 query API that clients of EC2 Instance Connect use. Requests are forms, responses are XML.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::PoisonError;

use super::{authenticate, request_id, validate};
use crate::calendar::rfc3339;
use crate::caller::{Caller, endpoint_arn};
use crate::http::request::percent_decode;
use crate::http::{Request, Response};
use crate::location::{ENDPOINT_ID, endpoint_name, fips_endpoint_name, region_of};
use crate::policy::Context;
use crate::sigv4::SignatureError;
use crate::world::World;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const VPC: &str = "vpc-0123456789abcdef0";
const SUBNET: &str = "subnet-0123456789abcdef0";
/// 2023-06-13: AWS introduced EC2 Instance Connect endpoints.
const CREATED: i64 = 1_686_614_400;

pub(super) fn respond(world: &World, request: &Request) -> Response {
    let caller = match authenticate(world, request, "ec2") {
        Ok(caller) => caller,
        Err(error) => return signature_error(&error),
    };
    let body = String::from_utf8_lossy(&request.body);
    let form: Vec<(String, String)> = body
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (percent_decode(name, true), percent_decode(value, true)))
        .collect();
    let action = form.iter().find(|(name, _)| name == "Action").map(|(_, value)| value.as_str());
    let describe = match action {
        Some("DescribeInstances") => describe_instances,
        Some("DescribeInstanceConnectEndpoints") => describe_endpoints,
        Some(action) => {
            return error(
                400,
                "InvalidAction",
                &format!("The action {action} is not valid for the emulator"),
            );
        }
        None => return error(400, "MissingAction", "The request has no Action"),
    };
    let name = format!("ec2:{}", action.unwrap_or_default());
    if let Err(message) = caller.authorize(request, &name, None, Context::default()) {
        let message = format!("You are not authorized to perform this operation. {message}");
        return error(403, "UnauthorizedOperation", &message);
    }
    describe(world, &caller, &form)
}

/// The answer to a bad signature (EC2 API Reference, "Error codes"; public logs show them for `DescribeInstances`).
fn signature_error(cause: &SignatureError) -> Response {
    match cause {
        SignatureError::Missing | SignatureError::UnknownKey => {
            error(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
        }
        SignatureError::Incomplete(message) => error(400, "IncompleteSignature", message),
        SignatureError::Mismatch(message) => error(403, "SignatureDoesNotMatch", message),
        SignatureError::ExpiredToken | SignatureError::Expired { .. } | SignatureError::Skewed(_) => {
            error(400, "RequestExpired", "Request has expired.")
        }
    }
}

fn describe_instances(world: &World, caller: &Caller<'_>, form: &[(String, String)]) -> Response {
    let own = world.config.instance_id.as_str();
    for (_, id) in form.iter().filter(|(name, _)| name.starts_with("InstanceId.")) {
        if !validate::is_instance_id(id) {
            return error(400, "InvalidInstanceID.Malformed", &format!("Invalid id: \"{id}\""));
        }
        if id != own || caller.is_foreign() {
            let message = format!("The instance ID '{id}' does not exist");
            return error(400, "InvalidInstanceID.NotFound", &message);
        }
    }
    let wanted = !caller.is_foreign() && filter(form, "instance-id").is_none_or(|ids| ids.contains(&own));
    let reservations = if wanted { reservation(world) } else { String::new() };
    answer("DescribeInstances", &element("reservationSet", &reservations))
}

fn reservation(world: &World) -> String {
    let config = &world.config;
    let state = world.instance_state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let code = match state.as_str() {
        "pending" => "0",
        "running" => "16",
        "shutting-down" => "32",
        "terminated" => "48",
        "stopping" => "64",
        _ => "80",
    };
    let region = region_of(&config.zone);
    let private_name = format!("ip-{}.{region}.compute.internal", dashed(config.instance_ip));
    let mut instance = vec![
        leaf("instanceId", &config.instance_id),
        leaf("imageId", "ami-0123456789abcdef0"),
        element("instanceState", &(leaf("code", code) + &leaf("name", &state))),
        leaf("instanceType", "t3.micro"),
        leaf("launchTime", &rfc3339(CREATED)),
        element("placement", &(leaf("availabilityZone", &config.zone) + &leaf("tenancy", "default"))),
        leaf("vpcId", VPC),
        leaf("subnetId", SUBNET),
        leaf("architecture", "x86_64"),
        leaf("privateDnsName", &private_name),
        // The emulator has no names in public DNS. With an empty name, clients use the addresses.
        leaf("dnsName", ""),
    ];
    match config.instance_ip {
        IpAddr::V4(address) => instance.extend([
            leaf("privateIpAddress", &address.to_string()),
            leaf("ipAddress", &address.to_string()),
        ]),
        IpAddr::V6(address) => instance.push(leaf("ipv6Address", &address.to_string())),
    }
    instance.extend(config.instance_ipv6.map(|address| leaf("ipv6Address", &address.to_string())));
    instance.push(tag_set(&config.tags));
    let content = [
        leaf("reservationId", "r-0123456789abcdef0"),
        leaf("ownerId", &config.account),
        element("instancesSet", &element("item", &instance.concat())),
    ];
    element("item", &content.concat())
}

fn describe_endpoints(world: &World, caller: &Caller<'_>, form: &[(String, String)]) -> Response {
    let config = &world.config;
    let wanted = [("vpc-id", VPC), ("subnet-id", SUBNET), ("state", "create-complete")]
        .iter()
        .all(|(name, own)| filter(form, name).is_none_or(|values| values.contains(own)))
        && form.iter().all(|(name, id)| !name.starts_with("InstanceConnectEndpointId.") || id == ENDPOINT_ID)
        && !caller.is_foreign();
    let region = region_of(&config.zone);
    let id = ENDPOINT_ID;
    let content = [
        leaf("ownerId", &config.account),
        leaf("instanceConnectEndpointId", id),
        leaf("instanceConnectEndpointArn", &endpoint_arn(config)),
        leaf("state", "create-complete"),
        leaf("stateMessage", ""),
        leaf("dnsName", &endpoint_name(&region)),
        leaf("fipsDnsName", &fips_endpoint_name(&region)),
        leaf("availabilityZone", &config.zone),
        leaf("createdAt", &rfc3339(CREATED)),
        leaf("subnetId", SUBNET),
        leaf("vpcId", VPC),
        leaf("preserveClientIp", "false"),
        tag_set(&config.endpoint_tags),
    ];
    let items = if wanted { element("item", &content.concat()) } else { String::new() };
    answer("DescribeInstanceConnectEndpoints", &element("instanceConnectEndpointSet", &items))
}

/// The values of the filter called `name`, or `None` if the request has no such filter.
fn filter<'a>(form: &'a [(String, String)], name: &str) -> Option<Vec<&'a str>> {
    let (key, _) = form
        .iter()
        .find(|(key, value)| key.starts_with("Filter.") && key.ends_with(".Name") && value == name)?;
    let values = format!("{}.Value.", key.trim_end_matches(".Name"));
    Some(form.iter().filter(|(key, _)| key.starts_with(&values)).map(|(_, value)| value.as_str()).collect())
}

fn tag_set(tags: &BTreeMap<String, String>) -> String {
    let item =
        |(key, value): (&String, &String)| element("item", &(leaf("key", key) + &leaf("value", value)));
    element("tagSet", &tags.iter().map(item).collect::<String>())
}

fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

fn answer(action: &str, content: &str) -> Response {
    let id = leaf("requestId", &request_id());
    xml(200, &format!("<{action}Response xmlns=\"{NAMESPACE}\">{id}{content}</{action}Response>"))
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let error = element("Error", &(leaf("Code", code) + &leaf("Message", message)));
    let content = element("Errors", &error) + &leaf("RequestID", &request_id());
    xml(status, &element("Response", &content))
}

fn xml(status: u16, content: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{content}");
    Response { status, body: body.into(), ..Response::default() }
        .header("Content-Type", "text/xml;charset=UTF-8")
}

fn element(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

fn leaf(name: &str, text: &str) -> String {
    element(name, &text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}
