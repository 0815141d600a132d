//! How a client reaches TLS: at once, or with `CONNECT` as through a proxy.

use std::io::{self, BufReader, Write};

use super::connection::Connection;
use crate::http::request::NoRequest;
use crate::http::response::Usual;
use crate::http::{Request, Response};
use crate::location::{endpoint_name, fips_endpoint_name};
use crate::record::Service;
use crate::world::World;

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The names of the endpoint.
pub(super) struct Names([String; 3]);

impl Names {
    pub(super) fn of(region: &str) -> Self {
        Self([endpoint_name(region), fips_endpoint_name(region), "localhost".to_owned()])
    }

    pub(super) fn all(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// Whether the field `Host` of a request is one of the names, with or without a port.
    pub(super) fn contain_host(&self, request: &Request) -> bool {
        let host = request.header("host").unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn contain_authority(&self, authority: &str) -> bool {
        let name = authority.strip_suffix(":443").unwrap_or_default();
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Answers a `CONNECT` request, if the client sends one. False means that the connection ends here.
pub(super) fn reach_tls(
    connection: &mut Connection,
    names: &Names,
    world: &World,
    number: u64,
) -> io::Result<bool> {
    if connection.peek()? == Some(TLS_HANDSHAKE) {
        return Ok(true);
    }
    // One byte at a time: the bytes after the request belong to TLS.
    let mut input = BufReader::with_capacity(1, &mut *connection);
    let (request, status) = match Request::read(&mut input) {
        Ok(request) if request.method != "CONNECT" => (request, 400),
        Ok(request) if names.contain_authority(&request.target) => (request, 200),
        Ok(request) => (request, 403),
        Err(NoRequest::End) => return Ok(false),
        Err(NoRequest::Broken(error)) => return Err(error),
        Err(NoRequest::Refused(status)) => (Request::default(), status),
    };
    world.answered(Service::Endpoint, &request, number, status);
    if status == 200 {
        connection.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        return Ok(true);
    }
    let body = "This is the emulator's EC2 Instance Connect Endpoint. It needs TLS, or CONNECT to one of its names: ";
    let body = format!("{body}{}, each with port 443.\n", names.all().join(", "));
    let usual = Usual { server: "Server", now: world.now(), keep_alive: false };
    let response = Response { status, ..Response::text(body) };
    connection.write_all(&response.render(usual, true))?;
    connection.end()?;
    Ok(false)
}
