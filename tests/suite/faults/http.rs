//! Answers that break HTTP, and valid answers with unexpected content.

use eic_emulator::Fault;
use eic_emulator::http::Response;

use super::Expected::{self, Key, Nothing, Refused, Undecided};
use super::{Row, faulty, hold, says, sends};
use crate::metadata::{KEYS, SIGNER, STAPLES};
use crate::world::test_path;

const TOKEN: &str = "/latest/api/token";
const REGION: &str = "placement/region";
const DOMAIN: &str = "services/domain";
const MALFORMED: &str = "metadata-malformed";
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Log in</body></html>\n";

#[test]
fn every_fault_has_its_outcome() {
    hold(test_path!(), rows);
}

pub(super) fn rows() -> Vec<Row> {
    [length_rows(), chunked_rows(), endless_rows(), head_rows(), coding_rows(), other_rows()]
        .into_iter()
        .flatten()
        .collect()
}

fn staples() -> Fault {
    Fault::below(&format!("/latest/meta-data/{STAPLES}"))
}

/// Sends these bytes as the answer for the region.
fn answer(name: &str, expected: Expected, bytes: impl AsRef<[u8]>) -> Row {
    faulty(name, expected, [sends(REGION, bytes.as_ref())])
}

fn broken(name: &str, words: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    answer(name, Undecided(MALFORMED, words), bytes)
}

fn length_rows() -> Vec<Row> {
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nus-east-1");
    vec![
        broken(
            "a Content-Length that is too long",
            "end of file before message length reached",
            ok("Content-Length: 10"),
        ),
        answer(
            "a Content-Length that is too short",
            Undecided("region-malformed", "got \"us-ea\""),
            ok("Content-Length: 5"),
        ),
        answer("no Content-Length", Key, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nus-east-1"),
        answer("the same Content-Length twice", Key, ok("Content-Length: 9\r\nContent-Length: 9")),
        broken("two Content-Lengths", "invalid content-length", ok("Content-Length: 9\r\nContent-Length: 5")),
        broken("a negative Content-Length", "invalid content-length", ok("Content-Length: -9")),
        broken("a Content-Length of words", "invalid content-length", ok("Content-Length: nine")),
        broken("a Content-Length in hex", "invalid content-length", ok("Content-Length: 0x9")),
        broken(
            "a Content-Length of 2^64",
            "invalid content-length",
            ok("Content-Length: 18446744073709551616"),
        ),
        broken("a Content-Length of 2^63", "end of file before", ok("Content-Length: 9223372036854775808")),
        answer(
            "a Content-Length of 0 before a body",
            Undecided("region-malformed", "got \"\""),
            ok("Content-Length: 0"),
        ),
    ]
}

fn chunked_rows() -> Vec<Row> {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    vec![
        answer("chunks", Key, chunked("3\r\nus-\r\n6\r\neast-1\r\n0\r\n\r\n")),
        answer("chunks with extensions", Key, chunked("9;a=b\r\nus-east-1\r\n0;c\r\n\r\n")),
        answer(
            "chunks with trailers",
            Key,
            chunked("9\r\nus-east-1\r\n0\r\nX: y\r\nContent-Length: 1\r\n\r\n"),
        ),
        broken(
            "a chunk size that is no number",
            "nvalid chunk size",
            chunked("zz\r\nus-east-1\r\n0\r\n\r\n"),
        ),
        broken("a chunk size that is empty", "nvalid chunk size", chunked("\r\nus-east-1\r\n0\r\n\r\n")),
        broken("a negative chunk size", "nvalid chunk size", chunked("-1\r\nus-east-1\r\n0\r\n\r\n")),
        broken("a chunk size past 64 bits", "nvalid chunk size", chunked("FFFFFFFFFFFFFFFFF\r\nus-east-1")),
        broken("a huge chunk size", "end of file before", chunked("FFFFFFFFFFFFFFF\r\nus-east-1")),
        broken(
            "a chunk that is longer than its size",
            "nvalid chunk",
            chunked("3\r\nus-east-1\r\n0\r\n\r\n"),
        ),
        broken("chunks without an end", "unexpected EOF", chunked("9\r\nus-east-1\r\n")),
        broken("chunks with half an end", "unexpected EOF", chunked("9\r\nus-east-1\r\n0\r\n")),
        broken("chunks with nonsense as trailer", "nvalid", chunked("9\r\nus-east-1\r\n0\r\n\x01\r\n\r\n")),
        answer(
            "chunks and a Content-Length",
            Key,
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nus-east-1\r\n0\r\n\r\n",
        ),
    ]
}

fn endless_rows() -> Vec<Row> {
    let endless = |path: &str, head: &str, again: Vec<u8>| {
        let head = head.to_owned();
        Fault::at(path).raw(move |wire, _| {
            wire.send(head.as_bytes())?;
            wire.flood(&again)
        })
    };
    let body = |path: &str| endless(path, "HTTP/1.1 200 OK\r\n\r\n", vec![b'a'; 4096]);
    let head = |name: &str, words: &'static str, head: &str, again: &str| {
        let fault = endless(REGION, head, again.as_bytes().to_vec());
        faulty(name, Undecided(MALFORMED, words), [fault])
    };
    vec![
        faulty(
            "an endless region",
            Undecided(MALFORMED, "expected at most 1024 bytes, got more"),
            [body(REGION)],
        ),
        faulty(
            "an endless domain",
            Undecided(MALFORMED, "expected at most 1024 bytes, got more"),
            [body(DOMAIN)],
        ),
        faulty("an endless signer", Undecided(MALFORMED, "expected at most 131072 bytes"), [body(SIGNER)]),
        faulty(
            "endless staples and their list",
            Undecided(MALFORMED, "signer-ocsp/"),
            [staples().raw(|wire, _| {
                wire.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
                wire.flood(&[b'a'; 4096])
            })],
        ),
        faulty(
            "endless keys in one line",
            Refused("too-many-entries", "of the first 2097152 bytes are judged", 1),
            [body(KEYS)],
        )
        .with_login(),
        faulty(
            "endless keys in many lines",
            Refused("too-many-entries", "of the first 2097152 bytes are judged", 1),
            [endless(KEYS, "HTTP/1.1 200 OK\r\n\r\n", b"#Request=a\n".repeat(400))],
        ),
        faulty(
            "endless chunks",
            Undecided(MALFORMED, "expected at most 1024 bytes, got more"),
            [endless(
                REGION,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\na\r\n".repeat(500),
            )],
        ),
        head(
            "an endless chunk extension",
            "chunk extensions",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9;",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        head(
            "endless trailers",
            "railer",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nus-east-1\r\n0\r\n",
            "A: b\r\nA: b\r\nA: b\r\n",
        ),
        head(
            "endless headers",
            "message head is too large",
            "HTTP/1.1 200 OK\r\n",
            "A: b\r\nA: b\r\nA: b\r\n",
        ),
        head(
            "an endless header",
            "message head is too large",
            "HTTP/1.1 200 OK\r\nA: ",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        head(
            "an endless status line",
            "message head is too large",
            "HTTP/1.1 200 ",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        faulty(
            "a page without end at 404",
            Nothing,
            [endless(KEYS, "HTTP/1.1 404 Not Found\r\n\r\n", vec![b' '; 4096])],
        ),
        faulty(
            "a page without end at 403",
            Undecided("metadata-forbidden", KEYS),
            [endless(KEYS, "HTTP/1.1 403 Forbidden\r\n\r\n", vec![b' '; 4096])],
        ),
    ]
}

fn head_rows() -> Vec<Row> {
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n{fields}\r\nus-east-1");
    let status = |line: &str| format!("{line}\r\nContent-Length: 9\r\n\r\nus-east-1");
    vec![
        answer("sixty headers", Key, with(&"A: b\r\n".repeat(60))),
        broken("sixty-five headers", "message head is too large", with(&"A: b\r\n".repeat(65))),
        broken(
            "a header of 20,000 bytes",
            "expected at most 16384 bytes of headers",
            with(&format!("A: {}\r\n", "b".repeat(20_000))),
        ),
        broken(
            "a header of 1 MB",
            "message head is too large",
            with(&format!("A: {}\r\n", "b".repeat(1_000_000))),
        ),
        broken(
            "a header name of 100,000 bytes",
            "message head is too large",
            with(&format!("{}: b\r\n", "A".repeat(100_000))),
        ),
        broken("a header with NUL", "invalid HTTP header", with("A: b\0c\r\n")),
        broken("a header without a colon", "invalid HTTP header", with("nonsense\r\n")),
        broken("a header with a space in its name", "invalid HTTP header", with("A b: c\r\n")),
        broken("a folded header", "invalid HTTP header", with("A: b\r\n c\r\n")),
        answer("lines that end with LF", Key, "HTTP/1.1 200 OK\nContent-Length: 9\n\nus-east-1"),
        answer("HTTP/1.0", Key, "HTTP/1.0 200 OK\r\n\r\nus-east-1"),
        broken("HTTP/0.9", "invalid HTTP", "us-east-1"),
        broken("HTTP/2", "invalid HTTP", status("HTTP/2 200 OK")),
        broken("HTTP/9.9", "invalid HTTP", status("HTTP/9.9 200 OK")),
        broken("an HTTP/2 preface", "invalid HTTP", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
        broken("a TLS alert", "invalid HTTP", b"\x15\x03\x01\x00\x02\x02\x50"),
        broken("a status of two digits", "invalid HTTP", status("HTTP/1.1 20 OK")),
        broken("a status of 0", "nvalid", status("HTTP/1.1 000 OK")),
        broken("a status of four digits", "invalid HTTP", status("HTTP/1.1 2000 OK")),
        broken("a status of words", "invalid HTTP", status("HTTP/1.1 OK")),
        answer(
            "100 and then the answer",
            Key,
            format!("HTTP/1.1 100 Continue\r\n\r\n{}", status("HTTP/1.1 200 OK")),
        ),
        broken(
            "101",
            "placement/region",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        answer("an answer and a second one behind it", Key, status("HTTP/1.1 200 OK").repeat(2)),
    ]
}

/// `us-east-1`, by gzip.
const GZIP: [u8; 29] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0x2d, 0xd6, 0x4d, 0x4d, 0x2c, 0x2e,
    0xd1, 0x35, 0x04, 0x00, 0x24, 0x09, 0x65, 0x77, 0x09, 0x00, 0x00, 0x00,
];

fn coding_rows() -> Vec<Row> {
    let zipped = |path| Fault::at(path).respond(Response::text(GZIP).header("Content-Encoding", "gzip"));
    vec![
        faulty("gzip at the token", Undecided(MALFORMED, "visible ASCII"), [zipped(TOKEN)]),
        faulty("gzip at the region", Undecided(MALFORMED, "it is not UTF-8"), [zipped(REGION)]),
        faulty("gzip at the signer", Undecided("signer-malformed", ""), [zipped(SIGNER)]),
        faulty("gzip at the keys", Refused("key-malformed", "", 1), [zipped(KEYS)]),
        broken(
            "a transfer coding that was not requested",
            "placement/region",
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".as_slice(), &GZIP].concat(),
        ),
    ]
}

fn other_rows() -> Vec<Row> {
    let redirect = |status: u16, path: &'static str, to: &str| {
        let expected = Undecided(MALFORMED, "expected 200 or 404 from");
        let answer = Response::status(status).header("Location", to);
        faulty(format!("{status} at {path}"), expected, [Fault::at(path).respond(answer)])
    };
    let elsewhere = "http://169.254.169.254/latest/meta-data/placement/region";
    vec![
        redirect(301, "/latest/api/token/", "/latest/api/token2"),
        redirect(302, REGION, elsewhere),
        redirect(303, KEYS, "http://[fd00:ec2::254]/"),
        redirect(307, SIGNER, "file:///etc/passwd"),
        redirect(308, DOMAIN, "//169.254.169.254/latest/meta-data/services/domain"),
        redirect(300, REGION, ""),
        faulty(
            "a page at the keys",
            Refused("key-malformed", "does not begin with the name of a key algorithm", 2),
            [says(KEYS, PAGE)],
        ),
        faulty(
            "a page at the region",
            Undecided("region-malformed", "got \"<!DOCTYPE html>"),
            [says(REGION, PAGE)],
        ),
        faulty(
            "a page at the domain",
            Undecided("domain-unknown", "got \"<!DOCTYPE html>"),
            [says(DOMAIN, PAGE)],
        ),
        faulty("a page at the signer", Undecided("signer-malformed", ""), [says(SIGNER, PAGE)]),
        faulty(
            "a page at every staple",
            Undecided("staple-malformed", ""),
            [staples().respond(Response::text(PAGE))],
        ),
        faulty("an empty answer at the keys", Nothing, [says(KEYS, "")]),
        faulty("an empty answer at the signer", Undecided("signer-malformed", ""), [says(SIGNER, "")]),
    ]
}
