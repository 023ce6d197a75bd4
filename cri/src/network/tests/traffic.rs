//! Packets really go where they should: guests behind their taps, the node, and a neighbour of the node.

use std::net::Ipv4Addr;

use serde_json::json;

use super::guest::Guest;
use super::place::{seen_from, serve, visit};
use super::*;

fn identity() -> GuestIdentity {
    GuestIdentity {
        hostname: "web".to_owned(),
        search: vec!["default.svc.cluster.local".to_owned(), "cluster.local".to_owned()],
        servers: vec!["10.96.0.10".parse().unwrap()],
    }
}

/// A machine beside the node, 192.0.2.2; the node is 192.0.2.1 there.
pub(super) fn neighbour() -> PathBuf {
    let name = format!("neighbour-{}", std::process::id());
    run("ip", &["netns", "add", &name]);
    for line in [
        format!("link add outside0 type veth peer name eth0 netns {name}"),
        "addr add 192.0.2.1/24 dev outside0".to_owned(),
        "link set outside0 up".to_owned(),
        format!("-n {name} addr add 192.0.2.2/24 dev eth0"),
        format!("-n {name} link set eth0 up"),
    ] {
        run("ip", &line.split(' ').collect::<Vec<_>>());
    }
    Path::new("/run/netns").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_nodes_and_neighbours_reach_each_other() {
    on_a_node!("pods_nodes_and_neighbours_reach_each_other");
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24"]);
    let (one, mut two) = (pod("one"), pod("two"));
    two.port_mappings.clear();
    let (first, second) = (network.attach(&one).await.unwrap(), network.attach(&two).await.unwrap());
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");
    let (_a, _b) = (
        network.serve_dhcp(&first, &identity()).await.unwrap(),
        network.serve_dhcp(&second, &identity()).await.unwrap(),
    );
    let (web, client) = (Guest::behind(&first), Guest::behind(&second));

    let told = web.ask();
    let address = first.address().unwrap();
    for (key, value) in [
        ("ip", address.to_string().as_str()),
        ("mask", "24"),
        ("router", "10.89.0.1"),
        ("dns", "10.96.0.10"),
        ("search", "default.svc.cluster.local cluster.local"),
        ("domain", "default.svc.cluster.local"),
        ("hostname", "web"),
        ("mtu", "1400"),
        ("staticroutes", "0.0.0.0/0 10.89.0.1"),
        ("lease", "4294967295"),
    ] {
        assert_eq!(told.get(key).map(String::as_str), Some(value), "{key} of {told:?}");
    }
    client.ask();

    serve(&web.namespace());
    let (node, gateway): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "10.89.0.1".parse().unwrap());
    let neighbour = neighbour();
    assert_eq!(seen_from(address, 80).unwrap(), gateway, "the node reaches the pod IP");
    let from_pod = visit(&client.namespace(), || seen_from(address, 80));
    assert_eq!(from_pod.unwrap(), second.address().unwrap(), "a pod reaches a pod, as itself");
    let outside = visit(&neighbour, || seen_from(node, 8080));
    assert_eq!(outside.unwrap().to_string(), "192.0.2.2", "a neighbour reaches the port, as itself");
    assert!(seen_from(Ipv4Addr::LOCALHOST.into(), 8080).is_ok(), "the node reaches its own port");
    assert!(visit(&client.namespace(), || seen_from(node, 8080)).is_ok(), "a pod reaches the node's port");
    assert!(visit(&web.namespace(), || seen_from(node, 8080)).is_ok(), "the pod itself does, too");

    network.detach(&one.id).await.unwrap();
    let refused = visit(&neighbour, || seen_from(node, 8080)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "the port is gone with its pod");
    network.detach(&two.id).await.unwrap();
    drop((web, client));
    run("ip", &["netns", "del", neighbour.file_name().unwrap().to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_that_are_not_on_the_link_are_reached_by_the_gateway() {
    on_a_node!("neighbours_that_are_not_on_the_link_are_reached_by_the_gateway");
    let data = tempfile::tempdir().unwrap();
    let network = Configured::new(
        "10-ptp.conflist",
        &json!({ "cniVersion": "0.4.0", "name": "points", "plugins": [
            { "type": "ptp", "ipMasq": true, "mtu": 1300,
              "ipam": { "type": "host-local", "subnet": "10.77.0.0/24", "dataDir": data.path(),
                        "routes": [{ "dst": "0.0.0.0/0" }] } },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ]}),
    );
    let network = network.network();
    let (one, mut two) = (pod("one"), pod("two"));
    two.port_mappings.clear();
    let (first, second) = (network.attach(&one).await.unwrap(), network.attach(&two).await.unwrap());
    assert_eq!((first.addresses[0].prefix, first.mtu), (32, 1300), "{first:?}");
    let _answering = (
        network.serve_dhcp(&first, &identity()).await.unwrap(),
        network.serve_dhcp(&second, &identity()).await.unwrap(),
    );
    let (web, client) = (Guest::behind(&first), Guest::behind(&second));
    let told = web.ask();
    assert_eq!(told["mask"], "32");
    assert_eq!(told["staticroutes"], "10.77.0.1/32 0.0.0.0 0.0.0.0/0 10.77.0.1 10.77.0.0/24 10.77.0.1");
    client.ask();
    serve(&web.namespace());
    let address = first.address().unwrap();
    assert!(seen_from(address, 80).is_ok());
    assert_eq!(visit(&client.namespace(), || seen_from(address, 80)).unwrap(), second.address().unwrap());
    for pod in [one, two] {
        network.detach(&pod.id).await.unwrap();
    }
    assert_eq!(reserved(&data.path().join("points")), Vec::<String>::new());
}

/// A plugin that gives one address alone, and a gateway of no network, as routing ones do.
const ROUTED: &str = r#"
ns=${CNI_NETNS##*/}
case $CNI_COMMAND in
ADD)
    cat > "$0.configuration"
    ip link add routed0 type veth peer name eth0 netns "$ns"
    ip addr add 169.254.1.1/32 dev routed0
    ip link set routed0 up
    ip route add 10.66.0.7/32 dev routed0
    ip -n "$ns" addr add 10.66.0.7/32 dev eth0
    ip -n "$ns" link set eth0 up
    ip -n "$ns" route add 169.254.1.1 dev eth0 scope link
    ip -n "$ns" route add default via 169.254.1.1 dev eth0
    echo '{ "cniVersion": "0.3.1", "ips": [{ "version": "4", "address": "10.66.0.7/32" }],
            "dns": { "nameservers": ["10.96.0.53"], "domain": "routed.test" } }' ;;
DEL) ip link del routed0 2> /dev/null; exit 0 ;;
esac
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_has_its_gateway_on_the_link() {
    on_a_node!("an_address_alone_has_its_gateway_on_the_link");
    let configured = Configured::new(
        "10-routed.conf",
        &json!({ "cniVersion": "0.3.1", "name": "routed", "type": "routed",
                 "capabilities": { "bandwidth": true, "portMappings": false } }),
    );
    let plugin = configured.plugin("routed", ROUTED);
    let network = configured.network();
    let request = pod("alone");
    let attachment = network.attach(&request).await.unwrap();
    let asked = std::fs::read_to_string(plugin.with_extension("configuration")).unwrap();
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked, json!({ "cniVersion": "0.3.1", "name": "routed", "type": "routed" }));

    let nobody = GuestIdentity::default();
    let _answering = network.serve_dhcp(&attachment, &nobody).await.unwrap();
    let guest = Guest::behind(&attachment);
    let told = guest.ask();
    for (key, value) in [
        ("mask", "32"),
        ("router", "169.254.1.1"),
        ("staticroutes", "169.254.1.1/32 0.0.0.0 0.0.0.0/0 169.254.1.1"),
        ("dns", "10.96.0.53"),
        ("search", "routed.test"),
    ] {
        assert_eq!(told.get(key).map(String::as_str), Some(value), "{key} of {told:?}");
    }
    serve(&guest.namespace());
    assert!(seen_from("10.66.0.7".parse().unwrap(), 80).is_ok());

    let seed: serde_json::Value =
        serde_json::from_str(&super::super::cloud_init_network(&attachment, &nobody)).unwrap();
    let card = &seed["ethernets"]["eth0"];
    assert_eq!(card["addresses"], json!(["10.66.0.7/32"]));
    assert_eq!(
        card["routes"],
        json!([{ "to": "169.254.1.1/32", "scope": "link" },
               { "to": "0.0.0.0/0", "via": "169.254.1.1", "on-link": true }])
    );
    assert_eq!(card["nameservers"], json!({ "addresses": ["10.96.0.53"], "search": ["routed.test"] }));
    network.detach(&request.id).await.unwrap();
    assert!(!output("ip", &["-o", "link"]).contains("routed0"));
}
