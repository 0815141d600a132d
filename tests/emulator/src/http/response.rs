//! Responses and their encoding.

use crate::calendar::http_date;

/// A response. `render` adds the usual header fields that it does not contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields in addition to the usual ones. A field replaces the usual one with the same name.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The values of the usual header fields.
#[derive(Clone, Copy, Debug)]
pub struct Usual<'a> {
    /// `Server`.
    pub server: &'a str,
    /// The value of `Date`, in Unix seconds.
    pub now: i64,
    /// `Connection: keep-alive` or `close`.
    pub keep_alive: bool,
}

impl Response {
    /// A response with status 200 and plain text.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }.header("Content-Type", "text/plain")
    }

    /// A response with this status and the short page that the metadata service sends for it.
    pub fn status(status: u16) -> Self {
        let title = format!("{status} - {}", reason(status));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\">\n <head><title>{title}</title></head>\n \
             <body><h1>{title}</h1></body>\n</html>\n"
        );
        Self { status, headers: Vec::new(), body: body.into() }.header("Content-Type", "text/html")
    }

    /// Sets a header field. Replaces a field with the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes to send. A response to `HEAD` has no body.
    pub fn render(&self, usual: Usual<'_>, with_body: bool) -> Vec<u8> {
        let connection = if usual.keep_alive { "keep-alive" } else { "close" };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in [
            ("Server", usual.server),
            ("Date", &http_date(usual.now)),
            ("Content-Length", &self.body.len().to_string()),
            ("Connection", connection),
        ] {
            if !self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
                push_field(&mut head, name, value);
            }
        }
        for (name, value) in &self.headers {
            push_field(&mut head, name, value);
        }
        head.push_str("\r\n");
        [head.as_bytes(), if with_body { &self.body } else { &[] }].concat()
    }
}

fn push_field(head: &mut String, name: &str, value: &str) {
    head.push_str(name);
    head.push_str(": ");
    head.push_str(value);
    head.push_str("\r\n");
}

/// The reason phrase of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_fields_replace_the_usual_ones() {
        let usual = Usual { server: "EC2ws", now: 784_111_777, keep_alive: false };
        let text =
            String::from_utf8(Response::text("a").header("content-length", "5").render(usual, true)).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nServer: EC2ws\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Connection: close\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\na"
        );
    }
}
