//! Instance metadata behaves as the real service does.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use eic_emulator::http::client::send;
use eic_emulator::{Config, Emulator};

use crate::{KEY, get, item, token};

const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

#[test]
fn token_request_is_validated() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let ask = |headers: &[(&str, &str)]| {
        send(&emulator.imds_url(), "PUT", "/latest/api/token", headers, b"").unwrap().status
    };
    for (value, status) in
        [("1", 200), ("21600", 200), ("0", 400), ("21601", 400), ("-1", 400), ("", 400), ("a", 400)]
    {
        assert_eq!(ask(&[(TTL, value)]), status, "{value:?}");
    }
    assert_eq!(ask(&[]), 400);
    assert_eq!(ask(&[(TTL, "60"), ("X-Forwarded-For", "192.0.2.1")]), 403);
    assert_eq!(get(&emulator, "", "/latest/api/token").status, 405);
}

#[test]
fn items_need_a_valid_token() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let path = "/latest/meta-data/instance-id";
    let token = token(&emulator);
    assert_eq!(get(&emulator, &token, path).status, 200);
    assert_eq!(get(&emulator, "other", path).status, 401);
    assert_eq!(send(&emulator.imds_url(), "GET", path, &[], b"").unwrap().status, 401);
    emulator.invalidate_tokens();
    assert_eq!(get(&emulator, &token, path).status, 401);

    // On a busy machine, a second may pass before the next request. Then try a longer lifetime.
    for seconds in [1, 8, 64] {
        let given = Instant::now();
        let seconds_text = seconds.to_string();
        let short = [("X-aws-ec2-metadata-token-ttl-seconds", seconds_text.as_str())];
        let short = send(&emulator.imds_url(), "PUT", "/latest/api/token", &short, b"").unwrap().body;
        let status = get(&emulator, &short, path).status;
        let is_in_force = given.elapsed() < Duration::from_secs(seconds);
        assert!(status == 200 || (status == 401 && !is_in_force), "{status}");
        std::thread::sleep(Duration::from_millis(seconds * 1000 + 100));
        assert_eq!(get(&emulator, &short, path).status, 401);
        if status == 200 {
            return;
        }
    }
    panic!("every token expired before its first use");
}

#[test]
fn items_and_listings_are_served_with_a_token() {
    let config = Config { zone: "us-west-2-lax-1a".into(), ..Config::default() };
    let emulator = Emulator::start(config).unwrap();
    for (path, body) in [
        ("instance-id", "i-0123456789abcdef0"),
        ("instance-id/", "i-0123456789abcdef0"),
        ("placement/availability-zone/", "us-west-2-lax-1a"),
        ("placement/region/", "us-west-2"),
        ("services/domain/", "amazonaws.com"),
        ("services", "domain\npartition"),
        ("managed-ssh-keys/", "signer-cert\nsigner-ocsp/"),
    ] {
        let received = item(&emulator, path);
        assert_eq!((received.status, received.body.as_str()), (200, body), "{path}");
    }
    let listing = item(&emulator, "managed-ssh-keys/signer-ocsp/").body;
    assert_eq!(listing.lines().count(), 4);
    for name in listing.lines() {
        assert_eq!(name.len(), 40);
        assert_eq!(item(&emulator, &format!("managed-ssh-keys/signer-ocsp/{name}")).status, 200);
    }
    assert!(item(&emulator, "").body.lines().any(|name| name == "managed-ssh-keys/"));
    let token = token(&emulator);
    assert_eq!(get(&emulator, &token, "/").body, "latest");
    assert_eq!(get(&emulator, &token, "/latest/").body, "meta-data");
    for path in ["/latest/meta-data/nothing", "/latest/meta-data/instance-id/x", "/late", "/latest/user-data"]
    {
        assert_eq!(get(&emulator, &token, path).status, 404, "{path}");
    }
}

#[test]
fn pushed_keys_are_served_until_they_expire() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let path = "managed-ssh-keys/active-keys/alice";
    assert_eq!(item(&emulator, path).status, 404);
    let first = emulator.push("alice", KEY, "arn:aws:iam::123456789012:user/a");
    let second = emulator.push("alice", KEY, "arn:aws:iam::123456789012:user/b");
    let body = item(&emulator, &format!("{path}/")).body;
    assert!(body.contains(&format!("#Request={first}\n")) && body.contains(&format!("#Request={second}\n")));
    assert!(body.contains("#Caller=arn:aws:iam::123456789012:user/b\n"));
    assert!(body.contains(&format!("\n{KEY}\n")));
    assert_eq!(item(&emulator, "managed-ssh-keys/active-keys/").body, "alice");
    assert_eq!(item(&emulator, "managed-ssh-keys/active-keys/bob").status, 404);

    emulator.set_clock_offset(61);
    assert_eq!(item(&emulator, path).status, 404);
    emulator.set_entries("alice", "anything");
    assert_eq!(item(&emulator, path).body, "anything");
    emulator.clear_keys();
    assert_eq!(item(&emulator, path).status, 404);
}

#[test]
fn items_can_be_replaced_and_removed() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.set_item("placement/region", "mars-1");
    emulator.remove_item("services/domain");
    emulator.set_staples(Vec::new());
    assert_eq!(item(&emulator, "placement/region/").body, "mars-1");
    assert_eq!(item(&emulator, "services/domain/").status, 404);
    assert_eq!(item(&emulator, "managed-ssh-keys/signer-ocsp/").status, 404);
}

#[test]
fn the_clock_can_be_shifted() {
    let emulator = Emulator::start(Config { clock_offset: -86_400, ..Config::default() }).unwrap();
    let day = || eic_emulator::calendar::http_date(emulator.now())[..11].to_owned();
    let before = day();
    let date = item(&emulator, "instance-id").header("date").unwrap().to_owned();
    // A day can begin meanwhile.
    assert!([before, day()].contains(&date[..11].to_owned()), "{date}");
    emulator.set_clock_offset(86_400);
    let later = item(&emulator, "instance-id").header("date").unwrap().to_owned();
    assert_ne!(date, later);
}

/// Sends two requests on one connection and counts the answers.
fn answers_on_one_connection(emulator: &Emulator) -> usize {
    let token = token(emulator);
    let request = format!(
        "GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n"
    );
    let last = request.replace("Host: x", "Host: x\r\nConnection: close");
    let mut stream = TcpStream::connect(emulator.imds_url().trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 17];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK\r\n");
    // The server may have closed the connection. The count of responses shows that.
    drop(stream.write_all(last.as_bytes()));
    let mut rest = Vec::new();
    drop(BufReader::new(stream).read_to_end(&mut rest));
    1 + String::from_utf8(rest).unwrap().matches("HTTP/1.1 200 OK").count()
}

#[test]
fn connections_are_closed_without_keep_alive() {
    let closing = Emulator::start(Config::default()).unwrap();
    assert_eq!(item(&closing, "instance-id").header("connection"), Some("close"));
    assert_eq!(answers_on_one_connection(&closing), 1);
    let keeping = Emulator::start(Config { keep_alive: true, ..Config::default() }).unwrap();
    assert_eq!(answers_on_one_connection(&keeping), 2);
    let requests = keeping.take_requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 2, 2]);
    assert!(keeping.take_requests().is_empty());
}

#[test]
fn unreadable_request_is_refused_and_recorded() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let mut stream = TcpStream::connect(emulator.imds_url().trim_start_matches("http://")).unwrap();
    stream.write_all(&b"x".repeat(20_000)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(emulator.take_requests()[0].status, Some(431));
}

#[test]
fn stop_does_not_wait_for_clients() {
    // No other test listens on this address, so no other listener can get the port later.
    let imds = "127.0.0.83:0".parse().unwrap();
    let emulator =
        Emulator::start(Config { imds, delay: Duration::from_secs(60), ..Config::default() }).unwrap();
    let address = emulator.imds_url().trim_start_matches("http://").to_owned();
    let mut waiting = TcpStream::connect(&address).unwrap();
    waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _idle = TcpStream::connect(&address).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    drop(emulator);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn emulator_listens_on_ipv6() {
    let config = Config { imds: "[::1]:0".parse().unwrap(), ..Config::default() };
    match Emulator::start(config) {
        Ok(emulator) => assert_eq!(item(&emulator, "instance-id").status, 200),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no IPv6 loopback here: {error}");
            eprintln!("NOT RUN: no IPv6 loopback here: {error}");
        }
    }
}
