//! The `[network]` section.

use std::net::IpAddr;
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

impl NetworkSection {
    /// An address of each family that pods have; none where only the CNI configuration of the node knows.
    pub fn families(&self) -> Vec<IpAddr> {
        match self.mode {
            NetworkMode::Builtin => {
                self.subnets.iter().filter_map(|subnet| subnet.split('/').next()?.parse().ok()).collect()
            }
            NetworkMode::Cni | NetworkMode::Null => Vec::new(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_the_families_of_the_subnets() {
        let of = |mode| {
            let subnets = vec!["10.89.0.0/16".into(), "fd00:89::/64".into()];
            let families = NetworkSection { mode, subnets, ..NetworkSection::default() }.families();
            families.iter().map(IpAddr::is_ipv4).collect::<Vec<_>>()
        };
        assert_eq!(of(NetworkMode::Builtin), [true, false]);
        assert!(of(NetworkMode::Cni).is_empty());
    }
}
