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
    let batch = "link set lo up\naddr show dev eth0\nroute show table all\n";
    let bytes = tool("ip", &["-j", "-n", &netns::name(id), "-batch", "-"], batch).await?;
    let answers: Vec<Value> = serde_json::Deserializer::from_slice(&bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| Error::failed("cannot read the answer of ip", error))?;
    let [link, routes] = &answers[..] else {
        return Err(Error::said(
            "ip gave another number of answers than it was asked for",
            "update iproute2",
        ));
    };
    let wrong = |what: &str| Error::said(format!("eth0 of pod {id} has no {what}"), "CNI ADD left it out");
    let known: Vec<KnownRoute> = routes.as_array().into_iter().flatten().filter_map(known).collect();
    let addresses: Vec<AddressWithPrefix> = ips(result).map(|own| on_link(own, &known)).collect();
    if addresses.is_empty() {
        return Err(wrong("address"));
    }
    let routes: Vec<Route> =
        known.into_iter().filter(|known| !known.by_kernel).map(|known| known.route).collect();
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

/// The addresses of a CNI result.
fn ips(result: &Value) -> impl Iterator<Item = AddressWithPrefix> + '_ {
    result["ips"].as_array().into_iter().flatten().filter_map(|ip| prefixed(ip["address"].as_str()?))
}

/// A route of the namespace, and whether the kernel made it for an address.
struct KnownRoute {
    route: Route,
    by_kernel: bool,
}

/// Where the plugin took away the route that the kernel makes for an address (ptp does), its neighbours are not on the
/// link: the guest must not make that route either, so it is told the address alone.
fn on_link(own: AddressWithPrefix, known: &[KnownRoute]) -> AddressWithPrefix {
    let reaches = |known: &KnownRoute| {
        let to = known.route.destination;
        known.by_kernel && to.prefix == own.prefix && to.contains(own.address)
    };
    let alone = if own.address.is_ipv4() { 32 } else { 128 };
    AddressWithPrefix { prefix: if known.iter().any(reaches) { own.prefix } else { alone }, ..own }
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

/// A unicast route over `eth0` of the main table, the one table whose name is not printed.
fn known(value: &Value) -> Option<KnownRoute> {
    let plain = value.get("table").is_none() && value.get("type").is_none();
    if !plain || value["dev"] != "eth0" {
        return None;
    }
    let gateway = value["gateway"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let destination = match value["dst"].as_str()? {
        // Only routes of IPv6 have a preference.
        "default" if value.get("pref").is_some() => prefixed("::/0"),
        "default" => prefixed("0.0.0.0/0"),
        other => prefixed(other),
    }?;
    let by_kernel = value["protocol"] == "kernel";
    let local = matches!(destination.address, IpAddr::V6(to) if to.is_unicast_link_local());
    (!local).then_some(KnownRoute { route: Route { destination, gateway }, by_kernel })
}

/// Makes the tap and joins it; `again` where an earlier call may have been cut off. UDP port 67 from the guest stays in
/// the namespace, for the DHCP answerer.
pub(super) async fn join(attachment: &Attachment, user: u32, again: bool) -> Result<()> {
    let name = netns::name(&attachment.id);
    let (name, mtu) = (name.as_str(), attachment.mtu);
    if again {
        // What is not there needs no removal.
        let _ = tool("tc", &["-n", name, "qdisc", "del", "dev", "eth0", "ingress"], "").await;
        let _ = tool("ip", &["-n", name, "link", "del", TAP], "").await;
    }
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
    let lines: Vec<String> = ips(result)
        .map(|own| {
            let nodad = if own.address.is_ipv6() { " nodad" } else { "" };
            format!("addr replace {}/{} dev eth0{nodad}", own.address, own.prefix)
        })
        .collect();
    let batch = lines.join("\n") + "\n";
    let Err(error) = tool("ip", &["-n", &name, "-batch", "-"], &batch).await else { return Ok(()) };
    // Without its interface the pod has nothing to give back.
    let there = tool("ip", &["-n", &name, "link", "show", "dev", "eth0"], "").await.is_ok();
    if there { Err(error) } else { Ok(()) }
}
