//! A listener with one thread per connection. It can be stopped at any time.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::request::NoRequest;
use super::response::Usual;
use super::wire::StopSignal;
use super::{Request, Response, Wire};

/// How long an idle connection stays open.
const IDLE: Duration = Duration::from_secs(30);
/// How long the stop waits for connections that are still open.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A function that takes over the connection after a request was read.
pub type RawBehaviour = Arc<dyn Fn(&mut Wire, &Request) -> io::Result<()> + Send + Sync>;

/// The reaction to a request.
#[derive(Clone)]
pub enum Action {
    /// Send this response.
    Respond(Response),
    /// Run this function, then close the connection.
    Raw(RawBehaviour),
}

/// An action with its parameters.
pub struct Answer {
    /// The action.
    pub action: Action,
    /// How long to wait before the action.
    pub delay: Duration,
    /// Whether the connection may serve another request.
    pub keep_alive: bool,
    /// The instant for the `Date` field, in Unix seconds.
    pub now: i64,
    /// The value of the `Server` field.
    pub server: &'static str,
}

/// Decides how the server reacts to connections and requests.
pub trait Handler: Send + Sync + 'static {
    /// Receives each new connection before the server reads from it. On false, the server closes the connection.
    fn connected(&self, wire: &mut Wire) -> bool;

    /// Answers one request.
    fn handle(&self, request: &Request, connection: u64) -> Answer;

    /// Answers bytes that are not a valid request. The server then closes the connection.
    fn refuse(&self, status: u16, connection: u64) -> Answer;
}

/// Serves one connection. The server closes the connection when the function returns.
pub type Service = Arc<dyn Fn(Wire) -> io::Result<()> + Send + Sync>;

/// A running server. Dropping it closes the listener and every connection.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Closing this end wakes the accepting thread.
    wake: Option<UnixStream>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: Arc<StopSignal>,
    open: Mutex<HashMap<u64, TcpStream>>,
    closed: Condvar,
}

impl Server {
    /// Listens on `address` and serves HTTP until dropped. Port 0 selects a free port.
    pub fn start(address: SocketAddr, handler: Arc<dyn Handler>) -> io::Result<Self> {
        Self::listen(address, Arc::new(move |wire| serve(wire, &*handler)))
    }

    /// Listens on `address` and runs `service` for each connection, until dropped. Port 0 selects a free port.
    pub fn listen(address: SocketAddr, service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (wake, sleeper) = UnixStream::pair()?;
        let shared = Arc::new(Shared::default());
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_until_stopped(&listener, &sleeper, &shared, &service)
        });
        Ok(Self { address, shared, wake: Some(wake), accepting: Some(accepting) })
    }

    /// The address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.stop();
        drop(self.wake.take());
        if let Some(accepting) = self.accepting.take() {
            // The panic hook has already printed a panic of the thread.
            drop(accepting.join());
        }
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(self.shared.closed.wait_timeout_while(open, TIMEOUT, |open| !open.is_empty()));
    }
}

fn accept_until_stopped(
    listener: &TcpListener,
    sleeper: &UnixStream,
    shared: &Arc<Shared>,
    service: &Service,
) {
    for number in 1_u64.. {
        let stream = loop {
            if !wait_readable(listener, sleeper) || shared.stop.is_stopped() {
                return;
            }
            match listener.accept() {
                Ok((stream, _)) => break stream,
                // The client has disconnected, or the process has no free file descriptor for the moment.
                Err(_) => drop(shared.stop.wait(Duration::from_millis(5))),
            }
        };
        let Ok(registered) = stream.try_clone() else { continue };
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, registered);
        let (shared, service) = (Arc::clone(shared), Arc::clone(service));
        std::thread::spawn(move || {
            let _registration = Registration { shared: &shared, number };
            let wire = Wire::new(stream, Arc::clone(&shared.stop), number);
            // An error means that the client or a fault closed the connection. Neither is an error of the server.
            drop(service(wire));
        });
    }
}

/// Removes the connection from the list when its thread ends, also after a panic.
struct Registration<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        self.shared.closed.notify_all();
    }
}

/// Waits for a connection. False means that the server stops.
fn wait_readable(listener: &TcpListener, sleeper: &UnixStream) -> bool {
    let mut waiting =
        [listener.as_fd(), sleeper.as_fd()].map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    match poll(&mut waiting, PollTimeout::NONE) {
        Ok(_) => !waiting[1].any().unwrap_or(false),
        // A signal interrupted the wait. The caller's `accept` fails, and the caller waits again.
        Err(_) => true,
    }
}

fn serve(mut wire: Wire, handler: &dyn Handler) -> io::Result<()> {
    wire.stream().set_nonblocking(false)?;
    wire.stream().set_nodelay(true)?;
    wire.stream().set_read_timeout(Some(IDLE))?;
    if !handler.connected(&mut wire) {
        return Ok(());
    }
    let mut input = BufReader::new(wire.stream().try_clone()?);
    loop {
        let request = match Request::read(&mut input) {
            Ok(request) => request,
            Err(NoRequest::End) => return Ok(()),
            Err(NoRequest::Broken(error)) => return Err(error),
            Err(NoRequest::Refused(status)) => {
                let answer = Answer { keep_alive: false, ..handler.refuse(status, wire.connection) };
                carry_out(answer, &mut wire, &Request::default())?;
                return drain(&wire, input);
            }
        };
        let mut answer = handler.handle(&request, wire.connection);
        answer.keep_alive &= !request.close;
        if !carry_out(answer, &mut wire, &request)? {
            return Ok(());
        }
    }
}

/// Performs the action. True means that the connection may serve another request.
fn carry_out(answer: Answer, wire: &mut Wire, request: &Request) -> io::Result<bool> {
    if !answer.delay.is_zero() {
        wire.pause(answer.delay)?;
    }
    match answer.action {
        Action::Raw(behaviour) => behaviour(wire, request).map(|()| false),
        Action::Respond(response) => {
            let usual = Usual { server: answer.server, now: answer.now, keep_alive: answer.keep_alive };
            let with_body = request.method != "HEAD";
            wire.send(&response.render(usual, with_body)).map(|()| answer.keep_alive)
        }
    }
}

/// Reads the rest of the input. Closing with unread input would reset the connection, and the client could lose the
/// response.
fn drain(wire: &Wire, mut input: impl Read) -> io::Result<()> {
    wire.finish()?;
    wire.stream().set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut sink = [0; 4096];
    for _ in 0..256 {
        if input.read(&mut sink)? == 0 {
            break;
        }
    }
    Ok(())
}
