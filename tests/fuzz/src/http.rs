//! The agent's session with a metadata service that answers with the fuzzer's bytes.
//!
//! The session talks to a real socket on loopback, through reqwest and hyper as in the agent: there is no way around
//! either that would still be the same code. Both ends live on one thread and one runtime that outlasts the inputs.
//! Its clock stands still while bytes move and is moved on when nothing does, so that no timeout and no pause between
//! attempts takes any time.
//!
//! The input: one byte, whose lowest bit says whether a good token goes in front; then answers, each a byte that says
//! how it is sent and, up to the next 0x1e (ASCII's record separator), what.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use eic_agent::imds::{Endpoint, ImdsError, Session, TOKEN_TTL_SECONDS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep};

/// The time that the session gets, by its own clock.
const ALLOWED: Duration = Duration::from_millis(1500);
/// How far the clock moves when nothing else does.
const TICK: Duration = Duration::from_millis(25);
/// How often both ends are asked before it counts as nothing.
const PATIENCE: u32 = 12;
/// Most that an endless answer sends.
const ENDLESS: usize = 256 * 1024;

const TOKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nAQAEAtok";
const NOTHING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime can be made");
}

/// What the peer will send, has sent and was asked, and how often either end moved.
struct Peer {
    answers: RefCell<VecDeque<Answer>>,
    sent: RefCell<Vec<u8>>,
    moves: Cell<u64>,
}

struct Answer {
    manner: Manner,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Manner {
    /// Close after it.
    Close,
    /// Serve the next request on the same connection.
    KeepAlive,
    /// Say nothing more, and keep the connection.
    Hold,
    /// Reset the connection.
    Reset,
    /// A few bytes at a time.
    Trickle,
    /// The same again and again.
    Endless,
    /// Without waiting for the request.
    Early,
}

/// Asks as a run of the agent does; every answer is within its bounds and its time, or an error that can be logged.
pub fn run(input: &[u8]) {
    let peer = Peer::of(input);
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // A port of its own: nobody who comes late from the input before is heard.
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
            let address = listener.local_addr().expect("a listener has an address");
            let endpoint = format!("http://{address}").parse().expect("an address is an endpoint");
            tokio::select! {
                () = walk(&endpoint, &peer) => {}
                () = peer.serve(&listener) => unreachable!("it serves for ever"),
                () = peer.keep_time() => unreachable!("it goes on for ever"),
            }
        });
    });
}

async fn walk(endpoint: &Endpoint, peer: &Peer) {
    let started = Instant::now();
    let session = match Session::open(std::slice::from_ref(endpoint), ALLOWED).await {
        Ok(session) => session,
        Err(error) => return check_error(&error, started),
    };
    let greeting = session.greeting();
    for text in [&greeting.date, &greeting.server, &greeting.via].into_iter().flatten() {
        assert_printable(text);
    }
    for (path, limit) in [("/latest/meta-data/a/", 64), ("/latest/meta-data/b/", 4096)] {
        match session.get_head(path, limit).await {
            Ok(Some(body)) => {
                assert!(body.bytes.len() <= limit);
                assert!(!body.cut || body.bytes.len() == limit, "cut at {}", body.bytes.len());
                assert!(is_within(&body.bytes, &peer.sent.borrow()), "nobody sent {:?}", body.bytes);
            }
            Ok(None) => {}
            Err(error) => check_error(&error, started),
        }
    }
    match session.get_text("/latest/meta-data/c/", 100).await {
        Ok(text) => assert!(text.is_none_or(|text| text.len() <= 100 && text == text.trim())),
        Err(error) => check_error(&error, started),
    }
    check_time(started);
}

fn check_error(error: &ImdsError, started: Instant) {
    assert_printable(&error.to_string());
    assert_printable(error.reason().as_str());
    check_time(started);
}

fn check_time(started: Instant) {
    let took = started.elapsed();
    assert!(took <= ALLOWED + 2 * TICK, "{took:?} of {ALLOWED:?}");
}

/// Whether all of `part` was sent, in that order: chunked coding takes bytes out from between.
fn is_within(part: &[u8], sent: &[u8]) -> bool {
    let mut sent = sent.iter();
    part.iter().all(|byte| sent.any(|other| other == byte))
}

fn assert_printable(text: &str) {
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "not one printable line: {text:?}");
}

impl Peer {
    fn of(input: &[u8]) -> Self {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let mut answers: VecDeque<_> = rest.split(|byte| *byte == 0x1e).take(16).map(Answer::of).collect();
        if first & 1 == 1 {
            answers.push_front(Answer { manner: Manner::KeepAlive, bytes: TOKEN.to_vec() });
        }
        Self { answers: answers.into(), sent: RefCell::default(), moves: Cell::default() }
    }

    /// Moves the clock whenever both ends wait.
    async fn keep_time(&self) {
        let mut seen = self.moves.get();
        let mut idle = 0;
        loop {
            // The runtime moves the clock by itself when it has nothing to do; so it always has this.
            yield_now().await;
            if self.moves.get() != seen {
                (seen, idle) = (self.moves.get(), 0);
            } else if idle < PATIENCE {
                idle += 1;
            } else {
                advance(TICK).await;
                idle = 0;
            }
        }
    }

    fn moved(&self) {
        self.moves.set(self.moves.get().wrapping_add(1));
    }

    /// One connection after the other: the session has no more than one at a time that it still cares for.
    async fn serve(&self, listener: &TcpListener) {
        let mut held = Vec::new();
        loop {
            let (connection, _) = listener.accept().await.expect("a listener on loopback accepts");
            self.moved();
            held.extend(self.answer(connection).await);
        }
    }

    /// Gives the connection back where it is to stay open.
    async fn answer(&self, mut connection: TcpStream) -> Option<TcpStream> {
        loop {
            let answer = self.answers.borrow_mut().pop_front();
            let is_early = answer.as_ref().is_some_and(|answer| matches!(answer.manner, Manner::Early));
            let mut is_put = false;
            if !is_early {
                let request = self.read_request(&mut connection).await?;
                is_put = request.starts_with(b"PUT ");
                self.check_request(&request);
            }
            let usual =
                || Answer { manner: Manner::KeepAlive, bytes: if is_put { TOKEN } else { NOTHING }.into() };
            let Answer { manner, bytes } = answer.unwrap_or_else(usual);
            self.send(&mut connection, manner, &bytes).await?;
            match manner {
                Manner::KeepAlive => {}
                Manner::Hold | Manner::Trickle | Manner::Endless | Manner::Early => return Some(connection),
                Manner::Close => {
                    connection.shutdown().await.ok()?;
                    return Some(connection);
                }
                Manner::Reset => {
                    let _ = connection.set_zero_linger();
                    return None;
                }
            }
        }
    }

    async fn read_request(&self, connection: &mut TcpStream) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        let mut part = [0; 2048];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let length = connection.read(&mut part).await.ok().filter(|length| *length > 0)?;
            self.moved();
            request.extend_from_slice(&part[..length]);
            assert!(request.len() <= 4096, "a request of {} bytes", request.len());
        }
        Some(request)
    }

    async fn send(&self, connection: &mut TcpStream, manner: Manner, bytes: &[u8]) -> Option<()> {
        let step = if matches!(manner, Manner::Trickle) { 1 + bytes.len() / 8 } else { 4096 };
        let rounds = if matches!(manner, Manner::Endless) { ENDLESS / bytes.len().max(64) } else { 1 };
        for _ in 0..rounds {
            for part in bytes.chunks(step) {
                self.sent.borrow_mut().extend_from_slice(part);
                connection.write_all(part).await.ok()?;
                self.moved();
                if matches!(manner, Manner::Trickle) {
                    sleep(4 * TICK).await;
                }
            }
        }
        Some(())
    }

    /// It says what the agent says, and nothing that an answer put there: the token is one that was sent.
    fn check_request(&self, request: &[u8]) {
        let text = std::str::from_utf8(request).expect("a request is ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("it was read up to there");
        assert_eq!(body, "", "a request has no body");
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let asks = [
            "PUT /latest/api/token HTTP/1.1",
            "GET /latest/meta-data/a/ HTTP/1.1",
            "GET /latest/meta-data/b/ HTTP/1.1",
            "GET /latest/meta-data/c/ HTTP/1.1",
        ]
        .contains(&first);
        assert!(asks, "{first:?}");
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
            match name.to_ascii_lowercase().as_str() {
                "host" | "accept" | "user-agent" => {}
                "content-length" => assert_eq!(value, "0"),
                "x-aws-ec2-metadata-token-ttl-seconds" => assert_eq!(value, TOKEN_TTL_SECONDS),
                "x-aws-ec2-metadata-token" => {
                    assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
                    assert!(is_within(value.as_bytes(), &self.sent.borrow()), "nobody gave {value:?}");
                }
                other => panic!("an unknown header: {other:?}"),
            }
        }
    }
}

impl Answer {
    fn of(text: &[u8]) -> Self {
        let (first, rest) = text.split_first().unwrap_or((&b'c', &[]));
        let manner = match first {
            b'k' => Manner::KeepAlive,
            b'h' => Manner::Hold,
            b'r' => Manner::Reset,
            b't' => Manner::Trickle,
            b'e' => Manner::Endless,
            b'y' => Manner::Early,
            _ => Manner::Close,
        };
        Self { manner, bytes: rest.to_vec() }
    }
}
