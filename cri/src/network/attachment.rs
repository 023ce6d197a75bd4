//! What a pod got of the network, and what it is asked for.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A pod that wants a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PodNetworkRequest {
    /// The pod's id in the daemon.
    pub id: String,
    /// Its name in Kubernetes.
    pub name: String,
    /// Its namespace in Kubernetes.
    pub namespace: String,
    /// Its uid in Kubernetes.
    pub uid: String,
    /// The ports of the node that lead to it.
    pub port_mappings: Vec<PortMapping>,
}

/// A port of the node that leads to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The port in the pod.
    pub container_port: u16,
    /// The port on the node; 0 is none.
    pub host_port: u16,
    /// The node's address, or empty for all.
    #[serde(rename = "hostIP", default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

/// What a guest is told of itself.
#[derive(Debug, Clone, Default)]
pub struct GuestIdentity {
    /// The host name.
    pub hostname: String,
    /// The search domains; empty means the network's.
    pub search: Vec<String>,
    /// The DNS servers; empty means the network's.
    pub servers: Vec<IpAddr>,
}

/// A pod's place in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The pod's id.
    pub id: String,
    /// The namespace; empty without a real network.
    pub netns: PathBuf,
    /// The tap in it that the machine opens.
    pub tap: String,
    /// The address the machine's card must have.
    pub mac: String,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The machine's addresses, the pod IP first.
    pub addresses: Vec<AddressWithPrefix>,
    /// The IPv4 gateway.
    pub gateway4: Option<IpAddr>,
    /// The IPv6 gateway.
    pub gateway6: Option<IpAddr>,
    /// Every route, the default ones too.
    pub routes: Vec<Route>,
    /// Name resolution as the network says.
    pub dns: Dns,
}

/// An address and the length of its network's prefix in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressWithPrefix {
    /// The address.
    pub address: IpAddr,
    /// The length in bits.
    pub prefix: u8,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub destination: AddressWithPrefix,
    /// By which gateway; none is on the link.
    pub gateway: Option<IpAddr>,
}

/// Name resolution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The servers.
    #[serde(default)]
    pub nameservers: Vec<IpAddr>,
    /// The domain.
    #[serde(default)]
    pub domain: String,
    /// The search domains.
    #[serde(default)]
    pub search: Vec<String>,
}

impl Attachment {
    /// The pod IP.
    pub fn address(&self) -> Option<IpAddr> {
        self.all_addresses().next()
    }

    /// Every address, the pod IP first.
    pub fn all_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|address| address.address)
    }

    /// Whether there is a namespace and a tap.
    pub fn is_real(&self) -> bool {
        !self.tap.is_empty()
    }
}

impl AddressWithPrefix {
    /// Whether an address lies in this one's network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }
}
