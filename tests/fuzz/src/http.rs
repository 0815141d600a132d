//! The agent's session with a metadata service that answers with the fuzzer's bytes.
//!
//! The session talks to a real socket on loopback, through reqwest and hyper as in the agent: there is no way around
//! either that would still be the same code. Both ends live on one thread and one runtime that outlasts the inputs.
//! Its clock stands still while bytes move and is moved on when nothing does, so that no timeout and no pause between
//! attempts takes any time. The kernel of a busy machine may be late with bytes that are on their way; so an input that
//! seems to go wrong by time alone is tried again with a clock that waits for them.
//!
//! The input: one byte, whose lowest bit says whether a good token goes in front; then answers, each a byte that says
//! how it is sent and, up to the next 0x1e (ASCII's record separator), what.

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

/// The time that the session gets, by its own clock.
const ALLOWED: Duration = Duration::from_millis(1500);
/// How far the clock moves when nothing else does.
const TICK: Duration = Duration::from_millis(25);
/// How often both ends are asked before it counts as nothing, and for how long at least: at first, and when bytes
/// may have been late.
const IDLE_LIMIT: (u32, Duration) = (12, Duration::ZERO);
const LONGER_IDLE_LIMIT: (u32, Duration) = (12, Duration::from_millis(50));
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
    /// When the last request was answered, if it was as a real service does, on a connection that had seen nothing else.
    well_answered: Cell<Option<Instant>>,
}

/// A good answer that came in time did not count.
struct Refused(String);

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

/// Asks as a run of the agent does; every answer is within its bounds and its time, or an error that can be logged, and
/// what a real service says is no error whatever came before.
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
            // A port of its own: nobody who comes late from the input before is heard.
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
            let address = listener.local_addr().expect("a listener has an address");
            let endpoint = format!("http://{address}").parse().expect("an address is an endpoint");
            tokio::select! {
                outcome = walk(&endpoint, &peer) => outcome,
                () = serve(&listener, &peer) => unreachable!("it serves for ever"),
                () = peer.keep_time(idle_limit) => unreachable!("it goes on for ever"),
            }
        })
    })
}

async fn walk(endpoint: &Endpoint, peer: &Peer) -> Result<(), Refused> {
    let started = Instant::now();
    // From the clock that is moved: `ImdsSession::open` would begin at the real time, which is another.
    let session = match ImdsSession::open_since(started.into_std(), std::slice::from_ref(endpoint), ALLOWED).await
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
                assert!(is_within(&body.bytes, &peer.sent.borrow()), "nobody sent {:?}", body.bytes);
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
    // One that came when the time was nearly up may not have been heard.
    let is_heard = |at: Instant| at <= started + ALLOWED - 4 * TICK;
    if peer.well_answered.get().is_some_and(is_heard) { Err(Refused(error.to_string())) } else { Ok(()) }
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

    /// Moves the clock whenever both ends wait.
    async fn keep_time(&self, (polls, time): (u32, Duration)) {
        let mut seen = self.moves.get();
        let mut idle = 0;
        let mut since = std::time::Instant::now();
        loop {
            // The runtime moves the clock by itself when it has nothing to do; so it always has this.
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

    /// Answers what comes on a connection, and notes what comes after that.
    async fn attend(&self, mut connection: TcpStream) {
        // What is closed at the end leaves nothing: there are thousands in a second.
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

    /// Some if the connection is to stay open.
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
