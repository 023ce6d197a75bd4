//! Whom to connect to, as whom, and how the other side proves who it is.

use std::fmt;
use std::net::SocketAddr;

/// One guest.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens. Inside a pod's network this is the pod IP.
    pub address: SocketAddr,
    /// The user to log in as.
    pub user: String,
    /// What proves that we may.
    pub credentials: Vec<Credential>,
    /// What proves that it is the right guest.
    pub identity: Identity,
    /// Names of algorithms beyond the protocol's safe default that this guest needs, such as `ssh-rsa`.
    pub legacy_algorithms: Vec<String>,
}

/// A secret text. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself: for the one call that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What proves to a guest that we may log in.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A private key in OpenSSH's PEM form, without a passphrase.
    Key(Secret),
    /// A password: given as such, and as the answer to a keyboard-interactive prompt.
    Password(Secret),
}

/// What a guest must prove before anything secret is sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One of these public keys (`ssh-ed25519 AAAA...`) or fingerprints (`SHA256:...`).
    Pinned(Vec<String>),
    /// Whatever it shows the first time, kept for the life of the link. Only where the operator says so by name.
    TrustOnFirstUse,
}
