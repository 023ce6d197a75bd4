//! A pod whose machine is elsewhere: what comes to its address reaches that machine.

use std::net::Ipv4Addr;

use super::place::{seen_from, serve, visit};
use super::traffic::neighbour;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_s_address_leads_to_a_machine_elsewhere() {
    on_a_node!("a_pod_s_address_leads_to_a_machine_elsewhere");
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24", "fd00:89::/64"]);
    // What plugins make once and keep is there now.
    cycle(&network, "first").await;
    let before = inventory(state.path());
    let lent = PodNetworkRequest { forwards: true, ..pod("lent") };
    let client = PodNetworkRequest { forwards: true, port_mappings: Vec::new(), ..pod("client") };
    let attachment = network.attach(&lent).await.unwrap();
    assert!(attachment.is_real() && !attachment.has_tap(), "{attachment:?}");
    assert_eq!(network.attach(&lent).await.unwrap(), attachment);
    // Without a tap its interface is as CNI has left it.
    let from = network.attach(&client).await.unwrap();

    let machine = neighbour();
    serve(&machine);
    let address = attachment.address().unwrap();
    assert!(seen_from(address, 80).is_err(), "nothing is forwarded yet");
    let to = "192.0.2.2".parse().unwrap();
    for _ in 0..2 {
        network.forward(&attachment, to).await.unwrap();
        assert!(seen_from(address, 80).is_ok(), "the node reaches the machine by the pod IP");
    }
    assert!(seen_from(Ipv4Addr::LOCALHOST.into(), 8080).is_ok(), "and by the pod's port of the node");
    assert!(visit(&from.netns, || seen_from(address, 80)).is_ok(), "a pod reaches it by the pod IP");

    network.forward(&attachment, "2001:db8::7".parse().unwrap()).await.unwrap();
    network.stop_forwarding(&attachment).await.unwrap();
    network.stop_forwarding(&attachment).await.unwrap();
    assert!(seen_from(address, 80).is_err(), "nothing is forwarded any more");

    for pod in [&lent, &client] {
        network.detach(&pod.id).await.unwrap();
    }
    network.stop_forwarding(&attachment).await.unwrap();
    run("ip", &["netns", "del", machine.file_name().unwrap().to_str().unwrap()]);
    run("ip", &["link", "del", "outside0"]);
    assert_eq!(inventory(state.path()), before, "no rule, no link and no address is left");
}
