//! The server's own certificate, signed by itself, as Windows makes one for its HTTPS listener.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// A certificate, and what presents it.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) config: Arc<ServerConfig>,
}

impl Certificate {
    /// Makes one for loopback's names and this address.
    pub(crate) fn make(address: IpAddr) -> Result<Self> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), address.to_string()];
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let der = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
            .map_err(|error| anyhow::anyhow!("cannot use the certificate's key: {error}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("ring has no TLS version")?
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .context("cannot present the certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { pem: made.cert.pem(), der, config: Arc::new(config) })
    }

    /// The SHA-256 of the certificate, which is what channel bindings are made of.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}
