//! Connections that begin and do not continue, and clients that vanish or send what is not TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use eic_emulator::{Config, Emulator, TunnelLimits};

use super::{PATIENCE, TARGET, assert_serves, echo, emulator_with, handshake, host, open, signed, tcp, tls};

/// A short time for a handshake, which a busy machine can keep.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The bytes that the server sends until it closes the connection. The server may also reset it.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let start = Instant::now();
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    assert!(start.elapsed() < PATIENCE / 2, "the server did not close the connection");
    bytes
}

#[test]
fn connection_without_a_whole_request_is_ended() {
    let limits = TunnelLimits { handshake: HANDSHAKE, ..TunnelLimits::default() };
    let emulator = emulator_with(Config { tunnel_limits: limits, ..Config::default() }, echo);
    let connect = format!("CONNECT {}:443 HTTP/1.1\r\n\r\n", host());
    // The first bytes of a ClientHello that announces 512 bytes.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let start = Instant::now();
    let mut silent: Vec<(&str, TcpStream)> = [
        ("nothing", &b""[..]),
        ("half a CONNECT", connect.split_at(20).0.as_bytes()),
        ("CONNECT without TLS", connect.as_bytes()),
        ("half a ClientHello", &hello),
    ]
    .map(|(name, bytes)| {
        let mut stream = tcp(&emulator);
        stream.write_all(bytes).unwrap();
        (name, stream)
    })
    .into();
    let mut half = tls(&emulator, tcp(&emulator), &host());
    let request = format!("GET {} HTTP/1.1\r\n{}", signed(&emulator, TARGET), handshake(&host()));
    // On a busy machine, the handshake of TLS can take longer than the server allows.
    drop(half.write_all(request.as_bytes()).and_then(|()| half.flush()));
    // A client that sends one byte after another does not get more time.
    let mut slow = tcp(&emulator);
    let drip = std::thread::spawn(move || {
        let sent = connect.bytes().cycle().take_while(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            slow.write_all(&[*byte]).is_ok() && start.elapsed() < PATIENCE
        });
        sent.count()
    });
    assert_serves_soon(&emulator);
    for (name, stream) in &mut silent {
        until_closed(stream);
        assert!(start.elapsed() >= HANDSHAKE, "{name}");
    }
    drop(half.read_to_end(&mut Vec::new()));
    drip.join().unwrap();
    assert!(start.elapsed() < PATIENCE / 2);
    assert_serves_soon(&emulator);
}

/// The server still serves good clients. A busy machine may need several attempts to keep [`HANDSHAKE`].
fn assert_serves_soon(emulator: &Emulator) {
    let is_served = || catch_unwind(AssertUnwindSafe(|| assert_serves(emulator))).is_ok();
    assert!((0..10).any(|_| is_served()), "see above");
}

#[test]
fn invalid_tls_is_ended_with_an_alert() {
    let emulator = emulator_with(Config::default(), echo);
    let record = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], body].concat()
    };
    for (name, bytes) in [
        ("garbage in a handshake", record(22, &[0xff; 64])),
        ("an empty handshake record", record(22, &[])),
        ("a record that is too long", [&[22, 3, 3, 0xff, 0xff][..], &[0; 1000]].concat()),
        ("data after a wrong ClientHello", record(22, &[1, 0, 0, 2, 3, 3])),
        ("SSL 3", [&[22, 3, 0, 0, 4][..], &[1, 0, 0, 0]].concat()),
    ] {
        let mut stream = tcp(&emulator);
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = until_closed(&mut stream);
        // An alert is a record of type 21.
        assert!(answer.first().is_none_or(|kind| *kind == 21), "{name}: {answer:?}");
    }
    // A client that does not trust the emulator's authority ends the handshake itself.
    let mut stream = tls(&emulator, tcp(&emulator), "other.test");
    assert!(stream.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err());
    assert_serves(&emulator);
}

#[test]
fn connections_have_a_largest_number() {
    let limits = TunnelLimits { connections: 5, ..TunnelLimits::default() };
    let emulator = emulator_with(Config { tunnel_limits: limits, ..Config::default() }, echo);
    // The server must have accepted all of them, so each gets its answer.
    let mut open: Vec<_> = (0..5).map(|_| tls(&emulator, tcp(&emulator), &host())).collect();
    for stream in &mut open {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
    }
    assert!(until_closed(&mut tcp(&emulator)).is_empty());
    drop(open);
    let start = Instant::now();
    loop {
        let mut stream = tcp(&emulator);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        if !until_closed(&mut stream).is_empty() {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
    }
    assert_serves(&emulator);
}

#[test]
fn vanished_client_ends_the_instances_side() {
    let (ended, is_ended) = mpsc::channel();
    let emulator = emulator_with(Config::default(), move |mut stream| {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        ended.send(bytes).unwrap();
    });
    let end_of_tls = |mut tunnel: tungstenite::WebSocket<super::Tls>| {
        tunnel.get_mut().conn.send_close_notify();
        tunnel.get_mut().flush().unwrap();
    };
    let end_of_tcp = |tunnel: tungstenite::WebSocket<super::Tls>| {
        tunnel.get_ref().sock.shutdown(Shutdown::Both).unwrap();
    };
    for end in [&end_of_tls as &dyn Fn(tungstenite::WebSocket<super::Tls>), &end_of_tcp] {
        let mut tunnel = open(&emulator, TARGET);
        tunnel.send(tungstenite::Message::binary(&b"last words"[..])).unwrap();
        end(tunnel);
        assert_eq!(is_ended.recv_timeout(PATIENCE).unwrap(), b"last words");
    }
}

#[test]
fn stop_of_the_emulator_ends_its_tunnels() {
    let emulator = emulator_with(Config::default(), echo);
    let mut tunnel = open(&emulator, TARGET);
    let start = Instant::now();
    drop(emulator);
    while tunnel.read().is_ok() {}
    assert!(start.elapsed() < Duration::from_secs(30));
}
