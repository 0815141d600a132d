//! `eic-emulator open-tunnel`: a client of the endpoint, for machines without AWS CLI 2.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use eic_emulator::directory::random_hex;
use eic_emulator::sigv4::{Scope, presign};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use super::ready::Ready;

/// The most bytes of the input in one message. It is less than rustls buffers.
const CHUNK: usize = 16 * 1024;

#[derive(Args)]
pub(crate) struct OpenTunnel {
    /// The directory of the running emulator: `serve --state DIR`
    #[arg(long, value_name = "DIR")]
    attach: PathBuf,
    /// The address of the instance
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    private_ip_address: String,
    /// The port of the instance: 22 or 3389
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    remote_port: u16,
    /// The user whose access key opens the tunnel: any name [default: demo], or a section of the credentials file
    /// [default: default]
    #[arg(long = "as", value_name = "NAME")]
    user: Option<String>,
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl OpenTunnel {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let ready = Ready::read(&self.attach)?;
        let mut stream = connect(&ready)?;
        self.ask(&ready, &mut stream)?;
        stream.sock.set_nonblocking(true)?;
        Copy {
            tunnel: WebSocket::from_raw_socket(stream, Role::Client, None),
            unsent: false,
            has_input: true,
        }
        .run()
    }

    /// Requests the tunnel. The answer of a refusal is an error.
    fn ask(&self, ready: &Ready, stream: &mut Tls) -> io::Result<()> {
        let (host, region) = (ready.text("endpoint")?, ready.text("region")?);
        // Without the last parameter, two requests of one second would have the same signature, and the endpoint would
        // refuse the second one as a replay.
        let target = format!(
            "/openTunnel?instanceConnectEndpointId={}&remotePort={}&privateIpAddress={}&X-Amz-Nonce={}",
            ready.text("endpoint_id")?,
            self.remote_port,
            self.private_ip_address,
            random_hex(16)
        );
        let credential = ready.credential(self.user.as_deref())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
        let now = i64::try_from(now).map_err(io::Error::other)?;
        let scope = Scope { region, service: "ec2-instance-connect" };
        let target = presign(&credential, scope, host, &target, now, 60);
        // The answer to any key proves that the server knows WebSocket. It need not be random, because there is no
        // cache between the two.
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ZWljLWVtdWxhdG9yLTAwMQ==\r\n\
             User-Agent: eic-emulator\r\n\r\n"
        )?;
        let mut head = String::new();
        // One byte at a time: the bytes after the answer belong to WebSocket.
        let mut input = BufReader::with_capacity(1, &mut *stream);
        while !head.ends_with("\r\n\r\n") {
            if input.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if head.starts_with("HTTP/1.1 101 ") {
            return Ok(());
        }
        let mut body = String::new();
        stream.read_to_string(&mut body)?;
        Err(io::Error::other(body))
    }
}

/// TLS to the endpoint, which must prove its name.
fn connect(ready: &Ready) -> io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    let anchor = CertificateDer::from_pem_file(ready.text("ca_file")?).map_err(io::Error::other)?;
    roots.add(anchor).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(ready.text("endpoint")?.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(ready.text("proxy")?.trim_start_matches("http://"))?;
    socket.set_nodelay(true)?;
    Ok(StreamOwned::new(connection, socket))
}

/// Copies between standard input and output and the tunnel.
struct Copy {
    tunnel: WebSocket<Tls>,
    /// Whether the tunnel has not taken everything. The input then waits.
    unsent: bool,
    has_input: bool,
}

impl Copy {
    fn run(mut self) -> io::Result<ExitCode> {
        loop {
            if self.unsent {
                let flushed = self.tunnel.flush();
                self.sent(flushed)?;
            }
            match self.tunnel.read() {
                Ok(Message::Binary(data)) => {
                    let mut output = io::stdout().lock();
                    output.write_all(&data)?;
                    output.flush()?;
                }
                Ok(Message::Close(Some(frame))) if frame.code != CloseCode::Normal => {
                    return Err(io::Error::other(frame.reason.to_string()));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(Error::ConnectionClosed) => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Waits for the tunnel or for input, and sends the input.
    fn wait(&mut self) -> io::Result<()> {
        let stdin = io::stdin();
        let mut socket = PollFlags::POLLIN;
        socket.set(PollFlags::POLLOUT, self.unsent);
        let takes_input = self.has_input && !self.unsent;
        let mut wanted = vec![PollFd::new(self.tunnel.get_ref().sock.as_fd(), socket)];
        if takes_input {
            wanted.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut wanted, PollTimeout::NONE)?;
        if !takes_input || !wanted.last().and_then(PollFd::any).unwrap_or(false) {
            return Ok(());
        }
        let mut chunk = vec![0; CHUNK];
        let read = stdin.lock().read(&mut chunk)?;
        chunk.truncate(read);
        self.has_input = read > 0;
        let sent = if read > 0 { self.tunnel.send(Message::binary(chunk)) } else { self.tunnel.close(None) };
        self.sent(sent)
    }

    fn sent(&mut self, result: Result<(), Error>) -> io::Result<()> {
        self.unsent = match result {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => true,
            // The next read tells why a tunnel has ended.
            Ok(()) | Err(Error::ConnectionClosed) => false,
            Err(error) => return Err(io::Error::other(error)),
        };
        Ok(())
    }
}
