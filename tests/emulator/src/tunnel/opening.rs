//! The request `OpenTunnel`: its parameters, and the handshake of WebSocket (RFC 6455, 4.2).

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::config::Config;
use crate::http::Request;
use crate::location::ENDPOINT_ID;
use crate::pki::sha1;
use crate::sigv4::parameters;

/// The names of the parameters.
const NAMES: [&str; 4] = ["instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration"];
/// The ports that the endpoint allows: SSH and RDP.
const PORTS: [u16; 2] = [22, 3389];
/// The longest duration of a tunnel, in seconds, which is also the default.
const LONGEST: u64 = 3600;
/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A valid request for a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) duration: Duration,
    key: String,
}

impl Opening {
    /// Reads the request.
    pub(super) fn read(request: &Request, config: &Config) -> Result<Self, Refusal> {
        let query = parameters(&request.target);
        let once = |name: &str| {
            let mut values = query.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
            values.next().filter(|_| values.next().is_none())
        };
        for (name, _) in query.iter().filter(|(name, _)| !name.starts_with("X-Amz-")) {
            if !NAMES.contains(&name.as_str()) {
                return Err(Refusal::new(400, "InvalidParameter", "The request has an unknown parameter."));
            }
            if once(name).is_none() {
                return Err(Refusal::parameter(&title(name), "one value"));
            }
        }
        if once("instanceConnectEndpointId") != Some(ENDPOINT_ID) {
            return Err(Refusal::endpoint());
        }
        let port = once("remotePort").and_then(decimal).filter(|port| PORTS.contains(port));
        let port = port.ok_or_else(|| Refusal::parameter("RemotePort", "either 22 or 3389"))?;
        let own = |address: &IpAddr| {
            *address == config.instance_ip || config.instance_ipv6.is_some_and(|own| *address == own)
        };
        let address = once("privateIpAddress").and_then(|address| address.parse().ok()).filter(own);
        let address = address.ok_or_else(|| {
            Refusal::parameter("PrivateIpAddress", "an address of an instance in the endpoint's VPC")
        })?;
        let seconds = match once("maxTunnelDuration") {
            Some(seconds) => decimal(seconds).filter(|seconds| (1..=LONGEST).contains(seconds)),
            None => Some(LONGEST),
        };
        let seconds =
            seconds.ok_or_else(|| Refusal::parameter("MaxTunnelDuration", "between 1 and 3600 seconds"))?;
        let key = websocket_key(request)?;
        Ok(Self { address, port, duration: Duration::from_secs(seconds), key })
    }

    /// The head of the response that begins the tunnel.
    pub(super) fn response(&self, id: &str) -> String {
        let accept = BASE64.encode(&sha1(format!("{}{GUID}", self.key).as_bytes()));
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nx-amzn-RequestId: {id}\r\n\r\n"
        )
    }
}

/// The parameters for CloudTrail, as sent.
pub(super) fn shown(request: &Request) -> Value {
    let known = parameters(&request.target).into_iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
    known.map(|(name, value)| (name, Value::from(value))).collect::<Map<_, _>>().into()
}

/// A number in its usual form: only digits, no leading zero.
fn decimal<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// The name as AWS's messages write it.
fn title(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}

/// The client's key, if the request is a good handshake.
fn websocket_key(request: &Request) -> Result<String, Refusal> {
    let has = |name: &str, token: &str| {
        let value = request.header(name).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(Refusal::new(426, "InvalidRequest", "The request is not a WebSocket handshake"));
    }
    if request.header("sec-websocket-version") != Some("13") {
        return Err(Refusal::new(426, "InvalidRequest", "The version of WebSocket must be 13"));
    }
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let is_key = BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16);
    if is_key && request.body.is_empty() {
        return Ok(key.to_owned());
    }
    Err(Refusal::new(400, "InvalidRequest", "Sec-WebSocket-Key must be 16 bytes in base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "/openTunnel?instanceConnectEndpointId=eice-0123456789abcdef0&remotePort=22&privateIpAddress=10.0.1.7";

    fn request(target: &str, key: &str) -> Request {
        let headers = [
            ("Upgrade", "WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Request { method: "GET".to_owned(), target: target.to_owned(), headers, ..Request::default() }
    }

    fn read(target: &str) -> Result<Opening, Refusal> {
        let config = Config {
            instance_ip: "10.0.1.7".parse().unwrap(),
            instance_ipv6: Some("fd00::7".parse().unwrap()),
            ..Config::default()
        };
        // The key of RFC 6455, 1.3.
        Opening::read(&request(target, "dGhlIHNhbXBsZSBub25jZQ=="), &config)
    }

    #[test]
    fn good_request_is_read_and_answered() {
        let opening = read(GOOD).unwrap();
        assert_eq!((opening.port, opening.duration), (22, Duration::from_secs(3600)));
        assert!(opening.response("r").contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        let other =
            GOOD.replace("=22", "=3389").replace("10.0.1.7", "FD00%3A0%3A%3A7") + "&maxTunnelDuration=1";
        let other = read(&other).unwrap();
        assert_eq!((other.port, other.duration), (3389, Duration::from_secs(1)));
        assert_eq!(other.address, "fd00::7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn wrong_parameter_is_named() {
        for (target, named) in [
            (GOOD.replace("=22", "=23"), "RemotePort"),
            (GOOD.replace("=22", "=022"), "RemotePort"),
            (GOOD.replace("=22", "=65558"), "RemotePort"),
            (GOOD.replace("=22", "="), "RemotePort"),
            (GOOD.replace("&remotePort=22", ""), "RemotePort"),
            (GOOD.to_owned() + "&remotePort=22", "RemotePort"),
            (GOOD.replace("10.0.1.7", "10.0.1.8"), "PrivateIpAddress"),
            (GOOD.replace("10.0.1.7", "127.0.0.1"), "PrivateIpAddress"),
            (GOOD.replace("10.0.1.7", "10.0.1.7%00"), "PrivateIpAddress"),
            (GOOD.replace("10.0.1.7", "localhost"), "PrivateIpAddress"),
            (GOOD.replace("10.0.1.7", "fd00::8"), "PrivateIpAddress"),
            (GOOD.to_owned() + "&privateIpAddress=10.0.1.9", "PrivateIpAddress"),
            (GOOD.replace("eice-0", "eice-1"), "InstanceConnectEndpointId"),
            (GOOD.to_owned() + "&maxTunnelDuration=0", "MaxTunnelDuration"),
            (GOOD.to_owned() + "&maxTunnelDuration=3601", "MaxTunnelDuration"),
            (GOOD.to_owned() + "&maxTunnelDuration=-1", "MaxTunnelDuration"),
            (GOOD.to_owned() + "&other=1", "unknown parameter"),
        ] {
            let refusal = read(&target).unwrap_err();
            assert_eq!((refusal.status, refusal.code), (400, "InvalidParameter"), "{target}");
            assert!(refusal.message.contains(named), "{target}: {}", refusal.message);
        }
        let refusal = read(&GOOD.replace("=22", "=5432")).unwrap_err();
        // This is AWS's own sentence.
        assert_eq!(
            refusal.message,
            "The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."
        );
    }

    #[test]
    fn wrong_handshake_is_refused() {
        let config = Config { instance_ip: "10.0.1.7".parse().unwrap(), ..Config::default() };
        let good = request(GOOD, "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value, status) in [
            ("Upgrade", "h2c", 426),
            ("Connection", "close", 426),
            ("Sec-WebSocket-Version", "8", 426),
            ("Sec-WebSocket-Key", "c2hvcnQ=", 400),
            ("Sec-WebSocket-Key", "", 400),
        ] {
            let mut request = good.clone();
            request.headers.retain(|(own, _)| own != name);
            request.headers.push((name.to_owned(), value.to_owned()));
            let refusal = Opening::read(&request, &config).unwrap_err();
            assert_eq!(refusal.status, status, "{name}: {value}");
            let version =
                refusal.response("r").headers.into_iter().find(|(name, _)| name == "Sec-WebSocket-Version");
            assert_eq!(version.is_some(), status == 426);
        }
    }
}
