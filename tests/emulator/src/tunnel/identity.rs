//! The endpoint's certificate and TLS configuration.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs1KeyDer};

use super::entrance::Names;
use crate::pki::{CertificateBuilder, KeyPool, Name};
use crate::world::World;

const DAY: i64 = 86_400;

/// The TLS configuration. The first connection makes it, because the key takes time.
#[derive(Default)]
pub(super) struct Identity(Mutex<Option<Arc<ServerConfig>>>);

impl Identity {
    pub(super) fn tls(&self, world: &World, names: &Names) -> io::Result<Arc<ServerConfig>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*kept {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(make(world, names)?);
        *kept = Some(Arc::clone(&config));
        Ok(config)
    }
}

/// TLS 1.2 and 1.3 without ALPN and tickets, with a certificate that the anchor signed.
fn make(world: &World, names: &Names) -> io::Result<ServerConfig> {
    let pool = world.config.key_directory.as_deref().map_or_else(KeyPool::shared, KeyPool::in_directory);
    let key = pool.get("endpoint");
    let today = world.now() - world.now().rem_euclid(DAY);
    let subject = Name::authority("EC2 Instance Connect Endpoint");
    let content = CertificateBuilder::new(subject, key.public(), today - 30 * DAY, today + 366 * DAY - 1)
        .signer_profile("localhost")
        .san(&names.all());
    let certificate = world.hierarchy().root.sign(content);
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let key = PrivatePkcs1KeyDer::from(key.to_pkcs1_der());
            builder.with_no_client_auth().with_single_cert(chain, key.into())
        })
        .map_err(io::Error::other)?;
    // A client that reads and writes in two threads with OpenSSL can block forever if a ticket arrives while it writes.
    config.send_tls13_tickets = 0;
    Ok(config)
}
