//! Instance metadata: tokens, items and listings, with the status codes of the real service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::directory::random_hex;
use crate::http::{Action, Answer, Handler, Request, Response, Wire};
use crate::location::{partition_of, region_of};
use crate::record::Service;
use crate::world::World;

/// The path that contains the items.
const ROOT: &str = "/latest/meta-data/";
/// The instance identity document.
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";
const AMI: &str = "ami-0123456789abcdef0";
const TTL_HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "X-aws-ec2-metadata-token";

/// The valid tokens, each with its expiry.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Instant>>);

impl Tokens {
    fn issue(&self, seconds: u64) -> String {
        let token = format!("{}==", random_hex(27));
        let now = Instant::now();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, expires| *expires > now);
        tokens.insert(token.clone(), now + Duration::from_secs(seconds));
        token
    }

    fn holds(&self, token: &str) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|expires| *expires > Instant::now())
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Handles the requests of the metadata listener.
pub(crate) struct Imds(pub(crate) Arc<World>);

impl Handler for Imds {
    fn connected(&self, wire: &mut Wire) -> bool {
        self.0.greet(wire)
    }

    fn handle(&self, request: &Request, connection: u64) -> Answer {
        let world = &self.0;
        let action = || Action::Respond(respond(world, request));
        let (action, delay) = world.decide(Service::Imds, request, connection, action);
        Answer {
            action,
            delay: delay + world.config.delay,
            keep_alive: world.config.keep_alive,
            now: world.now(),
            server: "EC2ws",
        }
    }

    fn refuse(&self, status: u16, connection: u64) -> Answer {
        let action = self.0.refuse(Service::Imds, status, connection);
        Answer { action, delay: Duration::ZERO, keep_alive: false, now: self.0.now(), server: "EC2ws" }
    }
}

fn respond(world: &World, request: &Request) -> Response {
    let path = request.path();
    if path.trim_end_matches('/') == "/latest/api/token" {
        return if request.method == "PUT" { issue_token(world, request) } else { Response::status(405) };
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::status(405);
    }
    if !request.header(TOKEN_HEADER).is_some_and(|token| world.tokens.holds(token)) {
        return Response::status(401);
    }
    look_up(world, &path).map_or_else(|| Response::status(404), Response::text)
}

fn issue_token(world: &World, request: &Request) -> Response {
    if request.header("X-Forwarded-For").is_some() {
        return Response::status(403);
    }
    let seconds = request.header(TTL_HEADER).and_then(|seconds| seconds.parse().ok());
    match seconds {
        Some(seconds @ 1..=21_600) => {
            Response::text(world.tokens.issue(seconds)).header(TTL_HEADER, &seconds.to_string())
        }
        _ => Response::status(400),
    }
}

/// The content of an item, or the listing of a path.
fn look_up(world: &World, path: &str) -> Option<Vec<u8>> {
    if path == IDENTITY {
        return identity(world);
    }
    let directory = format!("{}/", path.trim_end_matches('/'));
    if ROOT.starts_with(&directory) && directory != ROOT {
        let next = ROOT[directory.len()..].split_inclusive('/').next()?;
        return Some(next.trim_end_matches('/').into());
    }
    let below = directory.strip_prefix(ROOT)?;
    let mut items = items(world);
    if let Some(content) = items.remove(below.trim_end_matches('/')) {
        return Some(content);
    }
    let names: BTreeSet<&str> = items
        .keys()
        .filter_map(|item| item.strip_prefix(below))
        .filter_map(|rest| rest.split_inclusive('/').next())
        .collect();
    if names.is_empty() { None } else { Some(names.into_iter().collect::<Vec<_>>().join("\n").into()) }
}

/// The instance identity document, in the form of the real service. Tests replace it by its path below `/latest/`.
fn identity(world: &World) -> Option<Vec<u8>> {
    let path = IDENTITY.strip_prefix("/latest/").unwrap_or(IDENTITY);
    if let Some(content) = world.replaced_items().remove(path) {
        return content;
    }
    let config = &world.config;
    let document = serde_json::json!({
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": config.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": AMI,
        "instanceId": config.instance_id,
        "instanceType": "t3.micro",
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": "2026-11-21T12:00:00Z",
        "privateIp": config.instance_ip,
        "ramdiskId": null,
        "region": region_of(&config.zone),
        "version": "2017-09-30",
    });
    serde_json::to_vec_pretty(&document).ok()
}

/// Every item by its path below [`ROOT`].
fn items(world: &World) -> BTreeMap<String, Vec<u8>> {
    let config = &world.config;
    let region = region_of(&config.zone);
    let host = format!("ip-{}", config.instance_ip.to_string().replace(['.', ':'], "-"));
    let mut items = BTreeMap::from(
        [
            ("ami-id", AMI.to_owned()),
            ("hostname", format!("{host}.{region}.compute.internal")),
            ("instance-id", config.instance_id.clone()),
            ("instance-type", "t3.micro".to_owned()),
            ("local-hostname", format!("{host}.{region}.compute.internal")),
            ("local-ipv4", config.instance_ip.to_string()),
            ("mac", "0e:00:00:00:00:01".to_owned()),
            ("placement/availability-zone", config.zone.clone()),
            ("placement/region", region.clone()),
            ("services/domain", config.domain.clone()),
            ("services/partition", partition_of(&region, &config.domain).to_owned()),
            ("managed-ssh-keys/signer-cert", world.hierarchy().bundle_pem()),
        ]
        .map(|(path, content)| (path.to_owned(), content.into_bytes())),
    );
    for staple in world.staples() {
        items.insert(format!("managed-ssh-keys/signer-ocsp/{}", staple.name), staple.text().into());
    }
    for (user, bundle) in world.pushed.bundles(world.now()) {
        items.insert(format!("managed-ssh-keys/active-keys/{user}"), bundle);
    }
    for (path, content) in world.replaced_items() {
        match content {
            Some(content) => items.insert(path, content),
            None => items.remove(&path),
        };
    }
    items
}
