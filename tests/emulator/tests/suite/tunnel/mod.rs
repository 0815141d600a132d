//! The endpoint's tunnels, with a client of the same libraries. `tests/suite/tunnel` has independent clients.

mod floods;
mod halves;
mod refusals;
mod tunnels;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use eic_emulator::location::endpoint_name;
use eic_emulator::sigv4::{Credential, Scope, presign};
use eic_emulator::{Config, DEFAULT_SECRET_KEY, Emulator};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The longest wait of a client on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// `GET /openTunnel` without a signature.
pub(crate) const TARGET: &str =
    "/openTunnel?instanceConnectEndpointId=eice-0123456789abcdef0&remotePort=22&privateIpAddress=127.0.0.1";

/// An emulator whose instance serves port 22 with this function.
pub(crate) fn emulator_with(config: Config, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Emulator {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    // The thread ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    Emulator::start(Config { instance_ports: BTreeMap::from([(22, port)]), ..config }).unwrap()
}

/// Returns every byte.
pub(crate) fn echo(mut stream: TcpStream) {
    let mut back = stream.try_clone().unwrap();
    drop(std::io::copy(&mut stream, &mut back));
}

pub(crate) fn credential() -> Credential {
    Credential {
        access_key: "AKIAEXAMPLEALICE".to_owned(),
        secret_key: DEFAULT_SECRET_KEY.to_owned(),
        session_token: None,
        expires: None,
    }
}

pub(crate) fn host() -> String {
    endpoint_name("us-east-1")
}

/// Signs a target as AWS CLI 2 does. Each signature differs, because the validity does.
pub(crate) fn signed_by(emulator: &Emulator, credential: &Credential, target: &str) -> String {
    static COUNT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(60);
    let seconds = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let scope = Scope { region: "us-east-1", service: "ec2-instance-connect" };
    presign(credential, scope, &host(), target, emulator.now(), seconds)
}

fn signed(emulator: &Emulator, target: &str) -> String {
    signed_by(emulator, &credential(), target)
}

/// A connection to the listener of the endpoint.
pub(crate) fn tcp(emulator: &Emulator) -> TcpStream {
    let stream = TcpStream::connect(emulator.proxy_url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// TLS over a connection. It verifies the endpoint's certificate.
pub(crate) fn tls(emulator: &Emulator, stream: TcpStream, name: &str) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(emulator.hierarchy().anchor.der().to_vec().into()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// The fields of a good handshake.
pub(crate) fn handshake(host: &str) -> String {
    format!(
        "Host: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: test\r\n"
    )
}

/// Sends a request and reads the head of the answer.
pub(crate) fn ask(stream: &mut Tls, method: &str, target: &str, fields: &str) -> String {
    stream.write_all(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
    let mut head = String::new();
    let mut input = BufReader::with_capacity(1, stream);
    while !head.ends_with("\r\n\r\n") {
        assert!(input.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}

/// The status and the body of the answer to a request that is refused.
pub(crate) fn refused(
    emulator: &Emulator,
    method: &str,
    target: &str,
    fields: &str,
) -> (u16, serde_json::Value) {
    let mut stream = tls(emulator, tcp(emulator), &host());
    let head = ask(&mut stream, method, target, fields);
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}{body}");
    assert!(head.contains("x-amzn-RequestId: "), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// Opens a tunnel.
fn open(emulator: &Emulator, target: &str) -> WebSocket<Tls> {
    let mut stream = tls(emulator, tcp(emulator), &host());
    let head = ask(&mut stream, "GET", &signed(emulator, target), &handshake(&host()));
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

/// The data of the next message.
fn data(tunnel: &mut WebSocket<Tls>) -> Vec<u8> {
    match tunnel.read().unwrap() {
        Message::Binary(data) => data.to_vec(),
        other => panic!("{other:?} is not a binary message"),
    }
}

/// The code and the reason of the close frame, which must be the next message.
fn closed(tunnel: &mut WebSocket<Tls>) -> (u16, String) {
    match tunnel.read().unwrap() {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("{other:?} is not a close frame with a code"),
    }
}

/// The server still opens tunnels and moves bytes.
fn assert_serves(emulator: &Emulator) {
    let mut tunnel = open(emulator, TARGET);
    tunnel.send(Message::binary(&b"still here"[..])).unwrap();
    assert_eq!(data(&mut tunnel), b"still here");
}
