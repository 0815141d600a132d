//! The emulator: its listeners, and the methods with which a test controls them.

use std::io;
use std::sync::{Arc, PoisonError};

use crate::api::{Api, ErrorKind, request_id};
use crate::config::Config;
use crate::fault::Fault;
use crate::http::{Response, Server, Wire};
use crate::imds::Imds;
use crate::location::{endpoint_name, region_of, signer_name};
use crate::pki::{Hierarchy, KeyPool, Staple};
use crate::record::RequestRecord;
use crate::tunnel::Endpoint;
use crate::world::{World, machine_time};

/// A running emulator of instance metadata, the AWS API and an EC2 Instance Connect Endpoint. Dropping it stops all.
pub struct Emulator {
    world: Arc<World>,
    imds: Server,
    api: Server,
    endpoint: Server,
}

impl Emulator {
    /// Starts the listeners.
    pub fn start(config: Config) -> io::Result<Self> {
        let now = machine_time() + config.clock_offset;
        let hierarchy = config.hierarchy.clone().unwrap_or_else(|| {
            let pool = config.key_directory.as_deref().map_or_else(KeyPool::shared, KeyPool::in_directory);
            Hierarchy::new(&pool, &signer_name(&region_of(&config.zone), &config.domain), now)
        });
        let (imds, api, endpoint) = (config.imds, config.api, config.endpoint);
        let world = Arc::new(World::new(config, hierarchy));
        let tunnels = Endpoint::new(Arc::clone(&world));
        Ok(Self {
            imds: Server::start(imds, Arc::new(Imds(Arc::clone(&world))))?,
            api: Server::start(api, Arc::new(Api(Arc::clone(&world))))?,
            endpoint: Server::listen(endpoint, Arc::new(move |wire| tunnels.serve(wire)))?,
            world,
        })
    }

    /// The URL of instance metadata: `http://ADDRESS:PORT`.
    pub fn imds_url(&self) -> String {
        format!("http://{}", self.imds.address())
    }

    /// The URL of the API: `http://ADDRESS:PORT`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api.address())
    }

    /// The endpoint as a proxy, for `HTTPS_PROXY`: `http://ADDRESS:PORT`. It connects only to the endpoint itself. A
    /// client that can choose the port may also begin TLS here at once.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.endpoint.address())
    }

    /// The DNS name of the endpoint, which only its proxy knows.
    pub fn endpoint_name(&self) -> String {
        endpoint_name(&region_of(&self.config().zone))
    }

    /// Sets the port on which the instance really serves the port that a tunnel names.
    pub fn set_instance_port(&self, named: u16, real: u16) {
        self.world.instance_ports.lock().unwrap_or_else(PoisonError::into_inner).insert(named, real);
    }

    /// The trust anchor as PEM, for a CA file.
    pub fn ca_pem(&self) -> String {
        self.world.hierarchy().anchor_pem()
    }

    /// The configuration at the start.
    pub fn config(&self) -> &Config {
        &self.world.config
    }

    /// The common name that the signer's certificate must have.
    pub fn signer_name(&self) -> String {
        let config = self.config();
        signer_name(&region_of(&config.zone), &config.domain)
    }

    /// The time of the emulator's clock, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.world.now()
    }

    /// Shifts the emulator's clock. This affects the `Date` field, the expiry of keys and generated staples.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.world.set_clock_offset(seconds);
    }

    /// Puts a signed key on the instance as SendSSHPublicKey does, but without validation. Returns the request ID.
    pub fn push(&self, user: &str, key_line: &str, caller: &str) -> String {
        let id = request_id();
        self.world.push(user, key_line, caller, &id);
        id
    }

    /// Replaces a user's key bundle with these bytes, which do not expire.
    pub fn set_entries(&self, user: &str, bytes: impl Into<Vec<u8>>) {
        self.world.pushed.set_raw(user, bytes.into());
    }

    /// Removes every key from the instance.
    pub fn clear_keys(&self) {
        self.world.pushed.clear();
    }

    /// The current signer.
    pub fn hierarchy(&self) -> Arc<Hierarchy> {
        self.world.hierarchy()
    }

    /// Changes the signer: its chain, its staples, and the key that signs later pushes.
    pub fn set_hierarchy(&self, hierarchy: Hierarchy) {
        self.world.set_hierarchy(hierarchy);
    }

    /// Serves these staples instead of good ones.
    pub fn set_staples(&self, staples: Vec<Staple>) {
        self.world.set_staples(staples);
    }

    /// Replaces a metadata item, given by its path below `/latest/meta-data/`.
    pub fn set_item(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.world.replace_item(path, Some(content.into()));
    }

    /// Removes a metadata item.
    pub fn remove_item(&self, path: &str) {
        self.world.replace_item(path, None);
    }

    /// Answers each request for a metadata path with this response. Method and token have no effect.
    pub fn set_raw_item(&self, path: &str, response: Response) {
        self.inject(Fault::at(path).respond(response));
    }

    /// Adds a fault. If several active faults match a request, the oldest one applies.
    pub fn inject(&self, fault: Fault) {
        self.world.faults.add(fault);
    }

    /// Makes the next `times` pushes over the API fail.
    pub fn fail_push(&self, kind: ErrorKind, message: &str, times: u32) {
        self.inject(Fault::api().respond(kind.response(message)).times(times));
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Runs `greeting` on each new metadata connection, before a request is read. The emulator closes the connection if
    /// `greeting` returns false or fails.
    pub fn on_connect(&self, greeting: impl Fn(&mut Wire) -> io::Result<bool> + Send + Sync + 'static) {
        self.world.set_greeting(Some(Arc::new(greeting)));
    }

    /// Removes the callback of [`on_connect`](Self::on_connect).
    pub fn clear_on_connect(&self) {
        self.world.set_greeting(None);
    }

    /// Invalidates every token. Requests with one of them get status 401.
    pub fn invalidate_tokens(&self) {
        self.world.tokens.clear();
    }

    /// Sets the instance's state, named as in the EC2 API: `running`, `stopped`, …
    pub fn set_instance_state(&self, state: &str) {
        state.clone_into(&mut self.world.instance_state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the requests since the last call, in the order of the responses.
    pub fn take_requests(&self) -> Vec<RequestRecord> {
        self.world.records.take()
    }
}
