//! The certificate of the streaming server.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::TlsAcceptor;

use crate::config::StreamingSection;
use crate::error::{Error, Result};

/// What speaks TLS; none where no certificate is configured.
pub(super) fn acceptor(section: &StreamingSection) -> Result<Option<TlsAcceptor>> {
    let (Some(certificate), Some(key)) = (&section.tls_certificate, &section.tls_key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>)
        .map_err(|error| unreadable("streaming.tls-certificate", certificate, &error))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("streaming.tls-key", key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| {
            let why = format!("{} and {} make no certificate: {error}", certificate.display(), key.display());
            Error::invalid(why)
        })?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn unreadable(name: &str, path: &Path, error: &pem::Error) -> Error {
    Error::invalid(format!("{name}: {} cannot be read as PEM: {error}", path.display()))
}
