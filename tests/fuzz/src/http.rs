//! The agent's session with a metadata service that answers with the fuzzer's bytes.
//!
//! The session uses a real socket on loopback, through reqwest and hyper as in the agent. A fake transport would not
//! test the same code. Both ends run on one thread and one runtime, which all inputs share. The runtime's clock is
//! paused while bytes move, and advances when both ends wait. Timeouts and pauses between attempts therefore take no
//! real time. On a busy machine, the kernel may deliver bytes late. If a usual answer was refused, the input runs again
//! with a clock that waits longer for bytes.
//!
//! Format of the input: the lowest bit of the first byte says whether a good token precedes the answers. Answers
//! follow, separated by 0x1e (the record separator of ASCII). The first byte of an answer selects how the peer sends
//! it, and the other bytes are its content.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use eic_login::imds::{Endpoint, ImdsError, ImdsSession, TOKEN_TTL_SECONDS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, advance, sleep};

/// The time limit of the session, by the paused clock.
const ALLOWED: Duration = Duration::from_millis(1500);
/// How far the clock advances when both ends wait.
const TICK: Duration = Duration::from_millis(25);
/// The clock advances only after this many polls of both ends without progress, and after this time without progress.
/// `LONGER_IDLE_LIMIT` is for inputs whose bytes may have arrived late.
const IDLE_LIMIT: (u32, Duration) = (12, Duration::ZERO);
const LONGER_IDLE_LIMIT: (u32, Duration) = (12, Duration::from_millis(50));
/// The most bytes that an endless answer sends.
const ENDLESS: usize = 256 * 1024;

const TOKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nAQAEAtok";
const NOTHING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime can be made");
}

/// The metadata service: the answers to send, the bytes sent so far, and a count of the progress of both ends.
struct Peer {
    answers: RefCell<VecDeque<Answer>>,
    sent: RefCell<Vec<u8>>,
    moves: Cell<u64>,
    /// The instant of the last answer, if the peer sent only good answers on that connection.
    well_answered: Cell<Option<Instant>>,
}

/// The agent refused a good answer that arrived in time.
struct Refused(String);

struct Answer {
    manner: Manner,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Manner {
    /// Close the connection after the answer.
    Close,
    /// Serve the next request on the same connection.
    KeepAlive,
    /// Send nothing more, and keep the connection open.
    Hold,
    /// Reset the connection.
    Reset,
    /// Send a few bytes at a time.
    Trickle,
    /// Send the same bytes repeatedly.
    Endless,
    /// Send the answer before the request.
    Early,
}

/// Sends the requests of an agent run. Each result must be within its size and time limits, or an error that can be
/// logged. A good answer must never be an error, regardless of the answers before it.
pub fn run(input: &[u8]) {
    if attempt(input, IDLE_LIMIT).is_err() {
        if let Err(Refused(why)) = attempt(input, LONGER_IDLE_LIMIT) {
            panic!("refused a usual answer: {why}");
        }
    }
}

fn attempt(input: &[u8], idle_limit: (u32, Duration)) -> Result<(), Refused> {
    let peer = Rc::new(Peer::of(input));
    let local = LocalSet::new();
    RUNTIME.with(|runtime| {
        local.block_on(runtime, async {
            // Each input uses a new port, so late connections of the previous input do not reach this peer.
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
            let address = listener.local_addr().expect("a listener has an address");
            let endpoint = format!("http://{address}").parse().expect("an address is an endpoint");
            tokio::select! {
                outcome = walk(&endpoint, &peer) => outcome,
                () = serve(&listener, &peer) => unreachable!("it does not end"),
                () = peer.keep_time(idle_limit) => unreachable!("it does not end"),
            }
        })
    })
}

async fn walk(endpoint: &Endpoint, peer: &Peer) -> Result<(), Refused> {
    let started = Instant::now();
    // Start from the paused clock. `ImdsSession::open` would start from the real time.
    let session =
        match ImdsSession::open_since(started.into_std(), std::slice::from_ref(endpoint), ALLOWED, Duration::ZERO)
            .await
        {
            Ok(session) => session,
            Err(error) => return check_error(&error, started, peer),
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
                assert!(
                    is_within(&body.bytes, &peer.sent.borrow()),
                    "the peer did not send {:?}",
                    body.bytes
                );
            }
            Ok(None) => {}
            Err(error) => check_error(&error, started, peer)?,
        }
    }
    match session.get_text("/latest/meta-data/c/", 100).await {
        Ok(text) => assert!(text.is_none_or(|text| text.len() <= 100 && text == text.trim())),
        Err(error) => check_error(&error, started, peer)?,
    }
    check_time(started);
    Ok(())
}

fn check_error(error: &ImdsError, started: Instant, peer: &Peer) -> Result<(), Refused> {
    assert_printable(&error.to_string());
    assert_printable(error.reason().as_str());
    check_time(started);
    if matches!(error, ImdsError::Timeout { .. }) {
        assert!(started.elapsed() >= ALLOWED, "after {:?}: {error}", started.elapsed());
    }
    // The session may have ended before it read an answer that was sent close to the time limit.
    let is_heard = |at: Instant| at <= started + ALLOWED - 4 * TICK;
    if peer.well_answered.get().is_some_and(is_heard) { Err(Refused(error.to_string())) } else { Ok(()) }
}

fn check_time(started: Instant) {
    let took = started.elapsed();
    assert!(took <= ALLOWED + 2 * TICK, "{took:?} of {ALLOWED:?}");
}

/// Whether `sent` contains all bytes of `part` in this order. Chunked coding removes bytes between them.
fn is_within(part: &[u8], sent: &[u8]) -> bool {
    let mut sent = sent.iter();
    part.iter().all(|byte| sent.any(|other| other == byte))
}

fn assert_printable(text: &str) {
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "not one printable line: {text:?}");
}

async fn serve(listener: &TcpListener, peer: &Rc<Peer>) {
    loop {
        let (connection, _) = listener.accept().await.expect("a listener on loopback accepts");
        peer.moved();
        let peer = Rc::clone(peer);
        spawn_local(async move { peer.attend(connection).await });
    }
}

impl Peer {
    fn of(input: &[u8]) -> Self {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let mut answers: VecDeque<_> = rest.split(|byte| *byte == 0x1e).take(16).map(Answer::of).collect();
        if first & 1 == 1 {
            answers.push_front(Answer { manner: Manner::KeepAlive, bytes: TOKEN.to_vec() });
        }
        Self {
            answers: answers.into(),
            sent: RefCell::default(),
            moves: Cell::default(),
            well_answered: Cell::default(),
        }
    }

    /// Advances the clock when both ends wait.
    async fn keep_time(&self, (polls, time): (u32, Duration)) {
        let mut seen = self.moves.get();
        let mut idle = 0;
        let mut since = std::time::Instant::now();
        loop {
            // The runtime advances the clock by itself when it is idle. This task keeps it busy.
            yield_now().await;
            let has_moved = self.moves.get() != seen;
            if has_moved || (idle >= polls && since.elapsed() >= time) {
                if !has_moved {
                    advance(TICK).await;
                }
                seen = self.moves.get();
                idle = 0;
                since = std::time::Instant::now();
            } else {
                idle += 1;
            }
        }
    }

    fn moved(&self) {
        self.moves.set(self.moves.get().wrapping_add(1));
    }

    /// Answers the requests of a connection, then reads the rest.
    async fn attend(&self, mut connection: TcpStream) {
        // The close sends a reset, so no connection stays in TIME_WAIT. There are thousands per second.
        let _ = connection.set_zero_linger();
        if self.answer(&mut connection).await.is_none() {
            return;
        }
        let mut part = [0; 2048];
        while connection.read(&mut part).await.is_ok_and(|length| length > 0) {
            self.moved();
            self.well_answered.set(None);
        }
    }

    /// Returns `Some` if the connection must stay open.
    async fn answer(&self, connection: &mut TcpStream) -> Option<()> {
        let mut is_good = true;
        loop {
            let mut early = None;
            if matches!(self.answers.borrow().front(), Some(Answer { manner: Manner::Early, .. })) {
                early = self.answers.borrow_mut().pop_front();
            }
            let mut is_put = false;
            if early.is_none() {
                let request = self.read_request(connection).await?;
                is_put = request.starts_with(b"PUT ");
                self.check_request(&request);
            }
            let scripted = early.or_else(|| self.answers.borrow_mut().pop_front());
            is_good &= scripted.is_none();
            let Answer { manner, bytes } = scripted.unwrap_or_else(|| Answer {
                manner: Manner::KeepAlive,
                bytes: if is_put { TOKEN } else { NOTHING }.into(),
            });
            self.well_answered.set(None);
            self.send(connection, manner, &bytes).await?;
            if is_good {
                self.well_answered.set(Some(Instant::now()));
            }
            match manner {
                Manner::KeepAlive => {}
                Manner::Hold | Manner::Trickle | Manner::Endless | Manner::Early => return Some(()),
                Manner::Close => return connection.shutdown().await.ok(),
                Manner::Reset => return None,
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

    /// Checks that the request contains only what the agent sends. The token must be one that the peer sent.
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
                "x-aws-ec2-metadata-token-ttl-seconds" => assert_eq!(value, TOKEN_TTL_SECONDS.to_string()),
                "x-aws-ec2-metadata-token" => {
                    assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
                    assert!(
                        is_within(value.as_bytes(), &self.sent.borrow()),
                        "the peer did not send the token {value:?}"
                    );
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
