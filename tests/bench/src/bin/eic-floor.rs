//! A lower bound for a run of the agent: the same rounds of requests and the same signature checks, and nothing else.
//!
//! Each request is a fixed text on a new connection. The requests of a round run in parallel. The program searches the
//! answers for the parts that it needs. It checks only signatures: no name, no date, no content of a staple, no trust
//! anchor. It serves only to compare times.
//!
//! Usage: `eic-floor ADDRESS:PORT USER`

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};

/// The items that a run requests in parallel if the user has keys.
const ITEMS: [&str; 4] =
    ["instance-id/", "placement/availability-zone/", "services/domain/", "managed-ssh-keys/signer-cert/"];

/// The number of certificates below the trusted root, including the signer's own.
const BELOW_THE_ROOT: usize = 2;

/// The start of a 2048-bit RSA key in a certificate: a BIT STRING of 271 bytes without unused bits.
const KEY_BEGINS: [u8; 5] = [0x03, 0x82, 0x01, 0x0f, 0x00];
const KEY_LENGTH: usize = 270;
const SIGNATURE_LENGTH: usize = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, user] = arguments.as_slice() else { return ExitCode::from(2) };
    let Ok(address) = address.parse() else { return ExitCode::from(2) };
    match run(address, user) {
        Ok(line) => {
            print!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("eic-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(service: SocketAddr, user: &str) -> io::Result<String> {
    let token = "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\
                 X-aws-ec2-metadata-token-ttl-seconds: 5\r\nContent-Length: 0\r\n\r\n";
    let token = text(&first(ask(service, &[token.to_owned()])?)?);
    let get = |item: &str| {
        format!(
            "GET /latest/meta-data/{item} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\
             X-aws-ec2-metadata-token: {token}\r\n\r\n"
        )
    };
    let keys = ask(service, &[get(&format!("managed-ssh-keys/active-keys/{user}/"))])?.pop().flatten();
    let Some(keys) = keys else { return Ok(String::new()) };

    let chain = text(&ask(service, &ITEMS.map(get))?.pop().flatten().ok_or_else(|| wrong("no chain"))?);
    let chain: Vec<_> = chain
        .split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|rest| Some(base64(rest.split_once("-----END")?.0)))
        .collect();
    if chain.len() <= BELOW_THE_ROOT {
        return Err(wrong("the chain is too short"));
    }
    let staples: Vec<_> = chain[..BELOW_THE_ROOT]
        .iter()
        .map(|certificate| get(&format!("managed-ssh-keys/signer-ocsp/{}", sha1_name(certificate))))
        .collect();
    for (position, staple) in ask(service, &staples)?.into_iter().enumerate() {
        let issuer = key_of(&chain[position + 1])?;
        let certificate = &chain[position];
        if !holds(&RSA_PKCS1_2048_8192_SHA256, issuer, signed_part(certificate), end_of(certificate)?) {
            return Err(wrong("a certificate's signature"));
        }
        // This costs as much as one verification. It does not locate the signed bytes of the staple.
        let staple = base64(&text(&staple.ok_or_else(|| wrong("no staple"))?));
        holds(&RSA_PKCS1_2048_8192_SHA256, issuer, &staple[..staple.len() / 2], end_of(&staple)?);
    }

    let keys = text(&keys);
    let line = keys.find("\nssh-").ok_or_else(|| wrong("no key"))? + 1;
    let end = line + keys[line..].find('\n').ok_or_else(|| wrong("no signature"))? + 1;
    let signature = base64(keys[end..].split("\n\n").next().unwrap_or_default());
    if !holds(&RSA_PSS_2048_8192_SHA256, key_of(&chain[0])?, &keys.as_bytes()[..end], &signature) {
        return Err(wrong("the key's signature"));
    }
    Ok(keys[line..end].to_owned())
}

/// Sends the requests in parallel, each on a new connection. `None` means a status other than 200.
fn ask(service: SocketAddr, requests: &[String]) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut open = Vec::with_capacity(requests.len());
    for request in requests {
        let mut connection = TcpStream::connect(service)?;
        connection.set_nodelay(true)?;
        connection.write_all(request.as_bytes())?;
        open.push(connection);
    }
    open.into_iter()
        .map(|mut connection| {
            let mut answer = Vec::with_capacity(8192);
            connection.read_to_end(&mut answer)?;
            let head =
                answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(|| wrong("no head"))?;
            let body = answer.split_off(head + 4);
            Ok(answer.starts_with(b"HTTP/1.1 200 ").then_some(body))
        })
        .collect()
}

fn first(answers: Vec<Option<Vec<u8>>>) -> io::Result<Vec<u8>> {
    answers.into_iter().next().flatten().ok_or_else(|| wrong("no token"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        held = (held << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}

fn sha1_name(certificate: &[u8]) -> String {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref().iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02X}");
        name
    })
}

/// The part of a certificate that its issuer signed: the first inner element, which is longer than 255 bytes.
fn signed_part(certificate: &[u8]) -> &[u8] {
    let length = usize::from(certificate[6]) << 8 | usize::from(certificate[7]);
    &certificate[4..8 + length]
}

fn end_of(signed: &[u8]) -> io::Result<&[u8]> {
    signed.last_chunk::<SIGNATURE_LENGTH>().map(|signature| &signature[..]).ok_or_else(|| wrong("too short"))
}

fn key_of(certificate: &[u8]) -> io::Result<&[u8]> {
    let begins = certificate.windows(KEY_BEGINS.len()).position(|bytes| bytes == KEY_BEGINS);
    let begins = begins.ok_or_else(|| wrong("no RSA key of 2048 bits"))? + KEY_BEGINS.len();
    certificate.get(begins..begins + KEY_LENGTH).ok_or_else(|| wrong("an incomplete key"))
}

fn holds(scheme: &'static RsaParameters, key: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(scheme, key).verify(signed, signature).is_ok()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
