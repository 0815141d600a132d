//! Good tunnels.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use eic_emulator::http::client::send;
use eic_emulator::location::{endpoint_name, fips_endpoint_name};
use eic_emulator::{Config, Emulator, Service, TunnelLimits};
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::api::AUTHORIZATION;

use super::{
    TARGET, ask, assert_serves, closed, data, echo, emulator_with, handshake, host, open, refused, signed,
    tcp, tls,
};

#[test]
fn bytes_arrive_unchanged_in_both_directions() {
    let emulator = emulator_with(Config::default(), echo);
    let mut tunnel = open(&emulator, TARGET);
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
    let mut received = Vec::new();
    // AWS CLI 2 sends at most 65,000 bytes in a frame.
    for chunk in bytes.chunks(65_000) {
        tunnel.send(Message::binary(chunk.to_vec())).unwrap();
        let expected = received.len() + chunk.len();
        while received.len() < expected {
            received.extend(data(&mut tunnel));
        }
    }
    assert!(received == bytes, "{} bytes differ from {}", received.len(), bytes.len());
    tunnel.close(None).unwrap();
    assert!(matches!(tunnel.read(), Ok(Message::Close(_))));
}

#[test]
fn endpoint_is_reached_as_a_proxy_and_directly() {
    let emulator = emulator_with(Config::default(), echo);
    assert_eq!(emulator.endpoint_name(), endpoint_name("us-east-1"));
    for name in [endpoint_name("us-east-1"), fips_endpoint_name("us-east-1"), "localhost".to_owned()] {
        for through_proxy in [true, false] {
            let mut stream = tcp(&emulator);
            if through_proxy {
                write!(stream, "CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\nUser-Agent: x\r\n\r\n")
                    .unwrap();
                let mut answer = [0; 39];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200 Connection established\r\n\r\n");
            }
            let mut stream = tls(&emulator, stream, &name);
            // The signature is for another name, so the answer is an error of the service.
            let head = ask(&mut stream, "GET", &signed(&emulator, TARGET), &handshake(&name));
            let expected = if name == host() { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " };
            assert!(head.starts_with(expected), "{name}: {head}");
            assert_eq!(stream.conn.alpn_protocol(), None);
            assert_eq!(stream.conn.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn both_versions_of_tls_work() {
    let emulator = emulator_with(Config::default(), echo);
    let of = |version: &'static SupportedProtocolVersion| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(emulator.hierarchy().anchor.der().to_vec().into()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host().try_into().unwrap();
        let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, tcp(&emulator));
        let head = ask(&mut stream, "GET", &signed(&emulator, TARGET), &handshake(&host()));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream.conn.protocol_version()
    };
    assert_eq!(of(&rustls::version::TLS12), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(of(&rustls::version::TLS13), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn end_of_the_instances_side_is_a_normal_close() {
    let emulator = emulator_with(Config::default(), |mut stream| {
        stream.write_all(b"goodbye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let mut tunnel = open(&emulator, TARGET);
    assert_eq!(data(&mut tunnel), b"goodbye");
    assert_eq!(closed(&mut tunnel), (1000, String::new()));
}

#[test]
fn tunnel_ends_after_its_longest_duration() {
    let emulator = emulator_with(Config::default(), echo);
    let start = Instant::now();
    let mut tunnel = open(&emulator, &format!("{TARGET}&maxTunnelDuration=1"));
    let (code, reason) = closed(&mut tunnel);
    assert!(code == 1000 && reason.contains("longest duration"), "{code} {reason}");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn only_so_many_tunnels_are_open_at_once() {
    let limits = TunnelLimits { tunnels: 3, ..TunnelLimits::default() };
    assert_eq!(TunnelLimits::default().tunnels, 20);
    let emulator = emulator_with(Config { tunnel_limits: limits, ..Config::default() }, echo);
    let mut tunnels: Vec<_> = (0..3).map(|_| open(&emulator, TARGET)).collect();
    let (status, body) = refused(&emulator, "GET", &signed(&emulator, TARGET), &handshake(&host()));
    assert_eq!((status, &body["ErrorCode"]), (429, &json!("LimitExceeded")));
    let mut first = tunnels.remove(0);
    first.close(None).unwrap();
    while first.read().is_ok() {}
    let start = Instant::now();
    // The endpoint gives the place back after the client's end.
    loop {
        let mut stream = tls(&emulator, tcp(&emulator), &host());
        let head = ask(&mut stream, "GET", &signed(&emulator, TARGET), &handshake(&host()));
        if head.starts_with("HTTP/1.1 101 ") {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{head}");
    }
}

#[test]
fn address_of_ipv6_is_one_of_the_instances() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        assert!(std::env::var_os("CI").is_none(), "no IPv6 loopback here");
        eprintln!("NOT RUN: no IPv6 loopback here");
        return;
    };
    let config = Config { instance_ipv6: Some("::1".parse().unwrap()), ..Config::default() };
    let emulator = Emulator::start(config).unwrap();
    emulator.set_instance_port(22, listener.local_addr().unwrap().port());
    std::thread::spawn(move || listener.incoming().flatten().for_each(echo));
    let mut tunnel = open(&emulator, &TARGET.replace("127.0.0.1", "%3A%3A1"));
    tunnel.send(Message::binary(&b"six"[..])).unwrap();
    assert_eq!(data(&mut tunnel), b"six");
}

#[test]
fn unreachable_instance_is_a_close_with_a_reason() {
    let emulator = emulator_with(Config::default(), echo);
    emulator.set_instance_state("stopped");
    let unreachable = (1011, "Unable to connect to the instance".to_owned());
    assert_eq!(closed(&mut open(&emulator, TARGET)), unreachable);
    emulator.set_instance_state("running");
    assert_serves(&emulator);
    // The port of a connection: nothing listens there, and no other test can get it.
    let connection = tcp(&emulator);
    emulator.set_instance_port(22, connection.local_addr().unwrap().port());
    assert_eq!(closed(&mut open(&emulator, TARGET)), unreachable);
}

/// The documents of the events called `OpenTunnel`, newest first.
fn events(emulator: &Emulator) -> Vec<Value> {
    let target = ("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents");
    let body = json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "OpenTunnel"}]});
    let answer =
        send(&emulator.api_url(), "POST", "/", &[AUTHORIZATION, target], body.to_string().as_bytes())
            .unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let events = answer["Events"].as_array().unwrap().iter();
    events.map(|event| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn cloudtrail_has_each_attempt_of_a_known_caller() {
    let emulator = emulator_with(Config::default(), echo);
    let mut stream = tls(&emulator, tcp(&emulator), &host());
    let target = signed(&emulator, &format!("{TARGET}&maxTunnelDuration=60"));
    let head = ask(&mut stream, "GET", &target, &handshake(&host()));
    let wrong = signed(&emulator, &TARGET.replace("=22", "=5432"));
    assert_eq!(refused(&emulator, "GET", &wrong, &handshake(&host())).0, 400);
    assert_eq!(refused(&emulator, "GET", TARGET, &handshake(&host())).0, 403);

    let events = events(&emulator);
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(events[0]["errorCode"], "InvalidParameter");
    assert!(events[0]["errorMessage"].as_str().unwrap().contains("RemotePort"));
    let opened = &events[1];
    assert_eq!(opened.get("errorCode"), None);
    assert_eq!(opened["eventSource"], "ec2-instance-connect.amazonaws.com");
    assert_eq!(opened["userIdentity"]["arn"], "arn:aws:iam::123456789012:user/alice");
    assert_eq!(opened["userAgent"], "test");
    let parameters = json!({
        "instanceConnectEndpointId": "eice-0123456789abcdef0", "maxTunnelDuration": "60", "remotePort": "22",
        "privateIpAddress": "127.0.0.1",
    });
    assert_eq!(opened["requestParameters"], parameters);
    let id = head.split("x-amzn-RequestId: ").nth(1).unwrap().split('\r').next().unwrap();
    assert_eq!(opened["requestID"], id);

    let records = emulator.take_requests();
    let statuses: Vec<_> = records.iter().filter(|record| record.service == Service::Endpoint).collect();
    assert_eq!(
        statuses.iter().map(|record| record.status).collect::<Vec<_>>(),
        [Some(101), Some(400), Some(403)]
    );
}
