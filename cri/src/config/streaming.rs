//! The `[streaming]` section: where `exec`, `attach` and `port-forward` are served.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// Where the streaming server listens, and by which certificate it is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct StreamingSection {
    /// The address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate, with those it is signed by, in PEM; with it TLS is spoken.
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// How long a session may lie still before it is ended.
    pub idle_seconds: u64,
}

impl Default for StreamingSection {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { address, tls_certificate: None, tls_key: None, idle_seconds: 4 * 3600 }
    }
}

impl StreamingSection {
    /// What is wrong with it: the key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let tls = self.tls_certificate.is_some();
        if tls != self.tls_key.is_some() {
            let why = "[streaming] has one of tls-certificate and tls-key; give both or none";
            return Some(("tls-", why.into()));
        }
        if self.address.ip().is_unspecified() {
            let why = "streaming.address names no host; name the address that the kubelet can reach";
            return Some(("address", why.into()));
        }
        if !tls && !self.address.ip().is_loopback() {
            let why = "streaming.address is not on loopback; give tls-certificate and tls-key, for tokens would travel in \
                       the clear";
            return Some(("address", why.into()));
        }
        (self.idle_seconds == 0)
            .then(|| ("idle-seconds", "streaming.idle-seconds is 0; no session would live".into()))
    }
}
