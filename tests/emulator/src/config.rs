//! What an emulator is started with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::pki::Hierarchy;
use crate::record::RequestRecord;

/// Sees every request when it has been decided upon.
pub type Observer = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// What an emulator is started with. The default is an ordinary instance on loopback.
#[derive(Clone)]
pub struct Config {
    /// Where instance metadata listens; port 0 picks one.
    pub imds: SocketAddr,
    /// Where the AWS API listens; port 0 picks one.
    pub api: SocketAddr,
    /// The instance's id.
    pub instance_id: String,
    /// Its availability zone, from which its region follows.
    pub zone: String,
    /// Its services' domain.
    pub domain: String,
    /// The address that `DescribeInstances` gives as its private and its public one.
    pub instance_ip: IpAddr,
    /// How many seconds a pushed key stays.
    pub key_ttl: i64,
    /// How long every metadata answer takes.
    pub delay: Duration,
    /// How many seconds the emulator's clock is ahead of the machine's.
    pub clock_offset: i64,
    /// Whether metadata connections serve more than one request. The real service closes them.
    pub keep_alive: bool,
    /// The caller behind each access key. The others are `AKIAEXAMPLE<NAME>`, user `<name>`, or
    /// [`DEFAULT_CALLER`].
    pub callers: BTreeMap<String, String>,
    /// The signer, where it is not to be the usual one.
    pub hierarchy: Option<Hierarchy>,
    /// A directory that keeps the authority's keys between runs.
    pub key_directory: Option<PathBuf>,
    /// Sees every request.
    pub observer: Option<Observer>,
}

/// Who pushes a key when the access key says nothing of it.
pub const DEFAULT_CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Demo/someone";

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        Self {
            imds: (loopback, 0).into(),
            api: (loopback, 0).into(),
            instance_id: "i-0123456789abcdef0".into(),
            zone: "us-east-1a".into(),
            domain: "amazonaws.com".into(),
            instance_ip: loopback,
            key_ttl: 60,
            delay: Duration::ZERO,
            clock_offset: 0,
            keep_alive: false,
            callers: BTreeMap::new(),
            hierarchy: None,
            key_directory: None,
            observer: None,
        }
    }
}
