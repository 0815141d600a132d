//! The part of the EC2 query API that clients of EC2 Instance Connect use. Requests are forms, responses are XML.

use std::net::IpAddr;
use std::sync::PoisonError;

use super::{access_key, request_id, validate};
use crate::calendar::rfc3339;
use crate::http::request::percent_decode;
use crate::http::{Request, Response};
use crate::location::{ENDPOINT_ID, endpoint_name, fips_endpoint_name, region_of};
use crate::world::World;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const OWNER: &str = "123456789012";
const VPC: &str = "vpc-0123456789abcdef0";
const SUBNET: &str = "subnet-0123456789abcdef0";
/// 2023-06-13: AWS introduced EC2 Instance Connect endpoints.
const CREATED: i64 = 1_686_614_400;

pub(super) fn respond(world: &World, request: &Request) -> Response {
    if access_key(request).is_none() {
        return error(401, "AuthFailure", "Missing or unreadable Authorization header");
    }
    let body = String::from_utf8_lossy(&request.body);
    let form: Vec<(String, String)> = body
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (percent_decode(name, true), percent_decode(value, true)))
        .collect();
    match form.iter().find(|(name, _)| name == "Action").map(|(_, value)| value.as_str()) {
        Some("DescribeInstances") => describe_instances(world, &form),
        Some("DescribeInstanceConnectEndpoints") => describe_endpoints(world, &form),
        Some(action) => {
            error(400, "InvalidAction", &format!("The action {action} is not valid for the emulator"))
        }
        None => error(400, "MissingAction", "The request has no Action"),
    }
}

fn describe_instances(world: &World, form: &[(String, String)]) -> Response {
    let own = world.config.instance_id.as_str();
    for (_, id) in form.iter().filter(|(name, _)| name.starts_with("InstanceId.")) {
        if !validate::is_instance_id(id) {
            return error(400, "InvalidInstanceID.Malformed", &format!("Invalid id: \"{id}\""));
        }
        if id != own {
            let message = format!("The instance ID '{id}' does not exist");
            return error(400, "InvalidInstanceID.NotFound", &message);
        }
    }
    let wanted = filter(form, "instance-id").is_none_or(|ids| ids.contains(&own));
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
    let content = [
        leaf("reservationId", "r-0123456789abcdef0"),
        leaf("ownerId", OWNER),
        element("instancesSet", &element("item", &instance.concat())),
    ];
    element("item", &content.concat())
}

fn describe_endpoints(world: &World, form: &[(String, String)]) -> Response {
    let wanted = [("vpc-id", VPC), ("subnet-id", SUBNET), ("state", "create-complete")]
        .iter()
        .all(|(name, own)| filter(form, name).is_none_or(|values| values.contains(own)))
        && form.iter().all(|(name, id)| !name.starts_with("InstanceConnectEndpointId.") || id == ENDPOINT_ID);
    let region = region_of(&world.config.zone);
    let id = ENDPOINT_ID;
    let content = [
        leaf("ownerId", OWNER),
        leaf("instanceConnectEndpointId", id),
        leaf(
            "instanceConnectEndpointArn",
            &format!("arn:aws:ec2:{region}:{OWNER}:instance-connect-endpoint/{id}"),
        ),
        leaf("state", "create-complete"),
        leaf("stateMessage", ""),
        leaf("dnsName", &endpoint_name(&region)),
        leaf("fipsDnsName", &fips_endpoint_name(&region)),
        leaf("availabilityZone", &world.config.zone),
        leaf("createdAt", &rfc3339(CREATED)),
        leaf("subnetId", SUBNET),
        leaf("vpcId", VPC),
        leaf("preserveClientIp", "false"),
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
