//! Whom to connect to, as whom, and how the other side proves who it is.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;

/// One guest.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens. Inside a pod's network this is the pod IP.
    pub address: SocketAddr,
    /// The user to log in as; with `WinRM` also `DOMAIN\\name`, and by Kerberos `name@REALM`.
    pub user: String,
    /// The guest's name in its domain, by which Kerberos knows it.
    pub host_name: Option<String>,
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
    /// What this node has of the user's domain, its cache of tickets or its keytab for clients: taken by Kerberos.
    Tickets,
    /// What stands there when one logs in, for it may change.
    Kept(Arc<dyn Logins>),
}

/// Where a login is kept by somebody who may change it.
#[async_trait]
pub trait Logins: Send + Sync + fmt::Debug {
    /// The login as it is now. [`Error::Refused`](crate::Error::Refused) where there is none.
    async fn now(&self) -> Result<Login>;
}

/// As whom, and what proves that we may.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user, where another one is meant than the target's.
    pub user: Option<String>,
    /// What proves that we may.
    pub credentials: Vec<Credential>,
}

impl Target {
    /// Whether somebody keeps its credentials who may change them.
    pub(crate) fn is_kept(&self) -> bool {
        self.credentials.iter().any(|credential| matches!(credential, Credential::Kept(_)))
    }

    /// The target with what its kept credentials are now.
    pub(crate) async fn as_of_now(&self) -> Result<Self> {
        let mut target = Self { credentials: Vec::new(), ..self.clone() };
        for credential in &self.credentials {
            match credential {
                Credential::Kept(logins) => {
                    let login = logins.now().await?;
                    target.user = login.user.unwrap_or(target.user);
                    target.credentials.extend(login.credentials);
                }
                other => target.credentials.push(other.clone()),
            }
        }
        Ok(target)
    }
}

/// What a guest must prove before anything secret is sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One of these public keys (`ssh-ed25519 AAAA...`), certificates (PEM), or fingerprints of either (`SHA256:...`).
    Pinned(Vec<String>),
    /// A certificate for this name by one of these authorities. Protocols without certificates refuse it.
    CertifiedBy {
        /// The authorities' certificates, in PEM form.
        authority: String,
        /// The name (or the IP address) that the certificate has to be made for.
        name: String,
    },
    /// Whatever it shows the first time, kept for the life of the link. Only where the operator says so by name. Where a
    /// protocol shows nothing (`WinRM` over HTTP), that the guest knows the password too is all there is.
    TrustOnFirstUse,
}
