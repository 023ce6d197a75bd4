//! The certificate that a server makes for `CredSSP` alone, signed by itself, as Windows does. Its key is of RSA, as Windows'
//! is, and one that pypsrp knows to read.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The one that all servers of a process have, for it takes a moment to be made.
static KEY: OnceCell<String> = OnceCell::const_new();

/// A key, and what presents it.
pub(crate) struct Key {
    pub(super) config: Arc<ServerConfig>,
    /// The public one of whom the login is for.
    proved: Vec<u8>,
}

impl Key {
    /// The server's key. Where somebody is between, another one is shown.
    pub(crate) async fn new(between: bool) -> Result<Self> {
        let ours = KeyPair::from_pem(KEY.get_or_try_init(make).await?).context("this is no key")?;
        let proved = ours.public_key_raw().to_vec();
        let shown = if between { KeyPair::from_pem(&make().await?).context("this is no key")? } else { ours };
        let certificate = CertificateParams::new(vec!["CREDSSP-WINRM-PEER".to_owned()])
            .and_then(|parameters| parameters.self_signed(&shown))
            .context("cannot make a certificate")?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.serialize_der()));
        let suites = vec![
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ];
        let provider = CryptoProvider { cipher_suites: suites, ..default_provider() };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .context("ring has no TLS 1.2")?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .context("cannot present the certificate")?;
        Ok(Self { config: Arc::new(config), proved })
    }

    /// The public key, as the certificate has it.
    pub(super) fn proved(&self) -> &[u8] {
        &self.proved
    }
}

/// A new key, in PEM form. None of the crates here makes one of RSA.
async fn make() -> Result<String> {
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run openssl, which makes keys of RSA: install it")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr).trim());
    String::from_utf8(made.stdout).context("openssl writes no PEM")
}
