//! Requests that are refused, in the form of AWS's errors.

use std::io::{Read, Write};

use eic_emulator::sigv4::Credential;
use eic_emulator::{Config, DEFAULT_SESSION_TOKEN, Emulator, Principal};

use super::{
    TARGET, ask, assert_serves, credential, echo, emulator_with, handshake, host, refused, signed, signed_by,
    tcp, tls,
};

/// A request, and the status and the code of its refusal.
struct Row {
    name: &'static str,
    target: String,
    method: &'static str,
    fields: String,
    status: u16,
    code: &'static str,
}

fn row(name: &'static str, target: String, status: u16, code: &'static str) -> Row {
    Row { name, target, method: "GET", fields: handshake(&host()), status, code }
}

fn rows(emulator: &Emulator) -> Vec<Row> {
    let good = || signed(emulator, TARGET);
    let by = |change: &dyn Fn(&mut Credential)| {
        let mut credential = credential();
        change(&mut credential);
        signed_by(emulator, &credential, TARGET)
    };
    let with = |from: &str, to: &str| handshake(&host()).replace(from, to);
    vec![
        row("no signature", TARGET.to_owned(), 403, "MissingAuthenticationToken"),
        row("wrong secret", by(&|own| own.secret_key.push('x')), 403, "SignatureDoesNotMatch"),
        row("changed port", good().replace("remotePort=22", "remotePort=3389"), 403, "SignatureDoesNotMatch"),
        row("changed address", good().replace("127.0.0.1", "127.0.0.2"), 403, "SignatureDoesNotMatch"),
        row("added parameter", good() + "&maxTunnelDuration=60", 403, "SignatureDoesNotMatch"),
        row("another region", good().replace("us-east-1", "us-east-2"), 403, "SignatureDoesNotMatch"),
        row(
            "signature cut",
            good().trim_end_matches(|_| true).to_owned() + TARGET + "&X-Amz-Signature=00",
            400,
            "IncompleteSignature",
        ),
        row(
            "not hexadecimal",
            good().replace("X-Amz-Signature=", "X-Amz-Signature=zz"),
            400,
            "IncompleteSignature",
        ),
        row(
            "temporary key without its token",
            by(&|own| own.access_key = "ASIAEXAMPLE".into()),
            403,
            "InvalidClientTokenId",
        ),
        row(
            "token of another key",
            by(&|own| own.session_token = Some(DEFAULT_SESSION_TOKEN.into())),
            403,
            "InvalidClientTokenId",
        ),
        row("another port", signed(emulator, &TARGET.replace("=22", "=5432")), 400, "InvalidParameter"),
        row(
            "another address",
            signed(emulator, &TARGET.replace("127.0.0.1", "127.0.0.2")),
            400,
            "InvalidParameter",
        ),
        row(
            "a name as address",
            signed(emulator, &TARGET.replace("127.0.0.1", "localhost")),
            400,
            "InvalidParameter",
        ),
        row(
            "another endpoint",
            signed(emulator, &TARGET.replace("eice-0", "eice-1")),
            400,
            "InvalidParameter",
        ),
        row("two ports", signed(emulator, &format!("{TARGET}&remotePort=3389")), 400, "InvalidParameter"),
        row(
            "too long a duration",
            signed(emulator, &format!("{TARGET}&maxTunnelDuration=3601")),
            400,
            "InvalidParameter",
        ),
        row(
            "another operation",
            signed(emulator, &TARGET.replace("openTunnel", "closeTunnel")),
            404,
            "NotFound",
        ),
        Row { method: "POST", ..row("another method", good(), 405, "InvalidRequest") },
        Row { fields: with(&host(), "example.test"), ..row("another host", good(), 404, "NotFound") },
        Row {
            fields: with(&host(), &format!("{}:443", host())),
            ..row("host with port", good(), 403, "SignatureDoesNotMatch")
        },
        Row {
            fields: with("Upgrade: websocket", "Upgrade: h2c"),
            ..row("no upgrade", good(), 426, "InvalidRequest")
        },
        Row {
            fields: with("Version: 13", "Version: 8"),
            ..row("old version", good(), 426, "InvalidRequest")
        },
        Row { fields: with("dGhl", "!!!!"), ..row("bad key", good(), 400, "InvalidRequest") },
        Row {
            fields: with("User-Agent: test", "no colon"),
            ..row("bad field", good(), 400, "InvalidRequest")
        },
        row("long line", format!("/{}", "x".repeat(9000)), 431, "InvalidRequest"),
    ]
}

#[test]
fn wrong_request_is_refused_and_the_server_continues() {
    let emulator = emulator_with(Config::default(), echo);
    for row in rows(&emulator) {
        let (status, body) = refused(&emulator, row.method, &row.target, &row.fields);
        assert_eq!(
            (status, body["ErrorCode"].as_str()),
            (row.status, Some(row.code)),
            "{}: {body}",
            row.name
        );
        assert!(body["Message"].as_str().is_some_and(|message| !message.is_empty()), "{}", row.name);
    }
    assert_serves(&emulator);
}

#[test]
fn signature_is_good_for_its_time_and_once() {
    let emulator = emulator_with(Config::default(), echo);
    let target = signed(&emulator, TARGET);
    let mut stream = tls(&emulator, tcp(&emulator), &host());
    assert!(ask(&mut stream, "GET", &target, &handshake(&host())).starts_with("HTTP/1.1 101 "));
    let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
    assert_eq!((status, &body["ErrorCode"]), (403, &"InvalidSignature".into()), "{body}");
    // A refused request also uses its signature.
    let wrong = signed(&emulator, &TARGET.replace("=22", "=5432"));
    assert_eq!(refused(&emulator, "GET", &wrong, &handshake(&host())).0, 400);
    assert_eq!(refused(&emulator, "GET", &wrong, &handshake(&host())).0, 403);

    let target = signed(&emulator, TARGET);
    emulator.set_clock_offset(10_000);
    let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
    assert_eq!((status, &body["ErrorCode"]), (400, &"RequestExpired".into()), "{body}");
    let target = signed(&emulator, TARGET);
    emulator.set_clock_offset(0);
    let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
    assert_eq!((status, &body["ErrorCode"]), (403, &"SignatureDoesNotMatch".into()), "{body}");
    assert_serves(&emulator);
}

#[test]
fn temporary_credential_opens_a_tunnel_until_it_ends() {
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let temporary = Credential {
        access_key: "ASIAEXAMPLE".to_owned(),
        secret_key: "temporary".to_owned(),
        session_token: Some("FwoGZXIvYXdzE/+==".to_owned()),
        expires: Some(i64::try_from(start).unwrap() + 600),
    };
    let principal = Principal::new(temporary.clone(), "arn:aws:iam::123456789012:user/alice");
    let config = Config { principals: vec![principal], ..Config::default() };
    let emulator = emulator_with(config, echo);
    let target = signed_by(&emulator, &temporary, TARGET);
    let mut stream = tls(&emulator, tcp(&emulator), &host());
    assert!(ask(&mut stream, "GET", &target, &handshake(&host())).starts_with("HTTP/1.1 101 "));
    let code = |credential: &Credential| {
        let target = signed_by(&emulator, credential, TARGET);
        refused(&emulator, "GET", &target, &handshake(&host())).1["ErrorCode"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&Credential { session_token: None, ..temporary.clone() }), "InvalidClientTokenId");
    assert_eq!(code(&credential()), "InvalidClientTokenId", "with principals, there is no default");
    emulator.set_clock_offset(700);
    assert_eq!(code(&temporary), "ExpiredToken");
}

#[test]
fn proxy_connects_only_to_the_endpoint() {
    let emulator = emulator_with(Config::default(), echo);
    let name = host();
    for (request, status) in [
        ("CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_owned(), 403),
        (format!("CONNECT {name}:22 HTTP/1.1\r\n\r\n"), 403),
        (format!("CONNECT {name} HTTP/1.1\r\n\r\n"), 403),
        ("CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n".to_owned(), 403),
        ("CONNECT [::1]:443 HTTP/1.1\r\n\r\n".to_owned(), 403),
        (format!("GET http://{name}/ HTTP/1.1\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("CONNECT {}:443 HTTP/1.1\r\n\r\n", "x".repeat(9000)), 431),
        (format!("CONNECT {name}:443 HTTP/2\r\n\r\n"), 505),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), 400),
    ] {
        let mut stream = tcp(&emulator);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {answer}");
        assert!(answer.contains(&name), "the answer names the endpoint: {answer}");
    }
    assert_serves(&emulator);
}
