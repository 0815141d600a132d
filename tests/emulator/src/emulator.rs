//! The emulator as a whole.

use std::io;
use std::sync::{Arc, PoisonError};

use crate::api::{Api, ErrorKind, request_id};
use crate::config::Config;
use crate::fault::Fault;
use crate::http::{Response, Server, Wire};
use crate::imds::Imds;
use crate::location::{region_of, signer_name};
use crate::pki::{Hierarchy, KeyPool, Staple};
use crate::record::RequestRecord;
use crate::world::{World, machine_time};

/// Instance metadata and the AWS API, running. Dropping it stops both.
pub struct Emulator {
    world: Arc<World>,
    imds: Server,
    api: Server,
}

impl Emulator {
    /// Starts both listeners.
    pub fn start(config: Config) -> io::Result<Self> {
        let now = machine_time() + config.clock_offset;
        let hierarchy = config.hierarchy.clone().unwrap_or_else(|| {
            let pool = config.key_directory.as_deref().map_or_else(KeyPool::shared, KeyPool::in_directory);
            Hierarchy::new(&pool, &signer_name(&region_of(&config.zone), &config.domain), now)
        });
        let (imds, api) = (config.imds, config.api);
        let world = Arc::new(World::new(config, hierarchy));
        Ok(Self {
            imds: Server::start(imds, Arc::new(Imds(Arc::clone(&world))))?,
            api: Server::start(api, Arc::new(Api(Arc::clone(&world))))?,
            world,
        })
    }

    /// Where instance metadata is: `http://ADDRESS:PORT`.
    pub fn imds_url(&self) -> String {
        format!("http://{}", self.imds.address())
    }

    /// Where the API is: `http://ADDRESS:PORT`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api.address())
    }

    /// The trust anchor, as a CA file holds it.
    pub fn ca_pem(&self) -> String {
        self.world.hierarchy().anchor_pem()
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.world.config
    }

    /// The name that the signer's certificate has to have.
    pub fn signer_name(&self) -> String {
        let config = self.config();
        signer_name(&region_of(&config.zone), &config.domain)
    }

    /// The emulator's instant, Unix seconds.
    pub fn now(&self) -> i64 {
        self.world.now()
    }

    /// Shifts the emulator's clock: `Date`, expiry, and the staples that it makes itself.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.world.set_clock_offset(seconds);
    }

    /// Puts a signed key on the instance as SendSSHPublicKey does, unvalidated. Returns the request's id.
    pub fn push(&self, user: &str, key_line: &str, caller: &str) -> String {
        let id = request_id();
        self.world.push(user, key_line, caller, &id);
        id
    }

    /// Replaces a user's key bundle by these bytes, which stay.
    pub fn set_entries(&self, user: &str, bytes: impl Into<Vec<u8>>) {
        self.world.pushed.set_raw(user, bytes.into());
    }

    /// Takes every key off the instance.
    pub fn clear_keys(&self) {
        self.world.pushed.clear();
    }

    /// The signer.
    pub fn hierarchy(&self) -> Arc<Hierarchy> {
        self.world.hierarchy()
    }

    /// Changes the signer: its chain, its staples and the key that signs what is pushed from now on.
    pub fn set_hierarchy(&self, hierarchy: Hierarchy) {
        self.world.set_hierarchy(hierarchy);
    }

    /// Serves these staples in place of good ones.
    pub fn set_staples(&self, staples: Vec<Staple>) {
        self.world.set_staples(staples);
    }

    /// Replaces a metadata item, given by its path below `/latest/meta-data/`.
    pub fn set_item(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.world.replace_item(path, Some(content.into()));
    }

    /// Takes a metadata item away.
    pub fn remove_item(&self, path: &str) {
        self.world.replace_item(path, None);
    }

    /// Answers a metadata path with this response, with no regard to method or token.
    pub fn set_raw_item(&self, path: &str, response: Response) {
        self.inject(Fault::at(path).respond(response));
    }

    /// Adds a fault. Of several in force at one place the oldest goes first.
    pub fn inject(&self, fault: Fault) {
        self.world.faults.add(fault);
    }

    /// Makes the next pushes over the API fail.
    pub fn fail_push(&self, kind: ErrorKind, message: &str, times: u32) {
        self.inject(Fault::api().respond(kind.response(message)).times(times));
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Lets a behaviour have each new metadata connection before a request is read. When it returns false or
    /// fails, the connection is closed.
    pub fn on_connect(&self, greeting: impl Fn(&mut Wire) -> io::Result<bool> + Send + Sync + 'static) {
        self.world.set_greeting(Some(Arc::new(greeting)));
    }

    /// Ends what [`on_connect`](Self::on_connect) began.
    pub fn clear_on_connect(&self) {
        self.world.set_greeting(None);
    }

    /// Forgets every token, so that each is answered with 401.
    pub fn invalidate_tokens(&self) {
        self.world.tokens.clear();
    }

    /// The instance's state as EC2 names it: `running`, `stopped`, …
    pub fn set_instance_state(&self, state: &str) {
        state.clone_into(&mut self.world.instance_state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Every request since the last call, in the order of the answers.
    pub fn take_requests(&self) -> Vec<RequestRecord> {
        self.world.records.take()
    }
}
