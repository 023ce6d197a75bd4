//! The network configuration of a guest's cloud-init, version 2. JSON is the YAML that it reads.

use serde_json::{Value, json};

use super::{Attachment, GuestIdentity};

/// Renders what a guest with cloud-init is told of its network.
pub fn cloud_init_network(attachment: &Attachment, identity: &GuestIdentity) -> String {
    let addresses: Vec<String> =
        attachment.addresses.iter().map(|own| format!("{}/{}", own.address, own.prefix)).collect();
    let routes: Vec<Value> = attachment
        .ordered_routes()
        .into_iter()
        .map(|route| {
            let to = format!("{}/{}", route.destination.address, route.destination.prefix);
            match route.gateway {
                None => json!({ "to": to, "scope": "link" }),
                Some(via) if attachment.addresses.iter().any(|own| own.contains(via)) => {
                    json!({ "to": to, "via": via })
                }
                // A renderer may apply routes in another order, so each says it by itself.
                Some(via) => json!({ "to": to, "via": via, "on-link": true }),
            }
        })
        .collect();
    let (servers, search) = attachment.resolution(identity);
    let document = json!({ "version": 2, "ethernets": { "eth0": {
        "match": { "macaddress": attachment.mac },
        "dhcp4": false, "dhcp6": false, "accept-ra": false,
        "mtu": attachment.mtu, "addresses": addresses, "routes": routes,
        "nameservers": { "addresses": servers, "search": search },
    }}});
    format!("{document}\n")
}
