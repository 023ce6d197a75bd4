//! The daemon's configuration: one TOML file, every key known, every error with its place and the remedy.
//!
//! What a key means stands at its field here; `docs/configuration.md` shows the same as a table. A key that does not
//! exist is an error and not a surprise.

mod delegate;
mod derived;
mod image;
mod load;
mod metrics;
mod network;
mod provider;
mod streaming;
mod tracing;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

pub use delegate::DelegateSection;
pub use image::{ImageRule, ImagesConfig, family};
pub use metrics::MetricsSection;
pub use network::{NetworkMode, NetworkSection};
pub use provider::{Accel, FleetSection, HandlerConfig, ProviderConfig, QemuSection};
pub use streaming::StreamingSection;
pub use tracing::TracingSection;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The Unix socket that the kubelet connects to.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// What must survive a restart of the node: records, images, disks.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// What need not: sockets and locks. Keep it short, a Unix socket's path has 107 bytes.
    #[serde(default = "default_run_dir")]
    pub run_dir: PathBuf,
    /// The kubelet's own directory, below which the volumes of pods lie.
    #[serde(default = "crate::volume::default_kubelet")]
    pub kubelet_root_dir: PathBuf,
    /// The cgroup driver told to the kubelet; absent: nothing is told, and the kubelet keeps its own.
    pub cgroup_driver: Option<CgroupDriver>,
    /// Which provider runs the pods of a `RuntimeClass` handler. The empty name is the default handler.
    #[serde(default = "provider::default_handlers")]
    pub handlers: BTreeMap<String, HandlerConfig>,
    /// The providers by name.
    #[serde(default = "provider::default_providers")]
    pub providers: BTreeMap<String, ProviderConfig>,
    /// A runtime beside ours; absent: there is none, and every pod is a machine.
    pub delegate: Option<DelegateSection>,
    /// How pods get their address.
    #[serde(default)]
    pub network: NetworkSection,
    /// Registries and limits of images.
    #[serde(default)]
    pub images: ImagesConfig,
    /// Facts of images by name pattern; a later rule wins over an earlier one, fact by fact.
    #[serde(default)]
    pub image: Vec<ImageRule>,
    /// Where `exec`, `attach` and `port-forward` are served.
    #[serde(default)]
    pub streaming: StreamingSection,
    /// Where the daemon tells its own metrics.
    #[serde(default)]
    pub metrics: MetricsSection,
    /// Where the daemon sends its traces.
    #[serde(default)]
    pub tracing: TracingSection,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The size of a machine when neither the pod nor the image says.
    #[serde(default)]
    pub machine: MachineDefaults,
    /// The annotations under `infranetes.io/` that a pod may set.
    #[serde(default = "default_annotations")]
    pub allowed_annotations: Vec<String>,
}

/// The kubelet's cgroup driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// systemd slices.
    Systemd,
    /// Plain directories.
    Cgroupfs,
}

/// How long things may take, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Timeouts {
    /// How long `StartContainer` waits for the guest's first answer. The kubelet gives the call two minutes.
    pub start_wait_seconds: u64,
    /// How long a guest may take to its first answer before the container ends with `GuestBootTimeout`.
    pub boot_deadline_seconds: u64,
    /// How long a stopping daemon waits for the calls that are under way.
    pub drain_seconds: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { start_wait_seconds: 60, boot_deadline_seconds: 900, drain_seconds: 10 }
    }
}

/// The size of a machine when neither the pod nor the image says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MachineDefaults {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl Default for MachineDefaults {
    fn default() -> Self {
        Self { cpus: 1, memory_mib: 512 }
    }
}

impl Default for Config {
    fn default() -> Self {
        toml::from_str("").expect("every key has a default")
    }
}

fn default_socket() -> PathBuf {
    "/run/infranetes/infranetes.sock".into()
}

fn default_state_dir() -> PathBuf {
    "/var/lib/infranetes".into()
}

fn default_run_dir() -> PathBuf {
    "/run/infranetes".into()
}

fn default_annotations() -> Vec<String> {
    crate::pod::annotations::ALL.iter().map(|name| (*name).to_owned()).collect()
}
