//! Frames that are wrong, too long, too many or not read: the tunnel ends, with bounded memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use eic_emulator::{Config, Emulator, TunnelLimits};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{
    PATIENCE, TARGET, Tls, ask, assert_serves, closed, data, echo, emulator_with, handshake, host, signed,
    tcp, tls,
};

/// A tunnel to which a test writes its own frames.
fn raw(emulator: &Emulator) -> Tls {
    let mut stream = tls(emulator, tcp(emulator), &host());
    let head = ask(&mut stream, "GET", &signed(emulator, TARGET), &handshake(&host()));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

/// A masked frame without payload. The mask is zero.
fn empty(first_byte: u8) -> Vec<u8> {
    vec![first_byte, 0x80, 0, 0, 0, 0]
}

#[test]
fn wrong_frame_closes_its_tunnel_with_a_reason() {
    let emulator = emulator_with(Config::default(), echo);
    let gigabyte = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4], &[7; 1000]].concat();
    for (name, bytes, code) in [
        ("a text frame", [&[0x81, 0x82, 0, 0, 0, 0][..], b"hi"].concat(), 1003),
        ("a frame of 1 GB", gigabyte(1 << 30), 1009),
        ("a frame of the longest length", gigabyte(u64::MAX >> 1), 1009),
        ("a frame of 65,537 bytes", gigabyte(65_537), 1009),
        ("a length with the highest bit", gigabyte(u64::MAX), 1009),
        ("a frame without a mask", vec![0x82, 0x02, 1, 2], 1002),
        ("a reserved bit", vec![0xc2, 0x80, 0, 0, 0, 0], 1002),
        ("an unknown opcode", empty(0x83), 1002),
        ("a long control frame", [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &[0; 200]].concat(), 1002),
        ("a control frame in parts", empty(0x09), 1002),
        ("the middle of a message", empty(0x80), 1002),
    ] {
        let mut stream = raw(&emulator);
        stream.write_all(&bytes).unwrap();
        stream.flush().unwrap();
        let mut tunnel = WebSocket::from_raw_socket(stream, Role::Client, None);
        let (got, reason) = closed(&mut tunnel);
        assert_eq!(got, code, "{name}: {reason}");
        assert!(!reason.is_empty(), "{name}");
    }
    assert_serves(&emulator);
}

#[test]
fn message_in_parts_is_bounded_as_a_whole() {
    let emulator = emulator_with(Config::default(), echo);
    let mut stream = raw(&emulator);
    let part = |first_byte: u8| [&[first_byte, 0xfe, 0x75, 0x30, 0, 0, 0, 0][..], &vec![7; 30_000]].concat();
    for first_byte in [0x02, 0x00, 0x00] {
        stream.write_all(&part(first_byte)).unwrap();
    }
    stream.flush().unwrap();
    let mut tunnel = WebSocket::from_raw_socket(stream, Role::Client, None);
    assert_eq!(closed(&mut tunnel).0, 1009);
    assert_serves(&emulator);
}

/// Sends such frames until the tunnel ends, after a line of the instance has arrived in spite of them.
fn flood(name: &str, begin: &[u8], frame: &[u8]) {
    let emulator = emulator_with(Config::default(), |mut stream: TcpStream| {
        // The flood has begun when the first byte arrives.
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"line\n").unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let mut stream = raw(&emulator);
    let many = frame.repeat(2000);
    stream.write_all(&[begin, &many].concat()).unwrap();
    if begin.is_empty() {
        stream.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'!']).unwrap();
    }
    stream.flush().unwrap();
    let mut line = Vec::new();
    while begin.is_empty() && line != b"line\n" {
        // Pongs may come first.
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        line = vec![0; usize::from(head[1])];
        stream.read_exact(&mut line).unwrap();
    }
    let start = Instant::now();
    let mut sent = 0_usize;
    // The client cannot write more when the tunnel has ended.
    while stream.write_all(&many).is_ok() {
        sent += many.len();
        assert!(start.elapsed() < PATIENCE, "{name}: the server took {sent} bytes and goes on");
    }
    assert!(sent < 64 << 20, "{name}: the server took {sent} bytes");
    assert!(start.elapsed() > Duration::from_secs(1), "{name}: not slowed down: {:?}", start.elapsed());
}

#[test]
fn flood_without_data_is_slowed_down_and_ended() {
    std::thread::scope(|scope| {
        for (name, begin, frame) in [
            ("empty messages", vec![], empty(0x82)),
            ("pings", vec![], empty(0x89)),
            ("pongs", vec![], empty(0x8a)),
            ("empty parts of a message", empty(0x02), empty(0x00)),
        ] {
            scope.spawn(move || flood(name, &begin, &frame));
        }
    });
}

#[test]
fn few_frames_without_data_do_no_harm() {
    let emulator = emulator_with(Config::default(), echo);
    let mut tunnel = WebSocket::from_raw_socket(raw(&emulator), Role::Client, None);
    for round in 0..100_u8 {
        tunnel.send(Message::binary(Vec::new())).unwrap();
        tunnel.send(Message::Ping(vec![round].into())).unwrap();
        assert_eq!(tunnel.read().unwrap(), Message::Pong(vec![round].into()));
        tunnel.send(Message::binary(vec![round])).unwrap();
        assert_eq!(data(&mut tunnel), [round]);
    }
}

#[test]
fn slow_reader_stops_the_instance_and_is_ended() {
    let sent = Arc::new(AtomicUsize::new(0));
    let has_ended = Arc::new(AtomicBool::new(false));
    let (count, end) = (Arc::clone(&sent), Arc::clone(&has_ended));
    let limits = TunnelLimits { stall: Duration::from_secs(3), ..TunnelLimits::default() };
    let emulator = emulator_with(Config { tunnel_limits: limits, ..Config::default() }, move |mut stream| {
        while let Ok(written) = stream.write(&[7; 4096]) {
            count.fetch_add(written, Ordering::Relaxed);
        }
        end.store(true, Ordering::Relaxed);
    });
    let mut tunnel = WebSocket::from_raw_socket(raw(&emulator), Role::Client, None);
    assert_eq!(data(&mut tunnel).first(), Some(&7));
    let start = Instant::now();
    while !has_ended.load(Ordering::Relaxed) {
        assert!(start.elapsed() < PATIENCE, "the slow reader still has its tunnel");
        std::thread::sleep(Duration::from_millis(20));
    }
    // What the server and the kernel's buffers hold.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 64 << 20, "the instance could send {sent} bytes");
    // What was sent before the end still arrives, without an end of the WebSocket.
    let error = loop {
        if let Err(error) = tunnel.read() {
            break error;
        }
    };
    assert!(!matches!(error, tungstenite::Error::ConnectionClosed), "{error}");
}

#[test]
fn instance_that_does_not_read_stops_the_client() {
    let limits = TunnelLimits { stall: Duration::from_secs(3), ..TunnelLimits::default() };
    let config = Config { tunnel_limits: limits, ..Config::default() };
    let emulator = emulator_with(config, |stream| {
        std::thread::sleep(PATIENCE);
        drop(stream);
    });
    let mut stream = raw(&emulator);
    let frame = [&[0x82, 0xfe, 0xfd, 0xe8, 0, 0, 0, 0][..], &vec![7; 65_000]].concat();
    let mut sent = 0_usize;
    while stream.write_all(&frame).is_ok() {
        sent += frame.len();
        assert!(sent < 64 << 20, "the server took {sent} bytes");
    }
}
