//! The EC2 Instance Connect Endpoint: tunnels to the private instance, over TLS and WebSocket.
//!
//! One listener serves TLS and, for clients that cannot choose a port or resolve the endpoint's name, `CONNECT`
//! requests to the endpoint itself. AWS publishes no reference of this protocol. The requests are those of AWS CLI 2.

mod connection;
mod entrance;
mod identity;
mod limits;
mod opening;
mod refusal;
mod relay;
mod replay;

pub use limits::TunnelLimits;

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rustls::StreamOwned;

use self::connection::{Client, Connection};
use self::entrance::Names;
use self::identity::Identity;
use self::limits::Places;
use self::opening::Opening;
use self::refusal::Refusal;
use self::relay::Relay;
use self::replay::Replays;
use crate::api::{Call, request_id};
use crate::caller::{Caller, endpoint_arn, tunnel_context};
use crate::http::request::NoRequest;
use crate::http::response::Usual;
use crate::http::{Request, Wire};
use crate::location::region_of;
use crate::record::Service;
use crate::sigv4::{Scope, Verified, verify};
use crate::world::World;

/// How long the endpoint tries to connect to the instance.
const TO_INSTANCE: Duration = Duration::from_secs(5);

/// Serves the connections of the endpoint's listener.
pub(crate) struct Endpoint {
    world: Arc<World>,
    region: String,
    names: Names,
    identity: Identity,
    connections: Places,
    tunnels: Places,
    replays: Replays,
}

impl Endpoint {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let region = region_of(&world.config.zone);
        let limits = &world.config.tunnel_limits;
        Self {
            names: Names::of(&region),
            identity: Identity::default(),
            connections: Places::new(limits.connections),
            tunnels: Places::new(limits.tunnels),
            replays: Replays::default(),
            region,
            world,
        }
    }

    /// Serves one connection until it ends.
    pub(crate) fn serve(&self, wire: Wire) -> io::Result<()> {
        let Some(_place) = self.connections.take() else { return Ok(()) };
        let config = self.identity.tls(&self.world, &self.names)?;
        let number = wire.connection;
        let until = Instant::now() + self.world.config.tunnel_limits.handshake;
        let mut connection = Connection::new(wire.into_stream(), until)?;
        if !entrance::reach_tls(&mut connection, &self.names, &self.world, number)? {
            return Ok(());
        }
        let tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
        let mut client = StreamOwned::new(tls, connection);
        let mut input = BufReader::new(&mut client);
        let request = Request::read(&mut input);
        // A client may send its first frames together with the request.
        let early = input.buffer().to_vec();
        let request = match request {
            Ok(request) => request,
            Err(NoRequest::End) => return Ok(()),
            Err(NoRequest::Broken(error)) => return Err(error),
            Err(NoRequest::Refused(status)) => {
                let refusal = Refusal::new(status, "InvalidRequest", "The request is not valid HTTP");
                return self.refuse(client, &Request::default(), number, &refusal, &request_id());
            }
        };
        self.answer(client, early, &request, number)
    }

    fn answer(&self, mut client: Client, early: Vec<u8>, request: &Request, number: u64) -> io::Result<()> {
        let id = request_id();
        let caller = match self.authenticate(request) {
            Ok(verified) => Caller::of(&self.world.config, &verified.access_key),
            Err(refusal) => return self.refuse(client, request, number, &refusal, &id),
        };
        let opening = self.authorize(request, &caller);
        // All of them count, also those that are refused below.
        let outcome = opening.and_then(|opening| match self.tunnels.take() {
            Some(place) => Ok((opening, place)),
            None => Err(Refusal::too_many_tunnels()),
        });
        self.record_call(request, &caller, &id, outcome.as_ref().err());
        let (opening, _place) = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => return self.refuse(client, request, number, &refusal, &id),
        };
        self.world.answered(Service::Endpoint, request, number, 101);
        client.write_all(opening.response(&id).as_bytes())?;
        client.flush()?;
        let limits = &self.world.config.tunnel_limits;
        match self.connect(&opening) {
            Ok(target) => Relay::new(client, early, target, opening.duration, limits.stall)?.run(),
            // The client learns of this only after the handshake, as with AWS.
            Err(_) => Relay::close(client, early, "Unable to connect to the instance"),
        }
    }

    /// The access key of a valid request to the endpoint.
    fn authenticate(&self, request: &Request) -> Result<Verified, Refusal> {
        if request.path() != "/openTunnel" || !self.names.contain_host(request) {
            return Err(Refusal::new(404, "NotFound", "The endpoint has no such operation"));
        }
        if request.method != "GET" {
            return Err(Refusal::new(405, "InvalidRequest", "OpenTunnel is a GET request"));
        }
        let scope = Scope { region: &self.region, service: "ec2-instance-connect" };
        let known = &self.world.config.principals;
        let now = self.world.now();
        let verified = verify(request, scope, now, |key, token| crate::credentials::find(known, key, token))?;
        self.replays.admit(&verified, now)?;
        Ok(verified)
    }

    /// The tunnel that a request asks for, if its caller may open it.
    fn authorize(&self, request: &Request, caller: &Caller<'_>) -> Result<Opening, Refusal> {
        let config = &self.world.config;
        let opening = Opening::read(request, config)?;
        if caller.is_foreign() {
            return Err(Refusal::endpoint());
        }
        let context = tunnel_context(config, opening.address, opening.port, opening.duration.as_secs());
        let (action, endpoint) = ("ec2-instance-connect:OpenTunnel", endpoint_arn(config));
        let allowed = caller.authorize(request, action, Some(&endpoint), context);
        allowed.map(|()| opening).map_err(|message| Refusal::by_policy(&message))
    }

    fn connect(&self, opening: &Opening) -> io::Result<TcpStream> {
        let state = self.world.instance_state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if state != "running" {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let ports = self.world.instance_ports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let port = ports.get(&opening.port).copied().unwrap_or(opening.port);
        TcpStream::connect_timeout(&(opening.address, port).into(), TO_INSTANCE)
    }

    fn record_call(&self, request: &Request, caller: &Caller<'_>, id: &str, refusal: Option<&Refusal>) {
        let call = Call {
            name: "OpenTunnel",
            request_id: id,
            caller,
            source: self.world.config.source_ip,
            user_agent: request.header("user-agent").unwrap_or_default(),
            parameters: opening::shown(request),
            error: refusal.map(|refusal| (refusal.code, refusal.message.as_str())),
        };
        self.world.trail.push(&call, &self.region, self.world.now());
    }

    fn refuse(
        &self,
        mut client: Client,
        request: &Request,
        number: u64,
        refusal: &Refusal,
        id: &str,
    ) -> io::Result<()> {
        self.world.answered(Service::Endpoint, request, number, refusal.status);
        let usual = Usual { server: "Server", now: self.world.now(), keep_alive: false };
        client.write_all(&refusal.response(id).render(usual, true))?;
        connection::finish(&mut client)
    }
}
