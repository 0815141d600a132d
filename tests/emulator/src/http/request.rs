//! Reads a request, with a limit on every part.

use std::fmt;
use std::io::{self, BufRead, Read};

/// The longest line of a head, in bytes.
const MAX_LINE: u64 = 8 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 100;
/// The longest body, in bytes. SendSSHPublicKey needs about 5 KiB.
const MAX_BODY: usize = 64 * 1024;

/// A request as the client sent it. `Debug` shows neither session tokens nor signatures.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path and the query, as sent.
    pub target: String,
    /// The header fields in order, with names as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the client requested `Connection: close`.
    pub close: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, headers, body, close } = self;
        formatter
            .debug_struct("Request")
            .field("method", method)
            .field("target", &shown_target(target))
            .field("headers", &shown_headers(headers))
            .field("body", &String::from_utf8_lossy(body))
            .field("close", close)
            .finish()
    }
}

/// Header fields without the values that are for the service only.
pub(crate) fn shown_headers(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let is_secret = |name: &str| {
        ["authorization", "x-amz-security-token"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), if is_secret(name) { "…" } else { value.as_str() }))
        .collect()
}

/// A target without the parameters of its signature, which is long, and has a session token for the service only.
pub(crate) fn shown_target(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let is_shown = |pair: &&str| {
        let name = percent_decode(pair.split('=').next().unwrap_or_default(), false);
        !name.to_ascii_lowercase().starts_with("x-amz-")
    };
    let shown: Vec<_> = query.split('&').filter(is_shown).collect();
    if shown.is_empty() { path.to_owned() } else { format!("{path}?{}", shown.join("&")) }
}

/// Why no request could be read.
#[derive(Debug)]
pub enum NoRequest {
    /// The connection ended before a request began.
    End,
    /// The request is malformed or too large. The response must have this status.
    Refused(u16),
    /// The connection broke.
    Broken(io::Error),
}

impl From<io::Error> for NoRequest {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Request {
    /// Reads one request.
    pub fn read(input: &mut impl BufRead) -> Result<Self, NoRequest> {
        let Some(first) = read_line(input)? else { return Err(NoRequest::End) };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(NoRequest::Refused(400));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(NoRequest::Refused(505));
        }
        let mut request = Self { method: method.to_owned(), target: target.to_owned(), ..Self::default() };
        request.headers = read_headers(input)?;
        let connection = request.header("connection").unwrap_or_default().to_ascii_lowercase();
        request.close = if version == "HTTP/1.0" {
            !connection.contains("keep-alive")
        } else {
            connection.contains("close")
        };
        request.body = request.read_body(input)?;
        Ok(request)
    }

    /// The value of the first header field called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path without the query, percent-decoded.
    pub fn path(&self) -> String {
        percent_decode(self.target.split('?').next().unwrap_or_default(), false)
    }

    fn read_body(&self, input: &mut impl BufRead) -> Result<Vec<u8>, NoRequest> {
        if self.header("transfer-encoding").is_some() {
            return Err(NoRequest::Refused(501));
        }
        let Some(length) = self.header("content-length") else { return Ok(Vec::new()) };
        let length: usize = length.parse().map_err(|_| NoRequest::Refused(400))?;
        if length > MAX_BODY {
            return Err(NoRequest::Refused(413));
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        Ok(body)
    }
}

fn read_headers(input: &mut impl BufRead) -> Result<Vec<(String, String)>, NoRequest> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(input)?.ok_or(NoRequest::Refused(400))?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or(NoRequest::Refused(400))?;
        if headers.len() == MAX_HEADERS {
            return Err(NoRequest::Refused(431));
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Reads a line without its line end. `None` means that the input has ended.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>, NoRequest> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let Some(line) = line.strip_suffix(b"\n") else { return Err(NoRequest::Refused(431)) };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

/// Decodes percent-encoding. In a form, `+` also becomes a space.
pub fn percent_decode(text: &str, form: bool) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) if form => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_read_completely() {
        let text = b"PUT /a%20b/?c HTTP/1.1\r\nX-One: 1\r\ncontent-length: 3\r\n\r\nabcGET";
        let mut input = &text[..];
        let request = Request::read(&mut input).unwrap();
        assert_eq!((request.method.as_str(), request.path().as_str()), ("PUT", "/a b/"));
        assert_eq!((request.header("x-one"), &request.body[..]), (Some("1"), &b"abc"[..]));
        assert!(!request.close);
        assert_eq!(input, b"GET");
    }

    #[test]
    fn malformed_request_gets_its_status() {
        for (text, status) in [
            ("GET /\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2\r\n\r\n".to_owned(), 505),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)), 431),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101)), 431),
            ("GET / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n".to_owned(), 413),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 501),
        ] {
            let result = Request::read(&mut text.as_bytes());
            assert!(matches!(result, Err(NoRequest::Refused(got)) if got == status), "{text:?}: {result:?}");
        }
        assert!(matches!(Request::read(&mut &b""[..]), Err(NoRequest::End)));
    }

    #[test]
    fn percent_encoding_is_decoded() {
        assert_eq!(percent_decode("a%2Bb+c%", false), "a+b+c%");
        assert_eq!(percent_decode("a%2Bb+c%zz", true), "a+b c%zz");
    }
}
