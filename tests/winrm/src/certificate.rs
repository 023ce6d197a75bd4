//! The server's own certificate, signed by itself, as Windows makes one for its HTTPS listener.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
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
        let (certificate, key) = generate(address)?;
        Self::new(certificate, &key)
    }

    /// That of a file, and of `FILE.key`; makes both if they are not there.
    pub(crate) fn kept(path: &Path, address: IpAddr) -> Result<Self> {
        let key_path = path.with_added_extension("key");
        if !path.exists() {
            let (certificate, key) = generate(address)?;
            std::fs::write(&key_path, key)
                .and_then(|()| std::fs::write(path, certificate))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        Self::new(read(path)?, &read(&key_path)?)
    }

    fn new(pem: String, key: &str) -> Result<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).context("this is no certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("this is no key")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("ring has no TLS version")?
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .context("cannot present the certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { pem, der, config: Arc::new(config) })
    }

    /// The SHA-256 of the certificate, which is what channel bindings are made of.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

/// A certificate for loopback's names and this address, and its key.
fn generate(address: IpAddr) -> Result<(String, String)> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), address.to_string()];
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}
