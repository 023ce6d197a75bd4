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
    /// Whether its packets are forwarded to a machine elsewhere, so that the namespace keeps its interface.
    #[serde(default)]
    pub forwards: bool,
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
    /// The tap in it that the machine opens; empty where no machine does.
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

    /// The DNS servers and search domains of a guest: its own, or else the network's.
    pub fn resolution<'a>(&'a self, guest: &'a GuestIdentity) -> (&'a [IpAddr], &'a [String]) {
        let servers = if guest.servers.is_empty() { &self.dns.nameservers } else { &guest.servers };
        let domain = std::slice::from_ref(&self.dns.domain);
        let network = match (&self.dns.search[..], self.dns.domain.as_str()) {
            ([], "") => &[],
            ([], _) => domain,
            (search, _) => search,
        };
        (servers, if guest.search.is_empty() { network } else { &guest.search })
    }

    /// Every route, those on the link first: a gateway must be reachable before a route uses it. One that lies outside
    /// of the machine's own networks, and that no route on the link reaches, gets its own.
    pub(super) fn ordered_routes(&self) -> Vec<Route> {
        let alone =
            |address: IpAddr| AddressWithPrefix { address, prefix: if address.is_ipv4() { 32 } else { 128 } };
        let (via, mut ordered): (Vec<Route>, Vec<Route>) =
            self.routes.iter().cloned().partition(|route| route.gateway.is_some());
        for gateway in via.iter().filter_map(|route| route.gateway) {
            let reached = matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local())
                || self.addresses.iter().any(|own| own.contains(gateway))
                || ordered.iter().any(|route| route.destination.contains(gateway));
            if !reached {
                ordered.push(Route { destination: alone(gateway), gateway: None });
            }
        }
        ordered.extend(via);
        ordered
    }

    /// Whether there is a namespace.
    pub fn is_real(&self) -> bool {
        !self.netns.as_os_str().is_empty()
    }

    /// Whether there is a tap in it, for a machine of this node.
    pub fn has_tap(&self) -> bool {
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
