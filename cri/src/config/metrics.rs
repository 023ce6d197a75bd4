//! The `[metrics]` section.

use std::net::SocketAddr;

use serde::Deserialize;

/// Where the daemon tells its own metrics and whether it is well.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MetricsSection {
    /// The address and port; absent: nowhere. Whoever reaches it may ask.
    pub address: Option<SocketAddr>,
}
