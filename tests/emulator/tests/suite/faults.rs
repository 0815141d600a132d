//! A fault applies to the requests that the test chooses, and as often as the test chooses.

use std::io;
use std::time::{Duration, Instant};

use eic_emulator::http::Response;
use eic_emulator::http::client::send;
use eic_emulator::{Config, Emulator, Fault};

use crate::{get, item, token};

#[test]
fn a_fault_counts_its_requests() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let token = token(&emulator);
    let status = || get(&emulator, &token, "/latest/meta-data/instance-id/").status;
    emulator.inject(Fault::at("instance-id").status(503).after(1).times(2));
    assert_eq!([status(), status(), status(), status()], [200, 503, 503, 200]);
    emulator.inject(Fault::everywhere().method("GET").status(403));
    assert_eq!(status(), 403);
    assert_eq!(crate::token(&emulator).len(), token.len());
    emulator.clear_faults();
    assert_eq!(status(), 200);
}

#[test]
fn fault_applies_to_every_nth_request_and_is_recorded() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let token = token(&emulator);
    emulator.take_requests();
    emulator.inject(Fault::everywhere().status(503).after(1).every(3).named("busy"));
    let ask = |_| get(&emulator, &token, "/latest/meta-data/instance-id/").status;
    let statuses: Vec<_> = (0..8).map(ask).collect();
    assert_eq!(statuses, [200, 503, 200, 200, 503, 200, 200, 503]);
    let names: Vec<_> = emulator.take_requests().iter().map(|request| request.fault).collect();
    let busy = Some("busy");
    assert_eq!(names, [None, busy, None, None, busy, None, None, busy]);
}

#[test]
fn faults_apply_one_after_another() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.inject(Fault::token().status(429).times(1));
    emulator.inject(Fault::token().respond(Response::text("a b")).times(1));
    let ask = || send(&emulator.imds_url(), "PUT", "/latest/api/token", &[], b"").unwrap();
    assert_eq!(ask().status, 429);
    assert_eq!(ask().body, "a b");
    assert_eq!(ask().status, 400);
}

#[test]
fn delay_alone_keeps_the_usual_response() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.inject(Fault::below("placement/").delay(Duration::from_millis(200)));
    let start = Instant::now();
    assert_eq!(item(&emulator, "placement/region").body, "us-east-1");
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_connection_can_be_taken_over() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.inject(Fault::at("instance-id").raw(|wire, request| {
        wire.send(format!("HTTP/1.1 200 OK\r\n\r\n{} ", request.method).as_bytes())?;
        wire.drip(b"bytes", Duration::from_millis(1))
    }));
    assert_eq!(item(&emulator, "instance-id").body, "GET bytes");
    assert_eq!(emulator.take_requests().last().unwrap().status, None);

    emulator.inject(Fault::at("mac").raw(|wire, _| {
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")?;
        wire.reset()
    }));
    let token = token(&emulator);
    let headers = [("X-aws-ec2-metadata-token", token.as_str())];
    let error = send(&emulator.imds_url(), "GET", "/latest/meta-data/mac", &headers, b"").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn silent_connection_ends_when_the_server_stops() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.on_connect(|wire| wire.hold().map(|()| false));
    let url = emulator.imds_url();
    let client = std::thread::spawn(move || send(&url, "GET", "/", &[], b""));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!client.is_finished());
    drop(emulator);
    assert!(client.join().unwrap().is_err());
}

#[test]
fn connection_can_be_closed_before_a_request_is_read() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.on_connect(|wire| wire.reset().map(|()| false));
    assert!(send(&emulator.imds_url(), "GET", "/", &[], b"").is_err());
    emulator.clear_on_connect();
    assert_eq!(send(&emulator.imds_url(), "GET", "/", &[], b"").unwrap().status, 401);
}
