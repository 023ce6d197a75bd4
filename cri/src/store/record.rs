//! What is remembered of pods and containers. Plain data; a field that is added needs a default.

use std::collections::BTreeMap;
use std::fmt;

use guests::process::Identity;
use machines::MachineId;
use serde::{Deserialize, Serialize};

use super::process::ProcessRecord;
use crate::network::Attachment;

/// A pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PodRecord {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID in Kubernetes.
    pub uid: String,
    /// How often the kubelet has made this pod before.
    pub attempt: u32,
    /// Nanoseconds since 1970.
    pub created_at: i64,
    /// The runtime handler that was asked for.
    pub handler: String,
    /// The provider that the handler meant when the pod was made.
    pub provider: String,
    /// Labels, kept for the kubelet.
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept for the kubelet; ours are checked.
    pub annotations: BTreeMap<String, String>,
    /// The guest's host name.
    pub hostname: String,
    /// Where the logs of the containers go.
    pub log_directory: String,
    /// Name resolution.
    pub dns: Dns,
    /// Sysctls of the guest's kernel.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Ports of the node that lead to the pod.
    pub ports: Vec<PortMapping>,
    /// The cgroup that the machine joins.
    pub cgroup_parent: String,
    /// The size that the pod asks for.
    pub resources: Resources,
    /// Where the pod is in its life.
    pub phase: PodPhase,
    /// The network, once it is attached.
    pub attachment: Option<Attachment>,
    /// The keys that were made for this pod.
    pub keys: Keys,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Recorded; its network may or may not exist. Undone by the next start of the daemon.
    Creating,
    /// Usable.
    Ready,
    /// Being stopped. Finished by the next start of the daemon.
    Stopping,
    /// Stopped: no machine runs, no address is held.
    Stopped,
    /// Being removed. Finished by the next start of the daemon.
    Removing,
}

/// Name resolution in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// A port of the node that leads to the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The pod's port.
    pub container_port: u16,
    /// The node's port.
    pub host_port: u16,
    /// The node's address; empty for all.
    pub host_ip: String,
}

/// A size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors in thousandths.
    pub milli_cpus: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
}

impl Resources {
    /// This size, and where it says nothing the other one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            milli_cpus: self.milli_cpus.or(other.milli_cpus),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
        }
    }
}

/// The keys of a pod: ours to log in with, and the guest's to be known by.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// The private key that the daemon logs in with, in OpenSSH's form.
    pub client_private: String,
    /// Its public half.
    pub client_public: String,
    /// The host key that a guest with cloud-init is given.
    pub host_private: String,
    /// Its public half.
    pub host_public: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([redacted])")
    }
}

/// A container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// 32 hexadecimal digits, derived from the pod, the name and the attempt.
    pub id: String,
    /// Its pod.
    pub pod_id: String,
    /// Its name in the pod.
    pub name: String,
    /// How often the kubelet has made it before.
    pub attempt: u32,
    /// Nanoseconds since 1970.
    pub created_at: i64,
    /// The reference that the pod says.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// Labels, kept for the kubelet.
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept for the kubelet.
    pub annotations: BTreeMap<String, String>,
    /// Mounts as the kubelet asked for them.
    pub mounts: Vec<Mount>,
    /// The log's path below the pod's log directory.
    pub log_path: String,
    /// The size that the container asks for.
    pub resources: Resources,
    /// The facts of the image that hold for it.
    pub facts: images::Facts,
    /// What it is in its pod.
    #[serde(default)]
    pub role: Role,
    /// The machine that it is, or runs in.
    pub machine: MachineId,
    /// Where it is in its life.
    pub phase: ContainerPhase,
    /// When its machine, or its process, was started; nanoseconds since 1970.
    pub started_at: Option<i64>,
    /// Whether the guest has answered once, or the process was seen to have been started.
    #[serde(default)]
    pub answered: bool,
    /// Whom its process runs as, once that was seen.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// When a stop that was asked for is over; nanoseconds since 1970.
    #[serde(default)]
    pub stop_by: Option<i64>,
    /// What the guest proved itself by, where its first key was trusted: the same is asked of it from then on.
    #[serde(default)]
    pub proven_identity: Vec<String>,
    /// The boot of the guest that was given what its pod asks for, where a guest tells which one it is.
    #[serde(default)]
    pub boot: Option<String>,
    /// How it ended.
    pub exit: Option<ExitRecord>,
}

/// What a container is in its pod.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The machine itself.
    #[default]
    Machine,
    /// The machine of a pod whose containers are processes. Nobody asked for it by name, so it is shown to nobody.
    Host,
    /// A process in the machine of its pod.
    Process(Box<ProcessRecord>),
}

impl ContainerRecord {
    /// What it runs, where it is a process.
    pub fn process(&self) -> Option<&ProcessRecord> {
        match &self.role {
            Role::Process(process) => Some(process),
            Role::Machine | Role::Host => None,
        }
    }

    /// Whether it is the machine that its pod's processes run in.
    pub fn is_machine(&self) -> bool {
        self.process().is_none()
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerPhase {
    /// Recorded; its machine may or may not exist. Undone by the next start of the daemon.
    Creating,
    /// Its machine is defined; a process of it waits to be started.
    Created,
    /// Its machine boots, or its process is being started, and the caller still waits for that.
    Starting,
    /// It runs, whether or not the guest has answered.
    Running,
    /// It shall stop. Finished by the next start of the daemon.
    Stopping,
    /// It has ended.
    Exited,
    /// It is being removed. Finished by the next start of the daemon.
    Removing,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The exit code.
    pub code: i32,
    /// One word for programs.
    pub reason: String,
    /// One line for people.
    pub message: String,
    /// Nanoseconds since 1970.
    pub at: i64,
}

/// A mount as the kubelet asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The path in the guest.
    pub container_path: String,
    /// The path on the node.
    pub host_path: String,
    /// Whether the guest may not write.
    pub readonly: bool,
    /// Whether it is to be relabelled.
    pub selinux_relabel: bool,
    /// How mounts travel between node and guest.
    pub propagation: i32,
}
