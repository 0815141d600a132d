//! The configuration of an emulator.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::PushLimits;
use crate::credentials::Principal;
use crate::pki::Hierarchy;
use crate::policy::Policy;
use crate::record::RequestRecord;
use crate::tunnel::TunnelLimits;

/// A callback for each request. It runs after the emulator has chosen the response.
pub type Observer = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// The configuration of an emulator. The default is an ordinary instance on loopback.
#[derive(Clone)]
pub struct Config {
    /// The address on which instance metadata listens. Port 0 selects a free port.
    pub imds: SocketAddr,
    /// The address on which the AWS API listens. Port 0 selects a free port.
    pub api: SocketAddr,
    /// The address on which the EC2 Instance Connect Endpoint listens, for TLS and as a proxy. Port 0 selects a free
    /// port.
    pub endpoint: SocketAddr,
    /// The instance ID.
    pub instance_id: String,
    /// The instance's availability zone. The region follows from it.
    pub zone: String,
    /// The domain of the AWS services.
    pub domain: String,
    /// The address that `DescribeInstances` reports as private and as public.
    pub instance_ip: IpAddr,
    /// The instance's IPv6 address, in addition to [`instance_ip`](Self::instance_ip).
    pub instance_ipv6: Option<Ipv6Addr>,
    /// The ports on which the instance really serves the ports that a tunnel names. Without an entry, they are the
    /// same.
    pub instance_ports: BTreeMap<u16, u16>,
    /// How many seconds a pushed key stays on the instance.
    pub key_ttl: i64,
    /// The delay before each metadata response.
    pub delay: Duration,
    /// How many seconds the emulator's clock is ahead of the machine's.
    pub clock_offset: i64,
    /// Whether a metadata connection serves more than one request. The real service closes it after one.
    pub keep_alive: bool,
    /// The account of the instance and of the endpoint.
    pub account: String,
    /// The tags of the instance.
    pub tags: BTreeMap<String, String>,
    /// The tags of the endpoint.
    pub endpoint_tags: BTreeMap<String, String>,
    /// The state of the instance at the start, named as in the EC2 API.
    pub instance_state: String,
    /// The principals, each with an access key of its own. If there are any, only they may use the API and open
    /// tunnels, and signatures of API requests are verified. If there are none, every access key may, and tunnels need
    /// the secret [`DEFAULT_SECRET_KEY`](crate::DEFAULT_SECRET_KEY). A temporary access key, which begins with `ASIA`,
    /// then also needs [`DEFAULT_SESSION_TOKEN`](crate::DEFAULT_SESSION_TOKEN).
    pub principals: Vec<Principal>,
    /// The caller's ARN for each access key, if there are no principals. Without an ARN here, the caller of
    /// `AKIAEXAMPLE<NAME>` is the user `<name>`, and the caller of any other key is [`DEFAULT_CALLER`].
    pub callers: BTreeMap<String, String>,
    /// The policies of all callers. A caller who has no policy may do everything.
    pub policies: Vec<Policy>,
    /// The address from which requests seem to come: in `aws:SourceIp` and in CloudTrail.
    pub source_ip: IpAddr,
    /// The limits of pushes in time. By default there are none.
    pub push_limits: PushLimits,
    /// The limits of tunnels.
    pub tunnel_limits: TunnelLimits,
    /// The signer, if not the usual one.
    pub hierarchy: Option<Hierarchy>,
    /// The directory in which the authority's keys are kept between runs.
    pub key_directory: Option<PathBuf>,
    /// The callback for each request.
    pub observer: Option<Observer>,
}

/// The usual account of the instance.
pub const DEFAULT_ACCOUNT: &str = "123456789012";

/// The caller for an access key that the emulator does not know.
pub const DEFAULT_CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Demo/someone";

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        Self {
            imds: (loopback, 0).into(),
            api: (loopback, 0).into(),
            endpoint: (loopback, 0).into(),
            instance_id: "i-0123456789abcdef0".into(),
            zone: "us-east-1a".into(),
            domain: "amazonaws.com".into(),
            instance_ip: loopback,
            instance_ipv6: None,
            instance_ports: BTreeMap::new(),
            key_ttl: 60,
            delay: Duration::ZERO,
            clock_offset: 0,
            keep_alive: false,
            account: DEFAULT_ACCOUNT.into(),
            tags: BTreeMap::new(),
            endpoint_tags: BTreeMap::new(),
            instance_state: "running".into(),
            principals: Vec::new(),
            callers: BTreeMap::new(),
            policies: Vec::new(),
            // An address for documentation (RFC 5737).
            source_ip: Ipv4Addr::new(203, 0, 113, 5).into(),
            push_limits: PushLimits::default(),
            tunnel_limits: TunnelLimits::default(),
            hierarchy: None,
            key_directory: None,
            observer: None,
        }
    }
}
