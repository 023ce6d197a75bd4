//! What the pod network is told: where pods get their addresses, and where its own records are.

use std::path::PathBuf;

/// How the network is set up.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Where addresses come from.
    pub mode: Mode,
    /// The directory of the network's own records.
    pub state_dir: PathBuf,
    /// The uid that owns each tap.
    pub tap_user: u32,
}

/// Where addresses come from.
#[derive(Debug, Clone)]
pub enum Mode {
    /// The first configuration of a directory.
    Cni {
        /// The directory with the configurations.
        conf_dir: PathBuf,
        /// The directories with the plugins, searched in order.
        bin_dirs: Vec<PathBuf>,
        /// What was added, for the DEL that must match.
        cache_dir: PathBuf,
    },
    /// A bridge with host-local addresses.
    Builtin {
        /// One subnet of each family.
        subnets: Vec<String>,
        /// The name of the bridge.
        bridge: String,
        /// The largest packet in bytes.
        mtu: u32,
        /// The directories with the plugins, searched in order.
        bin_dirs: Vec<PathBuf>,
    },
    /// No network: made-up addresses, in memory only.
    Null,
}
