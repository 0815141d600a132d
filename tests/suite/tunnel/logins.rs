//! Real logins to a private instance through a tunnel.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use eic_emulator::{Config, DEFAULT_SESSION_TOKEN, Service, TunnelLimits};
use serde_json::Value;

use super::{client, script};
use crate::world::{INSTANCE, Key, Sshd, Syslog, UNHURRIED, World, installed, on_an_instance, test_path};

/// The instance's private address.
const PRIVATE: &str = "10.11.12.13";

fn private() -> Config {
    // On a busy machine, the usual ten seconds may be too short.
    let tunnel_limits = TunnelLimits { handshake: Duration::from_secs(60), ..TunnelLimits::default() };
    Config { instance_ip: PRIVATE.parse().unwrap(), tunnel_limits, ..Config::default() }
}

/// Adds the private address to the instance, and starts sshd there.
fn private_sshd(world: &World) -> Sshd {
    let added = Command::new("ip").args(["address", "add", &format!("{PRIVATE}/32"), "dev", "lo"]).status();
    assert!(added.unwrap().success());
    let command =
        format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f", world.agent().display());
    Sshd::with(
        world,
        &format!("ListenAddress {PRIVATE}:22\n{command}\nAuthorizedKeysCommandUser eic-agent\n"),
    )
}

/// The answer of an AWS CLI command.
fn aws(world: &World, arguments: &[&str]) -> Value {
    let output = world.client("aws").args(arguments).args(["--output", "json"]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Logs in through a tunnel of these arguments. `%h` is not used: only the endpoint knows the instance.
fn ssh(world: &World, key: &Key, tunnel: &[&str], change: impl FnOnce(&mut Command)) -> Output {
    let proxy = format!("{} -B {} {}", installed("python3").display(), script().display(), tunnel.join(" "));
    let mut command = world.with_clients(World::ssh_command(&[key]));
    world.with_endpoint(&mut command);
    change(&mut command);
    command.arg("-o").arg(format!("ProxyCommand={proxy}")).arg(format!("ec2-user@{INSTANCE}")).arg("id -un");
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn pushed_key_logs_in_to_a_private_instance() {
    on_an_instance(test_path!(), private(), |world| {
        let syslog = Syslog::bind();
        let _sshd = private_sshd(world);
        let key = Key::ed25519(world, "key");
        // The steps of the guide: find the address and the endpoint, push the key, log in, find the records.
        let found = aws(world, &["ec2", "describe-instances", "--instance-ids", INSTANCE]);
        let instance = &found["Reservations"][0]["Instances"][0];
        let vpc = format!("Name=vpc-id,Values={}", instance["VpcId"].as_str().unwrap());
        let state = "Name=state,Values=create-complete";
        let found = aws(world, &["ec2", "describe-instance-connect-endpoints", "--filters", state, &vpc]);
        let endpoint = &found["InstanceConnectEndpoints"][0];
        assert_eq!(endpoint["SubnetId"], instance["SubnetId"]);
        let [id, name, fips] = ["InstanceConnectEndpointId", "DnsName", "FipsDnsName"]
            .map(|name| endpoint[name].as_str().unwrap_or_default().to_owned());
        let domain = ".us-east-1.test";
        assert!(name.ends_with(domain) && fips.contains(".fips.") && fips.ends_with(domain), "{endpoint}");
        let address = instance["PrivateIpAddress"].as_str().unwrap();
        assert_eq!(address, PRIVATE);

        for name in [name, fips] {
            syslog.clear();
            let pushed = world.aws_push("AKIAEXAMPLEALICE", INSTANCE, "ec2-user", &key);
            assert!(pushed.status.success(), "{pushed:?}");
            let login = ssh(world, &key, &[&id, &name, address, "22", "60"], |_| ());
            assert!(login.status.success(), "{login:?} {:?}", syslog.agent_lines());
            assert_eq!(String::from_utf8_lossy(&login.stdout).trim(), "ec2-user");
            syslog.wait_for("Accepted publickey for ec2-user");
        }
        let attribute = "AttributeKey=EventName,AttributeValue=OpenTunnel";
        let found = aws(world, &["cloudtrail", "lookup-events", "--lookup-attributes", attribute]);
        let events = found["Events"].as_array().unwrap();
        assert_eq!(events.len(), 2, "{events:#?}");
        let event: Value = serde_json::from_str(events[0]["CloudTrailEvent"].as_str().unwrap()).unwrap();
        assert_eq!(event["userIdentity"]["userName"], "alice");
        assert_eq!(event["requestParameters"]["privateIpAddress"], PRIVATE);
        assert_eq!(event["userAgent"], "open_tunnel");

        // The requests of AWS CLI 2, as far as an independent client sends the same.
        let requests = world.emulator.take_requests();
        let endpoints: Vec<_> = requests.iter().filter(|one| one.service == Service::Endpoint).collect();
        let lines: Vec<_> = endpoints.iter().map(|one| (one.method.as_str(), one.status)).collect();
        assert_eq!(
            lines,
            [("CONNECT", Some(200)), ("GET", Some(101)), ("CONNECT", Some(200)), ("GET", Some(101))]
        );
        assert!(endpoints[0].path.ends_with(".test:443"), "{}", endpoints[0].path);
        assert!(endpoints[1].path.starts_with("/openTunnel?instanceConnectEndpointId=eice-"));
    });
}

#[test]
fn endpoint_on_port_443_of_localhost_needs_no_proxy() {
    let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    on_an_instance(test_path!(), Config { endpoint, ..private() }, |world| {
        let _sshd = private_sshd(world);
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), "arn:x");
        let tunnel = ["eice-0123456789abcdef0", "localhost", PRIVATE, "22"];
        let login = ssh(world, &key, &tunnel, |command| {
            command.env_remove("HTTPS_PROXY");
        });
        assert!(login.status.success(), "{login:?}");
    });
}

#[test]
fn refused_tunnel_shows_the_answer_of_the_endpoint() {
    on_an_instance(test_path!(), private(), |world| {
        let _sshd = private_sshd(world);
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), "arn:x");
        let (id, name) = ("eice-0123456789abcdef0", world.emulator.endpoint_name());
        let good = [id, &name, PRIVATE, "22"];
        let temporary: &[(&str, &str)] =
            &[("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"), ("AWS_SESSION_TOKEN", DEFAULT_SESSION_TOKEN)];
        for (arguments, environment, expected) in [
            (good, &[("AWS_SECRET_ACCESS_KEY", "wrong")][..], "403 {\"ErrorCode\":\"SignatureDoesNotMatch\""),
            (good, &[("AWS_SESSION_TOKEN", "wrong")], "403 {\"ErrorCode\":\"InvalidClientTokenId\""),
            (good, &[("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")], "403 {\"ErrorCode\":\"InvalidClientTokenId\""),
            (
                [id, &name, PRIVATE, "5432"],
                &[],
                "The specified RemotePort is not valid. Specify either 22 or 3389",
            ),
            ([id, &name, "127.0.0.1", "22"], &[], "The specified PrivateIpAddress is not valid."),
            (["eice-1", &name, PRIVATE, "22"], &[], "The specified InstanceConnectEndpointId is not valid."),
            // No server of RDP listens there.
            (
                [id, &name, PRIVATE, "3389"],
                &[],
                "Websocket Closure Reason: Unable to connect to the instance",
            ),
            (good, &[("HTTPS_PROXY", ""), ("SSL_CERT_FILE", "/dev/null")], "gaierror"),
            (good, &[("SSL_CERT_FILE", "/dev/null")], "CERTIFICATE_VERIFY_FAILED"),
            (good, temporary, ""),
        ] {
            let login = ssh(world, &key, &arguments, |command| {
                command.envs(environment.iter().copied());
            });
            let said = String::from_utf8_lossy(&login.stderr);
            assert_eq!(login.status.success(), expected.is_empty(), "{arguments:?} {environment:?}: {said}");
            assert!(said.contains(expected), "{arguments:?} {environment:?}: {said}");
        }
    });
}

#[test]
fn end_of_input_ends_the_tunnel() {
    on_an_instance(test_path!(), private(), |world| {
        let _sshd = private_sshd(world);
        let mut command = world.with_clients(client());
        world.with_endpoint(&mut command);
        let name = world.emulator.endpoint_name();
        let opened = command.args(["eice-0123456789abcdef0", &name, PRIVATE, "22"]).output().unwrap();
        assert!(opened.status.success(), "{opened:?}");
    });
}
