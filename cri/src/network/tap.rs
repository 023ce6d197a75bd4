//! Hands a pod's `eth0` to its machine: what it had is read, then a tap is joined to it by tc redirection.
//!
//! Reading comes first and is recorded by the caller; joining empties `eth0` and may be repeated until it is recorded.

use std::net::IpAddr;

use serde_json::Value;

use super::command::tool;
use super::error::{Error, Result};
use super::{AddressWithPrefix, Attachment, Dns, Route, netns};

/// The tap's name in each pod's namespace.
const TAP: &str = "tap0";

/// Reads what CNI gave the pod.
pub(super) async fn read(id: &str, result: &Value) -> Result<Attachment> {
    let name = netns::name(id);
    let json = async |args: &[&str]| -> Result<Value> {
        let bytes = tool("ip", &[&["-j", "-n", &name], args].concat(), "").await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Array(Vec::new()));
        }
        serde_json::from_slice(&bytes).map_err(|error| Error::failed("cannot read the answer of ip", error))
    };
    let link = json(&["addr", "show", "dev", "eth0"]).await?;
    let (four, six) = (json(&["-4", "route"]).await?, json(&["-6", "route"]).await?);
    let wrong = |what: &str| Error::said(format!("eth0 of pod {id} has no {what}"), "CNI ADD left it out");
    let addresses: Vec<AddressWithPrefix> = result["ips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|ip| prefixed(ip["address"].as_str()?))
        .collect();
    if addresses.is_empty() {
        return Err(wrong("address"));
    }
    let routes: Vec<Route> =
        [four, six].iter().flat_map(|all| all.as_array().into_iter().flatten()).filter_map(route).collect();
    let gateway = |four: bool| {
        let own =
            |route: &&Route| route.destination.prefix == 0 && route.destination.address.is_ipv4() == four;
        routes.iter().find(own).and_then(|route| route.gateway)
    };
    Ok(Attachment {
        id: id.to_owned(),
        netns: netns::path(id),
        tap: TAP.to_owned(),
        mac: link[0]["address"].as_str().ok_or_else(|| wrong("MAC"))?.to_owned(),
        mtu: link[0]["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok()).ok_or_else(|| wrong("MTU"))?,
        gateway4: gateway(true),
        gateway6: gateway(false),
        addresses,
        routes,
        dns: serde_json::from_value::<Dns>(result["dns"].clone()).unwrap_or_default(),
    })
}

fn prefixed(text: &str) -> Option<AddressWithPrefix> {
    let (address, prefix) = if let Some((address, prefix)) = text.split_once('/') {
        (address.parse::<IpAddr>().ok()?, prefix.parse().ok()?)
    } else {
        let address = text.parse::<IpAddr>().ok()?;
        (address, if address.is_ipv4() { 32 } else { 128 })
    };
    Some(AddressWithPrefix { address, prefix })
}

fn route(value: &Value) -> Option<Route> {
    if value["dev"] != "eth0" || value["protocol"] == "kernel" {
        return None;
    }
    let gateway = value["gateway"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let destination = match value["dst"].as_str()? {
        "default" if gateway.is_some_and(|gateway| gateway.is_ipv6()) => prefixed("::/0"),
        "default" => prefixed("0.0.0.0/0"),
        other => prefixed(other),
    }?;
    Some(Route { destination, gateway })
}

/// Makes the tap and joins it. UDP port 67 from the guest stays in the namespace, for the DHCP answerer.
pub(super) async fn join(attachment: &Attachment, user: u32) -> Result<()> {
    let name = netns::name(&attachment.id);
    let (name, mtu) = (name.as_str(), attachment.mtu);
    for device in ["eth0", TAP] {
        // What an interrupted call left; absent is the usual case.
        let _ = tool("tc", &["-n", name, "qdisc", "del", "dev", device, "ingress"], "").await;
    }
    let _ = tool("ip", &["-n", name, "link", "del", TAP], "").await;
    let links = format!(
        "tuntap add dev {TAP} mode tap vnet_hdr user {user}\nlink set dev {TAP} addrgenmode none\n\
         link set dev {TAP} mtu {mtu} up\naddr add 169.254.1.1/32 dev {TAP}\naddr flush dev eth0\n"
    );
    tool("ip", &["-n", name, "-batch", "-"], &links).await?;
    let all = "protocol all prio 10 u32 match u8 0 0 action mirred egress redirect dev";
    let filters = format!(
        "qdisc add dev eth0 ingress\nqdisc add dev {TAP} ingress\n\
         filter add dev {TAP} parent ffff: protocol ip prio 1 u32 match ip protocol 17 0xff \
         match ip dport 67 0xffff flowid 1:1\n\
         filter add dev eth0 parent ffff: {all} {TAP}\nfilter add dev {TAP} parent ffff: {all} eth0\n"
    );
    tool("tc", &["-n", name, "-batch", "-"], &filters).await?;
    Ok(())
}

/// Gives `eth0` its addresses back before DEL: plugins look there for what they masqueraded. Where the namespace is
/// gone, a stand-in is made, so that rules outside of it go too.
pub(super) async fn restore(id: &str, result: &Value) -> Result<()> {
    let name = netns::name(id);
    if !netns::path(id).exists() {
        netns::make(id).await?;
        tool("ip", &["-n", &name, "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"], "")
            .await?;
    }
    if tool("ip", &["-n", &name, "link", "show", "dev", "eth0"], "").await.is_err() {
        return Ok(());
    }
    for own in
        result["ips"].as_array().into_iter().flatten().filter_map(|ip| prefixed(ip["address"].as_str()?))
    {
        let address = format!("{}/{}", own.address, own.prefix);
        let mut args = vec!["-n", &name, "addr", "replace", &address, "dev", "eth0"];
        if own.address.is_ipv6() {
            args.push("nodad");
        }
        tool("ip", &args, "").await?;
    }
    Ok(())
}
