//! The network configuration of a guest's cloud-init, version 2. JSON is the YAML that it reads.

use serde_json::{Value, json};

use super::{Attachment, GuestIdentity};

/// Renders what a guest with cloud-init is told of its network.
pub fn cloud_init_network(attachment: &Attachment, identity: &GuestIdentity) -> String {
    let addresses: Vec<String> =
        attachment.addresses.iter().map(|own| format!("{}/{}", own.address, own.prefix)).collect();
    let mut routes: Vec<&super::Route> = attachment.routes.iter().collect();
    // The gateway must be reachable before a route uses it.
    routes.sort_by_key(|route| route.gateway.is_some());
    let routes: Vec<Value> = routes
        .into_iter()
        .map(|route| {
            let to = format!("{}/{}", route.destination.address, route.destination.prefix);
            match route.gateway {
                None => json!({ "to": to, "scope": "link" }),
                Some(via) if attachment.addresses.iter().any(|own| own.contains(via)) => {
                    json!({ "to": to, "via": via })
                }
                Some(via) => json!({ "to": to, "via": via, "on-link": true }),
            }
        })
        .collect();
    let dns = &attachment.dns;
    let servers = if identity.servers.is_empty() { &dns.nameservers } else { &identity.servers };
    let search = if identity.search.is_empty() { &dns.search } else { &identity.search };
    let document = json!({ "version": 2, "ethernets": { "eth0": {
        "match": { "macaddress": attachment.mac },
        "dhcp4": false, "dhcp6": false, "accept-ra": false,
        "mtu": attachment.mtu, "addresses": addresses, "routes": routes,
        "nameservers": { "addresses": servers, "search": search },
    }}});
    format!("{document}\n")
}
