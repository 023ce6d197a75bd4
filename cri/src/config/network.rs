//! The `[network]` section.

use std::path::PathBuf;

use serde::Deserialize;

/// How pods get their address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetworkSection {
    /// Where the wiring comes from.
    pub mode: NetworkMode,
    /// The directory with the CNI configuration lists.
    pub conf_dir: PathBuf,
    /// The directories with the CNI plugins, searched in order.
    pub bin_dirs: Vec<PathBuf>,
    /// The subnets of the built-in bridge: one of IPv4, and one of IPv6 for dual stack.
    pub subnets: Vec<String>,
    /// The name of the built-in bridge.
    pub bridge: String,
    /// The largest packet on the built-in bridge in bytes.
    pub mtu: u32,
}

/// Where the wiring comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The CNI configuration of the node.
    Cni,
    /// A bridge with host-local addresses, by the CNI plugins of the node but without a configuration of its own.
    Builtin,
    /// No network at all: for measurements of the daemon alone.
    Null,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            mode: NetworkMode::Cni,
            conf_dir: "/etc/cni/net.d".into(),
            bin_dirs: vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()],
            subnets: vec!["10.89.0.0/16".into()],
            bridge: "infranetes0".into(),
            mtu: 1500,
        }
    }
}
