//! The AWS side of EC2 Instance Connect, for tests and the demo: instance metadata, the API that pushes keys, the
//! authority that signs them, and an endpoint with tunnels to a private instance.
//!
//! ```no_run
//! use eic_emulator::{Config, Emulator, Fault};
//!
//! let emulator = Emulator::start(Config::default())?;
//! emulator.push("ec2-user", "ssh-ed25519 AAAA…", "arn:aws:iam::123456789012:user/alice");
//! emulator.inject(Fault::token().status(503).times(2));
//! println!("{} trusts {}", emulator.imds_url(), emulator.ca_pem());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The emulator shares no code with the agent. Shared code could hide an error that is in both.

mod api;
mod caller;
mod config;
mod credentials;
mod emulator;
mod fault;
mod imds;
mod keys;
mod record;
mod tunnel;
mod world;

pub mod calendar;
pub mod directory;
pub mod entry;
pub mod http;
pub mod location;
pub mod pki;
pub mod policy;
pub mod sigv4;

pub use api::{ErrorKind, PushLimits, Rate};
pub use config::{Config, DEFAULT_ACCOUNT, DEFAULT_CALLER, Observer};
pub use credentials::{
    DEFAULT_SECRET_KEY, DEFAULT_SESSION_TOKEN, Principal, read_credential, read_credentials, read_tag,
    unique_tags,
};
pub use emulator::Emulator;
pub use entry::{Entry, SignatureLayout};
pub use fault::Fault;
pub use record::{RequestRecord, Service};
pub use tunnel::TunnelLimits;
