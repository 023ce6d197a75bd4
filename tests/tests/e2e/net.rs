//! Pods reach each other, and the node's ports reach them.

use std::process::Output;

use proto::runtime::v1::{PodSandboxConfig, PortMapping};
use tests::Node;

use crate::client::{Client, pod};

/// A dual-stack node.
const DUAL_STACK: &str = "[network]\nmode = \"builtin\"\nsubnets = [\"10.90.0.0/16\", \"fd00:90::/64\"]";

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_each_other_and_host_ports_reach_them() {
    crate::within(300, net()).await;
}

async fn net() {
    let (node, mut client) = crate::node_with(DUAL_STACK).await;
    let before = node.inventory().unwrap();
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let mut config = pod("web", &node.pod_logs());
    config.port_mappings =
        vec![PortMapping { container_port: 80, host_port: 8088, ..PortMapping::default() }];
    let (web, peer) = {
        // Both boot at the same time.
        let (mut one, mut two) = (client.clone(), client.clone());
        let other = pod("peer", &node.pod_logs());
        tokio::join!(boot(&mut one, &config, &image), boot(&mut two, &other, &image))
    };
    assert!(web.address.starts_with("10.90.") && peer.address.starts_with("10.90."));
    assert_ne!(web.address, peer.address);
    for booted in [&web, &peer] {
        let [second] = booted.additional.as_slice() else { panic!("{:?}", booted.additional) };
        assert!(second.starts_with("fd00:90:"), "the pod's second address is told: {second}");
    }

    let url = format!("http://{}/", web.address);
    let page = fetch_in_guest(&mut client, &peer.container, &web.address, 80).await;
    assert!(page.contains("hello from"), "a pod reaches the other by its pod IP: {page}");
    let back = client.output(&web.container, &["ping", "-c", "1", "-W", "10", &peer.address]).await;
    assert!(back.contains("1 packets received"), "{back}");

    let page = fetch(&node, &url);
    assert!(says_hello(&page), "the node reaches the pod by its IP: {page:?}");
    let gateway = "http://10.90.0.1:8088/";
    let page = fetch(&node, gateway);
    assert!(says_hello(&page), "the node's port reaches the pod: {page:?}");
    let page = fetch_in_guest(&mut client, &peer.container, "10.90.0.1", 8088).await;
    assert!(page.contains("hello from"), "a pod reaches the other by the node's port: {page}");

    for booted in [web, peer] {
        client.stop(&booted.container, 0).await.unwrap();
        client.stop_pod(&booted.pod).await.unwrap();
        client.remove_pod(&booted.pod).await.unwrap();
    }
    let page = fetch(&node, gateway);
    assert!(!says_hello(&page), "the mapping is gone with its pod: {page:?}");
    assert_eq!(node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}

/// A pod whose guest has answered.
struct Booted {
    pod: String,
    container: String,
    address: String,
    additional: Vec<String>,
}

async fn boot(client: &mut Client, config: &PodSandboxConfig, image: &str) -> Booted {
    let pod = client.run_pod(config).await.unwrap();
    let container = client.create(&pod, "machine", image).await.unwrap();
    client.start(&container).await.unwrap();
    // A slow node may need longer than the start waits, and the other guest asks this one.
    client.exec(&container, &["true"], 0).await.unwrap();
    let network = client.pod_status(&pod).await.unwrap().network.unwrap();
    let additional = network.additional_ips.into_iter().map(|address| address.ip).collect();
    Booted { pod, container, address: network.ip, additional }
}

/// Asks for a page from the node.
fn fetch(node: &Node, url: &str) -> Output {
    node.namespace()
        .command("timeout")
        .args(["10", "busybox", "wget", "-q", "-O", "-", url])
        .output()
        .unwrap()
}

/// Asks for a page from a guest.
async fn fetch_in_guest(client: &mut Client, container: &str, address: &str, port: u16) -> String {
    let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} {port}");
    client.output(container, &["sh", "-c", &ask]).await
}

fn says_hello(page: &Output) -> bool {
    page.status.success() && String::from_utf8_lossy(&page.stdout).contains("hello from")
}
